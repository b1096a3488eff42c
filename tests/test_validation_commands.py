"""`nightshift validate` and `nightshift calibrate`: what they print, what they write, what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.folders import check_place, write_files
from sim.measurements import Assumed, Measurements
from sim.validation.comparison import Comparison
from sim.validation.payload import held_out_errors
from tests.made_comparisons import comparison, frame

FILES = ["validation.html", "validation.json", "validation.md", "validation.svg"]
RUNS = """\
model,gpu,backend,isl,osl,concurrency,ttft_ms,tpot_ms
Llama-3.1-8B,H100-SXM,vllm,1024,128,8,50.0,8.0
Llama-3.1-8B,H100-SXM,vllm,1024,128,16,70.0,9.0
"""


@dataclass(frozen=True)
class FakeCalibration:
    """A calibration that took no time."""

    name: str = "shipped"
    sources: tuple[str, ...] = ("runs.csv",)
    notes: tuple[str, ...] = ("2 runs were saturated",)
    held_out: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    file = tmp_path / "runs.csv"
    file.write_text(RUNS, encoding="utf-8")
    return file


@pytest.fixture
def compares(monkeypatch: pytest.MonkeyPatch) -> Callable[[Comparison], None]:
    """Puts a comparison that is known in the place of predictions."""

    def install(made: Comparison) -> None:
        predict = ModuleType("sim.validation.predict")
        # A module made here has only what is put into it.
        predict.compare = lambda measurements, calibration, catalogue: made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sim.validation.predict", predict)

    def load(file: Path | None) -> FakeCalibration:
        return FakeCalibration(name=str(file or "shipped"))

    monkeypatch.setattr("sim.steptime.calibration_file.load_calibration", load)
    install(comparison(60))
    return install


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Measurements, bool]]:
    """Puts a fit that is known in the place of the real one; gives back what it was asked."""
    asked: list[tuple[Measurements, bool]] = []

    def calibrate(measurements: Measurements, catalogue: object, *, held_out: bool) -> FakeCalibration:
        asked.append((measurements, held_out))
        return FakeCalibration(held_out=held_out_errors(comparison(60).rows) if held_out else {})

    monkeypatch.setattr("sim.calibration.learn.calibrate", calibrate)
    return asked


@pytest.mark.usefixtures("compares")
class TestValidate:
    def test_json_stands_alone_and_is_what_the_function_gives_back(
        self, measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["validate", str(measured), "--json", "--out", str(tmp_path / "report")]) == 0
        printed = capsys.readouterr()

        assert json.loads(printed.out) == commands.validate([measured], assume=Assumed())
        assert "validation.html" in printed.err

    def test_without_json_it_prints_tables(self, measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["validate", str(measured)]) == 0

        assert capsys.readouterr().out.startswith("Pairs in the fit: ")

    def test_the_report_is_four_files_beside_what_is_there(self, measured: Path) -> None:
        folder = measured.parent
        payload = commands.validate([measured], out=folder)

        assert sorted(path.name for path in folder.iterdir()) == ["runs.csv", *FILES]
        assert json.loads((folder / "validation.json").read_text(encoding="utf-8")) == payload

    def test_a_report_replaces_an_earlier_one(self, measured: Path, tmp_path: Path) -> None:
        out = tmp_path / "new" / "report"
        first = commands.validate([measured], out=out, calibration=Path("first.json"))
        commands.validate([measured], out=out)

        assert first["calibration"]["name"] == "first.json"
        assert "first.json" not in (out / "validation.md").read_text(encoding="utf-8")
        assert sorted(path.name for path in out.iterdir()) == FILES

    def test_a_page_of_somebody_else_stays(self, measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
        page = measured.parent / "validation.md"
        page.write_text("# My own", encoding="utf-8")

        assert run(["validate", str(measured), "--out", str(measured.parent)]) == 2
        assert "was not written by `nightshift validate`" in capsys.readouterr().err
        assert page.read_text(encoding="utf-8") == "# My own"

    def test_a_place_that_cannot_hold_a_report_is_refused(self, measured: Path) -> None:
        with pytest.raises(InputError, match=r"runs\.csv is a file"):
            commands.validate([measured], out=measured)

    def test_the_command_to_repeat_it_names_files_without_their_folders(self, measured: Path) -> None:
        assume = Assumed(weights="fp8", tensor_parallel=2)
        found = commands.validate([measured], calibration=Path("/some/where/my fit.json"), assume=assume)

        assert found["command"] == (
            "nightshift validate runs.csv --calibration 'my fit.json' --precision fp8 --tensor-parallel 2"
        )

    def test_measurements_that_hold_nothing_to_compare_are_refused(
        self, measured: Path, compares: Callable[[Comparison], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        compares(Comparison(frame(), ("3 rows left out: a pipeline",)))

        assert run(["validate", str(measured)]) == 2
        assert "hold nothing to compare (3 rows left out: a pipeline)" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["missing.csv"], "missing.csv"),
            (["runs.csv", "--gpu", "H100-SMX"], "did you mean"),
            (["runs.csv", "--precision", "fp7"], "fp7"),
            (["runs.csv", "--tensor-parallel", "0"], "is no count of GPUs"),
        ],
    )
    def test_bad_input_is_said_in_a_line(
        self,
        arguments: list[str],
        said: str,
        measured: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(measured.parent)

        assert run(["validate", *arguments]) == 2
        printed = capsys.readouterr()
        assert (printed.out, said in printed.err, printed.err.count("\n")) == ("", True, 1)


class TestCalibrate:
    def test_it_writes_the_calibration_and_tells_its_errors(
        self, fits: list[Any], measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "fits" / "mine.json"

        assert run(["calibrate", str(measured), "--out", str(out)]) == 0
        text = capsys.readouterr().out
        assert json.loads(out.read_text(encoding="utf-8")) == {"name": "mine"}
        assert text.startswith("Wrote ")
        assert "Runs that the fit did not use" in text
        assert "2 runs were saturated" in text

    def test_json_stands_alone(
        self, fits: list[Any], measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "mine.json"

        assert run(["calibrate", str(measured), "--out", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == commands.calibrate([measured], out)

    def test_quick_looks_at_no_other_runs(
        self, fits: list[Any], measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["calibrate", str(measured), "--out", str(tmp_path / "mine.json"), "--quick"]) == 0

        assert [held_out for _, held_out in fits] == [False]
        assert "did not use" not in capsys.readouterr().out

    def test_what_files_do_not_say_is_assumed(self, fits: list[Any], tmp_path: Path) -> None:
        steps = tmp_path / "steps.csv"
        steps.write_text("batch_size,kv_tokens_per_seq,step_ms\n1,100,8.0\n2,200,9.0\n", encoding="utf-8")
        options = ["--model", "llama-3.1-8b", "--gpu", "h100", "--tensor-parallel", "2", "--backend", "vllm"]

        assert run(["calibrate", str(steps), "--out", str(tmp_path / "mine.json"), *options]) == 0
        ((found, _),) = fits
        setup = found.step_tables[0].setup
        assert (setup.model, setup.gpu, setup.tensor_parallel, setup.backend) == ("Llama-3.1-8B", "H100-SXM", 2, "vllm")

    @pytest.mark.parametrize("name", ["mine.csv", "runs.csv/mine.json", "folder.json"])
    def test_a_place_that_cannot_hold_it_is_refused_before_the_fit(
        self, name: str, fits: list[Any], measured: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "folder.json").mkdir()

        assert run(["calibrate", str(measured), "--out", str(tmp_path / name)]) == 2
        assert fits == []


class TestWriteFiles:
    def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("old", encoding="utf-8")
        with pytest.raises(InputError, match="cannot be written"):
            write_files(tmp_path, {"a.txt": "new", "no/such/b.txt": "new"})

        assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("a.txt", "old")]

    def test_a_folder_that_had_to_be_made_goes_again_after_a_failure(self, tmp_path: Path) -> None:
        with pytest.raises(InputError):
            write_files(tmp_path / "new", {"no/such/b.txt": "new"})

        assert list(tmp_path.iterdir()) == []

    def test_a_place_in_folders_that_do_not_exist_yet_will_do(self, tmp_path: Path) -> None:
        check_place(tmp_path / "new" / "er" / "a.json")
