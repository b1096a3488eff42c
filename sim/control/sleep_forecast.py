"""How many questions of a context are still to come, as it is foreseen."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import numpy as np

from sim.control.sleep_contexts import LiveContexts
from sim.engine.state import Floats, Integers, Records
from sim.scenario import Scenario, Stream
from sim.scenario.distributions import ConstantCount
from sim.workload.blocks import RequestBlock

__all__ = ["MeanQuestions", "TrueQuestions"]

_UNKNOWN_MEAN = 2.0
"""Questions of a context of a trace, as long as none has ended: assumed; preparing about breaks even there."""


class MeanQuestions:
    """The mean that is to be expected, given how many questions have been asked.

    Of a constant number those are left that have not been asked. Of a geometric one of mean m there are m to come
    before the first question and m - 1 after each, as it has no memory. A trace knows no law: it is taken to be
    geometric, with the mean of the contexts seen so far.

    Gaps of mean g between questions that end after m on average make a flow that thins out as exp(-t / (m g)): of m
    questions m (1 - exp(-w / (m g))) come within w seconds.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._mean = np.array([_mean(stream) for stream in scenario.workload])
        self._gap_s = np.array([_gap_s(stream) for stream in scenario.workload])
        self._is_constant = np.array([_is_constant(stream) for stream in scenario.workload])
        self._lasts_s = np.array([_lasts_s(stream) for stream in scenario.workload])
        self._learned = np.array([stream.contexts is None or stream.contexts.queries is None for stream in scenario.workload])

    def learn(self, live: LiveContexts, asked: Integers) -> None:
        """Look at contexts that have ended; `asked` are all questions so far, by stream."""
        known = self._learned & (live.ended > 0)
        self._mean[known] = np.maximum(asked / np.maximum(live.appeared, 1), 1.0)[known]
        self._gap_s[known] = (live.lived_s / np.maximum(live.ended, 1) / self._mean)[known]

    def ahead_s(self, within_s: float) -> Floats:
        """Time over which those questions come that a context prepared now can serve, by stream."""
        return np.minimum(np.minimum(self._lasts_s, within_s), self._mean * self._gap_s)

    def remaining(self, ids: Integers, rows: Records, asked: Integers, now_s: float, within_s: float) -> Floats:
        """Questions that come within some seconds and before the context changes."""
        stream = rows["stream"]
        foreseen = self._mean[stream] - np.where(self._is_constant[stream], asked, asked > 0)
        foreseen = np.maximum(foreseen, 1e-9)
        within = np.minimum(self._lasts_s[stream], within_s)
        gap_s = np.maximum(self._gap_s[stream], 1e-9)
        return -foreseen * np.expm1(-within / (foreseen * gap_s))


class TrueQuestions:
    """What will really come: all questions on contexts, looked through beforehand."""

    def __init__(self, blocks: Iterable[RequestBlock]) -> None:
        """Keeps two numbers a question."""
        found = [_asked(block) for block in blocks]
        context, version, at_s = (np.concatenate(column) for column in zip(*found, strict=True)) if found else _NONE
        self._last_s = float(at_s.max(initial=0.0)) + 1.0
        self._codes, place = np.unique(_code(context, version), return_inverse=True)
        self._keys = np.sort(place * self._last_s + at_s)

    def remaining(self, ids: Integers, rows: Records, asked: Integers, now_s: float, within_s: float) -> Floats:
        """Questions that come within some seconds and before the context changes."""
        codes = _code(ids, rows["version"])
        place = np.searchsorted(self._codes, codes)
        known = place < self._codes.size
        known[known] = self._codes[place[known]] == codes[known]
        begin = place * self._last_s
        before, after = (
            np.searchsorted(self._keys, begin + min(until_s, self._last_s), side=side)
            for until_s, side in ((now_s, "left"), (now_s + within_s, "left"))
        )
        return np.where(known, after - before, 0).astype(np.float64)


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_VERSIONS = 1 << 24


def _asked(block: RequestBlock) -> tuple[Integers, Integers, Floats]:
    mine = block.context_id >= 0
    return block.context_id[mine], block.version[mine], block.arrival_s[mine]


def _code(context: Integers, version: Integers) -> Integers:
    return context * _VERSIONS + version


def _mean(stream: Stream) -> float:
    contexts = stream.contexts
    return _UNKNOWN_MEAN if contexts is None or contexts.queries is None else contexts.queries.mean


def _is_constant(stream: Stream) -> bool:
    return stream.contexts is not None and isinstance(stream.contexts.queries, ConstantCount)


def _gap_s(stream: Stream) -> float:
    contexts = stream.contexts
    return 0.0 if contexts is None or contexts.think_time is None else contexts.think_time.mean


def _lasts_s(stream: Stream) -> float:
    contexts = stream.contexts
    return inf if contexts is None or contexts.changes_every is None else contexts.changes_every
