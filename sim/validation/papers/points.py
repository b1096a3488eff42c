"""Files of points read off published figures.

A file is one JSON object. What it holds is told by its shape:

- a panel: `{"MODEL test-only": [[tokens, accuracy], ...], "MODEL sleep": [...], ...}`
- amortisation: `{"q1": [[cost, accuracy], ...], "q10": [...], ..., "test-only": [...]}`
- gains by predictability: `{"P1": [gain, ...], ...}`, lowest bin first
- votes and verifications: `SC: [[samples, per cent], ...]`, `V32_by_S: [[solutions, per cent], ...]`, and `by_compute:
  {"SC": [[compute, per cent], ...], "V4": ...}` with compute S (1 + lambda V)

`classes: {"NAME" or "NAME MODEL": CLASS}` says whose curves answer; figures known by name need none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sim.errors import InputError
from sim.outcomes.curves import load_curves

__all__ = ["Amortisation", "Figures", "Gains", "Grid", "Panel", "Points", "read_figures"]

Points = tuple[tuple[float, float], ...]
"""Pairs of x and y, lowest x first."""

LAMBDA = 2.0
"""Length of a verification as a multiple of that of a solution, in the published grid."""

_CLASSES = {
    "fig3_P1": "stateful-gsm-p1-{model}",
    "fig3_P2": "stateful-gsm-p2-{model}",
    "fig4_stateful_aime": "stateful-aime-{model}",
    "fig9_amortisation_P1": "multi-query-gsm-p1",
    "fig9_amortisation_P2": "multi-query-gsm-p2",
    "fig10_predictability_delta_acc_gpt4o_mini P1": "stateful-gsm-p1-gpt-4o-mini",
    "fig10_predictability_delta_acc_gpt4o_mini P2": "stateful-gsm-p2-gpt-4o-mini",
    "SC": "math-llama-3.1-8b",
}
_SERIES = re.compile(r"(.+) (test-only|sleep)")
_QUESTIONS, _VERIFICATIONS = re.compile(r"q(\d+)"), re.compile(r"V(\d+)(?:_by_S)?")
_CORRECT = "correct the file"


class Panel(NamedTuple):
    """Accuracy by test-time tokens, without and with a prepared context, of one model."""

    figure: str
    series: str
    class_name: str
    bare: Points
    prepared: Points


class Amortisation(NamedTuple):
    """Cost of a question in test-time tokens and accuracy, by questions a context."""

    figure: str
    class_name: str
    costs: Mapping[int, Points]
    bare: Points


class Gains(NamedTuple):
    """Gain in accuracy by preparation, by bin of predictability, lowest first."""

    figure: str
    series: str
    class_name: str
    gains: tuple[float, ...]


class Grid(NamedTuple):
    """Per cent right, by samples of a vote and by (solutions, verifications)."""

    figure: str
    class_name: str
    votes: Mapping[int, float]
    verified: Mapping[tuple[int, int], float]


class Figures(NamedTuple):
    """What files hold."""

    panels: list[Panel]
    amortisations: list[Amortisation]
    gains: list[Gains]
    grids: list[Grid]


def read_figures(path: Path) -> Figures:
    """The figures of a file.

    Raises:
        InputError: for a file that cannot be read or holds no figure of a known shape.
    """
    content = _content(path)
    try:
        found = _Reader(content).figures()
    except InputError as error:
        raise InputError(error.value, error.rule, error.remedy, where=str(path)) from None
    if not any(found):
        remedy = "give panels, amortisation, gains by predictability, or votes and verifications"
        raise InputError(path.name, "holds no points of a known layout", remedy)
    return found


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check the path") from None
    except ValueError as error:
        raise InputError(path.name, f"is no JSON: {error}", _CORRECT) from None
    if not isinstance(content, dict):
        raise InputError(path.name, "is no JSON object", _CORRECT)
    return content


class _Reader:
    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        self._classes = {**_CLASSES, **content.get("classes", {})}

    def figures(self) -> Figures:
        parts = {name: part for name, part in self._content.items() if isinstance(part, dict) and name != "classes"}
        return Figures(
            [panel for name, part in parts.items() for panel in self._panels(name, part)],
            [self._amortisation(name, part) for name, part in parts.items() if _is_amortisation(part)],
            [gains for name, part in parts.items() if _is_gains(part) for gains in self._gains(name, part)],
            list(self._grids()),
        )

    def _panels(self, name: str, part: Mapping[str, Any]) -> Iterator[Panel]:
        models = [match[1] for series in part if (match := _SERIES.fullmatch(series)) and match[2] == "sleep"]
        for model in models:
            series = (_points(f"{name} {model} {kind}", part.get(f"{model} {kind}")) for kind in ("test-only", "sleep"))
            yield Panel(name, model, self._class(name, model), *series)

    def _amortisation(self, name: str, part: Mapping[str, Any]) -> Amortisation:
        counts = {int(match[1]): series for series in part if (match := _QUESTIONS.fullmatch(series))}
        costs = {n: _points(f"{name} {series}", part[series]) for n, series in sorted(counts.items())}
        if len({len(points) for points in costs.values()}) > 1:
            raise InputError(name, "has more points in some series than in others", "give each the same budgets")
        return Amortisation(name, self._class(name), costs, _points(f"{name} test-only", part["test-only"]))

    def _gains(self, name: str, part: Mapping[str, Any]) -> Iterator[Gains]:
        for series, gains in part.items():
            yield Gains(name, series, self._class(name, series), tuple(_number(name, gain) for gain in gains))

    def _grids(self) -> Iterator[Grid]:
        by_compute = self._content.get("by_compute", {})
        votes = {**_counted(by_compute, "SC"), **_counted(self._content, "SC")}
        verified: dict[tuple[int, int], float] = {}
        for series, points in {**by_compute, **self._content}.items():
            match = _VERIFICATIONS.fullmatch(series)
            if match is None:
                continue
            count = int(match[1])
            share = 1.0 if series.endswith("_by_S") else 1.0 + LAMBDA * count
            verified |= {(_power(x / share), count): rate for x, rate in _points(series, points)}
        if votes or verified:
            yield Grid("votes and verifications", self._class("SC"), votes, verified)

    def _class(self, name: str, model: str = "") -> str:
        """The class whose curves answer.

        Raises:
            InputError: where the file names none, or one without curves.
        """
        own = self._classes.get(f"{name} {model}") or self._classes.get(name)
        if own is None:
            raise InputError(f"{name} {model}".strip(), "has no class of curves", f'add "classes": {{"{name}": CLASS}}')
        return load_curves(own.format(model=model)).name


def _is_amortisation(part: Mapping[str, Any]) -> bool:
    return "test-only" in part and any(_QUESTIONS.fullmatch(series) for series in part)


def _is_gains(part: Mapping[str, Any]) -> bool:
    return bool(part) and all(
        isinstance(gains, list) and gains and all(isinstance(gain, int | float) for gain in gains)
        for gains in part.values()
    )


def _counted(part: Mapping[str, Any], series: str) -> dict[int, float]:
    return {_power(x): rate for x, rate in _points(series, part[series])} if series in part else {}


def _power(count: float) -> int:
    """The power of two that a count, read off a figure, stands for."""
    return int(2 ** round(math.log2(count)))


def _points(name: str, written: Any) -> Points:
    if not isinstance(written, list) or not written:
        raise InputError(name, "holds no points", "give [[x, y], ...]")
    return tuple(sorted(_pair(name, point) for point in written))


def _pair(name: str, point: Any) -> tuple[float, float]:
    if not isinstance(point, list) or len(point) != 2:
        raise InputError(f"{point} of {name}", "is no pair of numbers", _CORRECT)
    x, y = (_number(name, value) for value in point)
    if x <= 0.0:
        raise InputError(f"{x:g} of {name}", "must be above 0", _CORRECT)
    return x, y


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{value} of {name}", "is no finite number", _CORRECT)
    return float(value)
