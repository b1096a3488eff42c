"""What is told of a request by the engine and by the oracle, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from sim.engine import state
from sim.engine.specs import PoolSpec
from tests.two_roads import World, fleet_after, serve_fast
from tests.worlds import flat_law, pool_of

__all__ = ["ROADS", "Tell", "Told", "seats"]


class Told(NamedTuple):
    """Of a request: when its first and last token came, and what it read, found and said."""

    first_token_s: float
    finish_s: float
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    correct: int
    steps: int


Tell = Callable[[World], list[Told]]


def slow(world: World) -> list[Told]:
    """The oracle's story of the requests, all of which are answered."""
    jobs = fleet_after(world).came
    assert {job.status for job in jobs} == {"completed"}
    return [
        Told(
            job.first_token_s or 0.0,
            job.finish_s or 0.0,
            *(getattr(job.attempts[-1], name) for name in Told._fields[2:]),
        )
        for job in jobs
    ]


def fast(world: World) -> list[Told]:
    """The engine's."""
    rows = serve_fast(world)[1]
    assert set(rows["status"]) == {state.COMPLETED}
    return [Told(*(rows[name][i].item() for name in Told._fields)) for i in range(len(rows))]


ROADS = pytest.mark.parametrize("tell", [slow, fast])


def seats(rows: int, **settings: Any) -> PoolSpec:
    """A replica on which a decode step takes a second, whatever is in it, and a prompt token a quarter more."""
    return pool_of(flat_law(rows, 1.0, token_s=0.25), **settings)
