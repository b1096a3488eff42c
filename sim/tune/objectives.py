"""What a setting is judged by, replication by replication."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sim import wording as words
from sim.errors import InputError, did_you_mean
from sim.scenario import Scenario

__all__ = ["ATTAINMENT", "DEFAULTS", "OBJECTIVES", "Objective", "chosen_objectives"]

ATTAINMENT = "slo"
"""The objective that a constraint is on."""


class Objective(NamedTuple):
    """A figure of a run, and which way is better."""

    name: str
    figure: str
    """Its dotted name in the summary, or one of `sim.runs`."""
    is_more_better: bool
    label: str
    told: Callable[[float | None], str]

    @property
    def sign(self) -> float:
        """Factor by which more of it is worse."""
        return -1.0 if self.is_more_better else 1.0


def _usd(value: float | None) -> str:
    return words.usd_fine(value)


OBJECTIVES: Mapping[str, Objective] = {
    each.name: each
    for each in (
        Objective("cost", "cost.used_usd_per_1k_requests", False, "used, 1,000 requests", _usd),
        Objective("bill", "cost.usd_per_1k_requests", False, "bill, 1,000 requests", _usd),
        Objective("usd-per-correct", "cost.used_usd_per_correct", False, "used, a right answer", _usd),
        Objective("accuracy", "quality.accuracy", True, "right", words.share),
        Objective(ATTAINMENT, "slo.attainment", True, "objectives met", words.share),
        Objective("latency", "latency.e2e_s.mean", False, "E2E mean", words.seconds),
        Objective("latency-p99", "latency.e2e_s.p99", False, "E2E p99", words.seconds),
        Objective("ttft-p99", "latency.ttft_s.p99", False, "TTFT p99", words.seconds),
    )
}
DEFAULTS = ("cost", "accuracy", ATTAINMENT)
"""As far as the scenario has them."""


def chosen_objectives(names: Sequence[str], scenario: Scenario, *, buys: bool = False) -> list[Objective]:
    """The objectives of that name; without names the defaults as far as the scenario has them.

    Where fleets are bought (`buys`), the default for cost is the whole bill: what nobody uses is paid as well.

    Raises:
        InputError: for a name that is none or comes twice, and for what the scenario does not tell.
    """
    if not names:
        defaults = ["bill" if buys and name == "cost" else name for name in DEFAULTS]
        return [OBJECTIVES[name] for name in defaults if not _lacks(name, scenario)]
    for name in names:
        if name not in OBJECTIVES:
            raise InputError(name, "is no objective", did_you_mean(name, OBJECTIVES))
        if names.count(name) > 1:
            raise InputError(name, "is an objective twice", "give it once")
        if why := _lacks(name, scenario):
            raise InputError(name, *why)
    return [OBJECTIVES[name] for name in names]


def _lacks(name: str, scenario: Scenario) -> tuple[str, str] | None:
    """Rule and remedy, where a scenario does not tell an objective."""
    if name in ("accuracy", "usd-per-correct") and all(stream.questions is None for stream in scenario.workload):
        rule = "cannot be an objective, as no stream says which answers are right"
        return rule, "add such as `questions: {kind: curves, class: arithmetic}`"
    if name == ATTAINMENT and not any(_has_objectives(stream.slo) for stream in scenario.workload):
        return "cannot be held against objectives, as no stream has any", "add such as `slo: {e2e: 30s}`"
    return None


def _has_objectives(slo: object) -> bool:
    return slo is not None and any(value is not None for value in vars(slo).values())
