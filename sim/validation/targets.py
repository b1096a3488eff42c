"""What predictions are held to: the errors that validation must stay below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sim.hardware.setup import OWN_BACKEND
from sim.validation.groups import Group

__all__ = ["TARGETS", "Target", "targets_met"]

_Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """The most that an error may be, as a fraction of what was measured."""

    name: str
    group: str
    """A headline group, or the kind of which the worst single run counts."""
    metric: str
    statistic: str
    measure: str
    """"median_abs_error" or "mean_abs_error" of the group, or "worst" of its runs."""
    at_most: float
    own: bool = False
    """Of what our own engine served, which the others leave out."""


TARGETS = (
    Target("pairs in the fit", "seen", "tpot_ms", "mean", "median_abs_error", 0.07),
    Target("pairs in the fit", "seen", "ttft_ms", "mean", "median_abs_error", 0.15),
    Target("pairs never seen", "unseen", "tpot_ms", "mean", "median_abs_error", 0.15),
    Target("pairs never seen", "unseen", "ttft_ms", "mean", "median_abs_error", 0.25),
    Target("open-loop logs", "open-loop", "e2e_s", "mean", "worst", 0.05),
    Target("open-loop logs", "open-loop", "tpot_ms", "mean", "worst", 0.05),
    Target("open-loop logs", "open-loop", "ttft_ms", "mean", "worst", 0.10),
    Target("open-loop logs", "open-loop", "e2e_s", "p99", "worst", 0.10),
    Target("our own engine", "open-loop", "e2e_s", "mean", "worst", 0.05, own=True),
    Target("our own engine", "open-loop", "tpot_ms", "mean", "worst", 0.05, own=True),
    Target("our own engine", "open-loop", "ttft_ms", "mean", "worst", 0.10, own=True),
    Target("our own engine", "open-loop", "e2e_s", "p99", "worst", 0.15, own=True),
    Target("our own engine", "open-loop", "tpot_ms", "p99", "worst", 0.15, own=True),
    Target("our own engine", "open-loop", "ttft_ms", "p99", "worst", 0.15, own=True),
    Target("step tables", "step-tables", "step_ms", "mean", "mean_abs_error", 0.02),
    Target("Poisson on step tables", "poisson", "ttft_ms", "mean", "worst", 0.02),
    Target("Poisson on step tables", "poisson", "e2e_s", "mean", "worst", 0.02),
    Target("Poisson on step tables", "poisson", "ttft_ms", "p99", "worst", 0.05),
    Target("Poisson on step tables", "poisson", "e2e_s", "p99", "worst", 0.05),
)
"""Errors of runs that were not saturated."""


def targets_met(groups: Sequence[Group], rows: Sequence[_Row], left_out: Sequence[Group] = ()) -> list[dict[str, Any]]:
    """Each target of which there are runs, with the error `reached` and whether it was `met`.

    `rows` are those of a payload, `left_out` groups of runs that the calibration's fit did not use: they are held to
    the same. Saturated runs do not count.
    """
    apart = [replace(target, name=f"{target.name}, runs left out of the fit") for target in TARGETS]
    found = [(target, _reached(target, groups, rows)) for target in TARGETS]
    found += [(target, _reached(target, left_out, ())) for target in apart if target.measure != "worst"]
    return [
        {**vars(target), "reached": reached, "met": reached <= target.at_most}
        for target, reached in found
        if reached is not None
    ]


def _reached(target: Target, groups: Sequence[Group], rows: Sequence[_Row]) -> float | None:
    if target.measure == "worst":
        errors = [abs(row["error"]) for row in _matching(target, "kind", rows) if row["error"] is not None]
        return max(errors, default=None)
    values = [float(group[target.measure]) for group in _matching(target, "group", groups)]
    return values[0] if values else None


def _matching(target: Target, named_by: str, items: Sequence[_Row]) -> Iterator[_Row]:
    wanted = {named_by: target.group, "metric": target.metric, "statistic": target.statistic, "saturated": False}
    own = (item for item in items if (item.get("backend") == OWN_BACKEND) is target.own)
    return (item for item in own if wanted.items() <= item.items())
