"""The answer of a run in sentences, and its key figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim import wording as words
from sim.ledger import LINES
from sim.report.names import line_name
from sim.report.objectives import unanswered
from sim.report.source import Source

__all__ = ["Tile", "headline", "key_figures", "main_points", "when"]

_Form = Callable[[float | None], str]


@dataclass(frozen=True)
class Tile:
    """A key figure: its label, the figure, its 95 % interval or nothing."""

    label: str
    value: str
    interval: str = ""


def headline(source: Source) -> list[tuple[str, str]]:
    """What it cost, for how many answers, in what time, how many are right, and how many objectives were met.

    The sentence in parts, each of a text and the 95 % interval of the figure that ends it, or nothing.
    """
    summary = source.summary
    answers = words.count(summary["requests"]["completed"])
    right = summary["quality"]["accuracy"]
    length = words.hours((summary["horizon_s"] or 0.0) / 3600.0).replace(" ", "\u00a0")
    met = summary["slo"]["attainment"]
    cost = (words.usd(summary["cost"]["total_usd"]), _interval(source, "cost.total_usd", words.usd))
    begin, what = [cost], f" for {answers} answers in {length}"
    if right is not None:
        quality = f"{what}, {words.share(right)} of them right"
        begin, what = [cost, (quality, _interval(source, "quality.accuracy", words.share))], ""
    if not source.has_objectives:
        return [*begin, (f"{what}; no objectives were set.", "")]
    if met is None:
        return [*begin, (f"{what}; there is nothing to tell whether objectives are met.", "")]
    share = f"{what}; {words.share(met)} of requests met their objectives"
    return [*begin, (share, _interval(source, "slo.attainment", words.share)), (".", "")]


def _interval(source: Source, name: str, form: _Form) -> str:
    return words.range_of(source.summary["intervals"].get(name), form)


def main_points(source: Source) -> list[str]:
    """The biggest line of the bill, and what most misses come from."""
    return [point for point in (_biggest_line(source), _most_misses(source), _swamped(source)) if point]


def _biggest_line(source: Source) -> str:
    lines, total = source.summary["cost"]["by_line"], source.summary["cost"]["total_usd"]
    if not total:
        return "Nothing was charged."
    line = max(lines, key=lambda name: lines[name])
    meaning = f" ({LINES[line]})" if line in LINES else ""
    cost = f"{words.usd(lines[line])}, {words.share(lines[line] / total)} of the bill"
    return f"Biggest cost: {line_name(line)}{meaning}, {cost}."


def _most_misses(source: Source) -> str:
    """Late answers are what is missed and not accounted for by requests without an answer."""
    requests, met = source.summary["requests"], source.summary["slo"]["attainment"]
    offered = float(requests["offered"])
    if not offered:
        return "No request arrived."
    ends = unanswered(source)
    late = max(offered * (1.0 - met) - sum(ends.values()), 0.0) if source.has_objectives and met is not None else 0.0
    reasons = ends | ({"answered, but too late": late} if late >= 0.5 else {})
    if not reasons:
        return "Every request was answered" + (", and in time." if source.has_objectives else ".")
    reason = max(reasons, key=lambda name: reasons[name])
    of_what = "misses" if source.has_objectives else "requests without an answer"
    return f"Most {of_what}: {reason.replace(': ', ', ')} (about {words.share(reasons[reason] / offered)} of requests)."


def _swamped(source: Source) -> str:
    told = words.swamped(source.summary["requests"])
    return told and f"{told[0].upper()}{told[1:]}."


_TILES: tuple[tuple[str, str, _Form], ...] = (
    ("cost.total_usd", "Cost", words.usd),
    ("slo.attainment", "Objectives met", words.share),
    ("quality.accuracy", "Right answers", words.share),
    ("cost.usd_per_correct", "Per 1,000 right answers", words.usd_per_1k),
    ("cost.usd_per_1k_requests", "Per 1,000 answers", words.usd),
    ("cost.usd_per_1m_output_tokens", "Per 1M output tokens", words.usd),
    ("latency.ttft_s.p99", "First token, 99% within", words.seconds),
    ("latency.e2e_s.p99", "Whole answer, 99% within", words.seconds),
    ("fleet.busy_share", "GPUs busy", words.share),
    ("fleet.work_share", "Load, of what full batches can do", words.share),
    ("fleet.prefix_hit_share", "Prompt tokens found in a cache", words.share),
    ("fleet.gpu_hours", "GPU-hours", words.number),
    ("cost.output_tokens_per_usd", "Output tokens per dollar", words.count),
    ("energy.kwh", "Electricity", lambda value: f"{words.number(value)} kWh"),
    ("energy.carbon_kg", "Carbon", lambda value: f"{words.number(value)} kg"),
)
_ALWAYS = (
    *("cost.total_usd", "slo.attainment", "cost.usd_per_1k_requests", "cost.usd_per_1m_output_tokens"),
    *("latency.ttft_s.p99", "latency.e2e_s.p99", "fleet.busy_share"),
)
"""These tiles stand with a dash where there is no figure; the others go."""


def key_figures(source: Source) -> list[Tile]:
    """The key figures with their intervals."""
    found = []
    for name, label, form in _TILES:
        if name == "slo.attainment" and not source.has_objectives:
            continue
        value = _at(source.summary, name)
        if value or name in _ALWAYS or (value == 0 and name == "quality.accuracy"):
            found.append(Tile(label, form(value), _interval(source, name, form)))
    return found


def _at(summary: dict[str, Any], name: str) -> float | None:
    place: Any = summary
    for key in name.split("."):
        place = place.get(key) if isinstance(place, dict) else None
    return place if isinstance(place, int | float) else None


def when(source: Source) -> str:
    """The simulated time in words, in the scenario's zone."""
    end_s = source.summary["horizon_s"] or source.end_s
    return f"{source.clock.says(0.0)} to {source.clock.says(end_s)}, {source.scenario['time_zone']}"
