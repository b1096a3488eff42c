"""How many requests a plan has to answer, by hour of the local week; read off the scenario without running it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from sim.planning.purchase.instance import Floats, Integers
from sim.scenario import ClientArrivals, Closed, Daily, Gamma, Scenario, Stream, TraceArrivals
from sim.scenario.clients import InlineClient
from sim.streams import RandomStreams
from sim.workload.forecast import expected_arrivals

__all__ = ["HOURS_PER_MONTH", "HOURS_PER_WEEK", "Demand", "demand_of"]

HOURS_PER_MONTH = 730.5
HOURS_PER_WEEK = 168
WINDOW_S = 900.0
_LONGEST_S = 366 * 86_400.0
_WEEK_S = 7 * 86_400.0


@dataclass(frozen=True)
class Demand:
    """Expected requests: S streams, W windows of time of a quarter of an hour at most, one after the other."""

    names: tuple[str, ...]
    begin_s: Floats
    """Begin of each window since the scenario's start, [W]."""
    seconds: Floats
    """Length of each, [W]."""
    hour: Integers
    """Hour of the local week, from Monday 00:00 on, in which each begins, [W]."""
    rps: Floats
    """Mean requests a second in each, [S, W]; NaN of closed arrivals, whose rate follows from the answers."""
    clump: Floats
    """How many requests come as one, [S]: the asymptotic variance of their number over its mean; 1 for Poisson."""
    counts: Floats
    """Share of each window that counts, [W]: what comes in the warm-up is in no figure."""

    @property
    def horizon_s(self) -> float:
        """Time that is looked at."""
        return float(self.seconds.sum())

    @property
    def hours(self) -> Floats:
        """Hours a month of each hour of the week, [168]; 0 where the scenario does not come to it."""
        return self.per_hour(self.seconds) * (HOURS_PER_MONTH / self.horizon_s)

    @property
    def mean_rps(self) -> Floats:
        """Mean requests a second by hour of the week, [S, 168]; 0 where the scenario does not come to it."""
        requests = np.array([self.per_hour(row * self.seconds) for row in self.rps])
        return requests / np.maximum(self.per_hour(self.seconds), 1e-9)

    @property
    def overall_rps(self) -> Floats:
        """Mean requests a second over all the time, [S]; 0 of closed arrivals."""
        found: Floats = np.nan_to_num(self.rps) @ self.seconds / self.horizon_s
        return found

    @property
    def peak_rps(self) -> Floats:
        """Highest mean rate of a window within each hour of the week, over all weeks, [S, 168]."""
        found = np.zeros((self.rps.shape[0], HOURS_PER_WEEK))
        for peaks, row in zip(found, self.rps, strict=True):
            np.maximum.at(peaks, self.hour, row)
        return found

    def per_hour(self, values: Floats) -> Floats:
        """Sums of values of windows, [W], by hour of the week, [168]."""
        found: Floats = np.bincount(self.hour, values, HOURS_PER_WEEK).astype(np.float64)
        return found

    def with_rps(self, stream: int, rps: float) -> Demand:
        """The same with a steady rate of one stream: what its closed arrivals have come to."""
        rates = self.rps.copy()
        rates[stream] = rps
        return Demand(self.names, self.begin_s, self.seconds, self.hour, rates, self.clump, self.counts)


def demand_of(scenario: Scenario) -> Demand:
    """The demand of a scenario up to its horizon: to the end of its requests without one, a year at most.

    Raises:
        InputError: for a trace or tables that cannot be used.
    """
    streams = RandomStreams(scenario.seed, 0)
    expected = [_expected(stream, scenario, streams) for stream in scenario.workload]
    end_s = scenario.horizon or max((float(times[-1]) for times, _ in filter(None, expected)), default=_WEEK_S)
    end_s = min(end_s, _LONGEST_S)
    edges_s = np.append(np.arange(0.0, end_s, WINDOW_S), end_s)
    seconds = np.diff(edges_s)
    unknown = np.full(seconds.size, np.nan)
    rates = [unknown if known is None else np.diff(np.interp(edges_s, *known)) / seconds for known in expected]
    counted_s = np.clip(edges_s[1:] - scenario.warm_up, 0.0, seconds)
    return Demand(
        names=tuple(stream.name for stream in scenario.workload),
        begin_s=edges_s[:-1],
        seconds=seconds,
        hour=hours_of_week(scenario, edges_s[:-1]),
        rps=np.array(rates),
        clump=np.array([_clump(stream) for stream in scenario.workload]),
        counts=counted_s / seconds,
    )


def hours_of_week(scenario: Scenario, since_start_s: Floats) -> Integers:
    """Hour of the local week at times after the start, [n]."""
    zone = ZoneInfo(scenario.time_zone)
    origin = scenario.start.replace(tzinfo=zone).astimezone(UTC)
    return np.array([_hour_of_week((origin + timedelta(seconds=each)).astimezone(zone)) for each in since_start_s])


def _hour_of_week(local: datetime) -> int:
    return 24 * local.weekday() + local.hour


def _expected(stream: Stream, scenario: Scenario, streams: RandomStreams) -> tuple[Floats, Floats] | None:
    """Times, and the requests expected up to each of them."""
    if isinstance(stream.arrivals, Closed):
        return None
    parts = expected_arrivals(stream, scenario, streams)
    assert parts is not None
    end_s = min(scenario.horizon or _LONGEST_S, _LONGEST_S)
    times, requests = [np.zeros(1)], [np.zeros(1)]
    for part in parts:
        times.append(part.time_s)
        requests.append(part.requests)
        if part.time_s[-1] >= end_s:
            break
    return np.concatenate(times) + _lag_s(stream), np.concatenate(requests)


def _lag_s(stream: Stream) -> float:
    """How much later than its context a generated request comes in the mean: nothing was born before the start."""
    law = stream.contexts
    if law is None or law.queries is None or law.think_time is None or isinstance(stream.arrivals, TraceArrivals):
        return 0.0
    return _mean_s(law.lead) + max(law.queries.mean - 1.0, 0.0) / 2.0 * _mean_s(law.think_time)


def _mean_s(law: object) -> float:
    value = getattr(law, "value", None)
    if value is not None:
        return float(value)
    median, sigma = getattr(law, "median", 0.0), getattr(law, "sigma", 0.0)
    return float(median * math.exp(sigma**2 / 2.0))


def _clump(stream: Stream) -> float:
    """Asymptotic index of dispersion of arrivals: the squared variation of the gaps of a renewal process.

    Requests on one context come apart by think times and are taken as Poisson clumps of their births.
    """
    arrivals = stream.arrivals
    if isinstance(arrivals, TraceArrivals) and arrivals.starts is not None:
        arrivals = arrivals.starts
    if isinstance(arrivals, Daily):
        return arrivals.burstiness_cv**2
    if isinstance(arrivals, Gamma):
        return arrivals.cv**2
    if isinstance(arrivals, ClientArrivals):
        return _clump_of_clients(arrivals.clients)
    return 1.0


def _clump_of_clients(clients: list[InlineClient] | None) -> float:
    """Of independent clients by their rates; 2 is assumed of tables, whose clients are bursty."""
    if clients is None:
        return 2.0
    total = sum(client.rps for client in clients)
    return sum(client.rps * client.cv**2 for client in clients) / total if total else 1.0
