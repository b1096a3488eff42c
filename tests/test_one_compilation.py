"""The engine is compiled once: whatever a scenario brings has the same types to it."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config

from sim.engine.plane import DataPlane
from sim.engine.serve import serve
from sim.engine.specs import PoolSpec, Scored, StageSpec, StepSpec, StrategySpec, StreamSpec
from sim.engine.warm import compile_engine
from sim.workload.blocks import RequestBlock, plain_block
from tests.worlds import flat_law

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

ROWS = 50
VOTE = StrategySpec((StageSpec(per_group=3, sigma=0.2),), (StepSpec(vote=True, wrong_answers=2),))


def views(block: RequestBlock) -> Scored:
    """Columns that are views: read only, of no stride, of every second number."""
    shape = (ROWS, 2, 2)
    tokens = np.full((ROWS, 2, 4), 7)[:, :, ::2]
    chance = np.broadcast_to(0.5, shape)
    return Scored(np.arange(2 * ROWS)[::2] % 2, tokens, chance, chance, np.broadcast_to(np.int64(0), shape))


def test_views_of_columns_do_not_have_it_compiled_again() -> None:
    compile_engine(lambda: None)
    before = set(serve.signatures)  # type: ignore[attr-defined]
    block = plain_block(np.linspace(0.0, 9.0, 2 * ROWS)[::2], np.full(ROWS, 40), np.full(ROWS, 7))
    pool = PoolSpec(
        replicas=1, step_time=flat_law(8, 0.1), kv_capacity_tokens=1600, usd_per_replica_hour=1.0, max_num_seqs=8
    )
    plane = DataPlane(
        [pool],
        [StreamSpec()],
        [[[[0]], [[0]]]],
        strategies=[StrategySpec(steps=(StepSpec(), StepSpec())), VOTE],
        score=views,
        blocks=iter([block]),
    )
    plane.advance(1e6)
    assert plane.is_drained
    assert set(serve.signatures) == before  # type: ignore[attr-defined]
