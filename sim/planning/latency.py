"""How long requests take on a replica that is so busy: what of them keep their objectives.

Decoding is a shared processor whose speed depends on the rows (`sim.analytic.shared_processor`): with n rows there are
n / step(n) tokens a second, in the time that prompts leave. Prompts wait for each other as in M/G/1, the wait of
those who wait being exponential (its heavy-traffic law; Kingman 1962), and for the step under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.analytic import shared_processor
from sim.engine.specs import StreamSpec
from sim.planning.batches import Batches, Taken
from sim.planning.instance import Floats

__all__ = ["Class", "Replica", "Seen"]

NODES = 16
"""States of the replicas that stand for all of them, equally likely."""
_MOST_STATES = 768


@dataclass(frozen=True)
class Class:
    """Requests of one stream by one strategy."""

    weight: float
    """Share of the requests."""
    taken: Taken
    """Of some of them, [J]."""
    promised: StreamSpec
    clump: float
    """How many of them come as one."""


@dataclass(frozen=True)
class Seen:
    """What requests see when they come: U cases of K states each, equally likely."""

    rows: Floats
    """Rows of a replica, waiting ones included, [U, K]."""
    prompts_busy: Floats
    """Share of a replica's time that prompts take, [U, 1]."""


class Replica:
    """A replica that serves a mix of classes, one of `replicas` alike among which requests go to the least busy."""

    def __init__(self, batches: Batches, classes: Sequence[Class]) -> None:
        self.batches, self.classes = batches, list(classes)
        weights = np.array([each.weight for each in classes])
        self.weights: Floats = weights / weights.sum()

    def mean(self, column: str) -> float:
        """Mean of a column of `Taken` over all requests."""
        means = [float(np.mean(getattr(each.taken, column))) for each in self.classes]
        return float(self.weights @ means)

    @cached_property
    def prompt_s(self) -> float:
        """Mean time of a request's prompts."""
        return self.mean("prompt_s")

    @cached_property
    def tokens(self) -> float:
        """Mean output tokens of a request."""
        return self.mean("tokens")

    @cached_property
    def kv_tokens(self) -> float:
        """Mean KV tokens of a row."""
        total = [float(np.mean(each.taken.tokens * each.taken.kv_tokens)) for each in self.classes]
        return float(self.weights @ total) / max(self.tokens, 1e-9)

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
        rows = [each.taken.rows * float(np.mean(each.taken.tokens)) for each in self.classes]
        return float(self.weights @ rows) / max(self.tokens, 1e-9)

    @cached_property
    def clump(self) -> float:
        """Rows that come as one: with gaps of squared variation c2 as (c2 + 1) / 2, if they stay for exponential times
        (Eckberg 1983)."""
        gaps = float(self.weights @ [each.clump for each in self.classes])
        return (gaps + 1.0) / 2.0 * self.rows_per_request

    @cached_property
    def states(self) -> Floats:
        """Rows of a replica of which chances are told, from 1 on: twice as many as there are places."""
        most = 2 * self.places
        return np.arange(1.0, most + 1.0, max(most // _MOST_STATES, 1))

    def step_s(self, rows: Floats) -> Floats:
        """Time of a decode step of so many rows; of all places where there are more."""
        return self.batches.step_s(np.clip(rows, 1.0, self.places), self.kv_tokens)

    def seen(self, busy: Floats, replicas: float) -> Seen:
        """What requests see where each of so many replicas is given `busy` of its time in full batches, [U].

        Of c replicas that share rows evenly the chances of n rows each are those of one to the power of c.
        """
        rps = busy / self.work_s
        prompts_busy = np.minimum(rps * self.prompt_s, 0.999)[:, np.newaxis]
        tokens_per_s = (
            self.states / self.step_s(self.states) * np.where(self.states > self.places, self.places / self.states, 1.0)
        )
        ends = tokens_per_s * (1.0 - prompts_busy) / self.tokens
        stride = float(self.states[1] - self.states[0]) if self.states.size > 1 else 1.0
        chances = shared_processor(rps, ends, self.clump / (replicas * stride))
        return Seen(_nodes(np.concatenate(([0.0], self.states)), chances), prompts_busy)

    def kept(self, seen: Seen, replicas: float) -> Floats:
        """Share of each class's requests that keeps all objectives, [classes, U]."""
        return np.array([self._kept(each, seen, replicas) for each in self.classes])

    def times_s(self, one: Class, seen: Seen) -> tuple[Floats, Floats]:
        """Time to the first token but for waiting for other prompts, [U, K, J], and of each further one, [U, K, 1]."""
        law = self.batches.spec.step_time
        step_s = self.step_s(seen.rows + 1.0)
        token_s = (step_s / (1.0 - seen.prompts_busy))[..., np.newaxis]
        behind = np.maximum(seen.rows - self.places + 1.0, 0.0)
        queue_s = behind * token_s[..., 0] * self.tokens / self.rows_per_request / self.places
        later_s = law.front_end_s + law.front_end_steps * token_s[..., 0]
        first_s = (queue_s + later_s)[..., np.newaxis] + (one.taken.slices + 0.5) * step_s[..., np.newaxis]
        return first_s + one.taken.first_s, token_s

    def prompt_wait(self, seen: Seen, replicas: float) -> tuple[Floats, Floats]:
        """Chance of waiting for other prompts, [U, 1, 1], and the mean wait of those who do.

        That of M/G/1: E[S^2] / (2 E[S] (1 - a)); clumps are spread over the replicas.
        """
        squares = [float(np.mean(each.taken.prompt_s**2)) for each in self.classes]
        clump = 1.0 + ((self.clump / self.rows_per_request) - 1.0) / replicas
        mean_s = float(self.weights @ squares) / max(2.0 * self.prompt_s, 1e-12)
        busy = seen.prompts_busy[..., np.newaxis]
        return busy, mean_s * clump / (1.0 - busy)

    def _kept(self, one: Class, seen: Seen, replicas: float) -> Floats:
        first_s, token_s = self.times_s(one, seen)
        further_s = np.maximum(one.taken.path_tokens - 1.0, 0.0) * token_s
        promised = one.promised
        slack_s = np.minimum(promised.ttft_slo_s - first_s, promised.e2e_slo_s - first_s - further_s)
        slack_s = np.minimum(slack_s, promised.timeout_s - first_s - further_s)
        busy, wait_s = self.prompt_wait(seen, replicas)
        waits_too_long = np.where(slack_s < 0.0, 1.0, busy * np.exp(-np.maximum(slack_s, 0.0) / wait_s))
        in_time = (token_s <= promised.tpot_slo_s) | (one.taken.path_tokens <= 1.0)
        found: Floats = ((1.0 - waits_too_long) * in_time).mean(axis=(1, 2))
        return found


def _nodes(values: Floats, chances: Floats) -> Floats:
    """Values at evenly spaced quantiles, [U, K], of chances, [U, n]."""
    at = (np.arange(NODES) + 0.5) / NODES
    totals = np.cumsum(chances, axis=1)
    return np.array([values[np.minimum(np.searchsorted(total, at), values.size - 1)] for total in totals])
