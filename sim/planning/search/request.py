"""What `nightshift plan` is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sim.errors import InputError
from sim.planning.search.aim import Goal
from sim.planning.search.search import Effort

__all__ = ["EFFORTS", "PlanRequest", "Progress"]

EffortName = Literal["quick", "normal", "thorough"]

EFFORTS: dict[EffortName, Effort] = {
    "quick": Effort(3, 6, options=2, repairs=6, patience=4, most_runs=400, most_requests=15e6),
    "normal": Effort(4, 10, options=4, repairs=8, patience=10, most_runs=2000, most_requests=80e6),
    "thorough": Effort(6, 20, options=16, repairs=12, patience=30, most_runs=20_000, most_requests=400e6),
}


class Progress(NamedTuple):
    """Who is told what is going on."""

    analytic: Callable[[dict[str, Any]], None] = lambda document: None
    """Called with the document as far as it is known without a simulation."""
    tell: Callable[[str], None] = lambda line: None
    """Called with what is done next, in a line."""


@dataclass(frozen=True)
class PlanRequest:
    """Targets and goal beside those of the scenario, and how long is searched."""

    overrides: tuple[str, ...] = ()
    """Changes to the scenario, as of --set."""
    goal: Goal | None = None
    budget_usd_per_month: float | None = None
    slo: float | None = None
    accuracy: float | None = None
    risk: float | None = None
    replications: int | None = None
    """By which points are judged; as `effort` says where left out."""
    effort: EffortName = "normal"
    workers: int | None = None
    analytic_only: bool = False
    year: bool = True
    """Whether a year ahead is planned where the scenario says how the load grows."""
    seed: int | None = None

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            InputError: for them.
        """
        for name in ("slo", "accuracy", "risk"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value <= 1.0:
                raise InputError(value, "is no share above 0 and at most 1", f"give --{name} such as 0.9")
        if self.risk is not None and self.risk >= 1.0:
            raise InputError(self.risk, "leaves nothing to promise", "give --risk such as 0.05")
        if self.budget_usd_per_month is not None and not 0.0 < self.budget_usd_per_month < float("inf"):
            rule = "is no budget of dollars a month"
            raise InputError(self.budget_usd_per_month, rule, "give --budget above 0, such as 20000")
        if self.replications is not None and self.replications < 2:
            rule = "replications tell nothing of chance"
            raise InputError(self.replications, rule, "give --replications 2 or more")

    def asked(self) -> tuple[str, ...]:
        """The changes to the scenario with the targets among them, as of --set."""
        targets = {
            "plan.targets.budget_usd_per_month": self.budget_usd_per_month,
            "plan.targets.slo": self.slo,
            "plan.targets.accuracy": self.accuracy,
            "plan.targets.risk": self.risk,
            "plan.goal": self.goal,
            "seed": self.seed,
        }
        return (*self.overrides, *(f"{key}={value}" for key, value in targets.items() if value is not None))

    @property
    def effort_asked(self) -> Effort:
        """How long is searched."""
        effort = EFFORTS[self.effort]
        if self.replications is None:
            return effort
        return effort._replace(replications=self.replications, fresh=max(effort.fresh, 2 * self.replications))
