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

from sim import wording as words

if TYPE_CHECKING:
    from sim.simulation import Progress as Step

__all__ = ["format_summary", "plain_table", "progress_bar", "titled"]

_SHOW_AFTER_S = 1.0


def format_summary(summary: dict[str, Any]) -> Group:
    """The summary as text and tables for rich to print, at most 80 columns wide."""
    tables = [
        _headline_table(summary),
        *titled("Latency", _latency_table(summary)),
        *(titled("Answers", _answer_table(summary)) if _tells_answers_apart(summary) else ()),
        *(titled("Prepared contexts", _context_table(summary)) if words.asked(summary) else ()),
        *(titled("Streams", _stream_table(summary)) if len(summary["streams"]) > 1 else ()),
        *(titled("Pools", _pool_table(summary)) if len(summary["pools"]) > 1 else ()),
        *titled("Cost", _cost_table(summary)),
    ]
    answer = Text(words.answer(summary), style="bold")
    return Group(answer, *_statistics(summary), *_warnings(summary), "", *tables, "", _footer(summary))


def _statistics(summary: dict[str, Any]) -> list[Text]:
    """What was asked of the statistics of a run: precision, a warm-up to be found, what is not known."""
    return [Text(sentence) for sentence in words.statistics(summary)]


def _warnings(summary: dict[str, Any]) -> list[Text]:
    return [Text(f"beware: {words.printable(warning)}") for warning in summary.get("warnings", ())]


def _headline_table(summary: dict[str, Any]) -> Table:
    table = plain_table("", "", "95 % interval")
    for name, label, form in words.HEADLINES:
        section, key = name.split(".")
        if name in _OF_QUALITY and summary["quality"]["accuracy"] is None:
            continue
        if name == "slo.attainment" and not summary["slo"]["set"]:
            label = "answered (no objectives set)"
        table.add_row(label, form(summary[section][key]), words.range_of(summary["intervals"].get(name), form))
    return table


_OF_QUALITY = ("quality.accuracy", "cost.usd_per_correct")
"""Figures that say nothing where it is not known which answers are right."""


def _tells_answers_apart(summary: dict[str, Any]) -> bool:
    return len(summary["strategies"]) > 1 or summary["quality"]["accuracy"] is not None


def _answer_table(summary: dict[str, Any]) -> Table:
    """By strategy: its share of the answers, how many are right, how long they are and what they cost."""
    table = plain_table("", "share", "right", "95 % interval", "tokens", "USD per 1,000", "per 1,000 right")
    for name, way in summary["strategies"].items():
        right = words.range_of(summary["intervals"].get(f"strategies.{name}.accuracy"), words.share)
        prices = (words.usd(way["usd_per_1k_requests"]), words.usd_per_1k(way["usd_per_correct"]))
        quality = (words.share(way["accuracy"]), right, words.count(way["mean_output_tokens"]))
        table.add_row(Text(words.printable(name)), words.share(way["share"]), *quality, *prices)
    return table


def _context_table(summary: dict[str, Any]) -> Table:
    """What questions on contexts found prepared, and whether preparing has paid."""
    table = plain_table("", "questions", "share")
    asked = words.asked(summary)
    for label, count in words.found_prepared(summary).items():
        table.add_row(label, words.count(count), words.share(count / asked))
    for label, told in words.preparing(summary).items():
        table.add_row(label, told, "")
    return table


def _latency_table(summary: dict[str, Any]) -> Table:
    table = plain_table("", "mean", "p50", "p90", "p95", "p99", "95 % interval of p99")
    for key, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "E2E")):
        values = summary["latency"][key]
        interval = summary["intervals"].get(f"latency.{key}.p99")
        table.add_row(label, *(words.seconds(values[name]) for name in values), words.range_of(interval, words.seconds))
    return table


def _stream_table(summary: dict[str, Any]) -> Table:
    table = plain_table("", "requests", "met", "TTFT p50", "p99", "TPOT p99", "E2E p99")
    for name, stream in summary["streams"].items():
        ttft_s, tpot_s, e2e_s = (stream["latency"][key] for key in ("ttft_s", "tpot_s", "e2e_s"))
        times = (ttft_s["p50"], ttft_s["p99"], tpot_s["p99"], e2e_s["p99"])
        met = words.share(stream["slo"]["attainment"])
        table.add_row(Text(words.printable(name)), words.count(stream["offered"]), met, *map(words.seconds, times))
    return table


def _pool_table(summary: dict[str, Any]) -> Table:
    """Who answered how much, and for how much; a pool that nothing reached shows as one."""
    table = plain_table("", "answers", "share", "USD", "share", "per 1M output tokens")
    answers, total = summary["requests"]["completed"], summary["cost"]["total_usd"]
    for name, pool in summary["pools"].items():
        of_answers = words.share(pool["completed"] / answers if answers else None)
        of_cost = words.share(pool["usd"] / total if total else None)
        prices = (words.usd(pool["usd"]), of_cost, words.usd(pool["usd_per_1m_output_tokens"]))
        table.add_row(Text(words.printable(name)), words.count(pool["completed"]), of_answers, *prices)
    return table


def _cost_table(summary: dict[str, Any]) -> Table:
    """Dollars by line, then by tariff window where there are several; what is nothing is left out."""
    cost = summary["cost"]
    table = plain_table("", "USD", "share")
    lines = {name.replace("_", " "): usd for name, usd in cost["by_line"].items()}
    shown = {name: usd for name, usd in lines.items() if usd} or lines
    windows = {f"window {name}": usd for name, usd in cost["by_window"].items() if usd}
    for name, usd in (shown | (windows if len(windows) > 1 else {})).items():
        part = usd / cost["total_usd"] if cost["total_usd"] else None
        table.add_row(Text(words.printable(name)), words.usd(usd), words.share(part))
    return table


def _footer(summary: dict[str, Any]) -> Text:
    requests, fleet, speed, runs = (summary[key] for key in ("requests", "fleet", "speed", "replications"))
    gpus = f"{words.number(fleet['gpu_hours'])} GPU-hours, at most {words.things(fleet['peak_replicas'], 'replica')}"
    mean = f"figures are means over {runs} replications" if runs > 1 else ""
    lines = [
        *_endings(requests),
        f"{words.count(requests['preemptions'])} preemptions for want of KV cache" if requests["preemptions"] else "",
        f"{words.count(requests['skipped_rows'])} bad rows of traces skipped" if requests["skipped_rows"] else "",
        "; ".join(part for part in (gpus if fleet["peak_replicas"] else "", mean) if part),
        _counted(fleet, _EVENTS),
        _energy(summary),
        _router(summary),
        f"{words.share(fleet['prefix_hit_share'])} of prompt tokens found in a cache"
        if fleet.get("prefix_hit_share")
        else "",
        *(_trust(name, trust) for name, trust in fleet["step_times"].items()),
        f"simulated in {speed['wall_s']:.1f} s, {words.count(speed['requests_per_s'])} requests a second",
    ]
    return Text("\n".join(line for line in lines if line), style="dim")


_ENDS = {name: (name.replace("_", " "),) * 2 for name in ("completed", "rejected", "timed_out", "failed", "unfinished")}
_REJECTIONS = {
    "too_long": "too long for any KV cache or model",
    "no_replica": "came while nothing was open: no replica, nor an API at its price",
    "queue_full": "found all queues full",
    "rate_limited": "were over the rate limit of an API",
}
_EVENTS = {
    "starts": ("launch", "launches"),
    "reclaims": ("reclaim", "reclaims"),
    "failures": ("failure of a server", "failures of servers"),
}
_PLACES = 6
"""Differences of means over replications are counts again when rounded to so many places."""
_POWER_LINES = ("electricity", "demand_charge", "customer_charge")


def _endings(requests: dict[str, Any]) -> list[str]:
    """How the requests ended, and what was out of the ordinary with them."""
    refused = requests["rejected_by"]
    return [
        f"{words.count(requests['offered'])} requests offered: {_counted(requests, _ENDS) or '0 completed'}",
        words.swamped(requests),
        *(f"{words.count(refused[name])} {what}" for name, what in _REJECTIONS.items() if refused[name]),
        _attempts(requests),
    ]


def _attempts(requests: dict[str, Any]) -> str:
    """Attempts beyond the first: those of clients, and those of the service after a loss."""
    beyond = requests["attempts"] - requests["offered"]
    if beyond <= 0:
        return ""
    resent = round(beyond - requests["retries"], _PLACES)
    ways = {"retries": requests["retries"], "resent": resent}
    told = _counted(
        ways, {"retries": ("retry of a client", "retries of clients"), "resent": ("sent again after a loss",) * 2}
    )
    return f"{words.count(beyond)} attempts beyond the first: {told}"


def _router(summary: dict[str, Any]) -> str:
    """Which router looked at the requests, what it was trained on, and how its budget was kept."""
    router = summary.get("router")
    if not router:
        return ""
    file, budget = router["file"], router["budget"]
    trained = "" if file is None else f", trained on {words.count(file['labels'].get('questions'))} questions"
    kept = ""
    if budget is not None:
        spent, allowed = (words.usd_fine(budget[key]) for key in ("spent_usd_per_hour", "usd_per_hour"))
        kept = f"; requests used {spent} an hour of {allowed}"
    return f"router {router['policy']}{trained}: {words.count(router['decisions'])} decisions{kept}"


def _energy(summary: dict[str, Any]) -> str:
    """Energy and carbon, where energy is paid apart or its carbon is known."""
    energy = summary["energy"]
    if energy["carbon_kg"] is None and not any(summary["cost"]["by_line"].get(line) for line in _POWER_LINES):
        return ""
    each = energy["wh_per_1k_output_tokens"]
    apiece = "" if each is None else f", {words.number(each)} Wh per 1,000 output tokens"
    carbon = "" if energy["carbon_kg"] is None else f", {words.number(energy['carbon_kg'])} kg of CO2"
    return f"{words.number(energy['kwh'])} kWh{apiece}{carbon}"


def _counted(counts: dict[str, Any], names: dict[str, tuple[str, str]]) -> str:
    """Those of the counts that are not nothing, each with its name for one and for more."""
    return ", ".join(words.things(counts[key], *name) for key, name in names.items() if counts[key])


def _trust(pool: str, trust: dict[str, Any]) -> str:
    """How far to trust the step times of a pool, in a line."""
    errors = words.trust_errors(trust)
    return f"step times of {words.printable(pool)} are {trust['standing']} ({trust['basis']}){errors and f': {errors}'}"


def plain_table(*columns: str) -> Table:
    """A table without lines, its first column on the left and numbers on the right."""
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def titled(title: str, table: Table) -> tuple[str, Text, Table]:
    """A table under a title."""
    return "", Text(title, style="italic"), table


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
        text = f"{words.hours(simulated_s / 3600.0)} simulated, {requests / elapsed_s:,.0f} requests/s"
        self._bar.update(self._task, total=total_s, completed=simulated_s, text=text, visible=True)
        self._bar.refresh()
