"""Ways to route held against each other at equal spending, on the same requests."""

from sim.policies.compare import Comparison, compare_policies

__all__ = ["Comparison", "compare_policies"]
