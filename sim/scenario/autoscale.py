"""How the number of a pool's replicas follows the load or the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import DefaultKind, Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Duration, Hours, LengthOfTime, Rate, Share, Whole, parse_hours
from sim.scenario.shape import WEEKDAYS, Weekday

__all__ = [
    "MOST_REPLICAS",
    "Autoscale",
    "BusyAutoscale",
    "PredictiveAutoscale",
    "QueueAutoscale",
    "Scaling",
    "ScheduleAutoscale",
    "ScheduleWindow",
]

MOST_REPLICAS = 100_000


class ScheduleWindow(Part):
    """How many replicas accept work in a daily window of local time."""

    hours: Hours
    """Window such as 08:00-20:00; over midnight it belongs to the day on which it starts."""
    days: Annotated[list[Weekday], Field(min_length=1)] = Field(default=list(WEEKDAYS))
    """Local weekdays; every day where left out."""
    replicas: Annotated[Whole, Field(le=MOST_REPLICAS)]
    """Replicas that accept work inside the window; the first window that holds an instant counts."""

    @property
    def start_s(self) -> int:
        """Start in seconds after local midnight."""
        return parse_hours(self.hours)[0]

    @property
    def end_s(self) -> int:
        """End in seconds after local midnight; on the next day where not above `start_s`."""
        return parse_hours(self.hours)[1]


class Scaling(Part):
    """What all ways to scale have in common."""

    min: Annotated[Whole, Field(le=MOST_REPLICAS)] = 1
    """Fewest replicas; with 0 an empty pool wakes for requests that no other pool takes (but not by a schedule)."""
    max: Annotated[Count, Field(le=MOST_REPLICAS)]
    """Most replicas; reserved ones are all paid for, used or not."""
    tick: LengthOfTime = 30.0
    """Time between two looks at the pool."""
    start_up: Duration = 180.0
    """Time from the launch of a replica, paid from then on, until it takes requests."""
    cool_down: Duration = 300.0
    """Wait after any change of the number before it is lowered, and then to no less than was asked for meanwhile."""
    max_step: Count | None = None
    """Most replicas added or taken away at one tick; any number where left out."""

    @model_validator(mode="after")
    def _numbers_fit(self) -> Scaling:
        refuse_all(list(_refusals(self)))
        return self


class BusyAutoscale(Scaling):
    """As many replicas as keep the busy share on target."""

    kind: Literal["busy"] = "busy"
    """By the share of what they can do that replicas do."""
    target_busy: Annotated[Share, Field(gt=0)] = 0.7
    """Share that a replica shall be busy: desired = ceil(busy replicas / target)."""
    of: Literal["work", "time"] = "work"
    """Share of the work that full batches would do, or of the time: an engine that batches works all the time from a
    few requests on, so that its time soon asks for `max` and gives none back."""
    average: Duration = 0.0
    """Time over which the share is taken; the last tick where left out."""


class QueueAutoscale(Scaling):
    """As many replicas as the requests at the pool need."""

    kind: Literal["queue"] = "queue"
    """By the requests at the pool, waiting and running."""
    target_outstanding: Rate
    """Requests for each replica, waiting and running: desired = ceil(outstanding / target)."""
    average: Duration = 0.0
    """Time over which their number, seen at each tick, is averaged; as it is at the tick where left out."""


class ScheduleAutoscale(Scaling):
    """As many replicas as the clock on the wall says."""

    kind: Literal["schedule"] = "schedule"
    """By windows of local time."""
    windows: Annotated[list[ScheduleWindow], Field(min_length=1)]
    """The first window that holds an instant counts; `min` outside of all."""


class PredictiveAutoscale(Scaling):
    """As many replicas as the forecast will need once they are up."""

    kind: Literal["predictive"] = "predictive"
    """By the forecast of the load."""
    rps_per_replica: Rate
    """Requests per second one replica answers well: desired = ceil(highest forecast rate ahead / this)."""
    beyond_rps: Amount = 0.0
    """Requests per second of the forecast that other pools take first."""
    lead: Duration | None = None
    """How far ahead to look, beyond a tick; `start_up` plus a tick where left out."""

    @property
    def ahead_s(self) -> float:
        """How far ahead the forecast is looked at, seconds."""
        return (self.start_up + self.tick if self.lead is None else self.lead) + self.tick


Autoscale = Annotated[
    BusyAutoscale | QueueAutoscale | ScheduleAutoscale | PredictiveAutoscale,
    Field(discriminator="kind"),
    DefaultKind("busy"),
]
"""By the busy share where no `kind` is given."""


def _refusals(scaling: Scaling) -> Iterator[Refusal]:
    if scaling.min > scaling.max:
        yield Refusal(("min",), scaling.min, f"must be at most max ({scaling.max})", "lower it, or raise max")
    if isinstance(scaling, ScheduleAutoscale):
        rule = f"must lie between min ({scaling.min}) and max ({scaling.max})"
        for index, window in enumerate(scaling.windows):
            if not scaling.min <= window.replicas <= scaling.max:
                path = ("windows", index, "replicas")
                yield Refusal(path, window.replicas, rule, "change it, or min or max")
