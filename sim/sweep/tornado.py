"""The tornado chart of a sweep: the keys that move a figure, the one that moves it most on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.pages.drawing import short
from sim.sweep.drawing import Figure, axis_of, between, layout_of, padded
from sim.sweep.figures import form_of

__all__ = ["tornado", "tornado_words"]

_MOST_BARS = 12
_BAR_PX = 46
_NARROW_BAR_PX = 60


def tornado_words(effects: Sequence[dict[str, Any]]) -> str:
    more = len(effects) - _MOST_BARS
    left = f" The {_MOST_BARS} longest bars of {len(effects)}." if more > 0 else ""
    where = (
        "with the others as in the scenario"
        if all(effect["basis"] == "as it is" for effect in effects)
        else "as a mean over combinations of the others"
    )
    meet = " Colours meet at the scenario as it is." if where.endswith("scenario") else ""
    return (
        f"From the lowest to the highest mean that each key gives, {where}; its values stand at the ends.{meet}{left}"
    )


def tornado(found: dict[str, Any], effects: Sequence[dict[str, Any]], figure: dict[str, str]) -> Figure:
    """Bars from the least to the most, in two colours that meet where the scenario as it is stands."""
    form, shown = form_of(figure["name"]), list(reversed(effects[:_MOST_BARS]))
    ends = [[effect["levels"][effect[end]] for end in ("least", "most")] for effect in shown]
    middles = [_middle(found, effect) for effect in shown]
    names = [short(effect["axis"]) for effect in shown]
    below = [(least["mean"], middle - least["mean"]) for (least, _), middle in zip(ends, middles, strict=True)]
    above = [(middle, most["mean"] - middle) for (_, most), middle in zip(ends, middles, strict=True)]
    hover = [
        f"{short(effect['axis'])}<br>{form(effect['swing']['mean'])} apart{between(effect['swing'], form)}"
        for effect in shown
    ]
    data = [_bars(names, below, "@c5", hover), _bars(names, above, "@c1", hover)]
    for side, place in (("left", 0), ("right", 1)):
        texts = [
            f" {short(pair[place]['label'], 12)} " if effect["swing"]["mean"] else ""
            for pair, effect in zip(ends, shown, strict=True)
        ]
        data.append(_texts([pair[place]["mean"] for pair in ends], names, texts, f"middle {side}"))
    low, high = min(pair[0]["mean"] for pair in ends), max(pair[1]["mean"] for pair in ends)
    x = axis_of(figure) | {"title": {"text": ""}, "range": padded(low, high, 0.16)}
    height = 60 + _BAR_PX * len(shown)
    narrow_x = x | {"range": padded(low, high, 0.3), "nticks": 4}
    y = {"automargin": True, "tickfont": {"size": 12}}
    # On a narrow page the names stand above their bars, as beside them they would leave no room.
    labels = [
        {"x": 0, "xref": "paper", "xanchor": "left", "y": name, "yshift": 22, "text": name, "showarrow": False}
        for name in names
    ]
    narrow = layout_of(70 + _NARROW_BAR_PX * len(shown), narrow_x, y | {"showticklabels": False}) | {
        "annotations": labels
    }
    more = {"barmode": "overlay", "bargap": 0.45}
    return {"data": data, "wide": layout_of(height, x, y) | more, "narrow": narrow | more | {"bargap": 0.6}}


def _middle(found: dict[str, Any], effect: dict[str, Any]) -> float:
    """The scenario as it is, where that is among the levels; else the mean of all."""
    base = next(axis["as_it_is"] for axis in found["axes"] if axis["name"] == effect["axis"])
    means = {level["place"]: float(level["mean"]) for level in effect["levels"]}
    if None in means:
        return means[None]
    return means[base] if base in means else sum(means.values()) / len(means)


def _bars(names: list[str], spans: list[tuple[float, float]], colour: str, hover: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "base": [begin for begin, _ in spans],
        "x": [length for _, length in spans],
        "marker": {"color": colour},
        "text": hover,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _texts(x: list[float], y: list[str], texts: list[str], position: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "text",
        "x": x,
        "y": y,
        "text": texts,
        "textposition": position,
        "textfont": {"color": "@ink", "size": 12},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }
