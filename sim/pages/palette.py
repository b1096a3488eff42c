"""Colours, symbols, dashes and hatchings by which things are told apart, with colour-blind eyes as well."""

from __future__ import annotations

__all__ = ["COLOURS", "DARK", "DASHES", "LIGHT", "SYMBOLS"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""The palette of Okabe and Ito, told apart by the colour-blind; grey for its black, which a dark page would hide, and
without its yellow, which a white one would."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x")
"""By the names of plotly."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px,3px,2px,3px,2px,3px")
"""By the names of plotly, or lengths of strokes and gaps."""

_ON_DARK = ("#4c9fe0", "#f58341", "#2fc598", "#e29cc5", "#f4b942", "#9ddcff", "#a3a3a3")


def _theme(colours: tuple[str, ...], **grounds: str) -> dict[str, str]:
    return grounds | {f"c{place}": colour for place, colour in enumerate(colours)}


LIGHT = _theme(
    COLOURS,
    ink="#1c1c1c",
    faint="#5c5c5c",
    line="#d9d9d9",
    grid="#e8e8e8",
    ground="#ffffff",
    card="#f5f6f7",
    good="#00694c",
    bad="#a64000",
)
"""Colours by name on a white page; `c0`, `c1`, ... are those of charts."""

DARK = _theme(
    _ON_DARK,
    ink="#ececec",
    faint="#adadad",
    line="#3d3d3d",
    grid="#2c2c2c",
    ground="#161616",
    card="#202124",
    good="#4fc9a4",
    bad="#ff9a52",
)
"""The same on a dark page: brighter, in the same order."""
