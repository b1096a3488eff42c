"""What a router is told of a real engine when a request arrives: how busy it is, and what a token costs there.

The figures are those that the simulation's router looks at (`sim.engine.loads`), of the one replica there is. Instead
of the law of step times alone they hold the pace at which the engine has really gone of late: what its last steps
took, over what the law gives them. On a clock that goes by the law the pace is 1, and the figures are the simulation's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import floor
from typing import NamedTuple

import numpy as np

from router.types import Load, Prices
from sim.engine.specs import PoolSpec, StrategySpec
from sim.lab.engine.engine import Engine
from sim.lab.engine.jobs import BLOCK_TOKENS, Job
from sim.lab.engine.records import JobRecord, StepRecord
from sim.steptime import StepTime

__all__ = ["LiveLoad", "Seen"]

_STEPS = 64
"""Steps over which the pace is taken."""


class Seen(NamedTuple):
    """The engine at an instant."""

    ahead: int
    """Branches of requests that are not done, sleep-time work left out."""
    row_kv: float | None
    """Mean KV tokens of the rows that decode; None where there are none."""
    pace: float
    """What a step takes over what the law says."""


class LiveLoad:
    """Keeps count of what a router may know of an engine."""

    def __init__(self, engine: Engine, spec: PoolSpec, strategies: Sequence[StrategySpec]) -> None:
        self._engine, self._spec = engine, spec
        self._law: StepTime = spec.step_time.covering(spec.max_num_seqs)
        self._branches = np.array([strategy.stages[0].branches for strategy in strategies], np.float64)
        self._prompts = np.array([_prompts(strategy) for strategy in strategies], np.float64)
        self._counted, self._last = 0, deque[tuple[float, float]](maxlen=_STEPS)
        self._done_branches = self._prompt_tokens = self._attended_tokens = self._output_tokens = 0

    def stage_over(self, jobs: Sequence[Job], records: Mapping[int, JobRecord]) -> None:
        """All branches of a request's stage have ended; those that share another's prompt have not read it."""
        for job in jobs:
            record = records[job.job_id]
            self._done_branches += 1
            self._output_tokens += record.output_tokens
            self._attended_tokens += record.prompt_tokens
            self._prompt_tokens += record.prompt_tokens if job.prefix_of is None else 0

    def seen(self, at_s: float, ahead: int) -> Seen:
        """The engine at a time, with so many branches not done; a step that ends just then is still under way."""
        step = self._step(at_s)
        row_kv = None
        if step is not None and step.decode_rows:
            row_kv = (step.kv_tokens - step.decode_rows) / step.decode_rows
        return Seen(ahead, row_kv, self._pace())

    def _step(self, at_s: float) -> StepRecord | None:
        """The step under way, or the last one where the next is about to begin; None while nothing runs."""
        if not self._engine.steps:
            return None
        last = self._engine.steps[-1]
        return last if at_s <= last.begin_s + last.seconds or self._engine.running else None

    def _pace(self) -> float:
        """What the last steps took over what they would have by the law."""
        steps, law = self._engine.steps, self._law
        for step in steps[max(self._counted, len(steps) - _STEPS) :]:
            told_s = law.mixed_step_s(step.decode_rows, step.kv_tokens, step.prompt_tokens, step.pairs, step.slices)
            self._last.append((step.seconds, told_s))
        self._counted = len(steps)
        if not self._last:
            return 1.0
        taken, told = map(sum, zip(*self._last, strict=True))
        return float(taken / told)

    def prices(self, prompt_tokens: int, usd_per_s: float, seen: Seen) -> Prices:
        """What a token costs of each strategy, the engine's time being worth `usd_per_s`: its part of a full batch."""
        law, whole = self._law, self._spec.max_num_batched_tokens
        read_s = law.linear(whole) / whole + law.attention_s_per_pair * 0.5 * prompt_tokens
        usd_per_s *= seen.pace
        write_usd = usd_per_s * self._full_batch_s(prompt_tokens)
        return Prices(usd_per_s * read_s * self._prompts, np.full(self._prompts.shape, write_usd))

    def load(self, prompt_tokens: int, path_share: np.ndarray, seen: Seen) -> Load:
        """Time until a request of each strategy is begun, and what its tokens take."""
        law = self._law
        row_kv = float(prompt_tokens) if seen.row_kv is None else seen.row_kv
        places = self._places(row_kv)
        there = seen.ahead + self._branches
        tpot_s = np.array([self._decode_s(int(min(rows, places)), row_kv) for rows in there]) * seen.pace
        queue_s = np.maximum(there - places, 0.0) * self._mean_tokens * tpot_s / places
        alone_s = (
            law.linear(prompt_tokens)
            + law.attention_s_per_pair * (0.5 * prompt_tokens * (prompt_tokens + 1))
            + law.slice_s
        )
        wait_s = law.front_end_s + law.front_end_steps * tpot_s + queue_s
        prompt_s = np.full(wait_s.shape, alone_s / prompt_tokens * seen.pace)
        return Load(wait_s, prompt_s, tpot_s, path_share)

    @property
    def _mean_tokens(self) -> float:
        """Output tokens of a branch so far."""
        return self._output_tokens / max(self._done_branches, 1)

    def _places(self, row_kv: float) -> int:
        """Rows of a full batch, of so many KV tokens each."""
        return max(min(self._spec.max_num_seqs, floor(self._room / row_kv)), 1)

    @property
    def _room(self) -> int:
        """KV tokens that fit, in whole blocks."""
        return self._spec.kv_capacity_tokens // BLOCK_TOKENS * BLOCK_TOKENS

    def _full_batch_s(self, prompt_tokens: int) -> float:
        """Of an output token in a full batch of branches as they were so far; of this prompt where none was."""
        prompt, output, each = float(prompt_tokens), 0.0, float(prompt_tokens)
        if self._done_branches:
            prompt = self._attended_tokens / self._done_branches
            output = self._mean_tokens
            each = max((self._prompt_tokens + 0.5 * self._output_tokens) / self._done_branches, 1.0)
        rows = self._places(each)
        return self._decode_s(rows, max(prompt + 0.5 * output, 1.0)) / rows

    def _decode_s(self, rows: int, row_kv: float) -> float:
        return self._law.decode_step_s(rows, rows * row_kv)


def _prompts(strategy: StrategySpec) -> int:
    """How often the prompt is read in the first step: once a group, unless it goes on from what is there already."""
    return sum(stage.groups for stage in strategy.stages if stage.step == 0 and (not stage.extends or stage.apart))
