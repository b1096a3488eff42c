"""A replay on the terminal: what came of it, how fast, what cannot be trusted; and how far it is while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sim import wording as words
from sim.lab.replay.dispatch import Sender
from sim.lab.replay.rows import ERRORS

__all__ = ["format_replay", "replay_bar"]

_LATENCIES = (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("itl_s", "ITL"), ("e2e_s", "E2E"))
_OFTEN_S = 0.2


def format_replay(summary: dict[str, Any]) -> Group:
    """The summary of a replay as text and tables for rich to print, at most 80 columns wide."""
    lines = [Text(f"beware: {words.printable(warning)}") for warning in summary["warnings"]]
    errors = ("", Text("Errors", style="italic"), _errors(summary)) if summary["errors"] else ()
    both = ("", Text("Measured, simulated", style="italic"), _beside(summary["beside"])) if "beside" in summary else ()
    answer = Text(_answer(summary), style="bold")
    return Group(answer, *lines, "", _latencies(summary), *errors, *both, "", _footer(summary))


def _answer(summary: dict[str, Any]) -> str:
    requests, slo = summary["requests"], summary["slo"]
    ends = f"{words.count(requests['completed'])} of {words.things(requests['offered'], 'request')} answered"
    met = f", {words.share(slo['attainment'])} within their objectives" if slo["set"] else ""
    usd = summary["cost"]["total_usd"]
    paid = "" if usd is None else f", for {words.usd(usd)}"
    return f"{words.printable(summary['scenario'])}: {ends} in {words.seconds(summary['horizon_s'])}{met}{paid}"


def _latencies(summary: dict[str, Any]) -> Table:
    table = _table("", "mean", "p50", "p90", "p95", "p99")
    for key, label in _LATENCIES:
        table.add_row(label, *(words.seconds(value) for value in summary["latency"][key].values()))
    return table


def _errors(summary: dict[str, Any]) -> Table:
    table = _table("", "requests", "")
    for kind, count in summary["errors"].items():
        table.add_row(Text(words.printable(kind)), words.count(count), ERRORS.get(kind, ""))
    return table


def _beside(beside: dict[str, Any]) -> Table:
    """Of each latency what was measured, what was simulated, and the difference as a share of what was measured."""
    table = _table("", "", "measured", "simulated", "off")
    for key, label in _LATENCIES:
        for figure, pair in beside.get(key, {}).items():
            times = (words.seconds(pair["measured"]), words.seconds(pair["simulated"]))
            off = "-" if pair["off"] is None else f"{pair['off']:+.1%}"
            table.add_row(label, figure, *times, off)
    return table


def _footer(summary: dict[str, Any]) -> Text:
    requests, client = summary["requests"], summary["client"]
    tokens, late = client["tokens"], client["dispatch_delay_s"]
    lines = [
        f"{words.printable(client['model'])} at {words.printable(client['url'])}{client['endpoint']}",
        f"{words.count(requests['prompt_tokens'])} tokens of prompts and {words.count(requests['output_tokens'])} of "
        f"answers; off the plan by {_share(tokens['prompt_off'])} and {_share(tokens['output_off'])} on average",
        f"at most {words.things(client['most_outstanding'], 'request')} outstanding; sent {words.seconds(late['p99'])} "
        f"late or less (p99) by {words.share(client['cpu_share'])} of a core",
    ]
    return Text("\n".join(lines), style="dim")


def _share(off: dict[str, float | None]) -> str:
    return words.share(off["mean_abs"])


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place and column else "left")
    return table


@contextmanager
def replay_bar() -> Iterator[Callable[[Sender], None] | None]:
    """A line on stderr that says how far a replay is; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Console(stderr=True).status("asking the server what it takes") as status:
        shown_s = [0.0]

        def show(sender: Sender) -> None:
            now_s = time.monotonic()
            if now_s - shown_s[0] > _OFTEN_S:
                shown_s[0] = now_s
                status.update(_progress(sender))

        yield show


def _progress(sender: Sender) -> str:
    failed = f", {words.count(sender.failed)} failed" if sender.failed else ""
    return f"{words.count(len(sender.sent))} sent, {words.count(len(sender.waiting))} outstanding{failed}"
