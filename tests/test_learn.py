"""Calibrating on a made-up world: its truth is found again, and what cannot be told is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from pandas import DataFrame

from sim.calibration import learn
from sim.calibration.learn import calibrate
from sim.errors import InputError
from sim.hardware import Catalogue, load_catalogue
from sim.hardware.setup import Setup
from sim.measurements import Assumed, Measurements, read_measurements
from sim.steptime.calibration import Calibration
from sim.steptime.effects import groups_of
from sim.validation.predict import compare
from tests.served_worlds import GPUS, LAYOUTS, csv_of, measured, runs, setup_of_run, steps_csv
from tests.step_tables import made_up, made_up_law

CLOSED_LOOP = "model,gpu,isl,osl,concurrency,ttft_ms,tpot_ms"
BATCHES = "prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,model,hardware,tensor_parallel"
METRICS = ("ttft_ms", "tpot_ms", "e2e_s")

Spy = Callable[[Measurements], list[DataFrame]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def world(catalogue: Catalogue) -> list[str]:
    """Lines of a file of 72 runs: two GPUs, three models in two layouts each."""
    return csv_of(runs(), catalogue)


@pytest.fixture(scope="module")
def whole(world: list[str], catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """A calibration on the whole world, with errors held out."""
    return calibrate(measured(world, tmp_path_factory.mktemp("world"), catalogue), catalogue)


@pytest.fixture
def left_out(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Calibrates, and gives back the runs of each part that was left out of a fit."""

    def parts(measurements: Measurements) -> list[DataFrame]:
        found: list[DataFrame] = []

        def spy(some: Measurements, *others: Any) -> Any:
            found.append(some.closed_loop.rows)
            return compare(some, *others)

        monkeypatch.setattr(learn, "compare", spy)
        with parallel_config(backend="sequential"):
            calibrate(measurements, catalogue)
        return found

    return parts


def fitted(lines: Sequence[str], folder: Path, catalogue: Catalogue) -> Calibration:
    return calibrate(measured(lines, folder, catalogue), catalogue, held_out=False)


def errors_of(calibration: Calibration, lines: Sequence[str], folder: Path, catalogue: Catalogue) -> DataFrame:
    """Absolute errors of a calibration on runs, by `metric`, with their `gpu`, `model` and `line`."""
    rows = compare(measured(lines, folder, catalogue), calibration, catalogue).rows
    return rows.assign(error=(rows["predicted"] / rows["measured"] - 1).abs())


def medians(rows: DataFrame) -> dict[str, float]:
    return {str(metric): float(error) for metric, error in rows.groupby("metric")["error"].median().items()}


def of_pair(lines: Sequence[str], gpu: str, model: str) -> tuple[list[str], list[str]]:
    """The header and all other runs; the header and the runs of a pair."""
    header, *rest = lines
    mine = [line for line in rest if line.startswith(f"{model},{gpu},")]
    return [header, *(line for line in rest if line not in mine)], [header, *mine]


def slower(line: str, factor: float) -> str:
    *setup, ttft, tpot = line.split(",")
    return ",".join([*setup, str(float(ttft) * factor), str(float(tpot) * factor)])


class TestRecovery:
    def test_runs_left_out_are_predicted(self, world: list[str], catalogue: Catalogue, tmp_path: Path) -> None:
        header, *rest = world
        places = np.random.default_rng(1).permutation(len(rest))
        used, unused = ([header, *(rest[place] for place in half)] for half in np.split(places, 2))
        rows = errors_of(fitted(used, tmp_path, catalogue), unused, tmp_path, catalogue)

        assert len(rows) == 3 * 36
        assert medians(rows)["tpot_ms"] < 0.02
        assert medians(rows)["ttft_ms"] < 0.04
        assert rows["error"].max() < 0.1

    @pytest.mark.parametrize(("gpu", "model"), [("B200-SXM", "Qwen3-32B"), ("H100-SXM", "Qwen3-30B-A3B")])
    def test_a_pair_left_out_is_predicted_from_what_it_shares(
        self, gpu: str, model: str, world: list[str], catalogue: Catalogue, tmp_path: Path
    ) -> None:
        used, unused = of_pair(world, gpu, model)
        calibration = fitted(used, tmp_path, catalogue)
        rows = errors_of(calibration, unused, tmp_path, catalogue)

        assert not calibration.saw(gpu, model)
        assert medians(rows)["tpot_ms"] < 0.12
        assert medians(rows)["ttft_ms"] < 0.12

    def test_a_wild_run_does_not_pull_the_others(self, world: list[str], catalogue: Catalogue, tmp_path: Path) -> None:
        """One of the six runs of a setup is ten times as slow."""
        wild = [*world[:20], slower(world[20], 10.0), *world[21:]]
        rows = errors_of(fitted(wild, tmp_path, catalogue), wild, tmp_path, catalogue)

        of_its_setup = rows["line"].between(20, 25)
        mates, others = rows[of_its_setup & (rows["line"] != 21)], rows[~of_its_setup]
        assert rows["error"][rows["line"] == 21].min() > 0.5
        assert medians(mates)["tpot_ms"] < 0.05
        assert medians(mates)["ttft_ms"] < 0.10
        assert others["error"].max() < 0.10

    def test_what_an_engine_adds_is_told_apart_and_carried_to_a_model_it_did_not_serve(
        self, world: list[str], catalogue: Catalogue, tmp_path: Path
    ) -> None:
        header, *rest = world
        other = [slower(line.replace(",vllm,", ",sglang,"), 1.4) for line in rest if "Qwen3-32B" not in line]
        calibration = fitted([header, *rest, *other], tmp_path, catalogue)

        def ratio(setup: Setup) -> float:
            vllm, sglang = (
                calibration.step_time(replace(setup, backend=backend), catalogue, 16, 256).decode_step_s(8, 8000)
                for backend in ("vllm", "sglang")
            )
            return sglang / vllm

        assert ratio(setup_of_run("H100-SXM", "Llama-3.1-8B")) == pytest.approx(1.4, rel=0.03)
        assert 1.1 < ratio(setup_of_run("H100-SXM", "Qwen3-32B", (2, 1))) < 1.4

    def test_the_same_runs_teach_the_same_bytes(
        self, whole: Calibration, world: list[str], catalogue: Catalogue, tmp_path: Path
    ) -> None:
        again = calibrate(measured(world, tmp_path, catalogue), catalogue)

        assert json.dumps(again.document()) == json.dumps(whole.document())


class TestHeldOut:
    def test_runs_of_seen_and_of_unseen_pairs_are_left_out_once_each(self, whole: Calibration) -> None:
        found = {(group["group"], group["metric"]): group["n"] for group in whole.held_out["groups"]}

        assert found == {(group, metric): 72 for group in ("seen", "unseen") for metric in METRICS}

    def test_seen_runs_are_nearer_than_unseen_pairs(self, whole: Calibration) -> None:
        error = {(group["group"], group["metric"]): group["median_abs_error"] for group in whole.held_out["groups"]}

        assert error["seen", "tpot_ms"] < 0.02 < error["unseen", "tpot_ms"] < 0.12
        assert error["seen", "ttft_ms"] < 0.04
        assert error["unseen", "ttft_ms"] < 0.12

    def test_every_pair_has_its_error(self, whole: Calibration) -> None:
        pairs = {group["group"] for group in whole.held_out["pairs"]}

        assert pairs == {f"{gpu} {model}" for gpu in GPUS for model in LAYOUTS}

    def test_evidence_names_each_setup_with_its_errors(self, whole: Calibration) -> None:
        setups = {(item.setup.gpu, item.setup.model, item.setup.gpus) for item in whole.evidence}

        assert (len(whole.evidence), len(setups)) == (12, 12)
        assert {(item.runs, item.sources, item.setup.backend_version) for item in whole.evidence} == {
            (6, ("runs.csv",), "")
        }
        assert all(item.tpot_error < 0.1 and item.unseen_tpot_error < 0.15 for item in whole.evidence)

    def test_quick_leaves_nothing_out(
        self, whole: Calibration, world: list[str], catalogue: Catalogue, tmp_path: Path
    ) -> None:
        found = fitted(world, tmp_path, catalogue)

        assert found.held_out == {}
        assert found.effects == whole.effects
        assert {item.tpot_error for item in found.evidence} == {None}

    def test_a_run_and_its_twin_are_on_one_side(self, left_out: Spy, catalogue: Catalogue, tmp_path: Path) -> None:
        """Run again on another version of the engine, a little slower."""
        header, *rest = csv_of(runs(models=["Llama-3.1-8B"]), catalogue)
        twins = [slower(line.replace(",vllm,1,", ",vllm,2,"), 1.01) for line in rest]
        parts = left_out(measured([header, *rest, *twins], tmp_path, catalogue))

        lines = [set(part["line"] - 2) for part in parts]
        runs_in_all = 2 * len(rest)
        assert sum(map(len, lines)) == 2 * runs_in_all
        assert max(map(len, lines[:-2])) < runs_in_all / 2
        assert all((line + len(rest)) % runs_in_all in part for part in lines for line in part)

    def test_models_of_one_shape_are_left_out_as_one_pair(
        self, left_out: Spy, catalogue: Catalogue, tmp_path: Path
    ) -> None:
        header, *rest = csv_of(runs(models=["Llama-3.1-8B"]), catalogue)
        sisters = [line.replace("Llama-3.1-8B", "Llama-3-8B") for line in rest[::5]]
        measurements = measured([header, *rest, *sisters], tmp_path, catalogue)
        parts = left_out(measurements)

        setups = measurements.closed_loop.setups
        pairs = [{groups_of(setups[place], catalogue)["pair"] for place in part["setup"]} for part in parts]
        assert pairs[-2:] == [{"B200-SXM Llama-3-8B"}, {"H100-SXM Llama-3-8B"}]
        assert sum(len(part) for part in parts[-2:]) == len(rest) + len(sisters)

    def test_one_pair_of_few_runs_has_nothing_to_leave_out(self, catalogue: Catalogue, tmp_path: Path) -> None:
        few = csv_of(runs(gpus=GPUS[:1], models=["Llama-3.1-8B"]), catalogue)[:5]
        found = calibrate(measured(few, tmp_path, catalogue), catalogue)

        assert (found.held_out, found.notes) == ({}, ("too few runs to leave any out of the fit",))


class TestStepTables:
    def test_tables_alone_are_fitted_and_teach_nothing_beyond_their_setup(
        self, catalogue: Catalogue, tmp_path: Path
    ) -> None:
        file = tmp_path / "steps.csv"
        file.write_text("\n".join(steps_csv(made_up())), encoding="utf-8")
        found = calibrate(read_measurements([file], catalogue, assume=Assumed(gpu="A100")), catalogue)

        (table,) = found.tables
        assert (found.effects, found.evidence, found.held_out) == (None, (), {})
        assert (table.source, table.points) == ("steps.csv", len(made_up().rows))
        assert table.step_time.decode_step_s(8, 4096) == pytest.approx(made_up_law().decode_step_s(8, 4096), rel=1e-3)
        assert len(found.notes) == 1
        assert found.notes[0].startswith("steps.csv: mean error 0.0")

    def test_a_table_that_names_its_model_beside_a_server_is_part_of_the_fit(
        self, world: list[str], catalogue: Catalogue, tmp_path: Path
    ) -> None:
        steps = made_up()
        named = replace(steps, setup=replace(steps.setup, model="Llama-3.1-8B"))
        served = measured([world[0], *of_pair(world, "H100-SXM", "Llama-3.1-8B")[1][1:]], tmp_path, catalogue)
        found = calibrate(replace(served, step_tables=(named,)), catalogue, held_out=False)

        assert found.effects is not None
        assert found.effects.knows("gpu", "A100-80GB-SXM")
        assert [table.setup for table in found.tables] == [named.setup]
        assert [item.setup.gpu for item in found.evidence] == ["H100-SXM", "H100-SXM"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("header", "lines", "told"),
        [
            (CLOSED_LOOP, [f"1000,100,{batch},50,8" for batch in (1, 2, 4)], "holds 3 different run.* 4 at least"),
            (
                CLOSED_LOOP,
                ["1000,100,8,50,8", "1000,100,8,51,8.1", "1000,100,8,55,8.5", "1000,100,8,60,9"],
                "holds 1 different run.* too few to tell memory, compute and overhead apart",
            ),
            (
                CLOSED_LOOP,
                [f"{prompt},100,8,50,8" for prompt in (100, 500, 1000, 2000)],
                r"holds runs of one batch size only \(8\); add runs at another concurrency",
            ),
        ],
    )
    def test_closed_loops_that_tell_too_little(
        self, header: str, lines: list[str], told: str, catalogue: Catalogue, tmp_path: Path
    ) -> None:
        rows = [header, *(f"Llama-3.1-8B,H100,{line}" for line in lines)]

        with pytest.raises(InputError, match=rf"runs\.csv {told}"):
            fitted(rows, tmp_path, catalogue)

    @pytest.mark.parametrize(
        ("batches", "told"),
        [
            ((4, 4, 4, 4), r"holds runs of one batch size only \(4\)"),
            ((1, 4), "holds 2 different run"),
        ],
    )
    def test_batches_that_tell_too_little(
        self, batches: tuple[int, ...], told: str, catalogue: Catalogue, tmp_path: Path
    ) -> None:
        prompts = [200 * (place + 1) for place in range(len(batches))]
        lines = [
            f"{prompt},{batch},101,{0.02 * batch},{0.9 + prompt * 1e-5},{0.92 + 0.02 * batch},Llama-3.1-8B,A100,2"
            for prompt, batch in zip(prompts, batches, strict=True)
        ]

        with pytest.raises(InputError, match=rf"runs\.csv {told}"):
            fitted([BATCHES, *lines], tmp_path, catalogue)

    def test_steps_that_tell_too_little(self, catalogue: Catalogue, tmp_path: Path) -> None:
        file = tmp_path / "steps.csv"
        file.write_text("batch_size,kv_tokens_per_seq,step_ms\n1,100,8.0\n2,200,9.0\n", encoding="utf-8")
        steps = read_measurements([file], catalogue, assume=Assumed(gpu="A100"))

        with pytest.raises(InputError, match=r"steps\.csv has no batch size with decode steps at two KV sizes"):
            calibrate(steps, catalogue)
