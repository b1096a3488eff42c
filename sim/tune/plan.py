"""What a search is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import InputError

__all__ = ["Plan"]

_FEWEST_FRESH = 2


@dataclass(frozen=True)
class Plan:
    """What is varied, what it is judged by, and how long."""

    vary: tuple[str, ...] = ()
    """Keys and their values, `KEY=LOW:HIGH[:log]` or `KEY=A,B,C`; what the scenario leaves to be tuned where empty."""
    objectives: tuple[str, ...] = ()
    """Names of objectives; cost, accuracy and attainment, as far as the scenario has them, where empty."""
    slo: float | None = None
    """Share of requests whose objectives must be met."""
    trials: int = 64
    """Settings tried."""
    replications: int = 2
    """Runs of each of them, all on the same seed."""
    fresh: int = 8
    """Runs of each point of the front on a seed that the search has not seen."""
    most_points: int = 8
    """Points of the front that are confirmed."""
    fleet: bool | None = None
    """Whether each setting is given a fleet of its own, sized by formulas; where the scenario says what may be bought
    if None."""
    overrides: tuple[str, ...] = ()
    """Changes to the scenario, as of --set; with them it is the scenario as it is."""

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            InputError: for them.
        """
        if self.slo is not None and not 0.0 < self.slo <= 1.0:
            raise InputError(self.slo, "is no share of requests", "give --slo between 0 and 1, such as 0.95")
        for name, least in (("trials", 1), ("replications", 1), ("fresh", _FEWEST_FRESH), ("most_points", 1)):
            if getattr(self, name) < least:
                raise InputError(getattr(self, name), f"{name.replace('_', ' ')} are too few", f"give {least} or more")
