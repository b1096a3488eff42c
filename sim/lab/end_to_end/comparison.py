"""A scenario as it really went beside its simulation: cost, right answers, latency and shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.control.prices import price_clocks
from sim.lab.end_to_end.booked import Books
from sim.lab.end_to_end.live_router import Decision
from sim.lab.outcomes.estimates import wilson
from sim.prices import PriceClock
from sim.routing.account import RoutingAccount
from sim.scenario import FileRouter, Scenario
from sim.stats import estimate
from sim.streams import RandomStreams

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Figure", "as_markdown", "compared"]

_BATCHES = 20
"""Parts of the real run, one after the other, from whose means intervals are made."""
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
Floats = NDArray[np.float64]


class Figure(NamedTuple):
    """One figure of the real run, with its 95 % interval where it has one, and of the simulation."""

    group: str
    """What it is about: cost, accuracy, latency, share, tokens."""
    name: str
    real: float
    low: float | None
    high: float | None
    simulated: float

    @property
    def error(self) -> float | None:
        """Share by which the simulation is above the real run."""
        return self.simulated / self.real - 1.0 if self.real else None

    @property
    def is_inside(self) -> bool | None:
        """Whether the simulation lies within the real run's interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.simulated <= self.high


class Comparison(NamedTuple):
    """All figures."""

    scenario: str
    requests: int
    seconds: float
    """Of the real run."""
    busy_share: float
    """Of the real run's time."""
    figures: list[Figure]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [figure._asdict() | {"error": figure.error, "inside": figure.is_inside} for figure in self.figures]
        known = [{key: _known(value) for key, value in row.items()} for row in rows]
        return self._asdict() | {"figures": known}


def compared(scenario: Scenario, real: pd.DataFrame, books: Books, decisions: Sequence[Decision] = ()) -> Comparison:
    """Simulate a scenario and hold it against its real run: requests in order of arrival, and what was booked.

    `decisions` are those of the real run's router, one for each request.
    """
    import pandas as pd

    from sim.simulation import simulate

    results = simulate(scenario, keep_requests=True)
    rows = pd.concat(list(results.requests()), ignore_index=True)
    simulated = rows[rows["status"] == "completed"]
    names = list(dict.fromkeys(real["strategy"]))
    figures = [
        *_costs(real, books, results.summary["cost"]),
        *_means("cost", "USD per 1,000 requests", real, simulated, "cost_usd", names, scale=1e3),
        *_accuracies(real, simulated, names),
        *_latencies(real, simulated),
        *_means("latency", "E2E mean, s", real, simulated, "e2e_s", names),
        *_means("tokens", "output tokens", real, simulated, "output_tokens", names),
        *_shares(real, simulated, names),
    ]
    if decisions:
        figures += [
            *_by_window(scenario, real, simulated, names),
            *_decisions(decisions, results.replications[0].routing),
            *_alike(scenario, real, rows, decisions),
        ]
    busy_s = sum(books.busy_s.values())
    return Comparison(scenario.name, len(real), books.end_s, busy_s / books.end_s, figures)


def _costs(real: pd.DataFrame, books: Books, simulated: Mapping[str, Any]) -> Iterator[Figure]:
    """Dollars of the whole run; work on requests has the interval of its mean over batches."""
    lines, windows = simulated["by_line"], simulated["by_window"]
    usd = real["cost_usd"].to_numpy(float)
    busy, half = float(usd.sum()), _half(usd, np.mean) * usd.size
    yield Figure("cost", "busy, USD", busy, busy - half, busy + half, lines["busy"])
    sleep = sum(books.busy_usd().values()) - busy
    idle = sum(books.idle_usd.values())
    if sleep > 0.0:
        asleep = lines.get("sleep_used", 0.0) + lines.get("sleep_wasted", 0.0)
        yield Figure("cost", "sleep-time work, USD", sleep, None, None, asleep)
    yield Figure("cost", "idle, USD", idle, None, None, lines["idle"])
    yield Figure("cost", "total, USD", busy + sleep + idle, None, None, simulated["total_usd"])
    spent = books.busy_usd()
    for window in sorted({*spent, *books.idle_usd}):
        both = spent.get(window, 0.0) + books.idle_usd.get(window, 0.0)
        yield Figure("cost", f"in window {window}, USD", both, None, None, windows.get(window, 0.0))


def _means(
    group: str,
    what: str,
    real: pd.DataFrame,
    simulated: pd.DataFrame,
    column: str,
    names: list[str],
    *,
    scale: float = 1.0,
) -> Iterator[Figure]:
    """Mean of a column by strategy."""
    for name in names:
        mine = real.loc[real["strategy"] == name, column].to_numpy(float) * scale
        other = float(simulated.loc[simulated["strategy"] == name, column].astype(float).mean()) * scale
        yield _figure(group, f"{what}: {name}", mine, other, np.mean)


def _accuracies(real: pd.DataFrame, simulated: pd.DataFrame, names: list[str]) -> Iterator[Figure]:
    """Right answers; the interval is Wilson's, of the real answers as independent draws."""
    for name, mine, other in _parts(real, simulated, names):
        right = float(mine["correct"].mean())
        told = float(other["correct"].astype(float).mean())
        yield Figure("accuracy", name, right, *wilson(right, len(mine)), told)


def _parts(
    real: pd.DataFrame, simulated: pd.DataFrame, names: list[str]
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    yield "all", real, simulated
    for name in names:
        yield name, real[real["strategy"] == name], simulated[simulated["strategy"] == name]
    if real["prepared"].any():
        yield "on prepared contexts", real[real["prepared"]], simulated[simulated["prepared"]]


def _latencies(real: pd.DataFrame, simulated: pd.DataFrame) -> Iterator[Figure]:
    for column, label in (("ttft_s", "TTFT"), ("e2e_s", "E2E")):
        mine, other = (frame[column].to_numpy(float) for frame in (real, simulated))
        yield _figure("latency", f"{label} mean, s", mine, float(other.mean()), np.mean)
        for name, share in _QUANTILES.items():
            told = float(np.quantile(other, share))
            yield _figure("latency", f"{label} {name}, s", mine, told, partial(np.quantile, q=share))


def _shares(real: pd.DataFrame, simulated: pd.DataFrame, names: list[str]) -> Iterator[Figure]:
    for name in names:
        mine, other = (float((frame["strategy"] == name).mean()) for frame in (real, simulated))
        yield Figure("share", name, mine, *wilson(mine, len(real)), other)
    if real["prepared"].any():
        mine, other = (float(frame["prepared"].mean()) for frame in (real, simulated))
        yield Figure("share", "prepared", mine, *wilson(mine, len(real)), other)


def _by_window(scenario: Scenario, real: pd.DataFrame, simulated: pd.DataFrame, names: list[str]) -> Iterator[Figure]:
    """What a router makes of prices: right answers, cost and shares by the tariff window in which a request came."""
    (clock,) = price_clocks(scenario, RandomStreams(scenario.seed, 0))
    for window in clock.windows:
        mine, other = (_in_window(frame, clock, window) for frame in (real, simulated))
        if mine.empty or other.empty:
            continue
        right, told = float(mine["correct"].mean()), float(other["correct"].astype(float).mean())
        yield Figure("accuracy", f"in window {window}", right, *wilson(right, len(mine)), told)
        usd, usd_told = (frame["cost_usd"].to_numpy(float) * 1e3 for frame in (mine, other))
        yield _figure("cost", f"USD per 1,000 requests in window {window}", usd, float(usd_told.mean()), np.mean)
        for figure in _shares(mine.assign(prepared=False), other, names):
            yield figure._replace(name=f"{figure.name} in window {window}")


def _in_window(frame: pd.DataFrame, clock: PriceClock, window: str) -> pd.DataFrame:
    return frame[[clock.at(max(time_s, 0.0)).window == window for time_s in frame["arrival_s"].tolist()]]


def _decisions(decisions: Sequence[Decision], simulated: RoutingAccount | None) -> Iterator[Figure]:
    """What the router expected of what it chose, there and here."""
    assert simulated is not None
    chosen = int(simulated.chosen.sum())
    expected = {
        "right, expected": ("p_correct", 1.0, simulated.p),
        "USD per 1,000 requests, expected": ("cost_usd", 1e3, simulated.cost_usd),
        "late, expected": ("p_late", 1.0, simulated.p_late),
    }
    for name, (column, scale, total) in expected.items():
        mine = np.array([getattr(decision, column) for decision in decisions]) * scale
        yield _figure("router", name, mine, float(total.sum()) * scale / chosen, np.mean)


def _alike(
    scenario: Scenario, real: pd.DataFrame, rows: pd.DataFrame, decisions: Sequence[Decision]
) -> Iterator[Figure]:
    """How often both chose alike, and how long a choice took; the simulation takes the scenario's word for that."""
    told = rows.sort_values("request_id")["strategy"].to_numpy()
    same = float((told == real["strategy"].to_numpy()).mean())
    yield Figure("router", "chosen as in the simulation", same, None, None, 1.0)
    assert isinstance(scenario.router, FileRouter)
    seconds = np.array([decision.seconds for decision in decisions])
    for name, value in {"mean": seconds.mean(), "p99": np.quantile(seconds, 0.99)}.items():
        yield Figure("router", f"time to decide {name}, s", float(value), None, None, scenario.router.latency)


def _figure(group: str, name: str, real: Floats, simulated: float, of: Callable[[Floats], Any]) -> Figure:
    """A statistic of values in order of arrival, with its interval over batches."""
    value, half = float(of(real)), _half(real, of)
    known = bool(np.isfinite(half))
    return Figure(group, name, value, value - half if known else None, value + half if known else None, simulated)


def _half(values: Floats, of: Callable[[Floats], Any]) -> float:
    """Half the Student interval of a statistic over batches of neighbours; NaN where there are too few values."""
    if values.size < 2 * _BATCHES:
        return float("nan")
    found = estimate([float(of(batch)) for batch in np.array_split(values, _BATCHES)])
    return found.mean - found.low


def as_markdown(found: Comparison) -> str:
    """All figures as Markdown."""
    told = f"{found.requests:,} requests in {found.seconds:,.0f} s, {found.busy_share:.0%} of them busy."
    lines = ["| | | real | 95 % interval | simulated | error | |", "| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    lines += [_line(figure) for figure in found.figures]
    return f"# {found.scenario}: real and simulated\n\n{told}\n\n" + "\n".join(lines) + "\n"


def _line(figure: Figure) -> str:
    known = figure.low is not None and figure.high is not None
    interval = f"{_number(figure.low)} to {_number(figure.high)}" if known else ""
    error = "" if figure.error is None else f"{figure.error:+.1%}"
    inside = {None: "", True: "inside", False: "outside"}[figure.is_inside]
    cells = (figure.group, figure.name, _number(figure.real), interval, _number(figure.simulated), error, inside)
    return "| " + " | ".join(cells) + " |"


def _known(value: Any) -> Any:
    """JSON knows no NaN: what one run had none of is null."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
