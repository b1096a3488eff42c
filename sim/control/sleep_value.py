"""What preparing a context saves and costs, as it is expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.control.prices import Prices
from sim.control.sleep_prices import PoolPrice, TokenUsd
from sim.engine.plane import DataPlane
from sim.engine.specs import ApiSpec, PoolSpec
from sim.engine.state import Floats, Integers, Records
from sim.fleet import Fleet
from sim.outcomes import SleepWork
from sim.scenario import Scenario
from sim.sleep import sleep_pools

__all__ = ["Value"]

_DAY_S = 86_400.0


class Value:
    """Values contexts by the prices of the pools that prepare them and of those that answer their questions.

    A pool counts among those that answer a stream by the output tokens it has answered it with so far, at first
    equally. Jobs go to the pools of the lowest tier that do them, on average.
    """

    def __init__(
        self, scenario: Scenario, fleet: Fleet, plane: DataPlane, prices: Prices, work: Sequence[SleepWork]
    ) -> None:
        assert scenario.sleep is not None
        self.prices = [PoolPrice(p, scenario, fleet, plane, prices) for p in range(len(scenario.fleet))]
        self._plane = plane
        self._drafts, self._draft_tokens, self._notes_tokens = (np.array(column) for column in _columns(work))
        self._is_marginal = scenario.sleep.cost == "marginal"
        self._specs = fleet.pools
        pools = sleep_pools(scenario)
        tier = min(fleet.pools[p].tier for p in pools)
        self._sleep_pools = [p for p in pools if fleet.pools[p].tier == tier]
        self._usd_per_correct = np.array([stream.usd_per_correct or 0.0 for stream in scenario.workload])
        self._may_answer = np.zeros((len(scenario.workload), len(fleet.pools)), np.bool_)
        for stream in range(len(scenario.workload)):
            for stages in fleet.targets[stream]:
                for answering in stages:
                    self._may_answer[stream, answering] = True

    def saving_usd(
        self, rows: Records, questions: Floats, ahead_s: Floats, context_tokens: float, now_s: float
    ) -> Floats:
        """Net of reading the notes, [n]; `rows` are LIVE, `ahead_s` [S] is the time in which the questions come.

        More right answers are worth what the stream says a right answer is worth, nothing where it does not. Where a
        prefix cache keeps what a context's questions share, the notes are read once, otherwise by each.
        """
        output_usd, each_usd, once_usd = self._by_stream(np.unique(rows["stream"]), ahead_s, context_tokens, now_s)
        stream = rows["stream"]
        better_usd = rows["gained"] * self._usd_per_correct[stream]
        saved: Floats = questions * (rows["saving_tokens"] * output_usd[stream] + better_usd - each_usd[stream])
        saved -= np.minimum(questions, 1.0) * once_usd[stream]
        return saved

    def cost_usd(self, rows: Records, context_tokens: float, now_s: float) -> tuple[Floats, Floats]:
        """What preparing contexts costs as it is decided by, and as it is planned with, [n] each; `rows` are LIVE."""
        planned = self._jobs_usd(rows, context_tokens, now_s, marginal=False)
        if not self._is_marginal:
            return planned, planned
        return self._jobs_usd(rows, context_tokens, now_s, marginal=True), planned

    def output_usd(self, stream: int, now_s: float) -> float:
        """What an output token of a stream is expected to cost over the day to come."""
        ahead_s = np.full(len(self._may_answer), _DAY_S)
        return float(self._by_stream(np.array([stream]), ahead_s, 1.0, now_s)[0][stream])

    def _jobs_usd(self, rows: Records, context_tokens: float, now_s: float, *, marginal: bool) -> Floats:
        stream, tokens = rows["stream"], rows["tokens"].astype(np.float64)
        drafts, output_tokens = self._drafts[stream], (self._drafts * self._draft_tokens)[stream]
        costs = []
        for p in self._sleep_pools:
            price = self.prices[p].now(now_s, context_tokens, marginal=marginal)
            # Drafts share a prompt on a GPU; each call of an API pays for its own.
            prompts = drafts if isinstance(self._specs[p], ApiSpec) else 1
            costs.append(prompts * price.of_prompts(tokens) + output_tokens * price.output)
        mean: Floats = np.mean(costs, axis=0)
        return mean

    def _by_stream(
        self, streams: Integers, ahead_s: Floats, context_tokens: float, now_s: float
    ) -> tuple[Floats, Floats, Floats]:
        """Dollars of an output token, of notes that each question reads and of notes read once, [S] each."""
        answered = self._plane.state.ended_output_tokens.sum(axis=(2, 3))
        found = np.zeros((3, len(self._may_answer)))
        for stream in streams.tolist():
            weights = self._may_answer[stream] * (1.0 + answered[:, stream])
            for p in np.flatnonzero(weights).tolist():
                price = self.prices[p].mean(now_s, now_s + float(ahead_s[stream]), context_tokens)
                found[:, stream] += weights[p] / weights.sum() * self._of_pool(p, stream, price)
        return found[0], found[1], found[2]

    def _of_pool(self, p: int, stream: int, price: TokenUsd) -> Floats:
        notes_usd = float(self._notes_tokens[stream]) * price.prompt
        spec = self._specs[p]
        once = isinstance(spec, PoolSpec) and spec.prefix_cache
        return np.array([price.output, 0.0 if once else notes_usd, notes_usd if once else 0.0])


def _columns(work: Sequence[SleepWork]) -> tuple[list[int], list[int], list[int]]:
    """Drafts, tokens of a draft and tokens of all notes, by stream."""
    return (
        [each.drafts for each in work],
        [each.draft_tokens for each in work],
        [each.notes_tokens for each in work],
    )
