"""What a forecaster expects of each stream: the rates themselves, and errors that last for a while.

The truth is the rate function for generated arrivals, the table for clients, and for a trace its own requests
counted in windows: a forecaster who knows the pattern. Closed arrivals have no rate of their own, so they have no
forecast. The error is a stationary autoregressive process of order 1 in steps of `window`: with r = exp(-window /
correlation), e' = r e + sqrt(1 - r^2) * error * z, z normal, has standard deviation `error` and
correlation exp(-lag / correlation) exactly; a step holds for its window. The factor exp(e - error^2 / 2) has mean 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.scenario import ClientArrivals, Closed, ForecastError, Poisson, Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.blocks import Floats
from sim.workload.client_table import read_rates
from sim.workload.clients import windows
from sim.workload.daily import CumulativeRate, cumulative_rate
from sim.workload.integral import Integral
from sim.workload.replay import Replay, SessionClock
from sim.workload.shape import Shape
from sim.workload.traces import TraceRows

__all__ = ["Forecast", "build_forecast", "expected_arrivals"]

_STEP_S = 60.0


class Forecast:
    """The forecast of one replication; it does not depend on when it is asked for, and its memory is constant."""

    def __init__(self, streams: list[_StreamForecast | None]) -> None:
        self._streams = streams

    def rps(self, begin_s: float, end_s: float) -> Floats:
        """Mean requests a second expected of each stream between two times, [streams]; NaN for closed arrivals.

        `begin_s` must not decrease from call to call, and lie below `end_s`. The error is that of the window in
        which it lies.
        """
        return np.array([math.nan if stream is None else stream.rps(begin_s, end_s) for stream in self._streams])


def build_forecast(scenario: Scenario, streams: RandomStreams) -> Forecast:
    """The forecast for a scenario, with errors from the random streams `NAME/forecast`.

    Raises:
        InputError: for a trace or tables that cannot be used.
    """
    return Forecast([_stream_forecast(stream, scenario, streams) for stream in scenario.workload])


@dataclass
class _StreamForecast:
    truth: Integral
    errors: _Errors

    def rps(self, begin_s: float, end_s: float) -> float:
        return self.truth.between(begin_s, end_s) / (end_s - begin_s) * self.errors.factor(begin_s)


class _Errors:
    """The factor by which a forecast is wrong, one window after the other."""

    def __init__(self, law: ForecastError, random: np.random.Generator) -> None:
        self._law, self._random, self._window = law, random, 0
        self._keeps = math.exp(-law.window / law.correlation) if law.correlation else 0.0
        self._error = law.error * random.standard_normal()

    def factor(self, time_s: float) -> float:
        """The factor at a time, which must not decrease by more than its window."""
        law, window = self._law, int(time_s // self._law.window)
        for fresh in self._random.standard_normal(max(window - self._window, 0)):
            self._error = self._keeps * self._error + math.sqrt(1 - self._keeps**2) * law.error * float(fresh)
        self._window = max(window, self._window)
        return (1 + law.bias) * math.exp(self._error - law.error**2 / 2)


def _stream_forecast(stream: Stream, scenario: Scenario, streams: RandomStreams) -> _StreamForecast | None:
    truth = expected_arrivals(stream, scenario, streams)
    if truth is None:
        return None
    random = streams.generator(f"{stream.name}/forecast")
    return _StreamForecast(Integral(truth), _Errors(scenario.forecast, random))


def expected_arrivals(stream: Stream, scenario: Scenario, streams: RandomStreams) -> Iterator[CumulativeRate] | None:
    """Requests of a stream expected up to a time, part by part; None for closed arrivals, which follow from answers."""
    arrivals = stream.arrivals
    if isinstance(arrivals, Closed):
        return None
    if isinstance(arrivals, TraceArrivals):
        clock = SessionClock.of(stream, scenario, streams, None)
        return _counted(Replay.of(arrivals).rows(None, clock), scenario.forecast.window)
    if isinstance(arrivals, ClientArrivals):
        return _expected_of_clients(arrivals, Shape.of(stream), scenario)
    return cumulative_rate(arrivals, scenario.start, scenario.time_zone, math.inf, Shape.of(stream))


def _counted(blocks: Iterator[TraceRows], window_s: float) -> Iterator[CumulativeRate]:
    """A trace's own requests in windows; nothing comes after its last one."""
    first, requests, waiting = 0, 0.0, np.empty(0)
    for rows in blocks:
        waiting = np.concatenate((waiting, rows.arrival_s))
        ended = int(waiting[-1] // window_s)
        if ended > first:
            complete = int(np.searchsorted(waiting, ended * window_s, side="left"))
            yield _windows_of(waiting[:complete], first, ended, requests, window_s)
            first, requests, waiting = ended, requests + complete, waiting[complete:]
    yield _windows_of(waiting, first, first + 1, requests, window_s)


def _windows_of(arrival_s: Floats, first: int, end: int, requests: float, window_s: float) -> CumulativeRate:
    edges_s = window_s * np.arange(first, end + 1, dtype=np.float64)
    return CumulativeRate(edges_s, np.searchsorted(arrival_s, edges_s, side="left") + np.float64(requests))


def _expected_of_clients(arrivals: ClientArrivals, shape: Shape | None, scenario: Scenario) -> Iterator[CumulativeRate]:
    table = read_rates(arrivals).busiest(arrivals.busiest)
    days = cumulative_rate(Poisson(rps=1.0), scenario.start, scenario.time_zone, math.inf, shape)
    clock, requests = Integral(days), 0.0
    for window in windows(arrivals, table, math.inf):
        rps = arrivals.scale * float(table.rate_rps[window.rows].sum())
        edges_s = np.append(np.arange(window.begin_s, window.end_s, _STEP_S), window.end_s)
        seconds = [0.0, *(clock.between(window.begin_s, float(edge_s)) for edge_s in edges_s[1:])]
        cumulative = requests + rps * np.array(seconds)
        requests = float(cumulative[-1])
        yield CumulativeRate(edges_s, cumulative)
