"""Claims of the papers on test-time and sleep-time compute, held against measured outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from sim.lab.outcomes.amortised import cheapest
from sim.lab.outcomes.estimates import Estimate, gain, mean, share
from sim.lab.outcomes.judgement import Finding
from sim.lab.outcomes.view import EFFORTS, View, of_kind, step_ranges

__all__ = ["findings"]

_GOOD_AUC = 0.8
_MANY_QUESTIONS = 10


def findings(view: View) -> Iterator[Finding]:
    """Each claim that the outcomes can tell of, and whether it holds."""
    yield from _falls_with_steps(view)
    yield from _thinking_helps(view)
    yield from _votes_rise_and_flatten(view)
    yield from _notes_help_the_foretold(view)
    yield from _preparing_amortises(view)
    yield from _verifier_tells(view)


def _falls_with_steps(view: View) -> Iterator[Finding]:
    direct = view.of("direct")
    shares = [share(direct[direct["steps"].between(*steps)]) for steps in step_ranges(view)] if len(direct) else []
    known = [found for found in shares if found is not None]
    if len(known) > 1:
        falls = all(later.low <= before.high for before, later in pairwise(known))
        yield Finding(
            "direct answers get worse with every step, and by degrees",
            falls and known[-1].high < known[0].low and sum(_between(found) for found in known) >= 2,
            ", ".join(_percent(found.value) for found in known),
        )


def _between(found: Estimate) -> bool:
    return 0.2 < found.value < 0.9


def _thinking_helps(view: View) -> Iterator[Finding]:
    chains = view.chains()
    shares = [found for name in chains if (found := share(view.of(name))) is not None]
    if len(shares) > 1:
        told = ", ".join(f"{name} {_percent(found.value)}" for name, found in zip(chains, shares, strict=True))
        rises = all(later.high >= before.low for before, later in pairwise(shares))
        yield Finding("the longer the thought, the more is right", rises and shares[-1].low > shares[0].high, told)


def _votes_rise_and_flatten(view: View) -> Iterator[Finding]:
    votes = view.votes()
    shares = [found.value for name in votes if (found := share(view.of(name))) is not None]
    if len(shares) > 2:
        told = ", ".join(f"{name} {_percent(value)}" for name, value in zip(votes, shares, strict=True))
        rise, first, last = shares[-1] - shares[0], shares[2] - shares[1], shares[-1] - shares[-2]
        yield Finding("votes rise with their samples, then flatten", rise > 0.0 and last < max(first, 0.5 * rise), told)


def _notes_help_the_foretold(view: View) -> Iterator[Finding]:
    for effort in EFFORTS:
        prepared, bare = view.of("direct", effort), view.of("direct")
        gains = [gain(of_kind(prepared, kind), of_kind(bare, kind)) for kind in (1, 0)]
        if gains[0] is not None and gains[1] is not None:
            told = " against ".join(f"{100 * found.value:+.1f}" for found in gains if found is not None)
            claim = f"notes of {effort} effort help direct answers to predictable questions most"
            yield Finding(claim, gains[0].low > gains[1].high, f"{told} points")


def _preparing_amortises(view: View) -> Iterator[Finding]:
    for effort in EFFORTS:
        saving = cheapest(view, "think", effort) if view.known(["think"]) else None
        if saving is not None:
            even = saving.break_even
            told = "never cheaper" if even is None else f"cheaper from {even:.1f} questions a context on"
            notes = f"{saving.strategy} at {saving.tokens:.1f} after notes of {saving.notes_tokens:.1f}"
            claim = f"notes of {effort} effort cost less than think with {_MANY_QUESTIONS} questions a context"
            holds = even is not None and even <= _MANY_QUESTIONS
            yield Finding(claim, holds, f"{saving.bare_tokens:.1f} tokens bare, {notes}: {told}")


def _verifier_tells(view: View) -> Iterator[Finding]:
    checks = [name for name in view.strategies if name.startswith("verify")]
    found = mean(view.of(checks[-1]), "verifier_auc") if checks else None
    if found is not None:
        claim = f"checks tell right solutions of a question from wrong ones with AUC above {_GOOD_AUC}"
        yield Finding(
            claim, found.value > _GOOD_AUC, f"{checks[-1]}: {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
