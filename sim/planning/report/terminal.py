"""A plan on the terminal: the analytic answer as soon as it is there, the confirmed one after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from sim import wording as words
from sim.planning.report import tables
from sim.planning.report.words import (
    analytic_sentences,
    answer_sentences,
    baseline_sentences,
    dollars,
    headline,
    shadow_sentences,
    short_purchase,
    year_sentences,
)

__all__ = ["format_analytic", "format_plan", "print_analytic", "print_plan"]

_WIDTH = 80
"""Columns of a table that is wider than the terminal are folded by rich; sentences are not wider than this."""


def print_analytic(document: dict[str, Any], *, err: bool = True) -> None:
    """Show the answer by formulas; on stderr unless `err` says otherwise."""
    Console(stderr=err).print(format_analytic(document))


def print_plan(document: dict[str, Any]) -> None:
    """Show the confirmed plan; where there is none, the answer by formulas."""
    Console().print(format_plan(document) if document["plan"] is not None else format_analytic(document))


def format_analytic(found: Mapping[str, Any]) -> Group:
    """The answer by formulas, in sentences."""
    title = Text(f"{words.printable(str(found['scenario']))}: by formulas alone", style="bold")
    binding = [f"What keeps it from being cheaper: {text}." for text in found["analytic"]["binding"][:2]]
    return Group(title, *_points([*analytic_sentences(found), *binding]), "")


def format_plan(found: Mapping[str, Any]) -> Group:
    """The answer first; then what it keeps, what it saves, what it hangs on, the year, and how sure it is."""
    title = Text(f"{words.printable(str(found['scenario']))}: {headline(found)}", style="bold")
    parts: list[RenderableType] = [title, "", *_points(answer_sentences(found)), ""]
    parts += _titled("What is bought", tables.pools_table(found["plan"]))
    parts += _titled("Servers by hour", tables.blocks_table(found))
    parts += _titled("What it keeps", tables.promise_table(found))
    for name, sentences in _sections(found):
        parts += [Text(name, style="italic"), *_points(sentences), ""] if sentences else []
    return Group(*parts, Text(_footer(found), style="dim"))


def _sections(found: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    analytic, other = found["analytic"], found["runner_up"]
    yield "What the plan saves", baseline_sentences(found)
    yield "What it hangs on", [*map(_sentence, found["binding"]), *shadow_sentences(found)]
    if other is not None:
        fleet = short_purchase(other["pools"])
        yield "The runner-up", [f"{fleet}, {tables.policy_told(other.get('settings') or {})}. {other['why']}"]
    yield "The months ahead", year_sentences(found)
    by_formulas = f"By formulas alone it was {dollars(analytic['monthly_usd'])} a month."
    proof = [] if found["proof"] is None else [found["proof"]["text"]]
    yield "How sure", [by_formulas, *proof, *found["notes"]]


def _sentence(text: str) -> str:
    told = words.printable(text)
    return f"{told[:1].upper()}{told[1:]}{'' if told.endswith('.') else '.'}"


def _points(sentences: Iterable[str]) -> list[RichTable]:
    """Sentences as points, each indented as a whole."""
    return [_point(sentence) for sentence in sentences]


def _point(sentence: str) -> RichTable:
    grid = RichTable.grid(padding=(0, 1))
    grid.add_column()
    grid.add_column(max_width=_WIDTH - 2)
    grid.add_row("-", Text(words.printable(sentence)))
    return grid


def _titled(name: str, table: tables.Table) -> list[RenderableType]:
    grid = RichTable(box=None, pad_edge=False)
    for place, column in enumerate(table.columns):
        grid.add_column(Text(column), justify="left" if place == 0 else "right")
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return [Text(name, style="italic"), grid, ""]


def _footer(found: Mapping[str, Any]) -> str:
    speed = found["speed"]
    runs = words.things(speed["simulations"], "run")
    return f"{runs} of the simulator in {speed['wall_s']:.0f} s; by formulas in {speed['analytic_s']:.1f} s"
