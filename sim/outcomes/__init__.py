"""What answers come to: tokens, and the chance to be right, by request and strategy."""

from sim.outcomes.laws import Outcomes, SleepWork, Tables

__all__ = ["Outcomes", "SleepWork", "Tables"]
