"""The engine is compiled once: whatever a scenario brings has the same types to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import config

from sim.engine.plane import DataPlane
from sim.engine.serve import serve
from sim.engine.specs import (
    Corpus,
    Options,
    PoolSpec,
    RouteSpec,
    Scored,
    StageSpec,
    StepSpec,
    StrategySpec,
    StreamSpec,
    undecided,
)
from sim.engine.warm import compile_engine
from sim.workload.blocks import RequestBlock, plain_block
from tests.oracle_families import Job
from tests.two_roads import Clients
from tests.worlds import flat_law

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

ROWS = 50
VOTE = StrategySpec((StageSpec(per_group=3, sigma=0.2),), (StepSpec(vote=True, wrong_answers=2),))


def views(block: RequestBlock) -> Scored:
    """Columns that are views: read only, of no stride, of every second number."""
    rows = len(block.key)
    shape = (rows, 2, 2)
    tokens = np.full((rows, 2, 4), 7)[:, :, ::2]
    chance = np.broadcast_to(0.5, shape)
    return Scored(np.arange(2 * rows)[::2] % 2, tokens, chance, chance, np.broadcast_to(np.int64(0), shape))


def options_of_views(block: RequestBlock) -> Scored:
    """Options whose columns are such views, of chances in single precision and tokens in short integers."""
    rows = len(block.key)
    estimate = np.broadcast_to(np.float32(0.5), (5, 2, 2))
    real = np.full((5, 2, 2, 4), 7, np.int32)[..., ::2]
    chance = np.broadcast_to(0.5, (5, 2, 2, 2))
    table = Corpus(estimate, estimate, estimate, estimate, real, chance, chance, np.zeros((5, 2, 2, 2), bool))
    return undecided(Options(table, np.arange(2 * rows)[::2] % 5))


@pytest.mark.parametrize("score", [views, options_of_views])
def test_views_of_columns_do_not_have_it_compiled_again(score: Callable[[RequestBlock], Scored]) -> None:
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
        score=score,
        routes=[RouteSpec(value_usd=1.0)],
        clients=[Clients(1, 0.0, [Job(0.0, 40, 7)])],
        blocks=iter([block]),
    )
    plane.advance(1e6)
    assert plane.is_drained
    assert set(serve.signatures) == before  # type: ignore[attr-defined]
