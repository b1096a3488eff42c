"""The work of requests: what they would take in full batches, however they were served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.engine.throughput import full_batch_s
from tests.worlds import blocks, flat_law, pool_of, run

SETTING = {"rows": 8, "step_tokens": 8, "kv_capacity_tokens": 10**9}


def work_s(requests: int, prompt_tokens: int, output_tokens: int, *, kv_s: float = 0.0, **changes: Any) -> float:
    law = flat_law(8, 1.0, kv_s=kv_s, token_s=0.01)
    tokens = {"requests": requests, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    return full_batch_s(law, **tokens, **(SETTING | changes))


def test_a_token_has_its_part_of_a_full_step() -> None:
    # 100 prompt tokens of 10 ms, and 80 output tokens of an eighth of a second.
    assert work_s(10, 100, 80) == pytest.approx(1.0 + 10.0)


def test_rows_are_as_many_as_the_cache_holds() -> None:
    # Each request holds 10 + 8 / 2 tokens on average: two of them fit.
    assert work_s(10, 100, 80, kv_capacity_tokens=30) == pytest.approx(1.0 + 40.0)


def test_resident_tokens_take_their_time() -> None:
    # A full step of eight rows with 14 tokens each: 1 s + 112 * 10 ms.
    assert work_s(10, 100, 80, kv_s=0.01) == pytest.approx(1.0 + 80 * 2.12 / 8)


def test_nothing_done_is_no_work() -> None:
    assert work_s(0, 0, 0) == 0.0


@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_work_does_not_depend_on_how_full_the_batches_were(at_once: int) -> None:
    """Sixteen requests of 11 tokens: time is short where batches are full, and then it is all work."""
    arrival_s = np.repeat(np.arange(16 // at_once) * 100.0, at_once)
    plane = run([pool_of(flat_law(8, 1.0))], blocks(arrival_s, np.ones(16, np.int64), np.full(16, 11)))
    work = plane.full_batch_s(0, *plane.completed(0).tolist())

    assert work == pytest.approx(16 * 11 / 8, rel=1e-6)
    # A prompt's own step is next to nothing here; each wave has ten steps more.
    assert float(plane.state.replicas["busy_s"][0]) == pytest.approx(16 / at_once * 10.0, rel=1e-6)
