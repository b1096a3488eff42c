"""Where the start of a run ends: found by MSER-5 from what is in flight, or a warning where a stated one is short."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.replication import Replication
from sim.scenario import Closed, Gamma, Poisson, Scenario, Stream
from sim.scenario.quantities import AutoWarmUp, format_duration
from sim.stats import batch_means_interval, mser5

__all__ = ["FoundWarmUp", "found_in", "is_short", "pilot_of", "warm_up_warnings"]

_PILOTS = 5
_POINTS = 1000
_SHORTEST_BUCKET_S = 0.1
_SURE = 0.999
_MATTERS = 0.02


class FoundWarmUp(NamedTuple):
    """A warm-up found by runs made for it."""

    seconds: float
    determined: bool
    """Whether the runs could tell; none is left out where they could not."""
    pilots: int
    why: str

    def section(self) -> dict[str, Any]:
        """The summary's section."""
        return {"method": "mser-5", "determined": self.determined, "pilots": self.pilots, "why": self.why}


def pilot_of(scenario: Scenario) -> Scenario | None:
    """The runs that are looked at for a warm-up that is to be found: whole runs in narrow buckets; None where it is
    given."""
    if not isinstance(scenario.warm_up, AutoWarmUp):
        return None
    width_s = scenario.bucket if scenario.horizon is None else max(scenario.horizon / _POINTS, _SHORTEST_BUCKET_S)
    runs = min(scenario.replications, _PILOTS)
    return scenario.model_copy(update={"warm_up": 0.0, "bucket": width_s, "replications": runs})


def found_in(pilot: Scenario, replications: Sequence[Replication]) -> FoundWarmUp:
    """The warm-up by MSER-5 on the mean number of requests in flight, at most half of the run.

    A load that follows the clock is never steady: what is cut from it would be its mornings, not its start.
    """
    runs = len(replications)
    moving = [stream.name for stream in pilot.workload if not _is_steady(stream)]
    if moving:
        return FoundWarmUp(0.0, False, runs, f"the load of {moving[0]} follows the clock, so no part of it is steady")
    in_flight = _in_flight(replications)
    cut = mser5(in_flight.tolist())
    if cut is None:
        return FoundWarmUp(0.0, False, runs, "the runs are too short to tell their start from the rest")
    told = f"least standard error without the first {cut} of {in_flight.size} buckets of {pilot.bucket:g}s"
    return FoundWarmUp(cut * pilot.bucket, True, runs, told)


def warm_up_warnings(scenario: Scenario, replications: Sequence[Replication], found: FoundWarmUp | None) -> list[str]:
    """A sentence where no warm-up was found, or the stated one is shorter than what MSER-5 would leave out.

    Only where the load is steady, what would be left out differs from the rest beyond chance, and it moves the mean.
    """
    if found is not None:
        told = "no warm-up was found, and none is left out"
        return [] if found.determined else [f"{told}: {found.why}; give `warm_up` as a time"]
    if not all(_is_steady(stream) for stream in scenario.workload):
        return []
    in_flight = _in_flight(replications)
    first = int(np.ceil(scenario.warm_up / scenario.bucket))
    cut = mser5(in_flight.tolist())
    if cut is None or cut <= first or not is_short(in_flight[first:cut], in_flight[cut:]):
        return []
    shown, least = format_duration(scenario.warm_up), format_duration(cut * scenario.bucket)
    return [
        f"requests in flight are not yet steady after the warm-up of {shown}: MSER-5 leaves out {least}; "
        "lengthen `warm_up`, or give `auto`"
    ]


def is_short(start: NDArray[np.float64], rest: NDArray[np.float64]) -> bool:
    """Whether the start of a series differs from its rest beyond chance, and enough to move the mean of both."""
    level = batch_means_interval(rest.tolist(), _SURE)
    if not isfinite(level.low) or level.mean <= 0.0 or start.size == 0:
        return False
    # The start is shorter than the rest, so its mean varies more.
    wider = sqrt(1.0 + rest.size / start.size)
    away = float(start.mean()) - level.mean
    beyond = away < (level.low - level.mean) * wider or away > (level.high - level.mean) * wider
    return beyond and abs(away) * start.size / (start.size + rest.size) > _MATTERS * level.mean


def _is_steady(stream: Stream) -> bool:
    """Whether a stream's rate is the same at all times."""
    shaped = stream.growth is not None or bool(stream.weekly) or bool(stream.special_days)
    return isinstance(stream.arrivals, Poisson | Gamma | Closed) and not shaped


def _in_flight(replications: Sequence[Replication]) -> NDArray[np.float64]:
    """Requests running and waiting at the ends of buckets, mean over replications; as long as the shortest run."""
    series = []
    for run in replications:
        ends, place = np.unique(run.buckets["end_s"], return_inverse=True)
        count = np.bincount(place, run.buckets["running"] + run.buckets["waiting"], minlength=ends.size)
        series.append(count[:-1] if ends.size > 1 else count)
    shortest = min(one.size for one in series)
    return np.asarray(np.mean([one[:shortest] for one in series], axis=0))
