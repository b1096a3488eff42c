"""Closed loops and batches served by the engine: their times by hand."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from sim.hardware import kv_capacity_tokens, load_catalogue
from sim.hardware.setup import Setup
from sim.validation.loops import MAX_STEP_TOKENS, Loop, loop_of, room_of, saturated, serve_loop
from tests.worlds import flat_law

CATALOGUE = load_catalogue()
LLAMA = Setup(model="Llama-3.1-8B", gpu="H100-SXM")
STEP_S, ROW_S, KV_S, TOKEN_S, PAIR_S = 0.01, 0.001, 1e-6, 1e-4, 1e-8
LAW = replace(
    flat_law(8, STEP_S, row_s=ROW_S, kv_s=KV_S, token_s=TOKEN_S),
    attention_s_per_pair=PAIR_S,
    front_end_s=0.02,
    front_end_steps=1.5,
)
STEADY = flat_law(64, STEP_S)
"""Steps of 10 ms, whoever is in them; prompts take no time to speak of."""


def once(concurrency: int, prompt: int, output: int, **limits: Any) -> Loop:
    """A loop of one round, with the lengths as stated."""
    return Loop(concurrency, prompt, output, rounds=1, spread=1.0, **limits)


def prompt_s(tokens: int, already: int = 0) -> float:
    """Seconds that a slice of one prompt adds to a step."""
    return tokens * TOKEN_S + tokens * (already + (tokens + 1) / 2) * PAIR_S


def run(**changes: Any) -> dict[str, Any]:
    return {"concurrency": 8.0, "prompt_tokens": 1000.0, "output_tokens": 100.0, "pattern": "clients"} | changes


class TestServing:
    def test_one_client_waits_for_its_prefill_step_and_the_front_end(self) -> None:
        times = serve_loop(once(1, 100, 11), LAW)

        tpot_s = STEP_S + ROW_S + KV_S * (100 + 5.5)
        assert times.tpot_s == pytest.approx(tpot_s)
        assert times.steps_ttft_s == pytest.approx(prompt_s(100))
        assert times.ttft_s == pytest.approx(prompt_s(100) + 0.02 + 1.5 * tpot_s)
        assert times.e2e_s == pytest.approx(times.ttft_s + 10 * tpot_s)

    def test_a_client_that_asks_again_meets_the_same(self) -> None:
        once_more = Loop(1, 100, 11, rounds=5, spread=1.0)

        assert vars(serve_loop(once_more, LAW)) == pytest.approx(vars(serve_loop(once(1, 100, 11), LAW)))

    def test_a_prompt_longer_than_a_step_is_read_in_slices(self) -> None:
        times = serve_loop(once(1, 100, 11, max_step_tokens=60), LAW)

        assert times.steps_ttft_s == pytest.approx(prompt_s(60) + prompt_s(40, already=60))

    def test_a_batch_reads_all_prompts_in_one_step_and_decodes_in_lockstep(self) -> None:
        times = serve_loop(loop_of(LLAMA, run(pattern="batch", concurrency=4, prompt_tokens=50, output_tokens=3)), LAW)

        assert times.steps_ttft_s == pytest.approx(4 * prompt_s(50))
        assert times.tpot_s == pytest.approx(STEP_S + 4 * ROW_S + 4 * KV_S * (50 + 1.5))

    def test_clients_decode_together_and_now_and_then_beside_a_prompt(self) -> None:
        loop = loop_of(LLAMA, run())
        times = serve_loop(loop, LAW)

        decode_s = STEP_S + 8 * ROW_S + 8 * KV_S * 950
        assert decode_s < times.tpot_s < decode_s + 8 / 80 * prompt_s(1000)
        assert times.steps_ttft_s > prompt_s(800)

    def test_the_same_loop_has_the_same_times(self) -> None:
        first, second = (serve_loop(loop_of(LLAMA, run()), LAW) for _ in range(2))

        assert first == second

    def test_a_single_token_has_no_time_per_token(self) -> None:
        times = serve_loop(once(2, 100, 1), LAW)

        assert isnan(times.tpot_s)
        assert times.ttft_s == times.e2e_s == pytest.approx(2 * prompt_s(100) + 0.02)

    def test_requests_without_room_wait_for_those_before_them(self) -> None:
        """Room for one prompt of two blocks and its answer: four requests of ten steps each follow one another."""
        times = serve_loop(once(4, 32, 11), STEADY, kv_capacity_tokens=48)

        assert times.ttft_s == pytest.approx((0.0 + 0.1 + 0.2 + 0.3) / 4, abs=1e-5)
        assert times.tpot_s == pytest.approx(STEP_S, rel=1e-3)

    def test_with_room_for_all_nobody_waits(self) -> None:
        times = [serve_loop(once(4, 32, 11), STEADY, room) for room in (None, 4 * 48)]

        assert times[0] == times[1]
        assert times[0].ttft_s == pytest.approx(0.0, abs=1e-4)

    def test_a_law_of_fewer_rows_goes_on(self) -> None:
        assert serve_loop(once(32, 10, 5), LAW).tpot_s > serve_loop(once(8, 10, 5), LAW).tpot_s


class TestLoopOf:
    def test_clients_send_ten_requests_of_lengths_up_to_what_is_stated(self) -> None:
        loop = loop_of(LLAMA, run())
        prompt, output = loop.draw(500)

        assert (loop.concurrency, loop.requests, loop.max_step_tokens) == (8, 80, MAX_STEP_TOKENS)
        assert (prompt.min(), prompt.max(), output.min(), output.max()) == (800, 1000, 80, 100)
        assert prompt.mean() == pytest.approx(900, rel=0.02)

    def test_ranks_share_the_clients(self) -> None:
        ranks = replace(LLAMA, data_parallel=4)

        assert [loop_of(ranks, run(concurrency=clients)).concurrency for clients in (64, 2)] == [16, 1]

    def test_a_batch_is_one_round_that_fits_a_step(self) -> None:
        loops = [loop_of(LLAMA, run(pattern="batch", concurrency=clients)) for clients in (4, 16)]

        assert [loop.requests for loop in loops] == [4, 16]
        assert [loop.max_step_tokens for loop in loops] == [MAX_STEP_TOKENS, 16_000]
        assert {tuple(lengths) for loop in loops for lengths in zip(*loop.draw(9), strict=True)} == {(1000, 100)}


class TestRoom:
    def test_it_is_what_the_memory_of_a_rank_leaves(self) -> None:
        loop = loop_of(LLAMA, run(concurrency=16))
        gpu, model = CATALOGUE.gpu("H100-SXM"), CATALOGUE.model("Llama-3.1-8B")

        expected = kv_capacity_tokens(gpu, model, 1, 0.9, LLAMA.precision, max_num_seqs=16)
        assert room_of(LLAMA, loop, CATALOGUE) == expected

    @pytest.mark.parametrize(
        ("changes", "prompt"), [({"model": "Llama-3.1-70B"}, 1000), ({"gpu": "RTX-3090"}, 100_000)]
    )
    def test_memory_that_cannot_hold_a_request_is_not_known(self, changes: dict[str, str], prompt: int) -> None:
        assert room_of(replace(LLAMA, **changes), loop_of(LLAMA, run(prompt_tokens=prompt)), CATALOGUE) is None


class TestSaturated:
    @pytest.mark.parametrize(
        ("ttft_s", "pattern", "expected"),
        [(0.42, "clients", False), (0.44, "clients", True), (5.0, "clients", True), (5.0, "batch", False)],
    )
    def test_a_first_token_that_took_three_tenths_of_the_answer(
        self, ttft_s: float, pattern: str, expected: bool
    ) -> None:
        """A hundred more tokens of 10 ms take a second."""
        rows = DataFrame([{"ttft_s": ttft_s, "tpot_s": 0.01, "output_tokens": 101.0, "pattern": pattern}])

        assert saturated(rows).tolist() == [expected]

    def test_each_run_for_itself(self) -> None:
        rows = DataFrame({"ttft_s": [0.1, 1.0], "tpot_s": 0.01, "output_tokens": 101.0, "pattern": "clients"})

        assert saturated(rows).tolist() == [False, True]
        assert np.array_equal(saturated(rows.iloc[:0]), [])
