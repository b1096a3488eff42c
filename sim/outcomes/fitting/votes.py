"""Votes and verified solutions: one law of difficulty for both, wrong answers that spread, a verifier that errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sim.outcomes.difficulty import chances
from sim.outcomes.fitting.documents import Document, Points, sleep_of
from sim.outcomes.fitting.numerics import Quality, best, unit
from sim.outcomes.plurality import plurality_chances
from sim.outcomes.thinking import Prepared
from sim.outcomes.verifier import verified_chances
from sim.scenario.strategies import MOST_SAMPLES
from sim.strategies import Plurality
from sim.workload.blocks import Floats

__all__ = ["fit_votes"]

_WRONG_ANSWERS = 12
"""Different wrong answers: the fit is as good with 3 as with 20 of them."""
_LAMBDA = 2.0
"""Length of a verification as a multiple of that of a solution."""
_START = (-0.65, -0.3, -1.2, -1.0, 1.1, -0.2, -0.6, 0.15)
_TOKENS = {"low": 4000.0, "medium": 8000.0, "high": 16000.0}
"""Output tokens of a draft for hard mathematics: assumed."""
_UNIVERSAL = Prepared(scale=1.06, exponent=0.59, full_tokens=512.0)
"""What a prepared context is worth where no class tells: that of all published panels together."""


class _Grid(NamedTuple):
    """Accuracy by samples, and by solutions and verifications."""

    votes: Points
    beyond: Points
    """Of more samples, which are used for nothing but checking."""
    verified: list[tuple[int, int, float]]

    @classmethod
    def of(cls, figure: Mapping[str, Any]) -> _Grid:
        series = {int(name[1:]): points for name, points in figure["by_compute"].items() if name.startswith("V")}
        verified = [
            (_solutions(compute, count), count, rate / 100.0)
            for count, points in sorted(series.items())
            for compute, rate in points
        ]
        return cls([(k, rate / 100.0) for k, rate in figure["SC"]], _beyond(figure), verified)

    def parted(self, verifications: Sequence[int]) -> tuple[_Grid, _Grid]:
        """What is used, and what checks: every other number of samples, and these verifications."""
        used = [row for row in self.verified if row[1] not in verifications]
        kept = [row for row in self.verified if row[1] in verifications]
        # One and two samples are both used: only their difference tells of blank answers.
        return (
            _Grid([*self.votes[:2], *self.votes[3::2]], [], used),
            _Grid([*self.votes[2::2], *self.beyond], [], kept),
        )


def _beyond(figure: Mapping[str, Any]) -> Points:
    """Votes of more samples than the series of votes has, as many as a scenario may ask for."""
    most = max(k for k, _ in figure["SC"])
    counts = [(2.0 ** round(np.log2(compute)), rate / 100.0) for compute, rate in figure["by_compute"]["SC"]]
    return [(k, rate) for k, rate in counts if most < k <= MOST_SAMPLES]


def _solutions(compute: float, verifications: int) -> int:
    """Solutions of a point by its compute C = S (1 + lambda V): a power of two."""
    return int(2 ** round(np.log2(compute / (1.0 + _LAMBDA * verifications))))


class _Law(NamedTuple):
    mean: float
    concentration: float
    plurality: Plurality
    right: tuple[float, float]
    wrong: tuple[float, float]

    @classmethod
    def of(cls, raw: Floats) -> _Law:
        positive = np.exp(raw).tolist()
        plurality = Plurality(_WRONG_ANSWERS, 1.0 + positive[3], unit(raw[2]))
        return cls(unit(raw[0]), positive[1], plurality, (positive[4], positive[5]), (positive[6], positive[7]))

    def errors(self, grid: _Grid) -> tuple[Floats, Floats]:
        """Of the votes, and of the verified solutions."""
        # Four cells at a time will do for means over all.
        p = chances(self.mean, self.concentration).reshape(-1, 4).mean(axis=1)
        votes = [plurality_chances(p, int(k), self.plurality).mean() - rate for k, rate in grid.votes]
        verified = [verified_chances(p, s, v, self.right, self.wrong).mean() - rate for s, v, rate in grid.verified]
        return np.array(votes), np.array(verified)


def fit_votes(figure: Mapping[str, Any]) -> Document:
    """The class of the figure. Of the series of verifications every other one between the ends is kept for checking."""
    grid = _Grid.of(figure)
    counts = sorted({v for _, v, _ in grid.verified})
    middle = counts[1:-1:2]
    used, kept = grid.parted(middle)
    # The votes are fewer, and are to count as much as the verified solutions.
    weights = np.sqrt(len(used.verified) / len(used.votes)), 1.0

    def errors(raw: Floats) -> Floats:
        return np.concatenate([w * each for w, each in zip(weights, _Law.of(raw).errors(used), strict=True)])

    law = _Law.of(best(errors, [_START], step=1e-4))
    samples = _list([k for k, _ in kept.votes])
    whats = (
        f"votes; those of {samples} samples are kept for checking",
        f"solutions and verifications; those of {_list(middle)} verifications are kept for checking",
    )
    fits = [Quality(*each) for each in zip(whats, law.errors(used), law.errors(kept), strict=True)]
    return _document(law, fits, grid)


def _document(law: _Law, fits: Sequence[Quality], grid: _Grid) -> Document:
    solutions, verifications = ([row[place] for row in grid.verified] for place in (0, 1))
    return {
        "about": "MATH questions answered by Llama-3.1-8B-Instruct, checked by its fine-tuned verifier (GenRM-FT)",
        "source": "Singhi et al. 2025, When To Solve, When To Verify, arXiv:2504.01005, figure 1",
        "difficulty": {"concentration": law.concentration, "status": "fitted"},
        "think": {"ceiling": law.mean, "status": "assumed"},
        "votes": {**vars(law.plurality), "status": "fitted"},
        "verifier": {"right": list(law.right), "wrong": list(law.wrong), "status": "fitted"},
        "sleep": sleep_of(_UNIVERSAL, [1.0], _TOKENS),
        "correlation": {"rho": 0.0, "status": "assumed"},
        "fits": [fit.document() for fit in fits],
        "valid": {
            "samples": [1, max(int(k) for k, _ in grid.votes + grid.beyond)],
            "solutions": [min(solutions), max(solutions)],
            "verifications": [min(verifications), max(verifications)],
        },
    }


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
