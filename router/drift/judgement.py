"""What drift of a window of requests means, and when to train the router again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from router.drift.bins import Bins, Reference
from router.drift.calibration import Calibration, calibration_of
from router.drift.population import Shift, shift_of
from router.types import Floats

__all__ = ["Advice", "Judged", "Rules", "Window", "advise", "judge"]

Verdict = Literal["keep", "watch", "collect", "retrain"]


@dataclass(frozen=True)
class Rules:
    """When drift is an alarm, and an alarm a reason to train again."""

    false_alarms: float = 0.001
    """Chance of an alarm on inputs, and of one on outcomes, in a window where nothing changed; all columns together."""
    tolerance: float = 0.05
    """Observed less expected, or more calibration error than in training, that is let pass."""
    least_questions: int = 100
    """Different questions, and outcomes of a strategy, below which nothing is said of a window."""
    patience: int = 2
    """Windows in a row with inputs that have moved, after which they count as moved for good."""
    least_outcomes: int = 500
    """Outcomes since the alarm, of all strategies, that training again needs."""


@dataclass(frozen=True)
class Window:
    """Requests of some stretch of time, [n] each but for `features` [n, named] and `p` [n, A]."""

    name: str
    features: NDArray[np.float32]
    p: Floats
    """Chances on contexts that are not prepared."""
    given: Floats
    """Chance of the strategy that the request got."""
    strategy: NDArray[np.int64]
    """Which that was; -1 where the log does not say."""
    correct: Floats
    """Whether the answer was right; NaN where that is not known."""
    belongs_to: NDArray[np.int64]
    """Number of its context, or of its question where it has none."""


@dataclass(frozen=True)
class Judged:
    """A window beside the training questions."""

    name: str
    requests: int
    questions: int
    """Different questions or contexts."""
    outcomes: int
    """Requests whose answers are known to be right or wrong."""
    shifts: tuple[Shift, ...]
    """Of all columns, the largest index first; none where questions are too few."""
    calibrations: tuple[Calibration, ...]
    off: tuple[str, ...]
    """Strategies whose calibration is an alarm."""

    @property
    def moved(self) -> bool:
        """Whether inputs are an alarm."""
        return any(shift.level == "major" for shift in self.shifts)

    @property
    def alarm(self) -> bool:
        """Whether inputs or outcomes are."""
        return self.moved or bool(self.off)

    def document(self, shown: int = 5) -> dict[str, Any]:
        """As JSON, with the columns that moved most."""
        return {
            "window": self.name,
            "requests": self.requests,
            "questions": self.questions,
            "outcomes": self.outcomes,
            "alarm": self.alarm,
            "inputs": [
                {"column": shift.column, "psi": shift.psi, "by_chance": shift.by_chance, "level": shift.level}
                for shift in self.shifts[:shown]
            ],
            "outcomes_by_strategy": [
                found.document() | {"off": found.strategy in self.off} for found in self.calibrations
            ],
        }


@dataclass(frozen=True)
class Advice:
    """What to do, and why."""

    verdict: Verdict
    reason: str
    since: str | None = None
    """Window of the first alarm that stands; rows from there on are what the router has not learned."""


def judge(window: Window, reference: Reference, ece_then: Mapping[str, float], rules: Rules) -> Judged:
    """Compare a window with what the router's file says of its training."""
    questions = int(np.unique(window.belongs_to).size)
    known = ~np.isnan(window.correct) & (window.strategy >= 0)
    calibrations = tuple(
        calibration_of(name, window.given[rows], window.correct[rows], window.belongs_to[rows], ece_then[name])
        for place, name in enumerate(reference.p_correct)
        if np.count_nonzero(rows := known & (window.strategy == place)) >= rules.least_questions
    )
    level = rules.false_alarms / max(len(calibrations), 1)
    return Judged(
        window.name,
        int(window.strategy.size),
        questions,
        int(np.count_nonzero(known)),
        _shifts(window, reference, questions, rules) if questions >= rules.least_questions else (),
        calibrations,
        tuple(found.strategy for found in calibrations if found.is_off(rules.tolerance, level)),
    )


def _shifts(window: Window, reference: Reference, questions: int, rules: Rules) -> tuple[Shift, ...]:
    columns: list[tuple[str, Bins, NDArray[Any]]] = [
        *((name, bins, window.features[:, place]) for place, (name, bins) in enumerate(reference.features.items())),
        *((f"p({name})", bins, window.p[:, place]) for place, (name, bins) in enumerate(reference.p_correct.items())),
    ]
    level = rules.false_alarms / len(columns)
    found = [shift_of(name, bins, values, reference.questions, questions, level) for name, bins, values in columns]
    return tuple(sorted(found, key=lambda shift: -shift.psi))


def advise(windows: Sequence[Judged], rules: Rules) -> Advice:
    """The retrain rule, on windows in order of time.

    Train again when outcomes are off in the last window, or inputs have been off in the last `patience` ones, and when
    `least_outcomes` are known since the alarms in a row began; collect outcomes until then. An alarm that has gone
    again, or a moderate shift, is to be watched. Where inputs move and outcomes stay as expected there is nothing to
    gain, so outcomes that are known and fine hold training back.
    """
    if not any(window.shifts or window.calibrations for window in windows):
        return Advice("watch", f"no window has {rules.least_questions} questions or outcomes, too few to tell")
    standing = _standing(windows)
    if not standing:
        before = [window.name for window in windows if window.alarm]
        moderate = sorted({shift.column for shift in windows[-1].shifts if shift.level == "moderate"})
        if before:
            return Advice("watch", f"the alarm of {before[-1]} has gone again")
        if moderate:
            return Advice("watch", f"{', '.join(moderate)} moved moderately")
        return Advice("keep", "questions and outcomes are as in training")
    last, since = standing[-1], standing[0].name
    off = last.off
    moved = len(standing) >= rules.patience and all(window.moved for window in standing[-rules.patience :])
    if off:
        reason = f"answers of {', '.join(off)} are not right as often as expected"
    elif moved and not last.calibrations:
        reason = f"{last.shifts[0].column} has moved for {len(standing)} windows, and no outcomes say how answers fare"
    elif moved:
        return Advice("watch", "questions have moved, but answers are right as often as expected", since)
    else:
        return Advice("watch", f"{last.shifts[0].column} has moved in one window", since)
    outcomes = sum(window.outcomes for window in standing)
    if outcomes < rules.least_outcomes:
        remedy = f"{outcomes} of the {rules.least_outcomes} outcomes needed are known since {since}"
        return Advice("collect", f"{reason}; {remedy}", since)
    return Advice("retrain", reason, since)


def _standing(windows: Sequence[Judged]) -> list[Judged]:
    """The windows of the alarm that stands, up to the last one; a window that is too small to tell does not end it."""
    standing: list[Judged] = []
    for window in windows:
        if window.alarm:
            standing.append(window)
        elif window.shifts or window.calibrations:
            standing = []
    return standing
