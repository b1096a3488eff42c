"""Why more or fewer answers are right: who asks, which way is chosen, and how good each way is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sim.comparison.paired import spread_of
from sim.tally import ANSWERS, Tally

__all__ = ["Answers", "accuracy_waterfall", "answers_of", "effects"]

Answers = dict[tuple[str, str], tuple[float, float]]
"""By stream and strategy: answers that may be right or wrong, and those that are right."""


class _Part(NamedTuple):
    """Answers of one kind: how many, and how many of them right."""

    known: float
    right: float

    @property
    def accuracy(self) -> float | None:
        return self.right / self.known if self.known else None


def answers_of(tally: Tally, streams: Mapping[str, int], strategies: Sequence[str]) -> Answers:
    """The counts of one replication; `streams` are places in the tally by name."""
    known, right = ANSWERS.index("known"), ANSWERS.index("correct")
    return {
        (stream, strategy): (float(tally.answers[place, s, known]), float(tally.answers[place, s, right]))
        for stream, place in streams.items()
        for s, strategy in enumerate(strategies)
    }


def effects(a: Answers, b: Answers) -> dict[tuple[str, str, str], float]:
    """B's accuracy less A's, in parts by effect, stream and strategy; none where one of them has no accuracy.

    With W the share of a stream among the answers, v that of a strategy within its stream, and q the share of right
    answers: `streams` is (W_B - W_A)(Q_A - A's accuracy), `strategies` W_B (v_B - v_A)(q_A - Q_A), and `answers`
    W_B v_B (q_B - q_A). What A never did has no q_A: B's stands for it, so that it is a matter of choice alone.
    """
    all_a, all_b = _sum(a), _sum(b)
    if all_a.accuracy is None or all_b.accuracy is None:
        return {}
    found: dict[tuple[str, str, str], float] = {}
    for stream in dict.fromkeys(stream for stream, _ in (*a, *b)):
        mine, others = _sum(a, stream), _sum(b, stream)
        before = mine.accuracy if mine.accuracy is not None else others.accuracy
        if before is None:
            continue
        weight = others.known / all_b.known
        found["streams", stream, ""] = (weight - mine.known / all_a.known) * (before - all_a.accuracy)
        if mine.known and others.known:
            found |= _within(stream, weight, before, a, b)
    return found


def _within(stream: str, weight: float, before: float, a: Answers, b: Answers) -> dict[tuple[str, str, str], float]:
    """The effects of one stream that both have: which strategies answer it, and how well."""
    found = {}
    all_a, all_b = _sum(a, stream).known, _sum(b, stream).known
    for strategy in dict.fromkeys(name for at, name in (*a, *b) if at == stream):
        mine, others = (_Part(*side.get((stream, strategy), (0.0, 0.0))) for side in (a, b))
        old = mine.accuracy if mine.accuracy is not None else others.accuracy
        if old is None:
            continue
        share_b = others.known / all_b
        found["strategies", stream, strategy] = weight * (share_b - mine.known / all_a) * (old - before)
        if others.accuracy is not None:
            found["answers", stream, strategy] = weight * share_b * (others.accuracy - old)
    return found


def _sum(answers: Answers, stream: str | None = None) -> _Part:
    mine = [counts for (name, _), counts in answers.items() if stream is None or name == stream]
    return _Part(sum(known for known, _ in mine), sum(right for _, right in mine))


def accuracy_waterfall(a: Sequence[Answers], b: Sequence[Answers]) -> list[dict[str, Any]]:
    """Bars from A's accuracy to B's, from the counts of their replications; none where answers have no quality."""
    runs = [effects(one, other) for one, other in zip(a, b, strict=True)]
    bars = dict.fromkeys(bar for run in runs for bar in run)
    order = ("streams", "strategies", "answers")
    return [
        {
            "effect": effect,
            "stream": stream,
            "strategy": strategy or None,
            "difference": spread_of([run.get((effect, stream, strategy), 0.0) for run in runs]),
        }
        for effect, stream, strategy in sorted(bars, key=lambda bar: order.index(bar[0]))
        if any(run.get((effect, stream, strategy)) for run in runs)
    ]
