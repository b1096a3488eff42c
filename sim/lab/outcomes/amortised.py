"""What preparing a context costs its questions, by how many there are."""

from __future__ import annotations

from typing import NamedTuple

from sim.lab.outcomes.estimates import Estimate, gain
from sim.lab.outcomes.judgement import Section
from sim.lab.outcomes.view import EFFORTS, View

__all__ = ["Saving", "amortised", "cheapest"]

_QUESTIONS = (1, 2, 4, 10)


class Saving(NamedTuple):
    """The cheapest way on prepared contexts that is right at least as often as one on bare contexts."""

    bare_tokens: float
    strategy: str
    gain: Estimate
    """Of right answers."""
    tokens: float
    """Output tokens of a question on a prepared context."""
    notes_tokens: float
    """Output tokens of the notes."""

    def per_question(self, questions: int) -> float:
        """C(N) = T + S / N."""
        return self.tokens + self.notes_tokens / questions

    @property
    def break_even(self) -> float | None:
        """Questions a context from which on it is cheaper; None where it never is."""
        saved = self.bare_tokens - self.tokens
        return self.notes_tokens / saved if saved > 0.0 else None


def cheapest(view: View, bare: str, effort: str) -> Saving | None:
    """Against a strategy on bare contexts, with notes of an effort; None where no way is right as often."""
    rows = view.of(bare)
    ways = []
    for name in view.strategies:
        prepared = view.of(name, effort)
        better = gain(prepared, rows)
        if better is not None and better.value >= 0.0:
            ways.append((float(prepared["tokens"].mean()), name, better))
    if not ways:
        return None
    tokens, name, better = min(ways)
    notes = float(view.of(name, effort).groupby("context")["notes_tokens"].first().mean())
    return Saving(float(rows["tokens"].mean()), name, better, tokens, notes)


def amortised(view: View) -> Section:
    """Tokens a question by the number of questions on a context."""
    told = (
        "Output tokens a question, C(N) = T + S / N with N questions on a context, of the cheapest way on prepared "
        "contexts that is right at least as often as the one on bare contexts; both cost the same at break-even."
    )
    header = ("bare", "tokens", "effort", "prepared", "gain", "notes", *(f"C({n})" for n in _QUESTIONS), "break-even")
    pairs = [(name, effort) for name in view.known(["think16", "think32", "think", "vote4"]) for effort in EFFORTS]
    found = [(name, effort, saving) for name, effort in pairs if (saving := cheapest(view, name, effort)) is not None]
    rows = [(name, saving.bare_tokens, effort, *_cells(saving)) for name, effort, saving in found]
    return Section("What preparing costs a question", told, header, rows)


def _cells(saving: Saving) -> tuple[str | float | Estimate | None, ...]:
    costs = [saving.per_question(n) for n in _QUESTIONS]
    return (saving.strategy, saving.gain, saving.notes_tokens, *costs, saving.break_even)
