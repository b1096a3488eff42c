"""Where outcomes leave the ground that was measured."""

from __future__ import annotations

from collections.abc import Iterator

from sim.outcomes.curves import Curves
from sim.scenario import TreeStrategy, VerifyStrategy, VoteStrategy
from sim.scenario.strategies import PlacedStrategy

__all__ = ["curve_warnings"]


def curve_warnings(curves: Curves, strategy: PlacedStrategy, tokens: float, *, prepared: bool) -> Iterator[str]:
    """What a strategy takes from curves beyond their points, and what of them is assumed; one sentence each."""
    who = f"strategy '{strategy.name}' on class '{curves.name}'"
    for value, unit, known in _measures(curves, strategy, tokens):
        if known is not None and not known[0] <= value <= known[1]:
            yield f"{who}: {value:,.0f} {unit}, beyond the {known[0]:,.0f} to {known[1]:,.0f} that were published"
    for part in _assumed(curves, strategy, prepared):
        yield f"{who}: {part} assumed"


def _measures(
    curves: Curves, strategy: PlacedStrategy, tokens: float
) -> Iterator[tuple[float, str, tuple[float, float] | None]]:
    valid = curves.valid
    if not curves.think.thinking().is_flat:
        yield tokens, "tokens an answer", valid.budget_tokens
    if isinstance(strategy, VoteStrategy):
        yield strategy.samples, "samples", valid.samples
    if isinstance(strategy, VerifyStrategy):
        yield strategy.solutions, "solutions", valid.solutions
        yield strategy.verifications, "verifications", valid.verifications


def _assumed(curves: Curves, strategy: PlacedStrategy, prepared: bool) -> Iterator[str]:
    if isinstance(strategy, VoteStrategy) and curves.votes.status == "assumed":
        yield "how wrong answers spread is"
    if isinstance(strategy, VerifyStrategy) and curves.verifier.status == "assumed":
        yield "the verifier's judgement is"
    if isinstance(strategy, TreeStrategy):
        yield "what a search by levels brings is"
    has_budget = getattr(strategy, "budget_tokens", None) is not None
    if curves.think.status == "assumed" and has_budget:
        yield "the effect of a budget is"
    if prepared and curves.sleep.status == "assumed":
        yield "what a prepared context is worth is"
    if prepared and curves.sleep.weights_status == "assumed":
        yield "the effect of predictability is"
