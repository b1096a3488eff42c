"""How many questions of a context are still to come, as it is foreseen."""

from __future__ import annotations

from math import inf

import numpy as np
from scipy.special import ndtri

from sim.control.sleep_contexts import LiveContexts
from sim.engine.state import Floats, Integers, Records
from sim.scenario import ConstantCount, Scenario, Stream
from sim.streams import RandomStreams
from sim.workload.keys import uniform_of

__all__ = ["QuestionForecast"]

_UNKNOWN_MEAN = 2.0
"""Questions of a context of a trace, as long as none has ended: assumed, as preparing about breaks even there."""
_NONE = 1e-9


class QuestionForecast:
    """Foresees questions as the scenario's `sleep.forecast` says.

    The mean of a constant number of questions is what has not been asked of it. Of a geometric one with mean m there
    are m to come before the first question and m - 1 after each, as it has no memory. A trace tells no law: it is
    taken to be geometric, with the mean of the contexts seen so far. A router file may say which contexts get more than
    the mean. An oracle knows the number of each context. An
    error is a lognormal factor of mean one, the same for a context whenever it is looked at.

    When they come follows from the mean gap g between questions in all cases: m of them thin out as exp(-t / (m g)),
    so that m (1 - exp(-w / (m g))) come within w seconds.
    """

    def __init__(self, scenario: Scenario, streams: RandomStreams) -> None:
        assert scenario.sleep is not None
        self._forecast = scenario.sleep.forecast
        self._word = streams.word("sleep/forecast")
        workload = scenario.workload
        self._is_constant = np.array([_is_constant(stream) for stream in workload])
        self._is_learned = np.array([_is_learned(stream) for stream in workload])
        self._mean, self._gap_s, self._lasts_s = (
            np.array([law(stream) for stream in workload]) for law in (_mean, _gap_s, _lasts_s)
        )

    def learn(self, live: LiveContexts, asked: Integers) -> None:
        """Look at the contexts so far of streams whose law is not known; `asked` are all their questions, by stream."""
        known = self._is_learned & (live.ended > 0)
        self._mean[known] = np.maximum(asked / np.maximum(live.appeared, 1), 1.0)[known]
        self._gap_s[known] = (live.lived_s / np.maximum(live.ended, 1) / self._mean)[known]

    def ahead_s(self, within_s: float) -> Floats:
        """Time within which most questions come that a context prepared now can serve, by stream."""
        ahead_s: Floats = np.minimum(np.minimum(self._lasts_s, within_s), self._mean * self._gap_s)
        return ahead_s

    def remaining(self, ids: Integers, rows: Records, asked: Integers, within_s: float) -> Floats:
        """Questions on contexts to come within some seconds and before they change; `rows` are LIVE."""
        stream = rows["stream"]
        foreseen = np.maximum(self._to_come(rows, asked), _NONE)
        foreseen *= self._error(ids)
        gap_s = np.maximum(self._gap_s[stream], _NONE)
        within = np.minimum(self._lasts_s[stream], within_s)
        found: Floats = -foreseen * np.expm1(-within / (foreseen * gap_s))
        return found

    def _to_come(self, rows: Records, asked: Integers) -> Floats:
        if self._forecast.questions == "oracle":
            left: Floats = (rows["questions"] - asked).astype(np.float64)
            return left
        stream = rows["stream"]
        mean: Floats = rows["question_factor"] * self._mean[stream] - np.where(
            self._is_constant[stream], asked, asked > 0
        )
        return mean

    def _error(self, ids: Integers) -> Floats | float:
        sigma = self._forecast.error
        return np.exp(sigma * ndtri(uniform_of(self._word, ids) + 2.0**-54) - sigma**2 / 2) if sigma else 1.0


def _mean(stream: Stream) -> float:
    contexts = stream.contexts
    return _UNKNOWN_MEAN if contexts is None or contexts.queries is None else contexts.queries.mean


def _is_constant(stream: Stream) -> bool:
    return stream.contexts is not None and isinstance(stream.contexts.queries, ConstantCount)


def _is_learned(stream: Stream) -> bool:
    return stream.contexts is None or stream.contexts.queries is None


def _gap_s(stream: Stream) -> float:
    contexts = stream.contexts
    return 0.0 if contexts is None or contexts.think_time is None else contexts.think_time.mean


def _lasts_s(stream: Stream) -> float:
    contexts = stream.contexts
    return inf if contexts is None or contexts.changes_every is None else contexts.changes_every
