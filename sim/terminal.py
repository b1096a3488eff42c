"""Results on the terminal: the answer first, then how fast, then what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from sim.scenario.quantities import format_duration

if TYPE_CHECKING:
    from sim.simulation import Progress as Step

__all__ = ["format_summary", "progress_bar"]

_SHOW_AFTER_S = 1.0


def format_summary(summary: dict[str, Any]) -> Group:
    """The summary as text and tables for rich to print."""
    return Group(_answer(summary), "", _latency_table(summary), "", _cost_table(summary), "", _footer(summary))


def _answer(summary: dict[str, Any]) -> Text:
    cost, slo, requests = summary["cost"], summary["slo"], summary["requests"]
    hours = (summary["horizon_s"] or 0.0) / 3600.0
    text = Text()
    text.append(f"{summary['scenario']}: ", style="bold")
    text.append(
        f"{_usd(cost['total_usd'])} for {_number(requests['completed'])} answers in {_hours(hours)}",
        style="bold",
    )
    text.append(f"{_plus_minus(summary, 'cost.total_usd', _usd)}\n")
    text.append(f"{_share(slo['attainment'])} met their objectives{_plus_minus(summary, 'slo.attainment', _share)}; ")
    text.append(f"{_usd(cost['usd_per_1k_requests'])} per 1,000 requests, ")
    text.append(f"{_usd(cost['usd_per_1m_output_tokens'])} per 1M output tokens; ")
    text.append(f"GPUs {_share(summary['fleet']['busy_share'])} busy")
    return text


def _latency_table(summary: dict[str, Any]) -> Table:
    table = Table(title="Latency", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for column in ("mean", "p50", "p90", "p95", "p99"):
        table.add_column(column, justify="right")
    table.add_column("95 % interval of p99", justify="right")
    for key, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "E2E")):
        values = summary["latency"][key]
        interval = summary["intervals"].get(f"latency.{key}.p99")
        table.add_row(label, *(_seconds(values[name]) for name in values), _range(interval, _seconds))
    return table


def _cost_table(summary: dict[str, Any]) -> Table:
    cost = summary["cost"]
    table = Table(title="Cost", title_justify="left", box=None, pad_edge=False)
    table.add_column("line")
    table.add_column("USD", justify="right")
    table.add_column("share", justify="right")
    lines = cost["by_line"] | {f"pool {name}": usd for name, usd in cost["by_pool"].items()}
    for name, usd in lines.items():
        table.add_row(name, _usd(usd), _share(usd / cost["total_usd"] if cost["total_usd"] else None))
    return table


def _footer(summary: dict[str, Any]) -> Text:
    requests, fleet, speed = summary["requests"], summary["fleet"], summary["speed"]
    parts = ", ".join(f"{_number(requests[key])} {key.replace('_', ' ')}" for key in _ENDS)
    runs = summary["replications"]
    return Text(
        f"{_number(requests['offered'])} requests offered: {parts}\n"
        f"{_number(fleet['gpu_hours'])} GPU-hours, at most {fleet['peak_replicas']} replicas; "
        f"{runs} replication{'s' if runs > 1 else ''} in {speed['wall_s']:.1f} s, "
        f"{_number(speed['requests_per_s'])} requests a second",
        style="dim",
    )


_ENDS = ("completed", "rejected", "timed_out", "unfinished")


def _plus_minus(summary: dict[str, Any], name: str, form: Callable[[float | None], str]) -> str:
    interval = summary["intervals"].get(name)
    return "" if interval is None else f" (95 % interval {_range(interval, form)})"


def _range(interval: list[float] | None, form: Callable[[float | None], str]) -> str:
    return "" if interval is None else f"{form(interval[0])} to {form(interval[1])}"


def _usd(value: float | None) -> str:
    if value is None:
        return "-"
    return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1e3:.1f} ms" if value < 1.0 else f"{value:.2f} s"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:,.1f}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"


@contextmanager
def progress_bar() -> Iterator[Callable[[Step], None] | None]:
    """A progress bar on stderr for runs of more than a second; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        yield _Bar(bar).show


class _Bar:
    """Adds up the steps of all replications."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, text="", visible=False)
        self._latest: dict[int, Step] = {}
        self._begun_s = self._shown_s = time.perf_counter()
        self._lock = Lock()

    def show(self, step: Step) -> None:
        """Note a step; redraw at most ten times a second."""
        with self._lock:
            self._latest[step.replication] = step
            now_s = time.perf_counter()
            if now_s - self._begun_s > _SHOW_AFTER_S and now_s - self._shown_s > 0.1:
                self._shown_s = now_s
                self._draw(step, now_s - self._begun_s)

    def _draw(self, step: Step, elapsed_s: float) -> None:
        simulated_s = sum(latest.simulated_s for latest in self._latest.values())
        requests = sum(latest.requests for latest in self._latest.values())
        total_s = step.horizon_s and step.horizon_s * step.replications
        text = f"{format_duration(round(simulated_s))} simulated, {requests / elapsed_s:,.0f} requests/s"
        self._bar.update(self._task, total=total_s, completed=simulated_s, text=text, visible=True)
        self._bar.refresh()
