"""Measurements brought down to one kind of row, and the effects that may explain them: by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame

from sim.calibration.design import LEVELS, Level, design
from sim.calibration.fit import START, Problem
from sim.calibration.runs import KERNELS, runs_of
from sim.hardware import load_catalogue
from sim.hardware.setup import Setup
from sim.measurements import ClosedLoop, Measurements, OpenLoop, StepTable, read_measurements
from sim.steptime.effects import FRONT, PARTS, TIME, groups_of
from sim.steptime.ideal import Layout
from sim.steptime.roofline import roofline
from tests.step_tables import made_up

CATALOGUE = load_catalogue()
OWN = Path(__file__).parent / "data" / "measurements"
LLAMA = Setup(model="Llama-3.1-8B", gpu="H100-SXM", backend="vllm")
RANKS = Setup(model="Qwen3-30B-A3B", gpu="H100-SXM", data_parallel=2, expert_parallel=2, backend="vllm")
TWO_LEVELS = {"all": Level(("memory",), 0.3, 1.0), "gpu": Level((TIME,), 0.1, 0.0)}
GROUPS = ({"all": "all", "gpu": "a"}, {"all": "all", "gpu": "b"}, {"all": "all", "gpu": "a"})
NO_LOOPS = ClosedLoop((), DataFrame({"pattern": pd.Series(dtype=str), "setup": pd.Series(dtype=int)}))


def loops_of(*loops: dict[str, Any], setup: Setup = LLAMA) -> Measurements:
    """Eight clients with prompts of a thousand tokens and answers of a hundred, with changes."""
    whole = {"setup": 0, "prompt_tokens": 1000.0, "output_tokens": 100.0, "concurrency": 8.0, "pattern": "clients"}
    frame = DataFrame([{**whole, "ttft_s": 0.1, "tpot_s": 0.01, "source": "runs.csv", **loop} for loop in loops])
    return Measurements(ClosedLoop((setup,), frame), (), (), ())


def rows_of(*loops: dict[str, Any], setup: Setup = LLAMA) -> DataFrame:
    """The rows that closed loops come down to."""
    return runs_of(loops_of(*loops, setup=setup)).table


def log_of(*requests: tuple[float, int, int, float, float], setup: Setup = LLAMA) -> DataFrame:
    """The rows that requests (arrival, prompt, output, TTFT, end-to-end) of a log come down to."""
    frame = DataFrame(requests, columns=["arrival_s", "prompt_tokens", "output_tokens", "ttft_s", "e2e_s"])
    later = (frame["output_tokens"] - 1).where(frame["output_tokens"] > 1)
    frame = frame.assign(tpot_s=(frame["e2e_s"] - frame["ttft_s"]) / later, waited_s=0.0)
    log = OpenLoop(setup, "log", frame, 64, 2048, None, None)
    return runs_of(Measurements(NO_LOOPS, (), (log,), ())).table


class TestClosedLoops:
    def test_clients_put_each_others_prompts_into_their_steps(self) -> None:
        (row,) = rows_of({}).to_dict("records")

        assert (row["kind"], row["rows"], row["kv_tokens"], row["chunk"]) == ("clients", 8, 8 * (900 + 45), 900)
        assert (row["slices"], row["pairs"]) == pytest.approx((7 / 90, 7 / 90 * 900**2 / 2))
        assert (row["first_steps"], row["first_slices"]) == pytest.approx((1.5, 1 + 8 / 20))
        assert row["first_pairs"] == pytest.approx((1 + 8 / 20) * 900**2 / 2)
        assert (row["tpot_s"], row["ttft_s"], row["weight"]) == (0.01, 0.1, 1.0)

    def test_ranks_share_clients_and_none_has_less_than_one(self) -> None:
        assert rows_of({}, {"concurrency": 1.0}, setup=RANKS)["rows"].tolist() == [4, 1]

    def test_a_prompt_longer_than_a_step_is_in_slices(self) -> None:
        (row,) = rows_of({"prompt_tokens": 20_000.0}).to_dict("records")

        assert row["chunk"] == 8192
        assert row["first_slices"] == pytest.approx((1 + 8 / 20) * 18_000 / 8192)

    def test_first_tokens_that_waited_for_a_place_tell_nothing(self) -> None:
        found = rows_of({}, {"ttft_s": 10.0})

        assert found["ttft_s"].isna().tolist() == [False, True]
        assert found["tpot_s"].notna().all()

    def test_a_batch_is_a_decode_and_a_prefill(self) -> None:
        decode, prefill = rows_of({"pattern": "batch"}).to_dict("records")

        assert (decode["rows"], decode["kv_tokens"], decode["chunk"]) == (8, 8 * 1050, 0)
        assert (prefill["rows"], prefill["chunk"], prefill["first_pairs"]) == (0, 8000, 8 * 1000**2 / 2)
        assert [np.isnan(decode["ttft_s"]), np.isnan(prefill["tpot_s"])] == [True, True]
        assert (decode["tpot_s"], prefill["ttft_s"]) == (0.01, 0.1)


class TestStepTables:
    def test_steps_are_time_of_the_gpu_alone(self) -> None:
        steps = StepTable(Setup(model="Llama-3-8B", gpu="A100-80GB-SXM"), "steps.csv", made_up().rows)
        found = runs_of(Measurements(NO_LOOPS, (steps,), (), ()))

        assert {setup.backend for setup in found.setups} == {KERNELS}
        assert found.table["tpot_s"].tolist() == made_up().rows["step_s"].tolist()
        assert found.table["ttft_s"].isna().all()
        assert (found.table["slices"] > 0).tolist() == (made_up().rows["prompt_tokens"] > 0).tolist()

    def test_steps_of_no_known_model_are_left_to_their_table(self) -> None:
        assert runs_of(Measurements(NO_LOOPS, (made_up(),), (), ())).table.empty


class TestLogs:
    def test_a_request_alone(self) -> None:
        (row,) = log_of((0.0, 1000, 101, 0.5, 10.5)).to_dict("records")

        assert (row["rows"], row["kv_tokens"], row["slices"], row["pairs"]) == (1, 1000 + 50.5, 0, 0)
        assert (row["chunk"], row["first_slices"], row["first_pairs"]) == (1000, 1, 1000**2 / 2)
        assert (row["tpot_s"], row["ttft_s"]) == (0.1, 0.5)

    def test_another_one_decodes_along_for_half_of_the_time_and_its_prompt_is_one_of_the_steps_work(self) -> None:
        """The second has its first token at 5 s and its last with the first's, at 10 s."""
        first, second = log_of((0.0, 1000, 101, 0.0, 10.0), (4.0, 600, 51, 1.0, 6.0)).to_dict("records")

        assert (first["rows"], second["rows"]) == pytest.approx((1.5, 2.0))
        assert first["kv_tokens"] == pytest.approx(1000 + 50.5 + 0.5 * (600 + 25.5))
        assert second["kv_tokens"] == pytest.approx(600 + 25.5 + 1000 + 0.75 * 101)
        assert first["slices"] * first["chunk"] == pytest.approx(600 / 100)
        assert first["pairs"] == pytest.approx(600**2 / 2 / 100)
        assert second["slices"] == 0

    def test_ranks_share_what_runs_beside_a_request(self) -> None:
        requests = (0.0, 1000, 101, 0.0, 10.0), (4.0, 600, 51, 1.0, 6.0)
        alone, shared = (log_of(*requests, setup=setup).iloc[0] for setup in (LLAMA, RANKS))

        assert shared["rows"] - 1 == pytest.approx((alone["rows"] - 1) / 2)
        assert shared["slices"] == pytest.approx(alone["slices"] / 2)

    def test_first_tokens_count_only_where_it_is_known_that_nothing_waited(self) -> None:
        own = read_measurements([OWN / "chat-run"], CATALOGUE)
        waits = own.open_loop[0].requests["waited_s"]

        found = runs_of(own).table["ttft_s"].notna()
        assert found.tolist() == (waits < 1e-3).tolist()
        assert 0 < found.sum() < len(found)


class TestDesign:
    def test_every_group_has_an_effect_on_each_part_of_its_level(self) -> None:
        found = design(GROUPS, TWO_LEVELS)

        fronts = [("all", "all", part) for part in FRONT]
        assert sorted(found.names) == sorted(
            [("all", "all", "memory"), *fronts, ("gpu", "a", TIME), ("gpu", "b", TIME)]
        )
        assert dict(zip(found.names, found.spreads, strict=True)) == {
            ("all", "all", "memory"): 0.3,
            **dict.fromkeys(fronts, 1.0),
            ("gpu", "a", TIME): 0.1,
            ("gpu", "b", TIME): 0.1,
        }

    def test_effects_add_up_in_each_run(self) -> None:
        found = design(GROUPS, TWO_LEVELS)
        value = {("all", "all", "memory"): 5.0, ("gpu", "a", TIME): 1.0, ("gpu", "b", TIME): 2.0}
        logs = found.logs(np.array([value.get(name, 0.0) for name in found.names]))

        assert set(logs) == set(PARTS)
        assert logs["memory"].tolist() == [5, 5, 5]
        assert logs[TIME].tolist() == [1, 2, 1]
        assert logs["compute"].tolist() == [0, 0, 0]

    def test_every_part_has_some_effect_and_a_spread_at_every_level_that_speaks_of_it(self) -> None:
        found = design([groups_of(setup, CATALOGUE) for setup in (LLAMA, RANKS)])

        assert {part for _, _, part in found.names} == set(PARTS)
        assert {level for level, _, _ in found.names} == set(LEVELS)
        assert (found.spreads > 0).all()


class TestProblem:
    def test_estimates_of_a_batch_are_its_steps(self) -> None:
        """By the laws that the engine runs on: one decode step in the middle of the answer, one prefill."""
        runs = runs_of(loops_of({"pattern": "batch"}))
        problem = Problem.of(runs, CATALOGUE)
        tpot, ttft = problem.times_s(problem.efficiency(np.zeros(problem.design.spreads.size)))
        gpu, model = CATALOGUE.gpu("H100-SXM"), CATALOGUE.model("Llama-3.1-8B")
        law = roofline(gpu, model, Layout(), LLAMA.precision, 8, 8192, START)

        assert tpot[0] == pytest.approx(law.decode_step_s(8, 8 * 1050))
        assert ttft[1] == pytest.approx(law.mixed_step_s(0, 0, 8000, 8 * 1000**2 / 2) + law.front_end_s, rel=1e-6)

    def test_factors_of_served_loops_scale_the_estimates_but_not_the_front_end(self) -> None:
        problem = Problem.of(runs_of(loops_of({"pattern": "batch"})), CATALOGUE)
        efficiency = problem.efficiency(np.zeros(problem.design.spreads.size))
        twice = problem.with_factors(np.full(2, 2.0), np.full(2, 3.0))
        (tpot, ttft), (slower, later) = problem.times_s(efficiency), twice.times_s(efficiency)

        front_s = START.front_end_ms * 1e-3 + problem.ideal.layers[1] * START.front_end_layer_us * 1e-6
        assert slower == pytest.approx(2 * tpot)
        assert later[1] - front_s == pytest.approx(3 * (ttft[1] - front_s))

    def test_runs_that_are_not_used_have_no_say(self) -> None:
        first, second = ({"concurrency": float(n), "tpot_s": 0.01 * n, "ttft_s": 0.05} for n in (2, 4))
        spoilt = second | {"tpot_s": 9.0, "ttft_s": 90.0}
        fits = [
            Problem.of(runs_of(loops_of(first, other)), CATALOGUE).fit(np.array([True, False]))
            for other in (second, spoilt)
        ]

        assert fits[0].tolist() == fits[1].tolist()
        assert np.abs(fits[0]).max() > 0
