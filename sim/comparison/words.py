"""A comparison in sentences, and its figures as they are told on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sim import wording as words
from sim.comparison.figures import FIGURES, Measure
from sim.comparison.objectives import CAUSES

__all__ = [
    "COLUMNS",
    "around",
    "bars_of",
    "figure_rows",
    "label_of",
    "money",
    "points",
    "sentences",
    "shown_value",
    "side_names",
    "signed",
]

COLUMNS = ("", "A", "B", "difference", "95 %", "relative", "B is")
_MOST_BARS = 10
_EXACT = 1e-9
_LEAST = 0.002
"""Share of the largest bar below which a bar is not shown apart."""


def signed(text: str, value: float) -> str:
    """A text of the size of a value, with its sign.

    >>> signed("$2.00", -2.0), signed("0.0%", 0.0)
    ('-$2.00', '0.0%')
    """
    if text.startswith("under"):
        return text
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{text}"


def money(value: float | None) -> str:
    """Dollars, from a hundred on without cents.

    >>> money(1234.5), money(12.345)
    ('$1,234', '$12.35')
    """
    if value is not None and abs(value) >= 100.0:
        return f"{'-' if value < 0 else ''}${abs(value):,.0f}"
    return words.usd(value)


def points(value: float) -> str:
    """A difference of shares in percentage points, without its sign.

    >>> points(0.0123), points(-0.0004), points(1e-7)
    ('1.2 points', '0.04 points', 'under 0.001 points')
    """
    return f"{_in_points(value)} points"


def _in_points(value: float) -> str:
    size = abs(value) * 100.0
    if 0.0 < size < 0.001:
        return "under 0.001"
    return f"{size:.1f}" if size >= 0.1 or not size else f"{size:.1g}"


def side_names(found: dict[str, Any]) -> tuple[str, str]:
    """What A and B are called in sentences: by their scenarios, unless both are of one."""
    a, b = (words.printable(str(found[side]["scenario"])) for side in ("a", "b"))
    return (a, b) if a != b else ("A", "B")


def sentences(found: dict[str, Any]) -> list[str]:
    """The answer: cost and objectives in one sentence, then answers, and what most of each comes from."""
    a, b = side_names(found)
    figures, waterfall = found["figures"], found["waterfall"]
    told = [
        _cost(figures["cost.usd_per_month"], a, b) + _objectives(figures.get("slo.attainment"), found["objectives"])
    ]
    told += _accuracy(figures.get("quality.accuracy"))
    told += _why_cost(figures["cost.usd_per_month"], waterfall["cost"], found["cost_split"])
    told += _why_missed(figures.get("slo.attainment"), waterfall["slo"]) if found["objectives"] else []
    told += _why_right(figures.get("quality.accuracy"), waterfall["accuracy"])
    return told


def _cost(figure: dict[str, Any], a: str, b: str) -> str:
    difference = figure["difference"]["mean"]
    if figure["verdict"] == "same":
        return f"{b} costs as much as {a}"
    size = f"{money(abs(difference))} a month {'more' if difference > 0 else 'less'} than {a}{_relative(figure)}"
    if figure["verdict"] == "open":
        return f"Whether {b} costs more or less than {a} is open: in these runs it costs {size}"
    return f"{b} costs {size}"


def _relative(figure: dict[str, Any]) -> str:
    if figure["relative"] is None:
        return ""
    low, high = figure["relative_interval"]
    ends = [] if low is None or high is None else [low, high]
    told = [signed(f"{abs(end):.1%}", end) for end in ends]
    between = f", 95 % interval {told[0]} to {told[1]}" if len(set(told)) == 2 else ""
    mean = figure["relative"]
    return f" ({signed(f'{abs(mean):.1%}', mean)}{between})"


def _objectives(figure: dict[str, Any] | None, are_set: bool) -> str:
    if figure is None or figure["difference"]["mean"] is None:
        return "."
    what = "meet their objectives" if are_set else "are answered"
    mean = figure["difference"]["mean"]
    if figure["verdict"] == "same":
        return f", and as many requests {what}."
    size = f"{points(mean)} {'more' if mean > 0 else 'fewer'} requests {what}"
    shares = f" ({words.share(figure['b'])} after {words.share(figure['a'])})"
    if figure["verdict"] == "open":
        return f"; whether more or fewer requests {what} is open ({signed(points(mean), mean)})."
    return f", and {size}{shares}."


def _accuracy(figure: dict[str, Any] | None) -> list[str]:
    if figure is None or figure["difference"]["mean"] is None:
        return []
    mean = figure["difference"]["mean"]
    if figure["verdict"] == "same":
        return ["As many answers are right."]
    if figure["verdict"] == "open":
        return [f"Whether more or fewer answers are right is open ({signed(points(mean), mean)})."]
    shares = f"{words.share(figure['b'])} after {words.share(figure['a'])}"
    return [f"{points(mean)} {'more' if mean > 0 else 'fewer'} answers are right ({shares})."]


def _why_cost(figure: dict[str, Any], bars: list[dict[str, Any]], split: dict[str, Any] | None) -> list[str]:
    if figure["verdict"] == "same" or not bars:
        return []
    told = []
    top = max(bars, key=lambda bar: abs(bar["difference"]["mean"]))
    name, mean = label_of(top), top["difference"]["mean"]
    told.append(f"The largest bar of the bill is {name}: {signed(money(abs(mean)), mean)} a month.")
    if split is not None:
        parts = [
            (split["price"]["mean"], "price (what B buys, at its own prices rather than A's)"),
            (split["volume"]["mean"], "volume (buying more or less, at A's prices)"),
            (split["fixed"]["mean"], "paid in any case"),
        ]
        shown = [f"{signed(money(abs(usd)), usd)} is {what}" for usd, what in parts if usd]
        told += [f"Of the change, {', and '.join(shown)}."] if len(shown) > 1 else [f"All of it, {shown[0]}."]
    return told


def _why_missed(figure: dict[str, Any] | None, bars: list[dict[str, Any]]) -> list[str]:
    if figure is None or figure["verdict"] == "same" or not bars:
        return []
    top = max(bars, key=lambda bar: abs(bar["difference"]["mean"]))
    mean = top["difference"]["mean"]
    if not mean:
        return []
    return [f"What moves objectives most is {label_of(top)}: {signed(points(mean), mean)}."]


def _why_right(figure: dict[str, Any] | None, bars: list[dict[str, Any]]) -> list[str]:
    if figure is None or figure["verdict"] == "same" or not bars:
        return []
    top = max(bars, key=lambda bar: abs(bar["difference"]["mean"]))
    mean = top["difference"]["mean"]
    return [f"What moves accuracy most is {label_of(top)}: {signed(points(mean), mean)}."] if mean else []


def label_of(bar: dict[str, Any]) -> str:
    """What a bar of a waterfall is about.

    >>> label_of({"line": "timed_out", "pool": "own"}), label_of({"cause": "ttft", "stream": "chat"})
    ('timed out, own', 'first token late, chat')
    """
    if "line" in bar:
        return f"{bar['line'].replace('_', ' ')}, {words.printable(bar['pool'])}"
    if "cause" in bar:
        return f"{CAUSES[bar['cause']]}, {words.printable(bar['stream'])}"
    stream, strategy = (words.printable(str(bar[key] or "")) for key in ("stream", "strategy"))
    texts = {
        "streams": f"share of {stream}",
        "strategies": f"share of {strategy}, {stream}",
        "answers": f"accuracy of {strategy}, {stream}",
    }
    return texts[bar["effect"]]


def bars_of(bars: list[dict[str, Any]], most: int = _MOST_BARS) -> list[tuple[str, dict[str, float | None]]]:
    """The largest bars with their labels, in their order; the others, and very small ones, summed up at the end."""
    moved = [bar for bar in bars if bar["difference"]["mean"]]
    largest = sorted(moved, key=lambda bar: -abs(bar["difference"]["mean"]))[:most]
    kept = [bar for bar in largest if abs(bar["difference"]["mean"]) >= _LEAST * abs(largest[0]["difference"]["mean"])]
    shown = [(label_of(bar), bar["difference"]) for bar in moved if bar in kept]
    rest = [bar["difference"]["mean"] for bar in moved if bar not in kept]
    unknown: dict[str, float | None] = {"mean": sum(rest), "low": None, "high": None}
    return [*shown, (words.things(len(rest), "other"), unknown)] if rest else shown


def figure_rows(found: dict[str, Any], *, brief: bool = False) -> Iterator[tuple[str, ...]]:
    """The table of figures, a row each, in the order of COLUMNS; `brief` leaves out what others say as well."""
    for measure in FIGURES:
        figure = found["figures"].get(measure.name)
        if figure is not None and not (brief and _SAID_BY.get(measure.name) in found["figures"]):
            yield _row(measure, figure, are_set=found["objectives"])


_SAID_BY = {
    "cost.usd_per_hour": "cost.usd_per_month",
    "cost.total_usd": "cost.usd_per_month",
    "fleet.gpus": "fleet.gpu_hours",
    "energy.kw": "energy.kwh",
}


def _row(measure: Measure, figure: dict[str, Any], *, are_set: bool) -> tuple[str, ...]:
    label = measure.label if measure.name != "slo.attainment" or are_set else "answered (no objectives set)"
    difference, relative = figure["difference"], figure["relative"]
    if figure["verdict"] == "same":
        difference, relative = {"mean": 0.0, "low": 0.0, "high": 0.0}, None
    return (
        label,
        shown_value(measure, figure["a"]),
        shown_value(measure, figure["b"]),
        _moved(measure, difference["mean"]),
        around(difference, lambda size: _size(measure, size)),
        "" if relative is None or measure.unit == "share" else signed(f"{abs(relative):.1%}", relative),
        figure["verdict"],
    )


def shown_value(measure: Measure, value: float | None) -> str:
    """A figure as it is told."""
    forms = {
        "usd": money,
        "usd_per_1k": words.usd_per_1k,
        "share": words.share,
        "seconds": words.seconds,
        "rate": lambda rate: "-" if rate is None else f"{rate:.2f}/s",
        "number": words.number,
    }
    return forms[measure.unit](value)


def _moved(measure: Measure, value: float | None) -> str:
    if value is None:
        return "-"
    return signed(_size(measure, abs(value)), value)


def _size(measure: Measure, value: float) -> str:
    return f"{_in_points(value)} pp" if measure.unit == "share" else shown_value(measure, value)


def around(difference: dict[str, float | None], form: Callable[[float], str]) -> str:
    """How far the interval of a difference reaches either way; nothing where that is not known, or is nothing.

    >>> around({"mean": 2.0, "low": 1.5, "high": 2.5}, money)
    '± $0.5000'
    """
    mean, high = difference["mean"], difference["high"]
    if mean is None or high is None or high - mean <= _EXACT * abs(mean):
        return ""
    return f"± {form(high - mean)}"
