"""All that a validation against published figures found, as plain JSON: what `validate --papers --json` prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sim.validation.papers.points import Figures, read_figures
from sim.validation.papers.rows import Row, worst
from sim.validation.papers.sleep_time import amortisation_rows, gains_rows, panel_rows
from sim.validation.papers.solve_verify import grid_rows, left_out

__all__ = ["papers_payload"]


class _Target(NamedTuple):
    """The most that an error may be: a share of what was published, or a difference of accuracies or points."""

    name: str
    kind: str
    statistic: str
    at_most: float


_TARGETS = (
    _Target("cost of a question by questions a context", "costs", "worst", 0.05),
    _Target("one against ten questions a context", "amortisation", "worst", 0.05),
    _Target("questions from which on preparing pays", "break-even", "worst", 0.25),
    _Target("tokens for equal accuracy without preparation", "ratios", "median", 0.15),
    _Target("gain by predictability", "predictability", "worst", 0.03),
    _Target("votes, points", "votes", "worst", 1.0),
    _Target("solutions and verifications, points", "verified", "worst", 1.5),
    _Target("compute to match a vote", "match", "worst", 0.15),
    _Target("points gained with 128 times the compute", "gain", "worst", 0.5),
    _Target("exponents of the best allocation", "exponents", "worst", 0.05),
)


def papers_payload(paths: Sequence[Path]) -> dict[str, Any]:
    """Simulated against published: `rows`, `targets` and `notes`.

    Rows are {figure, series, x, published, simulated, error, measure}. An error is a difference of accuracies, points
    or exponents, and else a fraction of what was published.

    Raises:
        InputError: for a file that cannot be read, or holds no points of a known layout.
    """
    figures = [read_figures(path) for path in paths]
    rows = [row for each in figures for row in _rows(each)]
    return {
        "rows": [
            {**{name: value for name, value in row._asdict().items() if name != "kind"}, "error": row.error}
            for row in rows
        ],
        "targets": list(_reached(rows)),
        "notes": [note for each in figures for grid in each.grids for note in left_out(grid)],
        "files": [str(path) for path in paths],
    }


def _rows(figures: Figures) -> Iterator[Row]:
    for panel in figures.panels:
        yield from panel_rows(panel)
    for amortisation in figures.amortisations:
        yield from amortisation_rows(amortisation)
    for gains in figures.gains:
        yield from gains_rows(gains)
    for grid in figures.grids:
        yield from grid_rows(grid)


def _reached(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for target in _TARGETS:
        reached = _median(rows, target.kind) if target.statistic == "median" else worst(rows, target.kind)
        if reached is not None:
            yield {**target._asdict(), "reached": reached, "met": reached <= target.at_most}


def _median(rows: Sequence[Row], kind: str) -> float | None:
    """Median error of a kind; a point of which nothing came counts as wholly wrong."""
    errors = [1.0 if row.error is None else abs(row.error) for row in rows if row.kind == kind]
    return statistics.median(errors) if errors else None
