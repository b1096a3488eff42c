"""How long requests take on a replica that is so busy: what of them keep their objectives.

Decoding is a shared processor whose speed depends on the rows (`sim.analytic.shared_processor`): with n rows there are
n / step(n) tokens a second, in the time that prompts leave. Prompts go through a gate: all that came during one step
are read in the next one, and each has its first token when that ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sim.analytic import shared_processor
from sim.engine.specs import StreamSpec
from sim.planning.needs.batches import Batches, Taken
from sim.planning.purchase.instance import Floats

__all__ = ["Class", "Replica", "Seen", "nodes_of"]

NODES = 12
"""States of the replicas that stand for all of them, equally likely."""
_MOST_STATES = 768
_UNEVEN = 4.0
"""How much more the pace of tokens varies than prompts that come by chance make it: load goes up and down with them.
Found by comparison with the simulator (8B and 70B, one and three replicas)."""
_QUEUES = 4
"""Rows of which chances are told, as a multiple of the places."""


@dataclass(frozen=True)
class Class:
    """Requests of one stream by one strategy."""

    weight: float
    """Share of the requests."""
    taken: Taken
    """Of some of them, [J]."""
    odds: Floats
    """For how many each of them stands, [J]; their sum is 1."""
    promised: StreamSpec
    clump: float
    """How many of them come as one: variance of their number over its mean."""


@dataclass(frozen=True)
class Seen:
    """What requests see when they come: U cases of K states each, equally likely."""

    rows: Floats
    """Rows of a replica, waiting ones included, [U, K]."""
    rps: Floats
    """Requests a second to a replica, [U, 1]."""
    prompts_busy: Floats
    """Share of a replica's time that prompts take, [U, 1]."""
    swamped: NDArray[np.bool_]
    """Cases in which more comes than replicas can do, so that the queue grows without end, [U]."""


class Replica:
    """A replica that serves a mix of classes, one of some alike among which requests go to the least busy."""

    def __init__(self, batches: Batches, classes: Sequence[Class]) -> None:
        self.batches, self.classes = batches, list(classes)
        weights = np.array([each.weight for each in classes])
        self.weights: Floats = weights / weights.sum()

    def _mean(self, values: Sequence[Floats]) -> float:
        """Mean over all requests of a value of each class's, [J]."""
        means = [float(each.odds @ own) for each, own in zip(self.classes, values, strict=True)]
        return float(self.weights @ means)

    @cached_property
    def prompt_s(self) -> float:
        """Mean time of a request's prompts."""
        return self._mean([each.taken.prompt_s for each in self.classes])

    @cached_property
    def squared_prompt_s(self) -> float:
        """Mean square of the time of a request's prompts."""
        return self._mean([each.taken.prompt_s**2 for each in self.classes])

    @cached_property
    def tokens(self) -> float:
        """Mean output tokens of a request."""
        return self._mean([each.taken.tokens for each in self.classes])

    @cached_property
    def kv_tokens(self) -> float:
        """Mean KV tokens of a row."""
        total = self._mean([each.taken.tokens * each.taken.kv_tokens for each in self.classes])
        return total / max(self.tokens, 1e-9)

    @cached_property
    def places(self) -> int:
        """Rows of a full batch."""
        return self.batches.full_rows(self.kv_tokens)

    @cached_property
    def work_s(self) -> float:
        """Time of a mean request in full batches."""
        return self.prompt_s + self.tokens * self.step_s(np.array(float(self.places))).item() / self.places

    @cached_property
    def rows_per_request(self) -> float:
        """Mean rows at once of a request, over its tokens."""
        rows = self._mean([each.taken.rows * each.taken.tokens for each in self.classes])
        return rows / max(self.tokens, 1e-9)

    @cached_property
    def gaps(self) -> float:
        """How many requests come as one: variance of their number over its mean."""
        return float(self.weights @ [each.clump for each in self.classes])

    @cached_property
    def clump(self) -> float:
        """Rows that come as one: of requests (gaps + 1) / 2 if they stay for exponential times (Eckberg 1983)."""
        return (self.gaps + 1.0) / 2.0 * self.rows_per_request

    @cached_property
    def states(self) -> Floats:
        """Rows of a replica of which chances are told, from 1 on."""
        most = _QUEUES * self.places
        return np.arange(1.0, most + 1.0, max(most // _MOST_STATES, 1))

    def step_s(self, rows: Floats) -> Floats:
        """Time of a decode step of so many rows; of all places where there are more."""
        return self.batches.step_s(np.clip(rows, 1.0, self.places), self.kv_tokens)

    def ends_rps(self, rows: Floats, prompts_busy: Floats | float) -> Floats:
        """Requests a second that a replica with so many rows ends; with less than one it is idle at times."""
        found: Floats = np.minimum(rows, self.places) / self.step_s(rows) * (1.0 - prompts_busy) / self.tokens
        return found

    def seen(self, busy: Floats, replicas: float) -> Seen:
        """What requests see where each of so many replicas is given `busy` of its time in full batches, [U].

        Of c replicas that share rows evenly the chances of n rows each are those of one to the power of c.
        """
        rps = (busy / self.work_s)[:, np.newaxis]
        prompts_busy = np.minimum(rps * self.prompt_s, 0.999)
        stride = float(self.states[1] - self.states[0]) if self.states.size > 1 else 1.0
        ends = self.ends_rps(self.states, prompts_busy)
        chances = shared_processor(rps[:, 0], ends, self.clump / (replicas * stride))
        rows = nodes_of(np.concatenate(([0.0], self.states)), chances)
        return Seen(rows, rps, prompts_busy, busy >= 1.0)

    def kept(self, seen: Seen, replicas: float) -> Floats:
        """Share of each class's requests that keeps all objectives, [classes, U]."""
        return np.array([self._kept(each, seen, replicas) for each in self.classes])

    def times_s(self, one: Class, seen: Seen) -> tuple[Floats, Floats]:
        """Time to the first token but for other prompts, [U, K, J], and of each further one, [U, K, 1]."""
        law = self.batches.spec.step_time
        step_s = self.step_s(seen.rows + 1.0)
        mean_step_s = step_s / (1.0 - seen.prompts_busy)
        behind = np.maximum(seen.rows - self.places + 1.0, 0.0)
        queue_s = behind * mean_step_s * self.tokens / self.rows_per_request / self.places
        later_s = law.front_end_s + law.front_end_steps * mean_step_s + queue_s
        # Of the step under way half is left, and of other prompts there are as many as come in one.
        gate_s = (0.5 + seen.prompts_busy) * mean_step_s
        first_s = (later_s + gate_s)[..., np.newaxis] + one.taken.slices * step_s[..., np.newaxis]
        return first_s + one.taken.first_s, mean_step_s[..., np.newaxis]

    def prompt_wait(self, seen: Seen, replicas: float) -> tuple[Floats, Floats]:
        """Chance of being held up by other prompts, [U, 1, 1], and the mean time of those who are.

        A step takes D = d + the prompts that came in the one before, so that Var D = rps E[D] E[S^2] / (1 - a^2). Who
        comes sees the rest of one step, half of E[D^2] / E[D], and in its own the prompts of all of that step, `a`
        times as much: E[S^2] counts rps (a + 1/2) / (1 - a^2) times. Those that come in the same clump are read in
        the same step; they are spread over the replicas.
        """
        busy, rps = seen.prompts_busy, seen.rps
        extra = max(self.gaps - replicas, 0.0) / replicas if self.gaps > 1.0 else (self.gaps - 1.0) / replicas
        squared = self.squared_prompt_s + max(extra, -0.5) * self.prompt_s**2
        held_s = rps * squared * (busy + 0.5) / (1.0 - busy**2)
        span = rps * (self.step_s(seen.rows).mean(axis=1, keepdims=True) / (1.0 - busy) + rps * squared)
        together_s = max(extra, 0.0) * self.prompt_s * (1.0 - np.exp(-2.0 * replicas * span))
        chance = np.clip(busy + (1.0 - busy) * max(extra, 0.0) / (1.0 + max(extra, 0.0)) * 0.5, 1e-9, 1.0)
        return chance[..., np.newaxis], ((held_s + together_s) / chance)[..., np.newaxis]

    def _kept(self, one: Class, seen: Seen, replicas: float) -> Floats:
        first_s, token_s = self.times_s(one, seen)
        promised = one.promised
        further_s = np.maximum(one.taken.path_tokens - 1.0, 0.0) * token_s
        slack_s = np.minimum(promised.ttft_slo_s, min(promised.e2e_slo_s, promised.timeout_s) - further_s) - first_s
        chance, wait_s = self.prompt_wait(seen, replicas)
        held_up = np.where(slack_s < 0.0, 1.0, chance * np.exp(-np.maximum(slack_s, 0.0) / wait_s))
        kept = (1.0 - held_up) * self._smooth(one, seen)
        return np.where(seen.swamped, 0.0, (kept @ one.odds).mean(axis=1))

    def _smooth(self, one: Class, seen: Seen) -> Floats | float:
        """Chance that tokens come fast enough, [U, K, J]: that prompts of others, S long, take less than is left.

        In a time R they take rps R E[S] in the mean with the variance rps R E[S^2]; their sum is taken as lognormal.
        """
        slo_s = one.promised.tpot_slo_s
        if not np.isfinite(slo_s):
            return 1.0
        step_s = self.step_s(seen.rows + 1.0)[..., np.newaxis]
        further = np.maximum(one.taken.path_tokens - 1.0, 1.0)
        left_s = further * (slo_s - step_s)
        span_s = further * step_s / (1.0 - seen.prompts_busy[..., np.newaxis])
        rps = seen.rps[..., np.newaxis]
        mean_s = np.maximum(rps * span_s * self.prompt_s, 1e-12)
        log_variance = np.log1p(rps * span_s * self.squared_prompt_s * _UNEVEN * max(self.gaps, 1.0) / mean_s**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            spare = (np.log(np.maximum(left_s, 0.0) / mean_s) + log_variance / 2.0) / np.sqrt(log_variance)
        found: Floats = np.where(one.taken.path_tokens <= 1.0, 1.0, np.where(left_s > 0.0, ndtr(spare), 0.0))
        return found


def nodes_of(values: Floats, chances: Floats) -> Floats:
    """Values at evenly spaced quantiles, [U, K], of chances, [U, n]."""
    at = (np.arange(NODES) + 0.5) / NODES
    totals = np.cumsum(chances, axis=1)
    return np.array([values[np.minimum(np.searchsorted(total, at * total[-1]), values.size - 1)] for total in totals])
