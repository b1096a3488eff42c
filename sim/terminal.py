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

if TYPE_CHECKING:
    from sim.simulation import Progress as Step

__all__ = ["format_summary", "progress_bar"]

_SHOW_AFTER_S = 1.0


def format_summary(summary: dict[str, Any]) -> Group:
    """The summary as text and tables for rich to print, at most 80 columns wide."""
    several = len(summary["streams"]) > 1
    tables = [
        _headline_table(summary),
        *_titled("Latency", _latency_table(summary)),
        *(_titled("Streams", _stream_table(summary)) if several else ()),
        *_titled("Cost", _cost_table(summary)),
    ]
    return Group(_answer(summary), "", *tables, "", _footer(summary))


def _answer(summary: dict[str, Any]) -> Text:
    usd, answers = _usd(summary["cost"]["total_usd"]), _count(summary["requests"]["completed"])
    hours = (summary["horizon_s"] or 0.0) / 3600.0
    return Text(f"{_plain(summary['scenario'])}: {usd} for {answers} answers in {_hours(hours)}", style="bold")


def _headline_table(summary: dict[str, Any]) -> Table:
    table = _table("", "", "95 % interval")
    for name, label, form in _HEADLINES:
        section, key = name.split(".")
        table.add_row(label, form(summary[section][key]), _range(summary["intervals"].get(name), form))
    return table


def _latency_table(summary: dict[str, Any]) -> Table:
    table = _table("", "mean", "p50", "p90", "p95", "p99", "95 % interval of p99")
    for key, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "E2E")):
        values = summary["latency"][key]
        interval = summary["intervals"].get(f"latency.{key}.p99")
        table.add_row(label, *(_seconds(values[name]) for name in values), _range(interval, _seconds))
    return table


def _stream_table(summary: dict[str, Any]) -> Table:
    table = _table("", "requests", "met", "TTFT p50", "p99", "TPOT p99", "E2E p99")
    for name, stream in summary["streams"].items():
        ttft_s, tpot_s, e2e_s = (stream["latency"][key] for key in ("ttft_s", "tpot_s", "e2e_s"))
        times = (ttft_s["p50"], ttft_s["p99"], tpot_s["p99"], e2e_s["p99"])
        met = _share(stream["slo"]["attainment"])
        table.add_row(Text(_plain(name)), _count(stream["offered"]), met, *map(_seconds, times))
    return table


def _cost_table(summary: dict[str, Any]) -> Table:
    cost = summary["cost"]
    table = _table("", "USD", "share")
    pools = cost["by_pool"] if len(cost["by_pool"]) > 1 else {}
    lines = cost["by_line"] | {f"pool {name}": usd for name, usd in pools.items()}
    for name, usd in lines.items():
        table.add_row(Text(_plain(name)), _usd(usd), _share(usd / cost["total_usd"] if cost["total_usd"] else None))
    return table


def _footer(summary: dict[str, Any]) -> Text:
    requests, fleet, speed, runs = (summary[key] for key in ("requests", "fleet", "speed", "replications"))
    ends = [f"{_count(requests[key])} {key.replace('_', ' ')}" for key in _ENDS if requests[key] or key == _ENDS[0]]
    refused = requests["rejected_by"]
    mean = f"; figures are means over {runs} replications" if runs > 1 else ""
    lines = [
        f"{_count(requests['offered'])} requests offered: {', '.join(ends)}",
        "the fleet cannot keep up: latencies are those of answered requests only" if _is_swamped(requests) else "",
        f"{_count(refused['too_long'])} too long for any KV cache or model" if refused["too_long"] else "",
        f"{_count(refused['no_replica'])} came while no replica was open" if refused["no_replica"] else "",
        f"{_count(requests['preemptions'])} preemptions for want of KV cache" if requests["preemptions"] else "",
        f"{_count(requests['skipped_rows'])} bad rows of traces skipped" if requests["skipped_rows"] else "",
        f"{_number(fleet['gpu_hours'])} GPU-hours, at most {_count(fleet['peak_replicas'])} replicas{mean}",
        *(_trust(name, trust) for name, trust in fleet["step_times"].items()),
        f"simulated in {speed['wall_s']:.1f} s, {_count(speed['requests_per_s'])} requests a second",
    ]
    return Text("\n".join(line for line in lines if line), style="dim")


def _trust(pool: str, trust: dict[str, Any]) -> str:
    """How far to trust the step times of a pool, in a line."""
    told = (("TPOT", trust["tpot_error"]), ("TTFT", trust["ttft_error"]))
    errors = [f"{label} within {_share(error)}" for label, error in told if error is not None]
    figures = f": {', '.join(errors)} on half of the runs left out" if errors else ""
    return f"step times of {_plain(pool)} are {trust['standing']} ({trust['basis']}){figures}"


def _is_swamped(requests: dict[str, Any]) -> bool:
    """True where more than one request in twenty was left unanswered at the end."""
    return bool(requests["unfinished"] > 0.05 * requests["offered"])


_ENDS = ("completed", "rejected", "timed_out", "unfinished")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _titled(title: str, table: Table) -> tuple[str, Text, Table]:
    return "", Text(title, style="italic"), table


def _plain(name: str) -> str:
    """A name from the scenario without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _range(interval: list[float] | None, form: Callable[[float | None], str]) -> str:
    """An interval, unless both ends read alike."""
    ends = [form(bound) for bound in interval or ()]
    return " to ".join(ends) if len(set(ends)) > 1 else ""


def _usd(value: float | None) -> str:
    if value is None:
        return "-"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def _share(value: float | None) -> str:
    """A share in per cent; what is not all or nothing never reads as if it were."""
    if value is None:
        return "-"
    if 0.999 < value < 1.0:
        return f"{min(value, 0.99999):.3%}"
    return "under 0.1%" if 0.0 < value < 0.001 else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1.0:
        return f"{value * 1e3:.1f} ms"
    return f"{value:.2f} s" if value < 100.0 else f"{value:,.0f} s"


def _count(value: float | None) -> str:
    """A count, which may be a mean over replications, to the nearest whole number."""
    if value is None:
        return "-"
    return "under 1" if 0.0 < value < 0.5 else f"{value:,.0f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:,.1f}"


def _hours(hours: float) -> str:
    return f"{_number(hours)} h" if hours >= 1 else f"{_number(hours * 60)} min"


_HEADLINES: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("cost.total_usd", "cost", _usd),
    ("cost.usd_per_1k_requests", "per 1,000 requests", _usd),
    ("cost.usd_per_1m_output_tokens", "per 1M output tokens", _usd),
    ("slo.attainment", "objectives met", _share),
    ("fleet.busy_share", "GPUs busy", _share),
)


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
        text = f"{_hours(simulated_s / 3600.0)} simulated, {requests / elapsed_s:,.0f} requests/s"
        self._bar.update(self._task, total=total_s, completed=simulated_s, text=text, visible=True)
        self._bar.refresh()
