"""Published figures on test-time and sleep-time compute, held against simulated runs."""

from sim.validation.papers.payload import papers_payload

__all__ = ["papers_payload"]
