"""Which way is best at a point, and whether chance may have made it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.regions.grid import AXES, Point
from sim.regions.trial import Trial
from sim.regions.ways import Kind, Way
from sim.stats import Estimate, estimate, paired_difference

__all__ = ["Cost", "Judged", "Measured", "judge", "judged_json", "scores"]

Cost = Literal["use", "bill"]
"""What a way costs: what questions and preparations use, or all that is paid."""


class Measured(NamedTuple):
    """A way at a point, on average over the replications; NaN where nothing is known."""

    score: Estimate
    """Net value of a question; or minus the cost of a right answer, where nobody says what one is worth."""
    accuracy: float
    usd_per_question: float
    usd_per_correct: float
    output_tokens: float
    preparing_usd_per_question: float
    hit_rate: float


class Judged(NamedTuple):
    """A point of the map."""

    point: Point
    rate_factor: float
    """Factor on the arrivals of the scenario."""
    measured: Mapping[str, Measured]
    """By name of the way."""
    best: Way
    runner_up: Way
    """The best of another kind."""
    lead: Estimate
    """Of the best before it, replication by replication."""
    preparing: Estimate
    """Of preparing contexts before answering in the same way without."""

    @property
    def is_decided(self) -> bool:
        """Whether the interval of the lead leaves out zero."""
        return self.lead.low > 0.0

    @property
    def winner(self) -> Kind | None:
        """The kind of way that is best; None where chance may have made it so."""
        return self.best.kind if self.is_decided else None

    @property
    def preparing_loses(self) -> bool:
        """Whether preparing contexts costs more than it brings, beyond chance."""
        return self.preparing.high < 0.0

    @property
    def preparing_gains(self) -> bool:
        """Whether it brings more than it costs, beyond chance."""
        return self.preparing.low > 0.0


def scores(trial: Trial, usd_per_correct: Sequence[float] | None, cost: Cost) -> NDArray[np.float64]:
    """The score of each replication, [R]: the more, the better. Unanswered questions cost, and are worth nothing.

    With values of a right answer by stream it is their sum less the cost, by question asked; without, minus the cost of
    a right answer.
    """
    usd = trial.used_usd if cost == "use" else trial.bill_usd
    with np.errstate(divide="ignore", invalid="ignore"):
        if usd_per_correct is None:
            found: NDArray[np.float64] = -usd / trial.right.sum(axis=1)
        else:
            found = (trial.right @ np.asarray(usd_per_correct) - usd) / trial.asked
    return np.where(np.isfinite(found), found, np.nan)


def judge(
    point: Point,
    rate_factor: float,
    trials: Mapping[Way, Trial],
    usd_per_correct: Sequence[float] | None,
    cost: Cost = "use",
) -> Judged:
    """Find the best way, and hold it against the best of the other kinds."""
    score = {way: scores(trial, usd_per_correct, cost) for way, trial in trials.items()}
    order = sorted(trials, key=lambda way: -_mean(score[way]))
    best = order[0]
    runner_up = next(way for way in order if way.kind != best.kind)
    prepared = next(way for way in trials if way.prepares)
    same = next(way for way in trials if way.strategy == prepared.strategy and not way.prepares)
    return Judged(
        point=point,
        rate_factor=rate_factor,
        measured={way.name: _measured(trial, score[way], cost) for way, trial in trials.items()},
        best=best,
        runner_up=runner_up,
        lead=_difference(score[best], score[runner_up]),
        preparing=_difference(score[prepared], score[same]),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are known; the worst there is where none is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else -np.inf


def _difference(values: NDArray[np.float64], others: NDArray[np.float64]) -> Estimate:
    return paired_difference(values.tolist(), others.tolist())


def _measured(trial: Trial, score: NDArray[np.float64], cost: Cost) -> Measured:
    usd = (trial.used_usd if cost == "use" else trial.bill_usd).sum()
    right, asked, on_contexts = trial.right.sum(), trial.asked.sum(), trial.on_contexts.sum()
    return Measured(
        score=estimate(score.tolist()),
        accuracy=_ratio(right, trial.known.sum()),
        usd_per_question=_ratio(usd, asked),
        usd_per_correct=_ratio(usd, right),
        output_tokens=_ratio(trial.output_tokens.sum(), asked),
        preparing_usd_per_question=_ratio(trial.preparing_usd.sum(), asked),
        hit_rate=_ratio(trial.hits.sum(), on_contexts),
    )


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else float("nan")


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _spelled(found: Estimate) -> dict[str, float | None]:
    return {name: _known(value) for name, value in found._asdict().items()}


def judged_json(judged: Judged) -> dict[str, Any]:
    """A point as JSON holds it; null where nothing is known."""
    return {
        **dict(zip(AXES, judged.point, strict=True)),
        "arrivals_factor": judged.rate_factor,
        "best": judged.best.name,
        "kind": judged.best.kind,
        "runner_up": judged.runner_up.name,
        "lead": _spelled(judged.lead),
        "decided": judged.is_decided,
        "preparing": _spelled(judged.preparing)
        | {"verdict": "pays" if judged.preparing_gains else "loses" if judged.preparing_loses else "undecided"},
        "ways": {
            name: {
                "score": _spelled(way.score),
                **{key: _known(value) for key, value in way._asdict().items() if key != "score"},
            }
            for name, way in judged.measured.items()
        },
    }
