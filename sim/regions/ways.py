"""The ways to answer that are held against each other."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sim.errors import InputError, did_you_mean
from sim.scenario import CascadeStrategy, DirectStrategy, Scenario, ThinkStrategy

__all__ = ["KINDS", "Kind", "Way", "ways_of"]

Kind = Literal["prepare", "think", "direct"]
KINDS: tuple[Kind, ...] = ("prepare", "think", "direct")


class Way(NamedTuple):
    """A strategy for all questions, with contexts prepared ahead of them or without."""

    name: str
    kind: Kind
    strategy: str

    @property
    def prepares(self) -> bool:
        """Whether contexts are prepared."""
        return self.kind == "prepare"


def ways_of(scenario: Scenario, prepared: str | None = None) -> list[Way]:
    """All strategies of a scenario, and last the strategy named `prepared` on contexts prepared ahead.

    Where it is not named it is the one that thinks least, or else the first direct one. Every strategy that is not a
    direct answer counts as thinking.

    Raises:
        InputError: for a scenario that prepares nothing or knows nothing of quality, and for an unknown strategy.
    """
    if scenario.sleep is None:
        raise InputError("sleep", "is missing, so there is nothing to hold against the other ways", "add `sleep: {}`")
    if any(stream.questions is None for stream in scenario.workload):
        rule = "is missing in a stream, so it is not known which answers are right"
        raise InputError("questions", rule, "add such as `questions: {kind: curves, class: arithmetic}`")
    names = [strategy.name for strategy in scenario.strategies]
    if not names:
        raise InputError("strategies", "are missing", "add a direct one and one that thinks")
    chosen = _least_thinking(scenario) if prepared is None else prepared
    if chosen not in names:
        raise InputError(chosen, "is no strategy of the scenario", did_you_mean(chosen, names))
    plain = [
        Way(each.name, "direct" if isinstance(each, DirectStrategy) else "think", each.name)
        for each in scenario.strategies
    ]
    return [*plain, Way(f"{chosen}, prepared", "prepare", chosen)]


def _least_thinking(scenario: Scenario) -> str:
    thinking = [each for each in scenario.strategies if isinstance(each, ThinkStrategy)]
    if thinking:
        return min(thinking, key=lambda strategy: strategy.budget_tokens).name
    direct = [each for each in scenario.strategies if isinstance(each, DirectStrategy)]
    single = [each for each in scenario.strategies if not isinstance(each, CascadeStrategy)]
    return (direct or single or scenario.strategies)[0].name
