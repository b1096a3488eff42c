"""Cost of a question where several ask about one context: C(N) = T + S / N."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sim.outcomes.fitting.documents import EFFORT_GAINS, Document, Points, class_of, sleep_of
from sim.outcomes.fitting.numerics import Quality
from sim.outcomes.fitting.panels import SOURCE
from sim.outcomes.fitting.tokens import (
    fit_prepared,
    left_out,
    prepared_errors,
    thinking_errors,
    through,
)
from sim.workload.blocks import Floats

__all__ = ["Amortised", "fit_amortised"]

_SLEEP_WEIGHT = 0.1
"""A sleep token counts as a tenth of a test-time token in the figure."""


class Amortised(NamedTuple):
    """A panel of costs by budget, lowest first, from the points at one question a context and at most."""

    spent: Floats
    """T: test-time tokens a question."""
    asleep: Floats
    """S: what preparing costs, in test-time tokens a context."""
    rates: Floats
    """Accuracy."""
    bare: Points
    """Tokens and accuracy without preparation."""
    checks: Floats
    """Relative errors of C(N) at numbers of questions between."""

    @classmethod
    def of(cls, panel: Mapping[str, Sequence[Sequence[float]]]) -> Amortised:
        """From the points of a figure, by series: q1, q2, ..., test-only."""
        costs = {int(name[1:]): _sorted(panel[name]) for name in panel if name.startswith("q")}
        few, most = min(costs), max(costs)
        asleep = (costs[few] - costs[most])[:, 0] / (1.0 / few - 1.0 / most)
        spent = costs[few][:, 0] - asleep / few
        checks = [(spent + asleep / n) / points[:, 0] - 1.0 for n, points in costs.items() if n not in (few, most)]
        bare: Points = [(b, rate) for b, rate in _sorted(panel["test-only"]).tolist()]
        return cls(spent, asleep, costs[few][:, 1], bare, np.concatenate([np.zeros(0), *checks]))

    @property
    def tokens(self) -> dict[str, float]:
        """Sleep tokens of a context by effort: the three budgets of the figure, lowest first."""
        return dict(zip(EFFORT_GAINS, (self.asleep / _SLEEP_WEIGHT).tolist(), strict=True))


def _sorted(points: Sequence[Sequence[float]]) -> Floats:
    """By cost, [n, 2]."""
    return np.array(sorted(map(tuple, points)), np.float64)


def fit_amortised(votes: Document, panel: Amortised, about: str, weights: Sequence[float]) -> Document:
    """The class of a panel, whose budgets go with efforts."""
    # Three points of which the last two are level say nothing of the rise between the first two, most of which a Hill
    # curve would put at its beginning. The figure draws it straight.
    thinking = through(panel.bare)
    points: Points = list(zip(panel.spent.tolist(), panel.rates.tolist(), strict=True))
    known = panel.bare[-1][0], np.array(weights), list(EFFORT_GAINS.values())
    law = fit_prepared(thinking, points, *known)
    what = "figure 9, prepared: m(b); checked by leaving out each point in turn; tokens from fewest and most questions"
    if panel.checks.size:
        what += f", C(N) between them is off by {np.abs(panel.checks).max():.1%} at most"
    fits = [
        Quality("figure 9, without preparation: through three points", thinking_errors(thinking, panel.bare)),
        Quality(what, prepared_errors(thinking, law, points, *known[1:]), left_out(thinking, points, *known)),
    ]
    sleep = sleep_of(law, weights, panel.tokens, status="fitted", tokens_status="fitted")
    return class_of(votes, about, f"{SOURCE}, figure 9", thinking, sleep, fits, panel.bare)
