"""Figures in words, alike on the terminal and in reports: money, shares, times, counts; "-" where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10
from typing import Any

__all__ = [
    "HEADLINES",
    "answer",
    "asked",
    "count",
    "found_prepared",
    "hours",
    "number",
    "preparing",
    "printable",
    "range_of",
    "seconds",
    "share",
    "statistics",
    "swamped",
    "things",
    "trust_errors",
    "usd",
    "usd_fine",
    "usd_per_1k",
]

_Form = Callable[[float | None], str]


def answer(summary: dict[str, Any]) -> str:
    """What a run came to, in a few words.

    >>> run = {"scenario": "day", "horizon_s": 86400.0, "cost": {"total_usd": 99.5}, "requests": {"completed": 1200}}
    >>> answer(run)
    'day: $99.50 for 1,200 answers in 24 h'
    """
    cost, answers = usd(summary["cost"]["total_usd"]), things(summary["requests"]["completed"], "answer")
    time = hours((summary["horizon_s"] or 0.0) / 3600.0)
    right = summary.get("quality", {}).get("accuracy")
    quality = "" if right is None else f", {share(right)} of them right"
    return f"{printable(summary['scenario'])}: {cost} for {answers} in {time}{quality}"


def statistics(summary: dict[str, Any]) -> list[str]:
    """What became of the precision and the warm-up that were asked for, and of what is not known; one sentence each."""
    found = []
    precision, warm_up, drawn = (summary.get(key) for key in ("precision", "warm_up", "uncertainty"))
    if precision is not None and precision["reached"]:
        runs = things(precision["replications"], "replication")
        found.append(f"Known to {precision['wanted']:g} with {runs}: {', '.join(precision['figures'])}.")
    if warm_up is not None and warm_up["determined"]:
        found.append(f"The warm-up of {summary['warm_up_s']:,.0f} s was found by MSER-5.")
    if drawn is not None:
        kinds = dict.fromkeys(each["kind"].replace("_", " ") for each in drawn["sampled"])
        found.append(f"Intervals say where one real run may lie, as {', '.join(kinds)} may be off.")
    return found


def things(value: float | None, one: str, many: str | None = None) -> str:
    """A count and what is counted.

    >>> things(1, "launch", "launches"), things(2.0, "answer")
    ('1 launch', '2 answers')
    """
    told = count(value)
    return f"{told} {one if told == '1' else many or one + 's'}"


def usd(value: float | None) -> str:
    """Dollars; what is under a dollar with four places.

    >>> usd(1234.567), usd(0.012), usd(0.0), usd(-2.5), usd(None)
    ('$1,234.57', '$0.0120', '$0.00', '-$2.50', '-')
    """
    if value is None:
        return "-"
    if value < 0:
        return f"-{usd(-value)}"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def usd_fine(value: float | None) -> str:
    """Dollars with three figures, however small.

    >>> usd_fine(0.000421), usd_fine(-0.0123), usd_fine(12.345)
    ('$0.000421', '-$0.0123', '$12.35')
    """
    if value is None or value == 0.0 or abs(value) >= 1.0:
        return usd(value)
    if value < 0.0:
        return f"-{usd_fine(-value)}"
    return f"${value:.{2 - floor(log10(value))}f}"


def usd_per_1k(value: float | None) -> str:
    """Dollars for a thousand, given those for one.

    >>> usd_per_1k(0.0012)
    '$1.20'
    """
    return usd(None if value is None else value * 1e3)


def share(value: float | None) -> str:
    """A share in per cent; what is not all or nothing never reads as if it were.

    >>> share(0.5), share(0.9999999), share(0.0001)
    ('50.0%', '99.999%', 'under 0.1%')
    """
    if value is None:
        return "-"
    if 0.999 < value < 1.0:
        return f"{min(value, 0.99999):.3%}"
    return "under 0.1%" if 0.0 < value < 0.001 else f"{value:.1%}"


def seconds(value: float | None) -> str:
    """A time that a request takes.

    >>> seconds(0.0123), seconds(12.345), seconds(1234.5)
    ('12.3 ms', '12.35 s', '1,234 s')
    """
    if value is None:
        return "-"
    if value < 1.0:
        return f"{value * 1e3:.1f} ms"
    return f"{value:.2f} s" if value < 100.0 else f"{value:,.0f} s"


def count(value: float | None) -> str:
    """A count, which may be a mean over replications, to the nearest whole number.

    >>> count(1234.4), count(0.2), count(0)
    ('1,234', 'under 1', '0')
    """
    if value is None:
        return "-"
    return "under 1" if 0.0 < value < 0.5 else f"{value:,.0f}"


def number(value: float | None) -> str:
    """A number with one place where it is below a hundred and not whole.

    >>> number(1234.5), number(12.34), number(12.0)
    ('1,234', '12.3', '12')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:,.1f}"


def hours(value: float) -> str:
    """A length of time given in hours.

    >>> hours(24.0), hours(0.5)
    ('24 h', '30 min')
    """
    return f"{number(value)} h" if value >= 1 else f"{number(value * 60)} min"


def range_of(interval: Sequence[float] | None, form: _Form) -> str:
    """An interval, unless both ends read alike.

    >>> range_of([0.9, 0.95], share), range_of([2.0, 2.001], usd)
    ('90.0% to 95.0%', '')
    """
    ends = [form(bound) for bound in interval or ()]
    return " to ".join(ends) if len(set(ends)) > 1 else ""


def printable(name: str) -> str:
    """A name from the scenario without characters that steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def trust_errors(trust: dict[str, Any]) -> str:
    """How far off step times were on the runs left out, as far as that is known.

    >>> trust_errors({"tpot_error": 0.04, "ttft_error": None})
    'TPOT within 4.0% on half of the runs left out'
    """
    told = (("TPOT", trust["tpot_error"]), ("TTFT", trust["ttft_error"]))
    errors = [f"{label} within {share(error)}" for label, error in told if error is not None]
    return f"{', '.join(errors)} on half of the runs left out" if errors else ""


def asked(summary: dict[str, Any]) -> float:
    """Questions on contexts."""
    return sum(float(stream.get("contexts", {}).get("asked", 0)) for stream in summary["streams"].values())


def found_prepared(summary: dict[str, Any]) -> dict[str, float]:
    """How many questions on contexts found them prepared, and why the others did not, in words.

    >>> found = {"asked": 10, "hits": 6, "stale": 1, "late": 0, "expired": 0}
    >>> found_prepared({"streams": {"code": {"contexts": found}}})
    {'context was prepared': 6, 'prepared, but changed since': 1, 'not prepared': 3.0}
    """
    parts = [stream.get("contexts", {}) for stream in summary["streams"].values()]
    count = {name: sum(part.get(name, 0) for part in parts) for name in ("hits", *_MISSED)}
    told = {"context was prepared": count["hits"]}
    told |= {label: count[name] for name, label in _MISSED.items() if count[name]}
    rest = asked(summary) - sum(count.values())
    return told | ({"not prepared": rest} if rest > 0 else {})


_MISSED = {
    "stale": "prepared, but changed since",
    "late": "still being prepared",
    "expired": "prepared too long ago",
}
"""Why a question does not find its context prepared."""


def preparing(summary: dict[str, Any]) -> dict[str, str]:
    """What preparing contexts has cost and saved, in words; nothing where nothing was prepared.

    >>> sleep = {"jobs": 4, "cost_usd": 2.0, "wasted_usd": 0.5, "saved_usd": 3.0, "net_usd": 1.0}
    >>> preparing({"sleep": sleep})["net, better answers aside"]
    '$1.00'
    """
    sleep = summary["sleep"]
    if not sleep.get("jobs"):
        return {}
    figures = {
        "spent on preparing": sleep.get("cost_usd"),
        "of it for nothing": sleep.get("wasted_usd"),
        "saved on answers": sleep.get("saved_usd"),
        "net, better answers aside": sleep.get("net_usd"),
    }
    return {label: usd(value) for label, value in figures.items() if value is not None}


def swamped(requests: dict[str, Any]) -> str:
    """A warning where more than one request in twenty was left unanswered at the end.

    >>> swamped({"unfinished": 5, "offered": 100})
    ''
    """
    behind = requests["unfinished"] > 0.05 * requests["offered"]
    return "the fleet cannot keep up: latencies are those of answered requests only" if behind else ""


HEADLINES: tuple[tuple[str, str, _Form], ...] = (
    ("cost.total_usd", "cost", usd),
    ("cost.usd_per_1k_requests", "per 1,000 requests", usd),
    ("cost.usd_per_1m_output_tokens", "per 1M output tokens", usd),
    ("quality.accuracy", "right answers", share),
    ("cost.usd_per_correct", "per 1,000 right answers", usd_per_1k),
    ("slo.attainment", "objectives met", share),
    ("fleet.busy_share", "GPUs busy", share),
    ("fleet.work_share", "load, of full batches", share),
)
"""The headline figures: dotted name in the summary, label, form."""
