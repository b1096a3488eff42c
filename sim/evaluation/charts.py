"""The charts of an evaluation as figures of plotly; `@c0` is a colour of the page's palette, `@c0~~` a light one."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.pages.drawing import layout, short
from sim.pages.palette import COLOURS, DASHES, SYMBOLS

__all__ = ["charts_of"]

_MOST_DIAGRAMS = 6
_MOST_STRATEGIES = 6
"""Strategies with a colour of their own; the others stand as one."""
_BETWEEN = 20
"""Pieces in which a straight line between two points of a curve is drawn."""

Figure = dict[str, Any]


def charts_of(found: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """The charts of a view: each with id, title, what it shows in words, and a figure."""
    charts = [
        ("curve", "Right answers by cost", _curve_words(found), _curve(found)),
        (
            "shares",
            "Strategies along the curve",
            "Share of the questions that each strategy gets at a spend.",
            _shares(found),
        ),
        ("reliability", "Chances against what came", _reliability_words(found), _reliability(found)),
    ]
    if found["pair"] is not None:
        pair = found["pair"]
        told = (
            f"How much of the gain of {pair['strong']} over {pair['cheap']} is had for how many of its calls; the band "
            "is the 95 % interval. A score that knows nothing follows the straight line."
        )
        charts.insert(1, ("pair", "Gain recovered by calls of the strong strategy", told, _pair(found)))
    if found["routing"]["over_budgets"] is not None:
        told = (
            "Right answers more than the best random mix has at the same spend; the band is the paired 95 % interval."
        )
        charts.insert(1, ("gain", "Gain over random mixes by spend", told, _gain(found)))
    return [
        {"id": f"{prefix}{key}", "title": title, "says": says, "figure": figure} for key, title, says, figure in charts
    ]


def _curve_words(found: dict[str, Any]) -> str:
    how = "each point of a line is a price of a dollar" if found["routing"]["unit"] == "USD" else "calls are the cost"
    return (
        f"Router, random mixes and oracle: {how}. The band is the router's 95 % interval; marks are fixed strategies."
    )


def _reliability_words(found: dict[str, Any]) -> str:
    more = len(found["strategies"]) - _MOST_DIAGRAMS
    left = f" The first {_MOST_DIAGRAMS} strategies; figures of the other {more} are in the table." if more > 0 else ""
    return f"Marks on the line are chances that can be taken at their word; bars are 95 % intervals.{left}"


def _is_log(found: dict[str, Any]) -> bool:
    usd = [row["usd"]["value"] for row in found["routing"]["singles"].values()]
    return bool(min(usd) > 0.0 and max(usd) > 20.0 * min(usd))


def _curve(found: dict[str, Any]) -> Figure:
    routing = found["routing"]
    curves = routing["curves"]
    router = curves["router"]
    data = [
        *_band(router["usd"], router["low"], router["high"], "@c0~~"),
        _line("oracle", *_straight(curves["oracle"]), "@c6", DASHES[2]),
        _line("best random mixes", *_straight(curves["mix of singles"]), "@c1", DASHES[1]),
        _line("router", router["usd"], router["value"], "@c0", DASHES[0]),
        {
            "type": "scatter",
            "mode": "markers+text" if len(routing["singles"]) <= 8 else "markers",
            "name": "fixed strategies",
            "x": [row["usd"]["value"] for row in routing["singles"].values()],
            "y": [row["accuracy"]["value"] for row in routing["singles"].values()],
            "text": [short(name) for name in routing["singles"]],
            "textposition": "bottom center",
            "marker": {"color": "@c1", "size": 9, "symbol": SYMBOLS[2]},
            "hovertemplate": "%{text}<br>%{x}<br>%{y:.1%}<extra></extra>",
        },
    ]
    x = {"title": {"text": _unit(found)}, "type": "log" if _is_log(found) else "linear"}
    y = {"title": {"text": "right answers"}, "tickformat": ".0%"}
    return {"data": data, "wide": _look(460, x, y), "narrow": _look(500, x, y)}


def _straight(curve: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    """A curve with points between its own, on straight lines in dollars: on a logarithmic axis these bend.

    >>> _straight({"usd": [1.0, 3.0], "value": [0.0, 1.0]})[0][:3]
    [1.0, 1.1, 1.2]
    """
    usd, value = np.asarray(curve["usd"], float), np.asarray(curve["value"], float)
    places = np.unique(np.append(np.arange(0.0, usd.size - 1, 1.0 / _BETWEEN), usd.size - 1.0))
    own = np.arange(usd.size)
    return np.interp(places, own, usd).tolist(), np.interp(places, own, value).tolist()


def _gain(found: dict[str, Any]) -> Figure:
    gain = found["routing"]["over_budgets"]["gain_by_budget"]
    data = [
        *_band(gain["usd"], gain["low"], gain["high"], "@c0~~"),
        _line("no gain", [gain["usd"][0], gain["usd"][-1]], [0.0, 0.0], "@c6", DASHES[2]),
        _line("router", gain["usd"], gain["value"], "@c0", DASHES[0]),
    ]
    x = {"title": {"text": _unit(found)}}
    y = {"title": {"text": "gain in right answers"}, "tickformat": "+.1%"}
    return {"data": data, "wide": _look(460, x, y), "narrow": _look(500, x, y)}


def _unit(found: dict[str, Any]) -> str:
    unit = found["routing"]["unit"]
    return "USD a question" if unit == "USD" else f"share of {unit}"


def _pair(found: dict[str, Any]) -> Figure:
    data: list[dict[str, Any]] = []
    for place, (name, row) in enumerate(found["pair"]["scores"].items()):
        curve, colour = row["curve"], f"@c{place}"
        if place == 0:
            data += _band(curve["strong_share"], curve["low"], curve["high"], f"{colour}~~")
        data.append(_line(name, curve["strong_share"], curve["value"], colour, DASHES[place]))
    data.append(_line("chance", [0.0, 1.0], [0.0, 1.0], "@c6", DASHES[2]))
    x = {"title": {"text": f"share of questions to {short(found['pair']['strong'])}"}, "tickformat": ".0%"}
    y = {"title": {"text": "gain recovered"}, "tickformat": ".0%"}
    return {"data": data, "wide": _look(420, x, y), "narrow": _look(500, x, y)}


def _shares(found: dict[str, Any]) -> Figure:
    """Areas one above the other, by spend."""
    curve = found["routing"]["curves"]["router"]
    order = sorted(range(len(curve["usd"])), key=lambda place: float(curve["usd"][place]))
    usd = [curve["usd"][place] for place in order]
    shares = {name: [values[place] for place in order] for name, values in curve["shares"].items()}
    ranked = sorted(shares, key=lambda name: -max(shares[name]))
    kept = [name for name in shares if name in ranked[:_MOST_STRATEGIES]]
    rest = [name for name in shares if name not in kept and max(shares[name]) > 0.0]
    drawn = {name: shares[name] for name in kept if max(shares[name]) > 0.0}
    if rest:
        drawn[f"{len(rest)} others"] = [sum(values) for values in zip(*(shares[name] for name in rest), strict=True)]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "one",
            "name": short(name),
            "x": usd,
            "y": values,
            "line": {"width": 0.5, "color": f"@c{place % len(COLOURS)}"},
            "fillcolor": f"@c{place % len(COLOURS)}~",
            "hovertemplate": f"{short(name)} %{{y:.1%}}<extra></extra>",
        }
        for place, (name, values) in enumerate(drawn.items())
    ]
    x = {"title": {"text": _unit(found)}, "type": "log" if _is_log(found) else "linear"}
    y = {"title": {"text": "share of questions"}, "tickformat": ".0%", "range": [0, 1]}
    return {"data": data, "wide": _look(380, x, y), "narrow": _look(480, x, y)}


def _reliability(found: dict[str, Any]) -> Figure:
    data = [_line("taken at their word", [0.0, 1.0], [0.0, 1.0], "@c6", DASHES[2])]
    for place, (name, row) in enumerate(list(found["strategies"].items())[:_MOST_DIAGRAMS]):
        bins = [one for one in row["reliability"] if one["correct"]["value"] is not None]
        value = [one["correct"]["value"] for one in bins]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": short(name),
                "x": [one["p_correct"] for one in bins],
                "y": value,
                "text": [f"{one['questions']:,} questions" for one in bins],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [_reach(one["correct"]["high"], at) for one, at in zip(bins, value, strict=True)],
                    "arrayminus": [-_reach(one["correct"]["low"], at) for one, at in zip(bins, value, strict=True)],
                    "thickness": 1,
                    "width": 0,
                    "color": f"@c{place}",
                },
                "marker": {"color": f"@c{place}", "size": 8, "symbol": SYMBOLS[place]},
                "hovertemplate": f"{short(name)}<br>said %{{x:.1%}}, came %{{y:.1%}}<br>%{{text}}<extra></extra>",
            }
        )
    x = {"title": {"text": "chance of a right answer, as expected"}, "tickformat": ".0%", "range": [-0.02, 1.02]}
    y = {"title": {"text": "share of right answers"}, "tickformat": ".0%", "range": [-0.02, 1.02]}
    return {"data": data, "wide": _look(460, x, y), "narrow": _look(500, x, y)}


def _reach(end: float | None, value: float) -> float:
    return 0.0 if end is None else end - value


def _line(name: str, x: list[float], y: list[float], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": f"{name}<br>%{{x:.3g}}<br>%{{y:.1%}}<extra></extra>",
    }


def _band(x: list[float], low: list[float | None], high: list[float | None], colour: str) -> list[dict[str, Any]]:
    """An area between two lines, out of the legend."""
    shared = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "line": {"width": 0},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [{**shared, "y": low}, {**shared, "y": high, "fill": "tonexty", "fillcolor": colour}]


def _look(height_px: int, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return layout(height_px, x, y, legend_px=70.0)
