"""The work of requests: what they would take in full batches, however they were served."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.engine.throughput import full_batch_s
from sim.simulation import simulate
from tests.small import chat, pool, scenario
from tests.worlds import blocks, flat_law, pool_of, run

SETTING = {"rows": 8, "step_tokens": 8, "kv_capacity_tokens": 10**9}


def work_s(requests: int, prompt_tokens: int, output_tokens: int, *, kv_s: float = 0.0, **changes: Any) -> float:
    law = flat_law(8, 1.0, kv_s=kv_s, token_s=0.01)
    tokens = {"branches": requests, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
    tokens |= {"attended_tokens": prompt_tokens, "cached_tokens": 0}
    return full_batch_s(law, **(tokens | SETTING | changes))


def test_a_token_has_its_part_of_a_full_step() -> None:
    # 100 prompt tokens of 10 ms, and 80 output tokens of an eighth of a second.
    assert work_s(10, 100, 80) == pytest.approx(1.0 + 10.0)


def test_rows_are_as_many_as_the_cache_holds() -> None:
    # Each request holds 10 + 8 / 2 tokens on average: two of them fit.
    assert work_s(10, 100, 80, kv_capacity_tokens=30) == pytest.approx(1.0 + 40.0)


def test_resident_tokens_take_their_time() -> None:
    # A full step of eight rows with 14 tokens each: 1 s + 112 * 10 ms.
    assert work_s(10, 100, 80, kv_s=0.01) == pytest.approx(1.0 + 80 * 2.12 / 8)


def test_branches_share_memory_for_a_prompt_and_attend_to_all_of_it() -> None:
    # Ten branches of one prompt of 100: two fit with 10 + 8 / 2 tokens each, and each attends to 104 tokens.
    one_prompt = {"attended_tokens": 1000, "kv_capacity_tokens": 30}
    assert work_s(10, 100, 80, **one_prompt) == pytest.approx(1.0 + 40.0)
    assert work_s(10, 100, 80, kv_s=0.01, **one_prompt) == pytest.approx(1.0 + 80 * (1.0 + 2 * 1.04) / 2)


def test_what_is_cached_is_not_read() -> None:
    assert work_s(10, 100, 80, cached_tokens=60) == pytest.approx(0.4 + 10.0)


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


def test_work_of_branches_is_part_of_the_time_that_they_took() -> None:
    """Votes of 64 in batches of 64: their rows are full batches while all of them run."""
    vote = {"name": "vote", "kind": "vote", "samples": 64, "length_sigma": 0.0}
    described = scenario(
        workload=[chat(arrivals={"kind": "poisson", "rps": 0.02})],
        fleet=[pool(engine={"max_num_seqs": 64})],
        strategies=[vote],
        horizon="1h",
    )
    fleet = simulate(described).summary["fleet"]

    assert fleet["work_share"] == pytest.approx(fleet["busy_share"], rel=0.1)
