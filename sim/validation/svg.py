"""The chart of predicted against measured times as an SVG picture, on a ground of its own for any page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from sim.pages.axes import log_ticks, tick_text
from sim.validation.chart import BAND, Mark, Panel, Series, chart_panels
from sim.validation.payload import Payload
from sim.validation.wording import answer

__all__ = ["validation_svg"]

_WIDTH, _SIDE, _TOP, _LEFT, _BETWEEN = 980, 390, 48, 76, 96
_LEGEND_TOP, _LEGEND_STEP = _TOP + _SIDE + 78, 24
_INK, _FAINT, _GROUND = "#222222", "#dddddd", "#ffffff"
_RADIUS, _MANY_RADIUS, _MANY = 3.8, 2.7, 300


def validation_svg(payload: Payload) -> str:
    """A picture of two panels, TTFT and TPOT: one mark a run, one colour and shape a GPU, hollow where saturated.

    Solid is where prediction and measurement agree; dashed lines are 25 % off.
    """
    panels = chart_panels(payload["rows"])
    legend, height = _legend(panels)
    drawn = [line for place, panel in enumerate(panels) for line in _Frame.at(place, panel).lines(panel)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="13">'
    )
    words = [
        '<title id="title">Predicted against measured times</title>',
        f'<desc id="desc">{_safe(answer(payload))}</desc>',
    ]
    ground = f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="{_GROUND}"/>'
    return "\n".join([head, *words, ground, *drawn, *legend, "</svg>", ""])


@dataclass(frozen=True)
class _Frame:
    """Where a panel lies, and its scale: both axes go from `low` to `high`, in ms."""

    left: float
    low: float
    high: float

    @classmethod
    def at(cls, place: int, panel: Panel) -> _Frame:
        return cls(_LEFT + place * (_SIDE + _BETWEEN), *panel.limits)

    def lines(self, panel: Panel) -> Iterator[str]:
        """The elements of the panel."""
        right, bottom = self.left + _SIDE, _TOP + _SIDE
        middle = self.left + _SIDE / 2
        yield _text(middle, _TOP - 18, panel.title, weight="600", size=15)
        yield from self._grid()
        yield self._off_by(0.0, "none")
        yield self._off_by(BAND, "5 4")
        yield self._off_by(-BAND, "5 4")
        crowded = sum(len(series.points) for series in panel.series) > _MANY
        yield from (self._marks(series, _MANY_RADIUS if crowded else _RADIUS) for series in panel.series)
        yield f'<rect x="{self.left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{_INK}"/>'
        yield _text(middle, bottom + 42, "measured")
        yield _text(self.left - 60, _TOP + _SIDE / 2, "predicted", turned=True)
        yield _text(right - 8, bottom - 10, "dashed: 25 % off", anchor="end", size=12)
        if not panel.series:
            yield _text(middle, _TOP + _SIDE / 2, "no runs")

    def _grid(self) -> Iterator[str]:
        for tick in log_ticks(self.low, self.high):
            x, y = self._x(tick), self._y(tick)
            yield f'<path d="M{x:.1f},{_TOP}v{_SIDE}M{self.left},{y:.1f}h{_SIDE}" stroke="{_FAINT}"/>'
            yield _text(x, _TOP + _SIDE + 20, tick_text(tick))
            yield _text(self.left - 8, y + 4, tick_text(tick), anchor="end")

    def _off_by(self, error: float, dashes: str) -> str:
        """The line on which predictions are off by an error, within the panel."""
        ratio = 1.0 + error
        first, last = max(self.low, self.low / ratio), min(self.high, self.high / ratio)
        path = f"M{self._x(first):.1f},{self._y(first * ratio):.1f}L{self._x(last):.1f},{self._y(last * ratio):.1f}"
        return f'<path d="{path}" stroke="#666666" stroke-dasharray="{dashes}" fill="none"/>'

    def _marks(self, series: Series, radius: float) -> str:
        at = [(self._x(measured), self._y(predicted)) for measured, predicted in series.points]
        return _drawn(series.mark, series.saturated, at, radius)

    def _x(self, value: float) -> float:
        return self.left + _SIDE * math.log(value / self.low) / math.log(self.high / self.low)

    def _y(self, value: float) -> float:
        return _TOP + _SIDE * (1.0 - math.log(value / self.low) / math.log(self.high / self.low))


def _drawn(mark: Mark, hollow: bool, places: Sequence[tuple[float, float]], radius: float) -> str:
    """Marks at places, [n], as one path."""
    path = "".join(f"M{x:.1f},{y:.1f}{_SHAPES[mark.symbol](radius)}" for x, y in places)
    fill = f'fill="{mark.colour}" fill-opacity="0.6"' if not hollow else 'fill="none"'
    return f'<path d="{path}" {fill} stroke="{mark.colour}" stroke-width="{0.6 if not hollow else 1.2}"/>'


_SHAPES: dict[str, Callable[[float], str]] = {
    "circle": lambda r: f"m{-r:g},0a{r:g},{r:g} 0 1 0 {2 * r:g},0a{r:g},{r:g} 0 1 0 {-2 * r:g},0z",
    "square": lambda r: f"m{-0.9 * r:g},{-0.9 * r:g}h{1.8 * r:g}v{1.8 * r:g}h{-1.8 * r:g}z",
    "diamond": lambda r: f"m0,{-1.3 * r:g}l{1.3 * r:g},{1.3 * r:g} {-1.3 * r:g},{1.3 * r:g} {-1.3 * r:g},{-1.3 * r:g}z",
    "triangle-up": lambda r: f"m0,{-1.2 * r:g}l{1.15 * r:g},{2 * r:g}h{-2.3 * r:g}z",
    "triangle-down": lambda r: f"m0,{1.2 * r:g}l{1.15 * r:g},{-2 * r:g}h{-2.3 * r:g}z",
    "cross": lambda r: (
        f"m{-0.4 * r:g},{-1.2 * r:g}h{0.8 * r:g}v{0.8 * r:g}h{0.8 * r:g}v{0.8 * r:g}h{-0.8 * r:g}v{0.8 * r:g}"
        f"h{-0.8 * r:g}v{-0.8 * r:g}h{-0.8 * r:g}v{-0.8 * r:g}h{0.8 * r:g}z"
    ),
    "x": lambda r: (
        f"m0,{-0.55 * r:g}l{0.65 * r:g},{-0.65 * r:g} {0.55 * r:g},{0.55 * r:g} {-0.65 * r:g},{0.65 * r:g} "
        f"{0.65 * r:g},{0.65 * r:g} {-0.55 * r:g},{0.55 * r:g} {-0.65 * r:g},{-0.65 * r:g} "
        f"{-0.65 * r:g},{0.65 * r:g} {-0.55 * r:g},{-0.55 * r:g} {0.65 * r:g},{-0.65 * r:g} "
        f"{-0.65 * r:g},{-0.65 * r:g} {0.55 * r:g},{-0.55 * r:g}z"
    ),
}
"""The outline of each symbol about the place that the pen is at."""


def _legend(panels: Sequence[Panel]) -> tuple[list[str], int]:
    """The GPUs with their marks in rows below the panels, and the height of the picture with them."""
    marks = dict(sorted((series.gpu, series.mark) for panel in panels for series in panel.series))
    hollow = any(series.saturated for panel in panels for series in panel.series)
    names = [*marks, *["hollow: saturated"] * hollow]
    lines, x, y = [], float(_LEFT), _LEGEND_TOP
    for name in names:
        width = 40 + 7.6 * len(name)
        if x + width > _WIDTH - 20:
            x, y = float(_LEFT), y + _LEGEND_STEP
        lines.append(_drawn(marks.get(name, Mark(_INK, "circle")), name not in marks, [(x, y - 4)], _RADIUS))
        lines.append(_text(x + 10, y, name, anchor="start"))
        x += width
    return lines, y + 18


def _text(
    x: float, y: float, text: str, *, anchor: str = "middle", weight: str = "400", size: int = 13, turned: bool = False
) -> str:
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    style = f'text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" fill="{_INK}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}{turn}>{_safe(text)}</text>'


def _safe(text: str) -> str:
    return escape("".join(letter for letter in text if letter.isprintable()))
