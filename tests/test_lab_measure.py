"""`nightshift measure` and `nightshift validate` on what it wrote.

Most tests serve a decoder without a model on a clock that goes by a known law of step times: then it is known what
is to be measured, and nothing is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.lab.decoder.weights import DecoderConfig, weight_shapes, write_weights
from sim.lab.engine.clocks import VirtualClock
from sim.lab.measuring import Asked, measure
from sim.lab.measuring import parts as measuring_parts
from sim.lab.measuring.folder import MeasuredFolder
from sim.lab.measuring.grid import Point, grid_of
from sim.lab.measuring.load import mean_output
from sim.lab.measuring.loops import OpenRun, typical
from sim.lab.measuring.settings import Limits, Times
from sim.lab.measuring.stakes import scaled_stakes
from sim.lab.measuring.steps import Drift, Stepper
from sim.lab.measuring.subject import Subject, subject_of
from sim.lab.provenance import sidecar_of
from sim.measurements import drift_notes
from sim.paths import data_path
from sim.steptime import StepTime
from sim.steptime.files import load_step_time
from tests.fake_decoder import FakeDecoder

LIMITS = Limits(max_num_seqs=6, max_num_batched_tokens=64, capacity=128)
CONFIG = DecoderConfig(50, 32, 1, 2, 1, 16, 64, max_positions=128)


def law() -> StepTime:
    """A millisecond, 40 us a row, 20 ns a KV token; 20 us a prompt token, 3 ns a pair."""
    base_s, kv_s = 1e-3 + 4e-5 * np.arange(65.0), np.full(65, 2e-8)
    base_s[0] = kv_s[0] = 0.0
    linear_s = 1e-3 + 2e-5 * np.arange(257.0)
    linear_s[0] = 0.0
    return StepTime(base_s[np.newaxis], kv_s[np.newaxis], np.array([np.inf]), linear_s, 3e-9)


def lawful() -> VirtualClock:
    return VirtualClock(lambda work: law().mixed_step_s(*work))


@dataclass
class Mute:
    """A decoder that says nothing, at once."""

    slots: int
    capacity: int
    config: DecoderConfig = CONFIG

    def decode(self, tokens: Any, lengths: Any) -> Any:
        return np.zeros((len(tokens), self.config.vocab_size), np.float32)

    def decode_best(self, tokens: Any, lengths: Any) -> Any:
        return np.zeros(len(tokens), np.int32)

    def prefill(self, slot: int, tokens: Any, start: int) -> Any:
        return np.zeros(self.config.vocab_size, np.float32)

    def copy(self, source: int, target: int, tokens: int) -> None:
        pass


@dataclass(frozen=True, eq=False)
class Fake(Subject):
    """A model that takes no time but the clock's."""

    def open(self, slots: int | None = None, capacity: int | None = None) -> Any:
        return Mute(slots or self.limits.max_num_seqs + 1, capacity or self.limits.capacity)


def fake(**changes: Any) -> Fake:
    own = {"name": "made-up", "digest": "d1", "provider": "cpu", "precision": "fp32", "gpu": "CPU", "threads": 1}
    return Fake(**(own | {"config": CONFIG, "weights": None, "limits": LIMITS} | changes))


def filled(limits: Limits) -> FakeDecoder:
    """A decoder whose slots have all been read into."""
    decoder = FakeDecoder(limits.max_num_seqs + 1, limits.capacity)
    decoder.cache[:] = 1
    return decoder


def measured(out: Path, *parts: str, told: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    asked = Asked(out=out, parts=parts or None, quick=True, **changes)
    progress = (lambda line: None) if told is None else told.append
    return measure(asked, command="nightshift measure", subject=fake(), clock=lawful, progress=progress)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose steps and loops went by the law, with enough requests to compare means."""
    out = tmp_path_factory.mktemp("measured") / "machine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring_parts, "times_for", lambda asked: Times(1.0, 2, 2, 0.5, 0.5, 2, 150, 150, 6, 0.01))
        asked = Asked(out=out, parts=("steps", "loops"))
        measure(asked, command="nightshift measure --out machine", subject=fake(), clock=lawful)
    return out


@pytest.fixture(scope="module")
def validation(whole: Path) -> dict[str, Any]:
    return commands.validate([whole])


class TestGrid:
    def test_every_point_is_once_in_it_and_fits(self) -> None:
        limits = Limits(32, 256, 512)
        points = grid_of(limits)

        assert len(set(points)) == len(points)
        assert all(point.rows + point.prompt_tokens <= 256 + 32 for point in points)
        assert all(point.kv_per_row + 8 <= 512 and point.cached + point.prompt < 512 for point in points)
        assert {point.rows for point in points if not point.prompt} >= {1, 2, 4, 8, 16, 24, 32}
        assert {point.slices for point in points} == {1, 2, 3}
        assert {point.cached for point in points} == {0, 128, 256}

    @pytest.mark.parametrize("limits", [Limits(1, 8, 16), Limits(2, 16, 32), Limits(64, 1024, 2048)])
    def test_it_can_be_visited_on_small_machines_and_large(self, limits: Limits) -> None:
        points = grid_of(limits, quick=limits.max_num_seqs > 8)
        for point in points[:: max(len(points) // 20, 1)]:
            step = Stepper(filled(limits), limits, lawful).visit(point)
            assert (step.decode_rows, step.prompt_tokens) == (point.rows, point.prompt_tokens)


class TestStepper:
    @pytest.mark.parametrize(
        "point",
        [Point(1, 20), Point(6, 100), Point(0, 0, 40), Point(0, 0, 30, 50), Point(3, 60, 20), Point(3, 60, 9, 0, 2)],
    )
    def test_it_measures_the_step_of_the_point(self, point: Point) -> None:
        step = Stepper(filled(LIMITS), LIMITS, lawful).visit(point)
        pairs = point.slices * point.prompt * (point.cached + (point.prompt + 1) / 2)

        assert (step.decode_rows, step.prompt_tokens, step.pairs) == (point.rows, point.prompt_tokens, pairs)
        assert step.kv_tokens == point.rows * point.kv_per_row
        assert step.seconds == pytest.approx(law().mixed_step_s(*step[2:6]))

    def test_only_steps_of_the_traffic_are_computed(self) -> None:
        decoder = filled(LIMITS)
        Stepper(decoder, LIMITS, lawful).visit(Point(4, 100, 10))

        between = round(mean_output(LIMITS) / 4) | 1
        come = 100 - between - 1
        replaced = [("decode", 3), ("prefill", come)]
        assert decoder.calls == [*[("decode", 4)] * 8, *replaced, *[("decode", 4)] * (between + 1), ("prefill", 10)]

    def test_drift_is_the_last_against_the_first(self) -> None:
        figures = Drift([0.0, 1.0, 2.0], [1.0, 1.1, 1.2]).figures()

        assert figures == {"steps": 3, "median_s": 1.1, "spread": 0.1455, "last_to_first": 1.2}


class TestFolder:
    def test_it_holds_what_is_to_be_read(self, whole: Path) -> None:
        loops = [f"open-loop-{percent}" for percent in (110, 30, 60, 85)]

        assert sorted(path.name for path in whole.iterdir()) == sorted(
            [
                *("README.md", "provenance.json", "steps.csv", "closed-loop.csv"),
                *("steps.csv.provenance.json", "closed-loop.csv.provenance.json"),
                *loops,
            ]
        )
        assert {path.name for path in (whole / loops[0]).iterdir()} == {"requests.jsonl", "meta.json"}

    def test_every_file_says_where_it_comes_from(self, whole: Path) -> None:
        documents = [json.loads(file.read_text(encoding="utf-8")) for file in whole.rglob("*.json")]
        origins = [document.get("provenance", document) for document in documents]

        assert len(origins) == 7
        assert all(
            {"date", "command", "commit", "versions", "hardware"} <= origin.keys()
            and origin["command"] == "nightshift measure --out machine"
            for origin in origins
        )
        tables = list(whole.glob("*.csv"))
        assert tables
        assert all(sidecar_of(table).is_file() for table in tables)

    def test_the_card_tells_the_figures(self, whole: Path) -> None:
        text = (whole / "README.md").read_text(encoding="utf-8")
        told = json.loads((whole / "provenance.json").read_text(encoding="utf-8"))["parts"]["loops"]

        assert text.startswith("# made-up on CPU, fp32\n")
        assert f"At most {told['saturation_per_s']:.3g} requests a second" in text
        assert "| 110% | 150 |" in text
        assert "nightshift measure --out machine" in text

    def test_loads_are_shares_of_the_most(self, whole: Path) -> None:
        told = json.loads((whole / "provenance.json").read_text(encoding="utf-8"))["parts"]["loops"]

        assert [each["load"] for each in told["open"]] == [0.3, 0.6, 0.85, 1.1]
        for each in told["open"]:
            lines = (whole / f"open-loop-{each['load'] * 100:.0f}" / "requests.jsonl").read_text().splitlines()
            arrivals = [json.loads(line)["queued_ts"] for line in lines]
            assert len(lines) / arrivals[-1] == pytest.approx(each["load"] * told["saturation_per_s"], rel=0.35)
            assert arrivals == sorted(arrivals)

    def test_steps_and_loops_do_not_depend_on_chance(self, whole: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            measured(tmp_path / name, "loops", seed=3)

        for file in ("closed-loop.csv", "open-loop-60/requests.jsonl"):
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


class TestResuming:
    def test_what_is_there_is_kept(self, tmp_path: Path) -> None:
        out, told = tmp_path / "m", list[str]()
        assert measured(out, "router")["measured"] == ["router"]
        before = (out / "router-latency.csv").read_bytes()

        assert measured(out, "router", "steps", told=told)["measured"] == ["steps"]
        assert "router: kept, as it was measured with these settings" in told
        assert (out / "router-latency.csv").read_bytes() == before

    def test_other_settings_are_measured_anew(self, tmp_path: Path) -> None:
        measured(tmp_path / "m", "loops")

        assert measured(tmp_path / "m", "loops", seed=1)["measured"] == ["loops"]

    def test_a_file_that_is_gone_is_made_again(self, tmp_path: Path) -> None:
        measured(tmp_path / "m", "steps")
        (tmp_path / "m" / "steps.csv").unlink()

        assert measured(tmp_path / "m", "steps")["measured"] == ["steps"]

    def test_an_interrupted_part_leaves_nothing(self, tmp_path: Path) -> None:
        folder = MeasuredFolder(tmp_path / "m")

        def write(aside: Path) -> dict[str, Any]:
            (aside / "half.csv").write_text("a")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            folder.measure("steps", "f", write)
        assert list((tmp_path / "m").iterdir()) == []
        assert not folder.holds("steps", "f")

    def test_an_interrupted_part_leaves_what_was_measured_before(self, tmp_path: Path) -> None:
        measured(tmp_path / "m", "steps")
        before = {path.name for path in (tmp_path / "m").iterdir()}

        def fails(aside: Path) -> dict[str, Any]:
            raise OSError("no space")

        with pytest.raises(OSError, match="no space"):
            MeasuredFolder(tmp_path / "m").measure("steps", "other", fails)
        assert {path.name for path in (tmp_path / "m").iterdir()} == before
        assert measured(tmp_path / "m", "steps")["measured"] == []

    def test_a_part_that_resumes_finds_what_it_left(self, tmp_path: Path) -> None:
        folder = MeasuredFolder(tmp_path / "m")

        def write(aside: Path) -> dict[str, Any]:
            if (aside / "some").exists():
                (aside / "all").write_text("done")
                (aside / "some").unlink()
                return {}
            (aside / "some").write_text("half")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            folder.measure("outcomes", "f", write, resumes=True)
        MeasuredFolder(tmp_path / "m").measure("outcomes", "f", write, resumes=True)
        assert {path.name for path in (tmp_path / "m").iterdir()} == {"all", "provenance.json"}

    def test_files_of_an_earlier_measurement_go(self, tmp_path: Path) -> None:
        folder = MeasuredFolder(tmp_path / "m")

        def writes(name: str) -> Any:
            return lambda aside: (aside / name).mkdir() or {}

        folder.measure("loops", "f", writes("open-loop-30"))
        folder.measure("loops", "g", writes("open-loop-50"))
        assert {path.name for path in (tmp_path / "m").iterdir()} == {"open-loop-50", "provenance.json"}


class TestValidation:
    def rows(self, validation: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
        return [row for row in validation["rows"] if row["kind"] == kind]

    def test_step_times_are_fitted_to_the_steps_alone(self, validation: dict[str, Any]) -> None:
        assert validation["calibration"]["name"] == "its own step table"
        assert validation["calibration"]["sources"] == ["steps.csv"]
        errors = [abs(row["error"]) for row in self.rows(validation, "step-table")]
        assert float(np.mean(errors)) < 0.005

    def test_loops_served_by_a_law_are_predicted_by_its_steps(self, validation: dict[str, Any]) -> None:
        means = {
            (row["source"], row["metric"]): abs(row["error"])
            for row in self.rows(validation, "open-loop")
            if row["statistic"] == "mean"
        }

        assert len(means) == 12
        assert max(means[source, metric] for source, metric in means if metric != "ttft_ms") < 0.01
        assert (
            max(error for (source, metric), error in means.items() if metric == "ttft_ms" and "110" not in source)
            < 0.03
        )

    def test_single_requests_are_compared(self, validation: dict[str, Any]) -> None:
        each = {(one["group"], one["metric"]): one for one in validation["requests"]}

        assert len(each) == 12
        assert all(one["n"] == 150 for one in each.values())
        assert max(one["median_abs_error"] for (_, metric), one in each.items() if metric != "ttft_ms") < 0.01

    def test_overload_is_kept_apart(self, validation: dict[str, Any]) -> None:
        saturated = {row["source"] for row in self.rows(validation, "open-loop") if row["saturated"]}

        assert saturated == {"open-loop-110"}
        assert {one["name"] for one in validation["targets"] if one["group"] == "open-loop"} == {"our own engine"}
        assert all(one["met"] for one in validation["targets"] if one["group"] == "open-loop")

    def test_closed_loops_are_served_within_their_own_limits(self, validation: dict[str, Any]) -> None:
        rows = [row for row in self.rows(validation, "closed-loop") if row["metric"] == "e2e_s"]

        assert [row["concurrency"] for row in rows] == [1, 4, 6]
        assert max(abs(row["error"]) for row in rows) < 0.1

    def test_the_report_names_logs_and_requests(self, whole: Path, tmp_path: Path) -> None:
        assert run(["validate", str(whole), "--out", str(tmp_path / "report")]) == 0
        text = (tmp_path / "report" / "validation.md").read_text(encoding="utf-8")

        assert "## Single requests of open-loop logs" in text
        assert "(open-loop-85) | E2E p99 |" in text

    def test_a_machine_that_drifted_is_told(self, whole: Path, tmp_path: Path) -> None:
        told = json.loads((whole / "provenance.json").read_text(encoding="utf-8"))
        assert list(drift_notes([whole])) == []

        told["parts"]["loops"]["open"][2]["reference_s"] = [1.2 * told["parts"]["steps"]["reference"]["median_s"]] * 2
        (tmp_path / "provenance.json").write_text(json.dumps(told), encoding="utf-8")
        assert list(drift_notes([tmp_path])) == [
            "open-loop-85: its reference steps took +20% against those of the step table"
        ]

    def test_a_calibration_that_is_named_predicts(self, whole: Path, tmp_path: Path) -> None:
        file = tmp_path / "own.json"
        assert run(["calibrate", str(whole / "steps.csv"), "--out", str(file)]) == 0
        found = commands.validate([whole], calibration=file)

        assert found["calibration"]["name"] == "own"
        assert len(self.rows(found, "open-loop")) == 48

    def test_a_loop_alone_finds_its_model(self, whole: Path, tmp_path: Path) -> None:
        file = tmp_path / "own.json"
        commands.calibrate([whole / "steps.csv"], file, quick=True)
        found = commands.validate([whole / "open-loop-60"], calibration=file)

        assert {row["model"] for row in found["rows"]} == {"made-up"}

    def test_a_model_that_is_none_is_told_with_its_file(self, whole: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.mkdir()
        told = json.loads((whole / "provenance.json").read_text(encoding="utf-8"))
        told["model"]["layers"] = 0
        (broken / "provenance.json").write_text(json.dumps(told), encoding="utf-8")
        (broken / "steps.csv").write_text((whole / "steps.csv").read_text(), encoding="utf-8")

        with pytest.raises(InputError, match=r"provenance\.json .*above zero"):
            commands.validate([broken])


class TestRouter:
    def test_latency_by_batch(self, tmp_path: Path) -> None:
        measured(tmp_path / "m", "router")
        table = pd.read_csv(tmp_path / "m" / "router-latency.csv")

        assert table.groupby("graph")["batch"].apply(list).to_dict() == {
            "forest": [1, 8, 64, 512, 4096],
            "network": [1, 8, 64, 512, 4096],
        }
        assert (table["p99_us"] >= table["median_us"]).all()
        assert (table["calls"] >= 20).all()

    def test_a_router_of_ones_own_is_timed_too(self, tmp_path: Path) -> None:
        from sim.lab.measuring.router_latency import network

        (tmp_path / "mine.onnx").write_bytes(network())
        measured(tmp_path / "m", "router", router=tmp_path / "mine.onnx")

        assert "mine.onnx" in set(pd.read_csv(tmp_path / "m" / "router-latency.csv")["graph"])

    def test_a_file_that_is_no_router_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine.onnx").write_bytes(b"no graph")

        with pytest.raises(InputError, match="cannot be loaded"):
            measured(tmp_path / "m", "router", router=tmp_path / "mine.onnx")


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--parts", "stepz"], "stepz is no part of a measurement, did you mean 'steps'?"),
            (["--parts", ""], "no part is to be measured"),
            (["--model", "m", "--shape", "Llama-3.1-8B"], "name two things to measure"),
            (["--layers", "2"], "2 layers are of a shape"),
            (["--shape", "Llama-3.1-8B", "--parts", "outcomes"], "outcomes needs a model that answers"),
            (["--shape", "Lama-3.1-8B"], "did you mean 'Llama-3.1-8B'?"),
            (["--model", "nowhere"], "nowhere"),
            (["--gpu", "H1000"], "is not a GPU of the catalogue"),
            (["--router", "nowhere.onnx"], "nowhere.onnx does not exist"),
        ],
    )
    def test_it_is_refused_with_exit_code_2(
        self, words: Sequence[str], told: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = [] if {"--model", "--shape"} & set(words) else ["--model", str(tiny)]
        code = run(["measure", "--out", str(tmp_path / "m"), "--quick", "--provider", "cpu", *model, *words])

        assert told in capsys.readouterr().err
        assert code == 2

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")

        with pytest.raises(InputError, match="holds something other than measurements"):
            measured(tmp_path, "router")
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_text("mine")

        with pytest.raises(InputError, match="is a file"):
            measured(tmp_path / "m", "router")

    def test_measurements_of_another_model_are_left_alone(self, tmp_path: Path) -> None:
        measured(tmp_path / "m", "steps")
        asked = Asked(out=tmp_path / "m", parts=("steps",), quick=True)

        with pytest.raises(InputError, match="holds measurements of made-up on CPU in fp32"):
            measure(asked, command="x", subject=fake(digest="d2"), clock=lawful)

    def test_a_day_of_a_router_wants_the_outcomes_of_another_model(self, tiny: Path, tmp_path: Path) -> None:
        asked = Asked(out=tmp_path / "m", model=tiny, parts=("router-day",), quick=True)
        with pytest.raises(InputError, match="router-day needs the outcomes of this model"):
            measure(asked, command="x", subject=fake(), clock=lawful)
        assert "router-day" not in Asked(out=tmp_path / "n").wanted

    def test_a_router_has_as_much_to_weigh_on_a_slower_machine(self) -> None:
        own = load_step_time(data_path("lab", "step-times.json")).covering(32)
        slower = replace(own, decode_base_s=3.0 * own.decode_base_s, decode_kv_s=3.0 * own.decode_kv_s)

        assert scaled_stakes("lab-router-day", own) == ["workload.0.usd_per_correct=6e-05", "workload.0.slo.e2e=0.02"]
        assert scaled_stakes("lab-router-day", slower) == [
            "workload.0.usd_per_correct=0.00018",
            "workload.0.slo.e2e=0.06",
        ]

    def test_end_to_end_wants_what_it_is_simulated_by(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="needs the outcomes of this model"):
            measured(tmp_path / "m", "end-to-end")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real decoder, too small to say anything."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    draws = np.random.default_rng(0)
    shapes = weight_shapes(CONFIG)
    write_weights(folder, CONFIG, {name: draws.standard_normal(shapes[name]).astype(np.float32) for name in shapes})
    return folder


def test_a_real_decoder_is_measured_by_one_command(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["measure", "--out", str(tmp_path / "m"), "--model", str(tiny), "--provider", "cpu", "--quick", "--json"]
    assert run([*words, "--parts", "steps,loops,router"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)

    assert found["measured"] == ["steps", "loops", "router"]
    assert found["model"]["name"] == "tiny"
    assert "steps: 2 rounds" in printed.err
    validated = commands.validate([tmp_path / "m"])
    assert {row["source"] for row in validated["rows"] if row["kind"] == "open-loop"} == {
        f"open-loop-{percent}" for percent in (30, 60, 85, 110)
    }


def test_the_shape_of_a_public_model_may_have_fewer_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.lab.decoder.shapes.random_weights", lambda config: {})
    asked = Asked(out=tmp_path / "m", shape="meta-llama/Llama-3.1-8B", layers=2, provider="cpu", precision="fp16")
    subject = subject_of(asked)

    assert (subject.setup["model"], subject.setup["precision"]) == ("Llama-3.1-8B-2-layers", "fp16")
    assert (subject.declared["layers"], subject.declared["hidden"], subject.limits.capacity) == (2, 4096, 2048)
    assert asked.wanted == ("steps", "loops")


def test_it_runs_where_there_is_little_but_onnx_runtime(tiny: Path, tmp_path: Path) -> None:
    """On a GPU machine only numpy, pandas, pyarrow and onnx need be beside ONNX Runtime."""
    absent = ("pydantic", "simpy", "plotly", "jinja2", "torch", "numba", "joblib", "scipy", "typer", "yaml")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))
from pathlib import Path
from sim.commands import measure
measure(Path({str(tmp_path / "m")!r}), model=Path({str(tiny)!r}), quick=True, parts=["steps", "loops", "router"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m" / "closed-loop.csv").is_file()


def test_of_repeated_loops_the_median_one_is_kept() -> None:
    runs = [OpenRun(0.3, 1.0, [SimpleNamespace(e2e_s=e2e_s)], (0.0, 0.0)) for e2e_s in (0.5, 0.9, 0.1)]

    assert typical(runs) is runs[0]
    assert typical(runs[:2]) is runs[1]


def test_what_is_kept_tells_of_all_runs(whole: Path) -> None:
    part = json.loads((whole / "provenance.json").read_text())["parts"]["loops"]

    for opened in part["open"]:
        assert len(opened["all_mean_e2e_s"]) == 2
        assert opened["e2e_s"]["mean"] in opened["all_mean_e2e_s"]
    rounds = part["steps"]["rounds"]
    assert rounds > json.loads((whole / "provenance.json").read_text())["parts"]["steps"]["rounds"]
    assert set(pd.read_csv(whole / "steps.csv").visits) == {rounds}
