"""The grid of a map, and what of a scenario its axes turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.errors import InputError
from sim.prices import PriceClock, gpu_prices, token_prices
from sim.scenario import ApiPool, Closed, GpuPool, Scenario, Stream, TraceArrivals
from sim.scenario.distributions import ConstantCount

__all__ = ["AXES", "OFF_PEAK", "Grid", "Point", "check_grid", "turned"]

AXES = ("queries", "predictability", "price_ratio", "load")
OFF_PEAK = "off-peak"
"""Name of the tariff window in which it is cheap."""
_A_DAY_S = 86_400.0


class Point(NamedTuple):
    """A point of the grid; None where the scenario is left as it is."""

    queries: float | None
    """Mean questions of a context."""
    predictability: float | None
    """Rank of how far contexts foretell their questions, 0 to 1."""
    price_ratio: float | None
    """Price at peak hours over that at the others."""
    load: float | None
    """Share of what the fleet can do that all questions take, answered in the way that takes most."""


@dataclass(frozen=True)
class Grid:
    """The values of each axis; an empty axis leaves the scenario as it is."""

    queries: Sequence[float] = (1.0, 2.0, 5.0, 10.0, 20.0)
    predictability: Sequence[float] = (0.1, 0.5, 0.9)
    price_ratio: Sequence[float] = (1.0, 3.0, 10.0)
    load: Sequence[float] = (0.3, 0.6, 0.9)
    off_peak: str = "22:00-08:00"
    """Local hours of the low price."""

    def axes(self) -> dict[str, list[float]]:
        """The values by axis."""
        return {axis: list(getattr(self, axis)) for axis in AXES}

    def points(self) -> Iterator[Point]:
        """All points, the last axis first."""
        values = (getattr(self, axis) or (None,) for axis in AXES)
        yield from (Point(*found) for found in product(*values))


def check_grid(scenario: Scenario, grid: Grid) -> None:
    """Refuse what cannot be turned.

    Raises:
        InputError: for values out of range, and for axes that the scenario does not have.
    """
    limits = {"queries": (1.0, 1e6), "predictability": (0.0, 1.0), "price_ratio": (1.0, 1e6), "load": (0.01, 2.0)}
    for axis, (low, high) in limits.items():
        for value in getattr(grid, axis):
            if not low <= value <= high:
                rule = f"is no value of {axis.replace('_', ' ')}, which is from {low:g} to {high:g}"
                raise InputError(f"{value:g}", rule, "give another")
    if grid.queries and not any(_has_queries(stream) for stream in scenario.workload):
        rule = "cannot be varied, as no stream draws its contexts by chance"
        raise InputError("queries", rule, "leave the axis out with --queries as-is")
    if grid.load and any(isinstance(stream.arrivals, Closed) for stream in scenario.workload):
        rule = "cannot be varied where a stream has closed arrivals, which follow no rate"
        raise InputError("load", rule, "leave the axis out with --load as-is")


def _has_queries(stream: Stream) -> bool:
    return stream.contexts is not None and stream.contexts.queries is not None


def turned(scenario: Scenario, grid: Grid, point: Point, rate_factor: float = 1.0) -> list[str]:
    """The overrides by which a scenario becomes that of a point, its arrivals being scaled by a factor."""
    changes: dict[str, Any] = {}
    for index, stream in enumerate(scenario.workload):
        changes |= _of_stream(f"workload.{index}", stream, point, rate_factor)
    if point.price_ratio is not None:
        for index, pool in enumerate(scenario.fleet):
            changes |= _prices(f"fleet.{index}", pool, scenario, point.price_ratio, grid.off_peak)
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def _of_stream(place: str, stream: Stream, point: Point, rate_factor: float) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if rate_factor != 1.0:
        changes |= _rates(f"{place}.arrivals", stream.arrivals, rate_factor)
    if not stream.has_contexts:
        return changes
    if point.queries is not None and _has_queries(stream):
        assert stream.contexts is not None
        whole = isinstance(stream.contexts.queries, ConstantCount)
        constant = {"kind": "constant", "value": round(point.queries)}
        changes[f"{place}.contexts.queries"] = constant if whole else {"kind": "geometric", "mean": point.queries}
    if point.predictability is not None:
        changes[f"{place}.contexts.predictability"] = point.predictability
    return changes


def _rates(place: str, arrivals: Any, factor: float) -> dict[str, Any]:
    """More of the same, whatever the arrivals are."""
    if isinstance(arrivals, TraceArrivals):
        if arrivals.starts is None:
            return {f"{place}.speed": arrivals.speed * factor}
        place, arrivals = f"{place}.starts", arrivals.starts
    key = next((key for key in ("rps", "mean_rps", "scale") if hasattr(arrivals, key)), None)
    return {} if key is None else {f"{place}.{key}": getattr(arrivals, key) * factor}


def _prices(place: str, pool: GpuPool | ApiPool, scenario: Scenario, ratio: float, hours: str) -> dict[str, Any]:
    """The highest price of the pool at peak hours, and a part of it at the others."""
    start, zone, horizon_s = scenario.start, ZoneInfo(scenario.time_zone), scenario.horizon
    window = {"name": OFF_PEAK, "hours": hours}
    if isinstance(pool, GpuPool):
        peak = float(_highest(gpu_prices(pool.offer, pool.gpu, start, zone, None, horizon_s=horizon_s), horizon_s)[0])
        cheap = window | {"usd_per_gpu_hour": peak / ratio}
        tariff = {"kind": "windows", "time_zone": scenario.time_zone, "usd_per_gpu_hour": peak, "windows": [cheap]}
        return {f"{place}.offer": {"kind": "on-demand", "tariff": tariff}}
    rates = _highest(token_prices(pool.tariff, start, zone, horizon_s=horizon_s), horizon_s) * 1e6
    keys = ("input_usd_per_1m", "cached_input_usd_per_1m", "output_usd_per_1m")
    base = dict(zip(keys, rates.tolist(), strict=True))
    cheap_tokens = window | {key: value / ratio for key, value in base.items()}
    windows = {"kind": "windows", "time_zone": scenario.time_zone, "base": base, "windows": [cheap_tokens]}
    return {f"{place}.tariff": windows}


def _highest(clock: PriceClock, horizon_s: float | None) -> Any:
    """Each rate at its highest, in the run or in its first day where its length is not known."""
    end_s, rates = _A_DAY_S if horizon_s is None else horizon_s, []
    for period in clock.periods():
        if period.begin_s >= end_s:
            break
        rates.append(period.rates)
    return np.max(rates, axis=0)
