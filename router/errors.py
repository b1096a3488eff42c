"""What is wrong with something from outside, in the words of `sim.errors`, which this package does not know."""

from __future__ import annotations

__all__ = ["RouterError"]


class RouterError(ValueError):
    """A value, the rule that it breaks, and what to do about it."""

    def __init__(self, value: object, rule: str, remedy: str, where: str | None = None) -> None:
        self.value, self.rule, self.remedy, self.where = value, rule, remedy, where
        place = "" if where is None else f"{where}: "
        super().__init__(f"{place}{value} {rule}; {remedy}")
