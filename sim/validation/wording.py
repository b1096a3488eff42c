"""What a validation found, in words: names of metrics, amounts, errors, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.validation.groups import Group

__all__ = [
    "amount",
    "answer",
    "by_configuration",
    "configuration_of",
    "counted",
    "headlines",
    "metric_name",
    "per_cent",
    "range_of",
    "signed",
    "target_name",
    "worst_first",
]

_METRICS = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "e2e_s": "E2E", "step_ms": "step"}
_WHOLE_SERVERS = ("seen", "unseen")
_HEADLINES = {
    "seen": "pairs in the fit",
    "unseen": "pairs never seen",
    "step-tables": "step tables",
    "poisson": "Poisson on step tables",
}


def metric_name(of: Mapping[str, Any]) -> str:
    """Metric and statistic of a row or group, such as "TTFT" for the mean and for single requests, and "TTFT p99"."""
    name = _METRICS.get(of["metric"], of["metric"])
    return name if of["statistic"] in ("mean", "request") else f"{name} {of['statistic']}"


def amount(of: Mapping[str, Any], key: str) -> str:
    """A measured or predicted time of a row or group, with three figures and its unit; "-" where it is not known.

    >>> amount({"metric": "ttft_ms", "measured": 1234.5}, "measured")
    '1.23 s'
    >>> amount({"metric": "e2e_s", "measured": 0.05}, "measured")
    '50.0 ms'
    """
    value = of[key]
    if value is None:
        return "-"
    milliseconds = value * 1e3 if of["metric"].endswith("_s") else value
    return f"{_figures(milliseconds)} ms" if milliseconds < 999.5 else f"{_figures(milliseconds / 1e3)} s"


def _figures(value: float) -> str:
    """Three figures, and all those before the point.

    >>> _figures(0.1234), _figures(12.34), _figures(123.4), _figures(12345.6)
    ('0.123', '12.3', '123', '12,346')
    """
    places = next((places for limit, places in ((0.9995, 3), (9.995, 2), (99.95, 1)) if value < limit), 0)
    return f"{value:,.{places}f}"


def per_cent(fraction: float | None) -> str:
    """An error without its sign."""
    return "-" if fraction is None else f"{abs(fraction):.1%}"


def signed(fraction: float | None) -> str:
    """An error with its sign."""
    return "-" if fraction is None else f"{fraction:+.1%}"


def range_of(interval: Sequence[float] | None) -> str:
    """An interval of errors, such as "5.1% to 8.0%"; nothing where there is none."""
    return f"{per_cent(interval[0])} to {per_cent(interval[1])}" if interval else ""


def counted(count: int, thing: str) -> str:
    """So many things.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def headlines(groups: Sequence[Group], *, saturated: bool) -> list[tuple[str, Group]]:
    """The headline groups, each with its name in words; of runs of whole servers only the means."""
    return [
        (_HEADLINES[group["group"]], group)
        for group in groups
        if group["group"] in _HEADLINES and group["saturated"] is saturated and _is_headline(group)
    ]


def _is_headline(group: Group) -> bool:
    return group["statistic"] == "mean" or group["group"] not in _WHOLE_SERVERS


def by_configuration(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each configuration, those that err most first."""
    return worst_first([group for group in groups if group["group"] not in _HEADLINES])


def worst_first(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Groups by name, by the largest median error of a mean that was not saturated; names without one last."""
    names = dict.fromkeys(group["group"] for group in groups)
    named = {name: [group for group in groups if group["group"] == name] for name in names}
    return dict(sorted(named.items(), key=lambda item: (-_worst(item[1]), item[0])))


def _worst(groups: Sequence[Group]) -> float:
    fair = [one["median_abs_error"] for one in groups if one["statistic"] == "mean" and not one["saturated"]]
    return max(fair, default=0.0)


def target_name(target: Mapping[str, Any]) -> str:
    """What a target is of, such as "pairs in the fit, TPOT, median"."""
    measure = {"median_abs_error": "median", "mean_abs_error": "mean"}.get(target["measure"], target["measure"])
    return f"{target['name']}, {metric_name(target)}, {measure}"


def configuration_of(row: Mapping[str, Any]) -> str:
    """Configuration of a row and where it stands, such as "vllm H100-SXM ... (dp2)"."""
    return f"{row['configuration']} ({row['source']})"


def answer(payload: Mapping[str, Any]) -> str:
    """What was found, in a sentence.

    >>> answer({"groups": [], "targets": []})
    'Nothing was compared'
    """
    named = headlines(payload["groups"], saturated=False)
    whole = [(name, group) for name, group in named if group["group"] in _WHOLE_SERVERS]
    text = "; ".join(_parts(whole or named))
    if not text:
        return "Nothing was compared"
    met, all_of = sum(target["met"] for target in payload["targets"]), len(payload["targets"])
    return f"{text[0].upper()}{text[1:]}" + (f"; {met} of {counted(all_of, 'target')} met" if all_of else "")


def _parts(named: Sequence[tuple[str, Group]]) -> Iterator[str]:
    """What each headline group came to; a metric that only few of its runs tell is left out."""
    for name in dict.fromkeys(name for name, _ in named):
        means = [group for other, group in named if other == name and group["statistic"] == "mean"]
        runs = max((group["n"] for group in means), default=0)
        told = [group for group in means if 2 * group["n"] > runs]
        errors = [f"{metric_name(group)} within {per_cent(group['median_abs_error'])}" for group in told]
        if errors:
            yield f"{name}: {', '.join(errors)} (median of {counted(runs, 'run')})"
