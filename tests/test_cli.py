"""The command line: what it prints where, how it ends, and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim import commands
from sim.cli import run
from sim.errors import EngineError, InputError
from sim.folders import check_results_folder, replace_folder, write_file
from sim.load import load_scenario
from sim.scenario import Scenario

Write = Callable[[str], Path]
ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "numpy",
    "pandas",
    "numba",
    "scipy",
    "pyarrow",
    "plotly",
    "onnxruntime",
    "simpy",
    "pydantic",
    "yaml",
    "rich",
}


def nightshift(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sim.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


class FakeResults:
    """Results of a run that took no time."""

    def __init__(self, scenario: Scenario, keep_requests: bool) -> None:
        self.summary: dict[str, Any] = {
            "scenario": scenario.name,
            "seed": scenario.seed,
            "replications": scenario.replications,
            "kept": keep_requests,
        }

    def save(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "summary.json").write_text(json.dumps(self.summary), encoding="utf-8")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the engine, one that answers at once with what it was asked."""

    def simulate(
        scenario: Scenario, *, progress: object = None, keep_requests: bool = False, precision: object = None
    ) -> FakeResults:
        return FakeResults(scenario, keep_requests)

    monkeypatch.setattr("sim.simulation.simulate", simulate)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    program = "import sys; from sim.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert HEAVY & set(done.stderr.split()) == set()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert run(["trace", "--help"]) == 0
    text = capsys.readouterr().out

    work = ("simulate", "compare", "calibrate", "validate", "report", "prices", "schema", "init")
    traces = ("trace", "inspect", "convert", "fetch")
    assert [name for name in (*work, *traces) if name not in text] == []


@pytest.mark.parametrize(
    "arguments", [["simulat"], ["simulate"], ["simulate", "quickstart", "--seed", "x"], ["schema", "--what"]]
)
def test_a_wrong_command_line_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)

    assert (code, capsys.readouterr().out) == (2, "")


def test_a_faulty_scenario_ends_with_2_a_line_for_each_fault_and_nothing_left_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nhorizon: 24 hours\nworkload: []\nfleet: []\n", encoding="utf-8")
    done = nightshift("simulate", "bad.yaml", "--out", "results", "--json", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "bad.yaml:2  horizon",
        "bad.yaml:3  workload",
        "bad.yaml:4  fleet",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["bad.yaml"]


def test_our_own_fault_ends_with_1_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "schema", raising(EngineError("tokens went\nmissing")))

    assert run(["schema"]) == 1
    assert capsys.readouterr() == (
        "",
        "EngineError: tokens went missing; this is a fault of Nightshift, --debug tells more\n",
    )


def test_debug_shows_where_it_came_from(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(commands, "schema", raising(InputError("x", "is wrong", "mend it")))

    assert [run(["schema", "--debug"]), run(["--debug", "schema"])] == [2, 2]
    assert capsys.readouterr().err.count("Traceback") == 2


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "schema", raising(KeyboardInterrupt()))

    assert run(["schema"]) == 130


def raising(error: BaseException) -> Callable[[], None]:
    """A function that does nothing but raise."""

    def fail() -> None:
        raise error

    return fail


def test_schema_prints_the_json_schema_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == commands.schema()


def test_init_writes_a_scenario_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(["init"]) == 0
    assert load_scenario("scenario.yaml").name == "my-fleet"


def test_init_overwrites_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: precious\n", encoding="utf-8")

    assert run(["init", str(file)]) == 2
    assert file.read_text(encoding="utf-8") == "name: precious\n"
    assert capsys.readouterr().err == f"{file} exists; give another name, or --force to overwrite it\n"
    assert run(["init", str(file), "--force"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_init_names_the_folder_it_cannot_write_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "nowhere" / "a.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.usefixtures("engine")
def test_simulate_prints_only_json_and_takes_overrides(
    scenario_file: Write, small_scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scenario_file(small_scenario)
    code = run(["simulate", str(file), "--json", "--seed", "7", "--replications", "3", "--set", "name=other"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == {
        "scenario": "other",
        "seed": 7,
        "replications": 3,
        "kept": False,
    }


@pytest.mark.usefixtures("engine")
def test_simulate_keeps_results_in_a_folder_and_replaces_earlier_ones(
    scenario_file: Write, small_scenario: str, tmp_path: Path
) -> None:
    file, out = scenario_file(small_scenario), tmp_path / "results" / "today"
    codes = [run(["simulate", str(file), "--json", "--requests", "--out", str(out), "--seed", seed]) for seed in "12"]

    assert codes == [0, 0]
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["seed"] == 2
    assert [path.name for path in out.parent.iterdir()] == ["today"]


@pytest.mark.usefixtures("engine")
def test_simulate_without_a_folder_writes_nothing(scenario_file: Write, small_scenario: str, tmp_path: Path) -> None:
    file = scenario_file(small_scenario)

    assert run(["simulate", str(file), "--json"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.usefixtures("engine")
def test_rows_of_requests_need_a_folder(
    scenario_file: Write, small_scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", str(scenario_file(small_scenario)), "--requests"]) == 2
    assert capsys.readouterr().err == "--requests needs a folder to write to; add --out DIR\n"


@pytest.mark.usefixtures("engine")
def test_simulate_never_replaces_what_it_did_not_write(
    scenario_file: Write, small_scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").touch()

    assert run(["simulate", str(scenario_file(small_scenario)), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"{out} holds something other than results; give a new folder, or that of earlier results\n"
    )
    assert (out / "holiday.jpg").exists()


def test_results_go_into_a_new_or_empty_folder_but_not_onto_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    check_results_folder(tmp_path / "empty")
    check_results_folder(tmp_path / "new" / "deeper")

    with pytest.raises(InputError, match="is a file"):
        check_results_folder(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        check_results_folder(tmp_path / "file" / "below")


def test_a_failed_save_leaves_earlier_results_as_they_were(tmp_path: Path) -> None:
    def save(new: Path) -> None:
        new.mkdir()
        (new / "summary.json").write_text("1", encoding="utf-8")

    def fail(new: Path) -> None:
        new.mkdir()
        (new / "summary.json").write_text("2", encoding="utf-8")
        raise OSError("disk full")

    replace_folder(tmp_path / "out", save)

    with pytest.raises(OSError, match="disk full"):
        replace_folder(tmp_path / "out", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "summary.json").read_text(encoding="utf-8") == "1"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "one\n")
    write_file(tmp_path / "a.txt", "two\n")

    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("a.txt", "two\n")]


TRACE = "arrival_s,prompt_tokens,output_tokens\n0.0,100,10\n1.5,200,20\n2.0,300,30\n"


def test_trace_inspect_counts_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(TRACE, encoding="utf-8")

    assert run(["trace", "inspect", str(tmp_path / "t.csv"), "--format", "nightshift", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3


def test_trace_inspect_names_the_line_of_a_bad_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(TRACE + "3.0,0,4\n", encoding="utf-8")

    assert run(["trace", "inspect", str(tmp_path / "t.csv"), "--format", "nightshift"]) == 2
    assert f"{tmp_path / 't.csv'}:5" in capsys.readouterr().err


def test_trace_convert_writes_our_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "azure.csv"
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += ["2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109"]
    source.write_text("\n".join(rows) + "\n", encoding="utf-8")

    assert run(["trace", "convert", str(source), str(tmp_path / "ours.csv"), "--format", "azure"]) == 0
    assert (tmp_path / "ours.csv").read_text(encoding="utf-8").splitlines()[0].startswith("arrival_s,prompt_tokens")


def test_trace_fetch_suggests_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", "fetch", "azure-llm-2023-conv"]) == 2
    assert "azure-llm-2023-conversation" in capsys.readouterr().err
