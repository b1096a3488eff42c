"""Small worlds to run the engine in: step-time laws, blocks of requests, one-line runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from sim.engine import state
from sim.engine.plane import DataPlane
from sim.engine.specs import ClientSpec, PoolSpec, StreamSpec
from sim.steptime.table import StepTime
from sim.workload.blocks import RequestBlock, plain_block

__all__ = ["blocks", "flat_law", "pool_of", "rows_of", "run"]


def flat_law(
    rows: int, base_s: float, *, row_s: float = 0.0, kv_s: float = 0.0, token_s: float = 1e-9, tokens: int = 8
) -> StepTime:
    """Decode steps of base_s + row_s * rows + kv_s * KV; prompts at token_s a token."""
    base = base_s + row_s * np.arange(rows + 1.0)
    base[0] = 0.0
    per_kv = np.full(rows + 1, kv_s)
    per_kv[0] = 0.0
    return StepTime(base[np.newaxis], per_kv[np.newaxis], np.array([inf]), token_s * np.arange(tokens + 1.0), 0.0)


def pool_of(law: StepTime, *, replicas: int = 1, kv_capacity_tokens: int = 10**9, **settings: object) -> PoolSpec:
    """A pool with as many places as its law has rows."""
    rows = law.decode_base_s.shape[1] - 1
    given = {"max_num_seqs": rows, "max_num_batched_tokens": max(rows, 8192), "usd_per_replica_hour": 3600.0}
    return PoolSpec(replicas, law, kv_capacity_tokens, **(given | settings))  # type: ignore[arg-type]


def blocks(
    arrival_s: NDArray[np.float64],
    prompt_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    priority: NDArray[np.int64] | None = None,
    stream: NDArray[np.int64] | None = None,
    size: int = 65_536,
) -> Iterator[RequestBlock]:
    """Requests as the engine takes them."""
    zeros = np.zeros(arrival_s.size, np.int64)
    priority, stream = zeros if priority is None else priority, zeros if stream is None else stream
    for first in range(0, arrival_s.size, size):
        mine = slice(first, first + size)
        tokens = (prompt_tokens[mine], output_tokens[mine])
        yield plain_block(arrival_s[mine], *tokens, stream=stream[mine], priority=priority[mine])


def run(
    pools: Sequence[PoolSpec],
    requests: Iterator[RequestBlock] | None = None,
    *,
    until_s: float = inf,
    warm_up_s: float = 0.0,
    clients: Sequence[ClientSpec] = (),
    balancer: int = state.LEAST_OUTSTANDING,
    kept: list[NDArray[np.void]] | None = None,
) -> DataPlane:
    """Serve requests on pools that are all open to them, to `until_s` or to the end."""
    plane = DataPlane(
        pools,
        [StreamSpec()],
        [[[list(range(len(pools)))]]],
        blocks=requests,
        clients=clients,
        balancer=balancer,
        warm_up_s=warm_up_s,
        keep=None if kept is None else kept.append,
    )
    plane.advance(until_s)
    plane.finish(plane.last_event_s if until_s == inf else until_s)
    return plane


def rows_of(kept: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Kept rows in order of arrival."""
    rows = np.concatenate([state.records(state.ROW, 0), *kept])
    return rows[np.argsort(rows["request_id"])]
