"""Closed loops and batches, served by the engine as their load generator would have them served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec, StreamSpec
from sim.errors import CatalogueError
from sim.hardware import Catalogue, kv_capacity_tokens
from sim.hardware.setup import Setup
from sim.steptime import StepTime

__all__ = [
    "LENGTH_SPREAD",
    "MAX_STEP_TOKENS",
    "ROUNDS",
    "Loop",
    "LoopTimes",
    "kv_room",
    "loop_of",
    "room_of",
    "saturated",
    "serve_loop",
]

Integers = NDArray[np.int64]
Run: TypeAlias = Mapping[str, Any]
"""A row of a frame of measurements, by column."""

LENGTH_SPREAD = 0.8
"""Lengths of a closed loop are drawn evenly from this share of the stated length up to all of it."""
ROUNDS = 10
"""Requests that each client of a closed loop sends."""
MAX_STEP_TOKENS = 8192
"""Tokens in a step of servers that do not say: the default of current engines on large GPUs."""

_MEMORY_UTILISATION = 0.9
_BOUNDLESS = 1 << 40
_SATURATED_SHARE = 0.3


@dataclass
class Loop:
    """Clients of one rank; each sends `rounds` requests, the next when the last is answered.

    Lengths are drawn evenly from `spread` of the stated length up to all of it, as public load generators do; equal
    lengths would keep the clients in step for ever, which no real server does. A batch is a loop of one round with
    a spread of 1.
    """

    concurrency: int
    prompt_tokens: int
    output_tokens: int
    rounds: int = ROUNDS
    spread: float = LENGTH_SPREAD
    max_step_tokens: int = MAX_STEP_TOKENS
    seed: int = 0
    stream: int = 0
    think_time_s: float = 0.0
    priority: int = 0
    _random: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    @property
    def requests(self) -> int:
        """Requests of all clients together."""
        return self.rounds * self.concurrency

    def draw(self, rows: int) -> tuple[Integers, Integers]:
        """Prompt tokens [rows] and output tokens [rows] of the next requests."""
        return self._lengths(self.prompt_tokens, rows), self._lengths(self.output_tokens, rows)

    def draw_keys(self, rows: int) -> Integers:
        """Nothing depends on luck here."""
        return np.zeros(rows, np.int64)

    def _lengths(self, most: int, rows: int) -> Integers:
        return self._random.integers(max(int(most * self.spread), 1), most + 1, rows)


@dataclass(frozen=True)
class LoopTimes:
    """Means over the requests of a loop, in seconds."""

    ttft_s: float
    tpot_s: float
    e2e_s: float
    steps_ttft_s: float
    """TTFT without what the front end adds."""


def loop_of(setup: Setup, run: Run) -> Loop:
    """The clients that one rank of a setup has, for a row of `ClosedLoop.rows`."""
    clients = max(round(run["concurrency"] / setup.data_parallel), 1)
    prompt, output = round(run["prompt_tokens"]), max(round(run["output_tokens"]), 1)
    if run["pattern"] == "batch":
        together = max(clients * prompt, MAX_STEP_TOKENS)
        return Loop(clients, prompt, output, rounds=1, spread=1.0, max_step_tokens=together)
    said = run.get("max_step_tokens")
    return Loop(clients, prompt, output, max_step_tokens=MAX_STEP_TOKENS if pd.isna(said) else int(said))


def serve_loop(loop: Loop, step_time: StepTime, kv_capacity_tokens: int | None = None) -> LoopTimes:
    """What the engine makes of a loop; without a KV capacity there is room for all."""
    kept: list[st.Records] = []
    pool = PoolSpec(
        1,
        step_time.covering(loop.concurrency),
        kv_capacity_tokens or _BOUNDLESS,
        usd_per_replica_hour=0.0,
        max_num_seqs=loop.concurrency,
        max_num_batched_tokens=loop.max_step_tokens,
    )
    plane = DataPlane([pool], [StreamSpec()], [[[[0]]]], clients=[loop], keep=lambda rows: kept.append(rows.copy()))
    plane.advance(inf)
    plane.finish(plane.last_event_s)
    return _means(np.concatenate(kept), step_time)


def room_of(setup: Setup, loop: Loop, catalogue: Catalogue) -> int | None:
    """Tokens of KV cache of one rank as its memory leaves them; None where that is not enough for a request."""
    try:
        room = kv_room(setup, catalogue, loop.concurrency, MAX_STEP_TOKENS)
    except CatalogueError:
        return None
    return room if room >= loop.prompt_tokens + loop.output_tokens + st.BLOCK_TOKENS else None


def kv_room(setup: Setup, catalogue: Catalogue, max_num_seqs: int, max_num_batched_tokens: int) -> int:
    """Tokens of KV cache that the memory of one rank leaves, at the memory utilisation that is the default of engines.

    Raises:
        CatalogueError: where it leaves none.
    """
    return kv_capacity_tokens(
        catalogue.gpu(str(setup.gpu)),
        catalogue.model(str(setup.model)),
        setup.tensor_parallel,
        _MEMORY_UTILISATION,
        setup.precision,
        data_parallel=setup.data_parallel,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
    )


def saturated(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Runs [n] whose requests waited for a place: the first token took more than 30 % of the whole answer."""
    whole = rows["ttft_s"] + rows["tpot_s"] * (rows["output_tokens"] - 1.0)
    return np.asarray((rows["pattern"] == "clients") & (rows["ttft_s"] > _SATURATED_SHARE * whole))


def _means(rows: st.Records, step_time: StepTime) -> LoopTimes:
    later = rows["output_tokens"] - 1
    tpot = (rows["finish_s"] - rows["first_token_s"]) / np.maximum(later, 1)
    front = step_time.front_end_s + step_time.front_end_steps * tpot
    ttft = rows["first_token_s"] - rows["arrival_s"]
    return LoopTimes(
        ttft_s=float(ttft.mean()),
        tpot_s=float(tpot[later > 0].mean()) if (later > 0).any() else float("nan"),
        e2e_s=float((rows["finish_s"] - rows["arrival_s"]).mean()),
        steps_ttft_s=float((ttft - front).mean()),
    )
