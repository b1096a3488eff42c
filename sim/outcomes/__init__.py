"""What answers come to: tokens, and the chance to be right, by request and strategy."""

from sim.outcomes.laws import Outcomes, SleepWork

__all__ = ["Outcomes", "SleepWork"]
