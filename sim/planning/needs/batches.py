"""What work takes on a replica: the time of a prompt, of a step of so many rows, and the least that it can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.engine import state as st
from sim.engine.specs import PoolSpec
from sim.planning.needs.stages import StageWork
from sim.planning.purchase.instance import Floats, Integers

__all__ = ["Batches", "Taken"]

_BESIDE = 0.5
"""Share of the places that have a row while a prompt is read: with fewer rows it might add nothing to a step."""


@dataclass(frozen=True)
class Taken:
    """What J requests take of a replica by one strategy; every column is [J]."""

    prompt_s: Floats
    """Time for which prompts hold the steps up."""
    tokens: Floats
    """Output tokens of all branches."""
    kv_tokens: Floats
    """KV tokens that each of them attends to, in the mean."""
    path_tokens: Floats
    """Tokens that are written one after another."""
    slices: Floats
    """Steps until the first prompt is read."""
    first_s: Floats
    """Time for which the first prompts hold the steps up, until the first token."""
    rows: float
    """Branches at once, in the mean over tokens."""


@dataclass(frozen=True)
class Batches:
    """One replica of a pool."""

    spec: PoolSpec

    @property
    def max_rows(self) -> int:
        """Places in a batch."""
        return min(self.spec.max_num_seqs, self.spec.step_time.max_rows)

    @cached_property
    def least_kv_s(self) -> float:
        """Least time of a KV token in a step."""
        return float(self.spec.step_time.decode_kv_s[:, 1 : self.max_rows + 1].min())

    @cached_property
    def _frontier(self) -> tuple[Floats, Floats]:
        """Pairs of a time of a row and of a prompt token that no step undercuts, [n] each.

        A step of B rows and q prompt tokens takes at least a B + b q if b is the smallest of
        (f[B] - a B + g[B + q] - g[B]) / q, for any a of at most the smallest f[B] / B. So no mixture of rows and
        prompts takes less than a for each row's step and b for each prompt token.
        """
        law = self.spec.step_time
        rows = np.arange(self.max_rows + 1)
        most = max(self.spec.max_num_batched_tokens, law.linear_s.size - 1)
        tokens = np.unique(np.geomspace(1, 4 * most, 120).astype(np.int64))
        base_s = law.decode_base_s.min(axis=0)[: self.max_rows + 1]
        linear = self._linear(rows[:, np.newaxis] + tokens) - self._linear(rows)[:, np.newaxis]
        row_s = np.linspace(0.0, 1.0, 17) * float((base_s[1:] / rows[1:]).min())
        spare = [np.maximum(base_s - each * rows, 0.0)[:, np.newaxis] for each in row_s]
        return row_s, np.array([float(((each + linear) / tokens).min()) for each in spare])

    def least_times_s(self, tokens_per_prompt_token: float) -> tuple[float, float]:
        """Time of a row in a step, beside its KV tokens, and of a prompt token: the pair that bounds this mix best."""
        row_s, prompt_s = self._frontier
        best = int(np.argmax(row_s * tokens_per_prompt_token + prompt_s))
        return float(row_s[best]), float(prompt_s[best])

    def full_rows(self, kv_tokens: float) -> int:
        """Rows of a full batch of such rows."""
        return max(min(self.max_rows, int(self.spec.kv_capacity_tokens / max(kv_tokens, 1.0))), 1)

    def step_s(self, rows: Floats, kv_tokens: float) -> Floats:
        """Time of a decode step of so many rows (1 at least, places at most), [...], between whole numbers linear."""
        law = self.spec.step_time
        whole = np.arange(1, self.max_rows + 1)
        kv = whole * kv_tokens
        segment = np.searchsorted(law.kv_edges, kv)
        table = law.decode_base_s[segment, whole] + law.decode_kv_s[segment, whole] * kv
        found: Floats = np.interp(rows, whole, table)
        return found

    def taken(self, stages: Sequence[StageWork], hit: Floats | float) -> Taken:
        """What requests take with all branches, a cached prefix being found with the chance `hit`, a number or [J]."""
        step_tokens = self.spec.max_num_batched_tokens
        zero = np.zeros_like(stages[0].prompt_tokens)
        prompt_s, tokens, kv, path, rows = zero, zero, zero, zero, zero
        first: tuple[Floats, Floats] = zero, zero
        for index, stage in enumerate(stages):
            own_s = self._prompt_s(stage, hit) * stage.taken
            if index == 0:
                read = stage.prompt_tokens - self._cached(stage, hit)
                first = np.ceil(np.maximum(read, 1.0) / step_tokens), own_s
            out = stage.output_tokens * stage.branches * stage.most_share * stage.taken
            prompt_s = prompt_s + own_s
            tokens, rows = tokens + out, rows + out * stage.branches
            kv = kv + out * (stage.prompt_tokens + stage.output_tokens / 2.0)
            path = path + stage.output_tokens * stage.path_factor * stage.taken
        mean_rows = float(rows.sum() / max(tokens.sum(), 1e-9))
        return Taken(prompt_s, tokens, kv / np.maximum(tokens, 1e-9), path, *first, mean_rows)

    def least_s(self, stages: Sequence[StageWork], times_s: tuple[float, float]) -> Floats:
        """Least time that requests can take, [J]: every prefix found, every step full, no branch waited for in vain.

        `times_s` are those of `least_times_s`.
        """
        law, (row_s, prompt_token_s) = self.spec.step_time, times_s
        total = np.zeros_like(stages[0].prompt_tokens)
        for stage in stages:
            cached, read, out = self._least_tokens(stage)
            pairs = read * (cached + (read + 1.0) / 2.0)
            prompt_s = read * prompt_token_s + law.attention_s_per_pair * pairs
            token_s = row_s + self.least_kv_s * (stage.prompt_tokens + stage.output_tokens / 2.0)
            total = total + stage.taken * (stage.prompts * prompt_s + out * token_s)
        return total

    def least_tokens(self, stages: Sequence[StageWork]) -> tuple[float, float]:
        """Least tokens to read and to write, mean over requests."""
        found = np.zeros(2)
        for stage in stages:
            _, read, out = self._least_tokens(stage)
            found += (stage.taken * read * stage.prompts).mean(), (stage.taken * out).mean()
        return float(found[0]), float(found[1])

    def _least_tokens(self, stage: StageWork) -> tuple[Floats, Floats, Floats]:
        """Tokens of each prompt that are found and that are read, and of all branches those that a step writes.

        The step that reads a prompt says its first token.
        """
        cached = self._cached(stage, 1.0)
        out = np.maximum(stage.output_tokens - 1.0, 0.0) * stage.branches * stage.least_share
        return cached, np.maximum(stage.prompt_tokens - cached, 1.0), out

    def _cached(self, stage: StageWork, hit: Floats | float) -> Floats:
        if not self.spec.prefix_cache:
            return stage.own_tokens
        block = st.BLOCK_TOKENS
        prefix = np.floor(np.minimum(stage.prefix_tokens, stage.prompt_tokens - 1.0) / block) * block
        return np.maximum(stage.own_tokens, hit * prefix)

    def _prompt_s(self, stage: StageWork, hit: Floats | float) -> Floats:
        """Time that the prompts of a stage add to steps: read in slices of the step's tokens beside some rows."""
        law, step_tokens = self.spec.step_time, self.spec.max_num_batched_tokens
        cached = self._cached(stage, hit)
        read = np.maximum(stage.prompt_tokens - cached, 1.0)
        rows = 0 if self.spec.scheduler == st.PREFILL_FIRST else int(_BESIDE * self.max_rows)
        beside = float(self._linear(np.array([rows]))[0])
        whole, rest = np.divmod(read, step_tokens)
        linear = whole * (self._linear(np.array([step_tokens + rows]))[0] - beside)
        linear = linear + self._linear(rest + rows) - beside
        pairs = read * (cached + (read + 1.0) / 2.0)
        found: Floats = stage.prompts * (
            linear + law.attention_s_per_pair * pairs + law.slice_s * np.ceil(read / step_tokens)
        )
        return found

    def whole_prompt_s(self, tokens: Floats) -> Floats:
        """Time of a step that reads nothing but one prompt, whole, [J]."""
        law = self.spec.step_time
        return self._linear(tokens) + law.attention_s_per_pair * 0.5 * tokens * (tokens + 1.0) + law.slice_s

    def _linear(self, tokens: Floats | Integers) -> Floats:
        """g at so many tokens, [...], going on with its last slope."""
        g = self.spec.step_time.linear_s
        last = g.size - 1
        beyond = np.maximum(tokens - last, 0) * (g[last] - g[last - 1])
        found: Floats = np.interp(tokens, np.arange(last + 1), g) + beyond
        return found
