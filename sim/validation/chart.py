"""The points of the chart of predicted against measured times, and the marks by which GPUs are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.pages.axes import limits_of
from sim.pages.palette import COLOURS, SYMBOLS
from sim.validation.comparison import SERVING

__all__ = [
    "BAND",
    "PANELS",
    "Mark",
    "Panel",
    "Series",
    "chart_panels",
    "chart_rows",
    "marks_of",
]

PANELS = {"ttft_ms": "Time to first token (TTFT)", "tpot_ms": "Time per output token (TPOT)"}
BAND = 0.25
"""Error of the dashed lines beside the diagonal."""


@dataclass(frozen=True)
class Mark:
    """How a GPU is drawn; saturated runs are drawn hollow."""

    colour: str
    symbol: str


@dataclass(frozen=True)
class Series:
    """The runs of a GPU, saturated or not: `points` are (measured, predicted) in ms, `labels` tell each of them."""

    gpu: str
    saturated: bool
    mark: Mark
    points: tuple[tuple[float, float], ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """The mean times of one metric, in ms, with the limits of both axes; the largest series come first, lowest down."""

    metric: str
    title: str
    series: tuple[Series, ...]
    limits: tuple[float, float]


def chart_panels(rows: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """A panel for TTFT and one for TPOT, of the means of all runs of whole servers in the rows of a payload."""
    shown = chart_rows(rows)
    marks = marks_of(str(row["gpu"]) for row in shown)
    return [_panel(metric, [row for row in shown if row["metric"] == metric], marks) for metric in PANELS]


def chart_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a payload that the chart shows."""
    return [row for row in rows if _is_shown(row)]


def _is_shown(row: Mapping[str, Any]) -> bool:
    mean = row["kind"] in SERVING and row["statistic"] == "mean" and row["metric"] in PANELS
    return mean and (row["measured"] or 0.0) > 0.0 and (row["predicted"] or 0.0) > 0.0


def marks_of(gpus: Iterator[str]) -> dict[str, Mark]:
    """A mark for each GPU, by name; colours come again after seven, then with another symbol."""
    count = len(COLOURS)
    return {
        gpu: Mark(COLOURS[place % count], SYMBOLS[(place + place // count) % count])
        for place, gpu in enumerate(sorted(set(gpus)))
    }


def _panel(metric: str, rows: Sequence[Mapping[str, Any]], marks: Mapping[str, Mark]) -> Panel:
    series = tuple(
        _series(gpu, saturated, mark, [row for row in rows if (row["gpu"], row["saturated"]) == (gpu, saturated)])
        for gpu, mark in marks.items()
        for saturated in (False, True)
    )
    filled = tuple(sorted((one for one in series if one.points), key=lambda one: -len(one.points)))
    return Panel(
        metric, PANELS[metric], filled, limits_of([x for one in filled for point in one.points for x in point])
    )


def _series(gpu: str, saturated: bool, mark: Mark, rows: Sequence[Mapping[str, Any]]) -> Series:
    points = tuple((float(row["measured"]), float(row["predicted"])) for row in rows)
    return Series(gpu, saturated, mark, points, tuple(map(_label, rows)))


def _label(row: Mapping[str, Any]) -> str:
    load = f", {row['concurrency']:g} in flight" if row["concurrency"] is not None else ""
    tokens = f", {row['prompt_tokens']:g} in, {row['output_tokens']:g} out" if row["prompt_tokens"] is not None else ""
    return f"{row['configuration']}{tokens}{load}"
