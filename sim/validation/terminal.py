"""Validations and calibrations on the terminal: the answer first, then errors, then each configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group as Parts
from rich.table import Table
from rich.text import Text

from sim.validation.groups import Group
from sim.validation.payload import Payload
from sim.validation.wording import (
    amount,
    answer,
    by_configuration,
    headlines,
    metric_name,
    per_cent,
    range_of,
    signed,
    target_name,
    worst_first,
)

__all__ = ["format_calibration", "format_validation"]

_ERRORS = ("", "", "runs", "median error", "95 % interval", "mean", "bias")


def format_validation(payload: Payload) -> Parts:
    """The payload as text and tables for rich to print, at most 80 columns wide."""
    groups, apart = payload["groups"], payload["calibration"]["held_out"].get("groups", ())
    parts = [
        *_titled("Errors", _error_table(headlines(groups, saturated=False))),
        *_titled("Targets", _target_table(payload)),
        *_titled("Runs that the fit did not use", _error_table(headlines(apart, saturated=False))),
        *_titled("Saturated runs", _error_table(headlines(groups, saturated=True))),
        *_titled("Open-loop logs", _log_table(payload["rows"])),
        *_titled("Single requests of open-loop logs", _request_table(payload["requests"])),
        *_titled("By configuration, worst first: medians of its runs", _each_table(by_configuration(groups))),
    ]
    return Parts(Text(_plain(answer(payload)), style="bold"), *parts, "", _footer(payload))


def format_calibration(found: Mapping[str, Any]) -> Parts:
    """What `calibrate` gives back, as text and tables for rich to print, at most 80 columns wide."""
    held_out = found["held_out"]
    sources = ", ".join(found["sources"])
    footer = "\n".join(map(_plain, [*found["notes"], f"fitted to {sources}"]))
    return Parts(
        Text(_plain(f"Wrote {found['file']}"), style="bold"),
        *_titled("Runs that the fit did not use", _error_table(headlines(held_out.get("groups", ()), saturated=False))),
        *_titled("Saturated ones", _error_table(headlines(held_out.get("groups", ()), saturated=True))),
        *_titled("Pairs left out one at a time, worst first", _each_table(worst_first(held_out.get("pairs", ())))),
        "",
        Text(footer, style="dim"),
    )


def _error_table(named: Iterable[tuple[str, Group]]) -> Table:
    table = _table(*_ERRORS)
    previous = ""
    for name, group in named:
        errors = [per_cent(group["median_abs_error"]), range_of(group["interval"]), per_cent(group["mean_abs_error"])]
        table.add_row(
            name if name != previous else "", metric_name(group), f"{group['n']:,}", *errors, signed(group["bias"])
        )
        previous = name
    return table


def _target_table(payload: Payload) -> Table:
    table = _table("", "at most", "reached", "")
    for target in payload["targets"]:
        verdict = Text("met") if target["met"] else Text("missed", style="bold")
        table.add_row(target_name(target), per_cent(target["at_most"]), per_cent(target["reached"]), verdict)
    return table


def _log_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Means and p99 of each log."""
    table = _table("", "measured", "predicted", "error")
    previous = ""
    for row in rows:
        if row["kind"] != "open-loop" or row["statistic"] not in ("mean", "p99"):
            continue
        if row["source"] != previous:
            table.add_row(Text(_plain(f"{row['source']}{', saturated' if row['saturated'] else ''}")))
        previous = row["source"]
        times = amount(row, "measured"), amount(row, "predicted")
        table.add_row(f"  {metric_name(row)}", *times, signed(row["error"]))
    return table


def _request_table(groups: Iterable[Group]) -> Table:
    """Errors on the single requests of each log."""
    table = _table("", "", "median error", "mean", "bias", "requests")
    previous = ""
    for group in groups:
        name = _plain(f"{group['group']}{', saturated' if group['saturated'] else ''}")
        errors = per_cent(group["median_abs_error"]), per_cent(group["mean_abs_error"]), signed(group["bias"])
        table.add_row(Text(name if name != previous else ""), metric_name(group), *errors, f"{group['n']:,}")
        previous = name
    return table


def _each_table(named: Mapping[str, Sequence[Group]]) -> Table:
    table = _table("", "measured", "predicted", "error", "bias", "runs")
    for name, of_one in named.items():
        table.add_row(Text(_plain(name)))
        for group in of_one:
            label = f"  {metric_name(group)}{', saturated' if group['saturated'] else ''}"
            times = amount(group, "measured"), amount(group, "predicted")
            table.add_row(label, *times, per_cent(group["median_abs_error"]), signed(group["bias"]), f"{group['n']:,}")
    return table


def _footer(payload: Payload) -> Text:
    lines = [*payload["notes"], f"calibration: {payload['calibration']['name']}"]
    return Text("\n".join(map(_plain, lines)), style="dim")


def _titled(title: str, table: Table) -> tuple[str | Text | Table, ...]:
    """A table below its title; nothing where it has no rows."""
    return ("", Text(title, style="italic"), table) if table.row_count else ()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=bool(place))
    return table


def _plain(text: str) -> str:
    """A text from a file without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
