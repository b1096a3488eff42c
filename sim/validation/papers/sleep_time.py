"""Simulated runs of panels, amortisation and predictability."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from sim.outcomes.curves import load_curves
from sim.validation.papers.points import Amortisation, Gains, Panel, Points
from sim.validation.papers.rows import Row, at_equal_accuracy
from sim.validation.papers.worlds import Found, ask, ask_contexts

__all__ = ["amortisation_rows", "gains_rows", "panel_rows"]

_REQUESTS = 2584
"""Of a run: as a Fibonacci number it spreads even steps of the golden ratio most evenly."""
_BEYOND = (1.25, 1.6, 2.0)
"""Budgets beyond the largest published one, for accuracies that no published one reaches."""
_BIG_TOKENS = 100_000
"""Budget without preparation where all is prepared: nobody spends it, and it is worth preparing for."""
_EFFORTS = ("low", "medium", "high")
_FINE = 12


def panel_rows(panel: Panel) -> Iterator[Row]:
    """Accuracy of every point, and how many times more tokens equal accuracy takes without preparation."""
    bare = tuple((b, _bare(panel.class_name, b).expected_accuracy) for b, _ in panel.bare)
    beyond = tuple((top, _bare(panel.class_name, top).expected_accuracy) for top in _tops(panel.bare))
    for (b, rate), (_, found) in zip(panel.bare, bare, strict=True):
        yield Row(panel.figure, f"{panel.series} test-only", b, rate, found, "accuracy", "panels")
    for b, rate in panel.prepared:
        found = _prepared(panel.class_name, b).expected_accuracy
        yield Row(panel.figure, f"{panel.series} sleep", b, rate, found, "accuracy", "panels")
        published, simulated = at_equal_accuracy(panel.bare, rate), at_equal_accuracy((*bare, *beyond), found)
        if published is not None:
            times = None if simulated is None else simulated / b
            yield Row(panel.figure, f"{panel.series} equal accuracy", b, published / b, times, "ratio", "ratios")


def gains_rows(gains: Gains) -> Iterator[Row]:
    """Gain at the lowest budget, by predictability."""
    lowest = (load_curves(gains.class_name).valid.budget_tokens or (1.0, 1.0))[0]
    bare, bins = _bare(gains.class_name, lowest).expected_accuracy, len(gains.gains)
    for place, published in enumerate(gains.gains):
        rank = (place + 0.5) / bins
        found = _prepared(gains.class_name, lowest, predictability=rank).expected_accuracy - bare
        yield Row(gains.figure, gains.series, place + 1, published, found, "accuracy", "predictability")


def amortisation_rows(panel: Amortisation) -> Iterator[Row]:
    """Cost of a question by questions a context, what more questions save, and from how many on preparing pays."""
    counts, budgets = list(panel.costs), range(len(panel.bare))
    found = {
        (n, place): _amortised(panel, n, place) for n in counts for place in range(len(panel.costs[n]))
    }  # fmt: skip
    for n, points in panel.costs.items():
        for place, (cost, rate) in enumerate(points):
            run, series = found[n, place], f"{n} questions a context"
            yield Row(panel.figure, f"{series}, cost", rate, cost, run.cost_tokens, "tokens", "costs")
            yield Row(panel.figure, f"{series}, accuracy", cost, rate, run.expected_accuracy, "accuracy", "amortised")
    few, most = min(counts), max(counts)
    once, often = panel.costs[few][0][0], panel.costs[most][0][0]
    simulated = found[few, 0].cost_tokens / found[most, 0].cost_tokens
    yield Row(panel.figure, f"{few} against {most} questions", once, once / often, simulated, "ratio", "amortisation")
    bare = tuple(
        (panel.bare[place][0], _bare(panel.class_name, panel.bare[place][0]).expected_accuracy) for place in budgets
    )
    for (b, rate), (_, accuracy) in zip(panel.bare, bare, strict=True):
        yield Row(panel.figure, "test-only", b, rate, accuracy, "accuracy", "panels")
    yield from _equal_rows(panel, found)
    yield _break_even(panel, found[few, 0], found[most, 0])


def _equal_rows(panel: Amortisation, found: dict[tuple[int, int], Found]) -> Iterator[Row]:
    """Tokens for equal accuracy by tokens after preparation, which a question spends however many share it."""
    most = max(panel.costs)
    curve = tuple((b, _bare(panel.class_name, b).expected_accuracy) for b, _ in panel.bare)
    for place, (spent, rate) in enumerate(_spent(panel)):
        published = at_equal_accuracy(panel.bare, rate)
        run = found[most, place]
        simulated = at_equal_accuracy(curve, run.expected_accuracy)
        if published is not None:
            times = None if simulated is None else simulated / run.tokens
            yield Row(panel.figure, "equal accuracy", spent, published / spent, times, "ratio", "ratios")


def _break_even(panel: Amortisation, once: Found, often: Found) -> Row:
    """Questions from which on the lowest budget costs no more than equal accuracy without preparation."""
    few, most = min(panel.costs), max(panel.costs)
    spent, rate = _spent(panel)[0]
    asleep = (panel.costs[few][0][0] - spent) * few
    published = at_equal_accuracy(panel.bare, rate, in_logs=True)
    fine = np.geomspace(panel.bare[0][0], panel.bare[-1][0], _FINE)
    curve = tuple((float(b), _bare(panel.class_name, float(b)).expected_accuracy) for b in fine)
    equal = at_equal_accuracy(curve, once.expected_accuracy, in_logs=True)
    work = (once.cost_tokens - often.cost_tokens) / (1.0 / few - 1.0 / most)
    simulated = None if equal is None else work / (equal - (once.cost_tokens - work / few))
    assert published is not None
    return Row(panel.figure, "break-even", spent, asleep / (published - spent), simulated, "questions", "break-even")


def _spent(panel: Amortisation) -> Points:
    """Tokens a question spends after preparation and its accuracy: C(N) = T + S / N at fewest and most questions."""
    few, most = min(panel.costs), max(panel.costs)
    pairs = zip(panel.costs[few], panel.costs[most], strict=True)
    return tuple(((most * often - few * once) / (most - few), rate) for (once, rate), (often, _) in pairs)


def _amortised(panel: Amortisation, questions: int, place: int) -> Found:
    spent, _ = _spent(panel)[place]
    effort = _EFFORTS[min(place, len(_EFFORTS) - 1)]
    return _prepared(panel.class_name, spent, questions=questions, effort=effort)


@cache
def _bare(class_name: str, tokens: float) -> Found:
    return ask(class_name, {"kind": "think", "budget_tokens": round(tokens)}, _REQUESTS)


@cache
def _prepared(
    class_name: str, tokens: float, *, questions: int = 1, predictability: float | None = None, effort: str = "medium"
) -> Found:
    strategy = {"kind": "think", "budget_tokens": _BIG_TOKENS, "prepared_budget_tokens": round(tokens)}
    return ask_contexts(class_name, strategy, questions=questions, predictability=predictability, effort=effort)


def _tops(points: Points) -> list[float]:
    return [points[-1][0] * times for times in _BEYOND]
