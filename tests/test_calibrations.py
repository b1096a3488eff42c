"""Calibrations: their files, what they know of a setup, and the step times that pools get from them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.calibration.fit import START
from sim.errors import InputError
from sim.hardware import load_catalogue
from sim.hardware.setup import Setup
from sim.scenario import GpuPool
from sim.steptime import StepTime, setup_of, step_time_for
from sim.steptime.calibration import Calibration, Evidence, MeasuredTable
from sim.steptime.calibration_file import calibration_from, load_calibration, shipped_calibration
from sim.steptime.effects import Effects
from tests import small
from tests.step_tables import made_up_law

CATALOGUE = load_catalogue()
LLAMA = Setup(model="Llama-3.1-8B", gpu="H100-SXM", backend="vllm")
A100 = Setup(model="Llama-3-8B", gpu="A100-80GB-SXM")

Change = Callable[[dict[str, Any]], object]


def table(**stated: Any) -> MeasuredTable:
    errors = {"mean_abs_error": 0.01, "held_out_error": 0.02}
    setup = replace(A100, **stated)
    return MeasuredTable(setup=setup, step_time=made_up_law(), source="steps.csv", points=64, **errors)


def calibration(**changes: Any) -> Calibration:
    """Twice as slow with SGLang, and a table of an A100; a Hopper and an Ampere were measured."""
    by_level = {
        "all": {"all": {"memory": 0.1}},
        "generation": {"Hopper": {"time": -0.05}, "Ampere": {"time": 0.05}},
        "gpu": {"H100-SXM": {"time": 0.02}},
        "backend": {"vllm": {"front_end_ms": 0.3}, "sglang": {"time": log(2.0)}},
    }
    whole: dict[str, Any] = {
        "name": "ours",
        "sources": ("runs.csv", "steps.csv"),
        "effects": Effects(START, by_level),
        "tables": (table(),),
        "evidence": (Evidence(setup=LLAMA, runs=12, sources=("runs.csv",), tpot_error=0.03, unseen_ttft_error=0.2),),
        "held_out": {"groups": [{"group": "seen", "n": 3, "interval": None}], "pairs": []},
        "notes": ("steps.csv: mean error 1 %",),
    }
    return Calibration(**(whole | changes))


def from_text(text: str) -> Calibration:
    return calibration_from(json.loads(text), "ours.json")


def saved(folder: Path, made: Calibration) -> Path:
    file = folder / "ours.json"
    file.write_text(json.dumps(made.document()), encoding="utf-8")
    return file


def same_times(one: StepTime, other: StepTime) -> bool:
    names = ("decode_base_s", "decode_kv_s", "linear_s", "attention_s_per_pair", "front_end_s", "front_end_steps")
    return all(np.allclose(getattr(one, name), getattr(other, name), rtol=1e-4) for name in names)


def pool(**changes: Any) -> GpuPool:
    return GpuPool.model_validate(small.pool(**changes))


class TestFile:
    def test_what_is_written_is_read(self) -> None:
        made = calibration()
        read = from_text(json.dumps(made.document(), allow_nan=False))

        for name in ("name", "sources", "evidence", "held_out", "notes"):
            assert getattr(read, name) == getattr(made, name)
        assert replace(read.tables[0], step_time=made.tables[0].step_time) == made.tables[0]
        assert all(same_times(step_times(read), step_times(made)) for step_times in (of_llama, of_the_table))

    def test_what_is_read_is_written_to_the_same_bytes(self) -> None:
        text = json.dumps(calibration().document())

        assert json.dumps(from_text(text).document()) == text

    def test_tables_alone_are_a_calibration(self) -> None:
        read = from_text(json.dumps(calibration(effects=None, evidence=()).document()))

        assert (read.effects, len(read.tables)) == (None, 1)

    def test_what_a_setup_leaves_out_is_as_ever(self) -> None:
        document = calibration().document()
        document["tables"][0]["setup"] = {"model": None, "gpu": "A100-80GB-SXM"}

        assert calibration_from(document, "ours.json").tables[0].setup == Setup(model=None, gpu="A100-80GB-SXM")

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda file: file.update(format="nightshift-calibration-0"), r"this version \(nightshift-calibration-1\)"),
            (lambda file: file.pop("notes"), "notes .* Field required"),
            (lambda file: file.update(mood="good"), "mood .* Extra inputs"),
            (lambda file: file.update(tables=None), "tables .* valid tuple"),
            (lambda file: file["evidence"][0].update(runs="many"), r"evidence\.0\.runs .* valid integer"),
            (lambda file: file["evidence"][0]["setup"].update(colour="red"), r"evidence\.0\.setup\.colour"),
            (lambda file: file["evidence"][0]["setup"].pop("gpu"), r"evidence\.0\.setup\.gpu .* required"),
            (lambda file: file["evidence"][0]["setup"].update(weights="fp7"), "fp7 is not a weight format"),
            (lambda file: file["tables"][0]["setup"].update(weights=["bf16"]), r"tables\.0\.setup\.weights"),
            (lambda file: file["tables"][0]["setup"].update(tensor_parallel=0), r"tensor_parallel .* greater than 0"),
            (lambda file: file["tables"][0]["step_time"].pop("linear_s"), "lacks linear_s"),
            (lambda file: file["tables"][0]["step_time"].update(linear_s=[0.0, 2.0, 1.0]), "do not fall"),
            (lambda file: file["tables"][0]["step_time"].update(front_end_s=-1), r"-1 is not a time \(front_end_s\)"),
            (lambda file: file["start"].update(memory=0), "start must hold numbers above zero"),
            (lambda file: file["start"].pop("memory"), "start must hold numbers above zero for .*memory"),
            (lambda file: file.update(start={}), "start must hold numbers above zero"),
            (lambda file: file.update(start=None), "start and effects go together"),
            (lambda file: file.update(effects=None), "start and effects go together"),
            (lambda file: file["effects"].update(weather={}), "weather is no level of effects; use one of"),
            (lambda file: file["effects"]["all"]["all"].update(memry=0.1), "memry is no part .* 'memory'"),
            (lambda file: file["effects"]["all"]["all"].update(memory=float("nan")), "finite number"),
        ],
    )
    def test_a_file_that_is_none_is_refused_by_name_with_a_remedy(self, change: Change, told: str) -> None:
        document = copy.deepcopy(calibration().document())
        change(document)

        with pytest.raises(InputError, match=told) as caught:
            calibration_from(document, "ours.json")
        assert str(caught.value).startswith("ours.json")
        assert caught.value.remedy

    @pytest.mark.parametrize("content", [None, 3, [], {}, {"format": 1}, {"format": ["nightshift-calibration-1"]}])
    def test_what_is_no_calibration_at_all_is_refused(self, content: object) -> None:
        with pytest.raises(InputError, match=r"ours\.json is no calibration .* write it anew with"):
            calibration_from(content, "ours.json")

    @pytest.mark.parametrize(("text", "told"), [("{", "is not a JSON file"), ("[]", "is no calibration")])
    def test_a_file_of_something_else_is_named(self, text: str, told: str, tmp_path: Path) -> None:
        file = tmp_path / "ours.json"
        file.write_text(text, encoding="utf-8")

        with pytest.raises(InputError, match=rf"ours\.json {told}"):
            load_calibration(file)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"none\.json cannot be read"):
            load_calibration(tmp_path / "none.json")


class TestTables:
    def test_a_table_is_of_what_it_states(self) -> None:
        found = table(model=None, tensor_parallel=2)
        mine = replace(A100, tensor_parallel=2)

        assert all(found.is_of(replace(mine, **more)) for more in ({"model": "Qwen3-8B"}, {"backend": "vllm"}))
        others: list[dict[str, Any]] = [{"gpu": "H100-SXM"}, {"tensor_parallel": 1}, {"weights": "fp8"}]
        assert not any(found.is_of(replace(mine, **other)) for other in [*others, {"data_parallel": 2}])

    def test_a_table_that_names_the_model_comes_first(self) -> None:
        unnamed, named = table(model=None), table()
        found = calibration(tables=(unnamed, named))

        assert found.table_of(A100) is named
        assert found.table_of(replace(A100, model="Qwen3-8B")) is unnamed
        assert found.table_of(LLAMA) is None

    @pytest.mark.parametrize("model", [None, "Llama-3-8B"])
    def test_two_tables_of_one_setup_are_refused(self, model: str | None) -> None:
        with pytest.raises(InputError, match="ours holds 2 tables that fit Llama-3-8B on A100-80GB-SXM, TP 1; "):
            calibration(tables=(table(model=model), table(model=model))).table_of(A100)

    def test_a_table_goes_before_effects_and_on_beyond_its_rows(self) -> None:
        found = calibration().step_time(A100, CATALOGUE, 40, 512)

        assert found.decode_base_s[0, :33].tolist() == made_up_law().decode_base_s[0].tolist()
        assert found.max_rows == 40
        assert np.diff(found.decode_base_s[0, 30:]) == pytest.approx(2e-5)


class TestEffects:
    def test_step_times_are_a_roofline_of_the_learned_efficiency(self) -> None:
        found = of_llama(calibration())

        assert (found.max_rows, len(found.linear_s)) == (16, 257)
        layers_s = CATALOGUE.model("Llama-3.1-8B").layers * START.front_end_layer_us * 1e-6
        assert found.front_end_s == pytest.approx(START.front_end_ms * 1e-3 * np.exp(0.3) + layers_s)
        assert found.decode_base_s[0, 1] < of_llama(calibration(), backend="sglang").decode_base_s[0, 1]

    def test_an_engine_twice_as_slow_takes_twice_the_time(self) -> None:
        slow, other = (of_llama(calibration(), backend=backend) for backend in ("sglang", "tensorrt-llm"))

        np.testing.assert_allclose(slow.decode_base_s, 2 * other.decode_base_s)
        np.testing.assert_allclose(slow.linear_s, 2 * other.linear_s)

    @pytest.mark.parametrize("changes", [{}, {"effects": None}])
    def test_a_generation_that_was_not_measured_has_the_catalogue_s_efficiency(self, changes: dict[str, Any]) -> None:
        setup = replace(LLAMA, gpu="B200-SXM")
        found = calibration(**changes)

        assert found.efficiency(setup, CATALOGUE) == CATALOGUE.efficiency(CATALOGUE.gpu("B200-SXM"))
        assert found.standing(setup, CATALOGUE) == "assumed"

    @pytest.mark.parametrize(
        ("setup", "standing"),
        [
            (A100, "measured"),
            (replace(A100, data_parallel=2), "assumed"),
            (LLAMA, "calibrated"),
            (replace(LLAMA, model="Qwen3-32B", backend="sglang"), "calibrated"),
            (replace(LLAMA, gpu="H200-SXM"), "assumed"),
            (replace(LLAMA, gpu="L4"), "assumed"),
        ],
    )
    def test_how_much_is_known_of_a_setup(self, setup: Setup, standing: str) -> None:
        assert calibration().standing(setup, CATALOGUE) == standing

    def test_a_sister_of_a_measured_gpu_takes_what_its_generation_taught(self) -> None:
        found = calibration().efficiency(replace(LLAMA, gpu="H200-SXM"), CATALOGUE)

        assert found.memory == pytest.approx(START.memory * np.exp(0.1 + 0.05))
        assert found.status == "assumed"

    def test_pairs_in_the_fit_are_those_of_its_evidence_and_its_tables(self) -> None:
        found = calibration()

        assert found.saw("H100-SXM", "Llama-3.1-8B")
        assert found.saw("A100-80GB-SXM", "Llama-3-8B")
        assert not found.saw("H100-SXM", "Llama-3-8B")
        assert not found.saw("A100-80GB-SXM", "Llama-3.1-8B")


class TestShipped:
    def test_it_knows_the_gpus_that_were_measured(self) -> None:
        found = shipped_calibration()

        gpus = ("H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "A100-80GB-SXM", "RTX-PRO-6000-Server")
        assert {found.standing(replace(LLAMA, gpu=gpu), CATALOGUE) for gpu in gpus} == {"calibrated"}
        assert found.standing(replace(LLAMA, gpu="T4"), CATALOGUE) == "assumed"

    def test_it_holds_a_table_of_each_measured_setup_and_errors_held_out(self) -> None:
        found = load_calibration()

        assert [found.standing(one.setup, CATALOGUE) for one in found.tables] == ["measured"] * len(found.tables)
        assert found.tables
        assert {group["group"] for group in found.held_out["groups"]} == {"seen", "unseen"}
        assert found.evidence
        assert found.sources

    @pytest.mark.parametrize("gpu", sorted(CATALOGUE.gpus))
    def test_every_gpu_has_sound_step_times_for_dense_and_routed_models(self, gpu: str) -> None:
        for model in ("Llama-3.1-8B", "Qwen3-30B-A3B", "DeepSeek-V3"):
            law = shipped_calibration().step_time(replace(LLAMA, gpu=gpu, model=model), CATALOGUE, 64, 256)
            assert (np.diff(law.decode_base_s[0]) > 0).all()


class TestPools:
    def test_a_pool_says_what_serves(self) -> None:
        spread = pool(model="Qwen3-30B-A3B", tensor_parallel=2, data_parallel=4, engine={"backend": "sglang"})
        sliced = pool(model="Qwen3-30B-A3B", data_parallel=4, expert_parallel=1)
        narrow = pool(precision={"weights": "fp8", "kv": "fp8"})

        layout = {"tensor_parallel": 2, "data_parallel": 4, "expert_parallel": 8}
        assert setup_of(spread, CATALOGUE) == Setup(model="Qwen3-30B-A3B", gpu="H100-SXM", backend="sglang", **layout)
        assert setup_of(narrow, CATALOGUE) == replace(LLAMA, weights="fp8", kv="fp8")
        assert setup_of(sliced, CATALOGUE).expert_parallel == 1

    def test_the_shipped_calibration_serves_where_nothing_else_is_named(self) -> None:
        found = step_time_for(pool(), CATALOGUE).step_time

        assert same_times(found, shipped_calibration().step_time(LLAMA, CATALOGUE, 256, 8192))

    def test_a_file_of_a_calibration_will_do(self, tmp_path: Path) -> None:
        file = saved(tmp_path, calibration())
        found = step_time_for(pool(step_time={"path": str(file)}), CATALOGUE).step_time

        assert same_times(found, calibration().step_time(LLAMA, CATALOGUE, 256, 8192))

    @pytest.mark.parametrize("gpu", ["A100-80GB-SXM", "A100"])
    @pytest.mark.parametrize("model", ["Llama-3-8B", "meta-llama/Meta-Llama-3-8B"])
    def test_a_measured_table_in_it_serves_its_pool_by_any_name(self, model: str, gpu: str, tmp_path: Path) -> None:
        file = saved(tmp_path, calibration(effects=None))
        found = step_time_for(pool(model=model, gpu=gpu, step_time={"path": str(file)}), CATALOGUE)

        assert found.step_time.decode_step_s(4, 100) == pytest.approx(made_up_law().decode_step_s(4, 100))
        assert found.trust.standing == "measured"

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({}, "has no step times of Llama-3.1-8B on 1 x H100-SXM in bf16"),
            ({"precision": {"weights": "fp8"}}, "has no step times of Llama-3.1-8B on 1 x H100-SXM in fp8"),
        ],
    )
    def test_tables_of_other_setups_alone_do_not_know_a_pool(
        self, changes: dict[str, Any], told: str, tmp_path: Path
    ) -> None:
        file = saved(tmp_path, calibration(effects=None))

        with pytest.raises(InputError, match=rf"ours\.json {told}; calibrate with measurements of this pool"):
            step_time_for(pool(step_time={"path": str(file)}, **changes), CATALOGUE)

    def test_a_faulty_calibration_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "ours.json"
        file.write_text(json.dumps(calibration().document() | {"notes": 3}), encoding="utf-8")

        with pytest.raises(InputError, match="notes is not as a calibration has it") as caught:
            step_time_for(pool(step_time={"path": str(file)}), CATALOGUE)
        assert str(caught.value).startswith(str(file))

    def test_the_engine_changes_step_times(self) -> None:
        times = [step_time_for(pool(engine={"backend": name}), CATALOGUE).step_time for name in ("vllm", "sglang")]

        assert not same_times(*times)

    def test_ranks_that_share_experts_read_fewer_of_them(self, tmp_path: Path) -> None:
        file = {"path": str(saved(tmp_path, calibration()))}
        alone, shared = (
            step_time_for(pool(model="Qwen3-30B-A3B", data_parallel=ranks, step_time=file), CATALOGUE).step_time
            for ranks in (1, 4)
        )

        assert shared.decode_step_s(64, 0) < alone.decode_step_s(64, 0)
        assert shared.decode_kv_s[0, 1] == alone.decode_kv_s[0, 1]


def of_llama(found: Calibration, **changes: Any) -> StepTime:
    return found.step_time(replace(LLAMA, **changes), CATALOGUE, 16, 256)


def of_the_table(found: Calibration) -> StepTime:
    return found.step_time(A100, CATALOGUE, 16, 256)
