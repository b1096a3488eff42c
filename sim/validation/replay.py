"""Requests served by the engine, to be held against what was measured of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pandas import DataFrame

from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec, StreamSpec
from sim.errors import InputError
from sim.steptime import StepTime
from sim.workload.blocks import BLOCK_ROWS, RequestBlock, plain_block

__all__ = ["latencies", "replay_open_loop"]

TokenTimes = Callable[[DataFrame], tuple[st.Floats, st.Floats]]

_SCHEDULERS = {"chunked": st.CHUNKED, "prefill-first": st.PREFILL_FIRST}


def replay_open_loop(
    requests: DataFrame,
    step_time: StepTime,
    *,
    replicas: int,
    kv_capacity_tokens: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    scheduler: str = "chunked",
) -> DataFrame:
    """What the engine makes of requests with columns `arrival_s`, `prompt_tokens` and `output_tokens`, in any order.

    Each of the replicas has `kv_capacity_tokens`; a request goes to the one with fewest outstanding. Gives back
    `arrival_s`, `prompt_tokens`, `output_tokens`, `ttft_s`, `tpot_s` (NaN for a single token) and `e2e_s`, in the
    order and with the index of `requests`.

    Raises:
        InputError: where there is no request, or one is longer than a replica's KV cache.
    """
    _check_servable(requests, kv_capacity_tokens)
    pool = PoolSpec(
        replicas=replicas,
        step_time=step_time.covering(max_num_seqs),
        kv_capacity_tokens=kv_capacity_tokens,
        usd_per_replica_hour=0.0,
        scheduler=_SCHEDULERS[scheduler],
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
    )
    return latencies(requests, lambda in_time: _token_times(pool, in_time))


def latencies(requests: DataFrame, token_times: TokenTimes) -> DataFrame:
    """Requests, in any order, with their `ttft_s`, `tpot_s` (NaN for a single token) and `e2e_s`.

    `token_times` gives the times of the first and of the last token, [n] each, of requests in order of arrival.
    """
    order = np.argsort(requests.arrival_s.to_numpy(), kind="stable")
    served = requests[["arrival_s", "prompt_tokens", "output_tokens"]].iloc[order]
    first_token_s, finish_s = token_times(served)
    later_tokens = served.output_tokens.to_numpy() - 1
    tpot_s = np.where(later_tokens > 0, (finish_s - first_token_s) / np.maximum(later_tokens, 1), np.nan)
    arrival_s = served.arrival_s.to_numpy()
    timed = served.assign(ttft_s=first_token_s - arrival_s, tpot_s=tpot_s, e2e_s=finish_s - arrival_s)
    return timed.iloc[np.argsort(order)]


def _token_times(pool: PoolSpec, requests: DataFrame) -> tuple[st.Floats, st.Floats]:
    ended: list[st.Records] = []
    plane = DataPlane([pool], [StreamSpec()], [[[[0]]]], blocks=_blocks(requests), keep=ended.append)
    plane.advance(np.inf)
    plane.finish(plane.last_event_s)
    rows = np.concatenate(ended)
    rows = rows[np.argsort(rows["request_id"])]
    return rows["first_token_s"], rows["finish_s"]


def _check_servable(requests: DataFrame, kv_capacity_tokens: int) -> None:
    if requests.empty:
        raise InputError("the log", "holds no requests", "give one with at least one request")
    longest = int((requests.prompt_tokens + requests.output_tokens).max())
    if longest > kv_capacity_tokens // st.BLOCK_TOKENS * st.BLOCK_TOKENS:
        rule = f"is longer than a replica's KV cache of {kv_capacity_tokens} tokens"
        raise InputError(f"a request of {longest} tokens", rule, "give the KV capacity that the server printed")


def _blocks(requests: DataFrame) -> Iterator[RequestBlock]:
    """Requests in order of arrival, as the engine takes them: arrays of their own, for which it is compiled already."""
    for first in range(0, len(requests), BLOCK_ROWS):
        some = requests.iloc[first : first + BLOCK_ROWS]
        yield plain_block(
            np.array(some.arrival_s, np.float64),
            np.array(some.prompt_tokens, np.int64),
            np.array(some.output_tokens, np.int64),
        )
