"""Bad input from end to end: told in a line with exit code 2, before anything is written, leaving nothing behind."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.cli import run
from sim.folders import check_results_folder, replace_folder

ROOT = Path(__file__).resolve().parents[1]
HEADER = "arrival_s,prompt_tokens,output_tokens"
TRACE = "{kind: trace, path: trace.csv, format: nightshift%s}"

Outcome = tuple[int, str, list[str], list[str]]
Nightshift = Callable[..., Outcome]


@pytest.fixture
def nightshift(
    tmp_path: Path,
    small_scenario: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Nightshift:
    """Runs `simulate` on the small scenario, changed by overrides or edits, keeping results in `results`.

    Gives back exit code, stdout, lines of stderr, and what was added to the folder and the one for temporary files.
    """
    for folder in ("work", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def simulate(
        *overrides: str, text: str = small_scenario, trace: str | bytes | None = None, skip: bool = False
    ) -> Outcome:
        if trace is not None:
            Path("trace.csv").write_bytes(trace.encode() if isinstance(trace, str) else trace)
            text = text.replace("{kind: poisson, rps: 2.0}", TRACE % (", on_bad_row: skip" if skip else ""))
            text = "".join(line for line in text.splitlines(True) if "lengths:" not in line)
        Path("scenario.yaml").write_text(text, encoding="utf-8")
        given = [argument for override in overrides for argument in ("--set", override)]
        before = set(tmp_path.rglob("*"))
        code = run(["simulate", "scenario.yaml", *given, "--json", "--requests", "--out", "results"])
        said = capsys.readouterr()
        added = sorted(str(path.relative_to(tmp_path)) for path in set(tmp_path.rglob("*")) - before)
        return code, said.out, said.err.splitlines(), added

    return simulate


def assert_refused(outcome: Outcome, *words: str) -> None:
    """One line that holds all the words, exit code 2, nothing on stdout and nothing left behind."""
    code, out, lines, added = outcome

    assert (code, out, len(lines), added) == (2, "", 1, []), lines
    assert [word for word in words if word not in lines[0]] == []


SCENARIO_FAULTS = {
    "unknown key": (("fleet.0.replicsa=2",), "fleet.0.replicsa", "did you mean 'replicas'?"),
    "wrong unit": (("horizon=24 hours",), "24 hours is not a duration", "24h"),
    "unit where none belongs": (("workload.0.arrivals.rps=2/s",), "2/s is not a number"),
    "negative rate": (("workload.0.arrivals.rps=-1",), "-1 must be above 0"),
    "NaN": (("workload.0.arrivals.rps=.nan",), "is not a finite number"),
    "infinity": (("fleet.0.offer.usd_per_gpu_hour=.inf",), "is not a finite number"),
    "no replicas": (("fleet.0.replicas=0",), "0 must be at least 1"),
    "zero-length prompts": (("workload.0.lengths.prompt_tokens=0",), "0 must be at least 1"),
    "unknown GPU": (("fleet.0.gpu=H100-SMX",), "H100-SMX is not a GPU of the catalogue", "did you mean 'H100-SXM'?"),
    "unknown model": (("fleet.0.model=Llama-9-8B",), "Llama-9-8B is not a model of the catalogue"),
    "unknown pool": (("strategies=[{name: a, pool: b100}]",), "b100 is no pool of the fleet"),
    "unknown strategy": (("strategies=[{name: a}]", "router={policy: always, strategy: b}"), "b is no strategy"),
    "missing trace": (
        ("workload.0={name: a, arrivals: {kind: trace, path: no.csv, format: azure}}",),
        "no.csv is not a file",
    ),
    "missing step times": (("fleet.0.step_time.path=no.json",), "no.json is not a file"),
    "unknown time zone": (("time_zone=Mars/Olympus",), "Mars/Olympus is not an IANA time zone"),
    "warm-up as long as the run": (("warm_up=10m",), "must be shorter than the horizon"),
    "no such place": (("fleet.7.replicas=2",), "fleet.7"),
    "model too large for its GPU": (("fleet.0.model=Llama-3.1-70B",), "Llama-3.1-70B", "tensor_parallel"),
}


@pytest.mark.parametrize("fault", SCENARIO_FAULTS)
def test_a_faulty_scenario_is_refused(fault: str, nightshift: Nightshift) -> None:
    overrides, *words = SCENARIO_FAULTS[fault]

    assert_refused(nightshift(*overrides), *words)


def test_every_fault_has_its_line(nightshift: Nightshift) -> None:
    text = "name: x\nhorizon: -5m\nseeed: 3\nworkload: []\nfleet: []\n"
    code, out, lines, added = nightshift(text=text)

    assert (code, out, added) == (2, "", [])
    assert [line.split(": ")[0] for line in lines] == [
        "scenario.yaml:2  horizon",
        "scenario.yaml:3  seeed",
        "scenario.yaml:4  workload",
        "scenario.yaml:5  fleet",
    ]


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "\tname: x\n", "name: !!python/object:os.system x\n"])
def test_what_is_no_scenario_is_refused(text: str, nightshift: Nightshift) -> None:
    assert_refused(nightshift(text=text), "scenario.yaml:1")


def test_a_missing_scenario_is_refused(nightshift: Nightshift, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "quickstrat"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "did you mean 'quickstart'?" in said.err


GOOD = f"{HEADER}\n0,100,10\n1,100,10\n2,100,10\n"
TRACE_FAULTS = {
    "bad row": (GOOD + "3,many,10\n", "trace.csv:5", "many in prompt_tokens is not a number"),
    "short row": (GOOD + "3,100\n", "trace.csv:5"),
    "zero-length prompt": (GOOD + "3,0,10\n", "trace.csv:5", "0 in prompt_tokens"),
    "negative output": (GOOD + "3,1,-10\n", "trace.csv:5", "-10 in output_tokens"),
    "unsorted times": (GOOD + "1.5,100,10\n", "trace.csv:5", "1.5 in arrival_s"),
    "NaN": (GOOD + "nan,100,10\n", "trace.csv:5", "nan in arrival_s"),
    "negative time": (f"{HEADER}\n-1,100,10\n", "trace.csv:2", "-1"),
}
FILE_FAULTS: dict[str, tuple[str | bytes, ...]] = {
    "empty file": ("", "is an empty trace"),
    "header alone": (HEADER + "\n", "is an empty trace"),
    "another format": ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "format: azure"),
    "truncated gzip": (gzip.compress(GOOD.encode() * 100)[:-20], "is a truncated gzip file"),
    "damaged gzip": (gzip.compress(GOOD.encode())[:-8] + b"checksum", "is a damaged gzip file"),
    "no text": (b"\x00\x01\x02", "is not a text file"),
}


@pytest.mark.parametrize("fault", TRACE_FAULTS | FILE_FAULTS)
def test_a_faulty_trace_is_refused(fault: str, nightshift: Nightshift) -> None:
    trace, *words = (TRACE_FAULTS | FILE_FAULTS)[fault]

    assert_refused(nightshift(trace=trace), "trace.csv", *words)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [fault for fault in TRACE_FAULTS if fault != "negative time"])
def test_bad_rows_are_skipped_where_that_is_asked_for(fault: str, nightshift: Nightshift) -> None:
    code, out, _, _ = nightshift(trace=TRACE_FAULTS[fault][0], skip=True)
    requests = json.loads(out)["requests"]

    assert (code, requests["offered"], requests["skipped_rows"]) == (0, 3, 1)


def test_a_trace_of_bad_rows_alone_is_empty(nightshift: Nightshift) -> None:
    assert_refused(nightshift(trace=TRACE_FAULTS["negative time"][0], skip=True), "is an empty trace", "skipped: 1")


def test_a_public_trace_that_was_not_fetched_is_refused_with_the_command_that_fetches_it(
    nightshift: Nightshift, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NIGHTSHIFT_CACHE", str(tmp_path / "cache"))
    name = "azure-llm-2023-conversation"
    stream = f"workload.0={{name: a, arrivals: {{kind: trace, name: {name}}}}}"

    assert_refused(nightshift(stream), f"nightshift trace fetch {name}")


LAW: dict[str, Any] = {
    "prefill": {"a_s": 0.01, "b_s_per_token": 1e-5, "c_s_per_token_pair": 0.0},
    "decode": {"rows": [1, 256], "base_s": [0.01, 0.02], "kv_s": [0.0, 0.0]},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps(LAW | {"decode": {"rows": [1], "base_s": [-1], "kv_s": [0]}}),
        json.dumps(LAW | {"decode": {"rows": [2, 1], "base_s": [1, 1], "kv_s": [0, 0]}}),
        json.dumps(LAW).replace("0.02", "NaN"),
        json.dumps(LAW).replace("0.02", '"fast"'),
        json.dumps(LAW).replace("a_s", "a_ms"),
    ],
)
def test_an_unreadable_step_time_file_is_refused(text: str, nightshift: Nightshift) -> None:
    Path("law.json").write_text(text, encoding="utf-8")

    assert_refused(nightshift("fleet.0.step_time.path=law.json"), "law.json")


def test_a_good_run_leaves_only_its_results(nightshift: Nightshift) -> None:
    code, out, lines, added = nightshift()
    tables = (f"{name}.parquet" for name in ("buckets", "latency", "ledger", "requests", "streams"))
    names = sorted([*tables, "report.html", "scenario.yaml", "summary.json"])

    assert (code, lines) == (0, ["Results are in results"])
    assert added == ["work/results", *(f"work/results/{name}" for name in names)]
    assert json.loads(out) == json.loads(Path("results/summary.json").read_text(encoding="utf-8"))


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("writer", ["pandas.DataFrame.to_parquet", "pyarrow.parquet.ParquetWriter.write_table"])
def test_a_full_disk_leaves_earlier_results_as_they_were(
    writer: str, nightshift: Nightshift, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightshift()
    before = {file.name: file.read_bytes() for file in Path("results").iterdir()}
    monkeypatch.setattr(writer, full)

    assert_refused(nightshift("seed=5"), "results cannot be written: No space left on device")
    assert {file.name: file.read_bytes() for file in Path("results").iterdir()} == before


def test_a_full_disk_leaves_no_new_folder(nightshift: Nightshift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)

    assert_refused(nightshift(), "cannot be written: No space left on device")


def test_a_disk_without_room_for_rows_in_waiting_is_told(
    nightshift: Nightshift, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullFile:
        seek = flush = staticmethod(lambda *_: None)
        write = staticmethod(full)

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: FullFile())

    assert_refused(nightshift(), "No space left on device", "TMPDIR")


def test_folders_that_had_to_be_made_go_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        replace_folder(tmp_path / "a" / "b" / "c", full)

    assert list(tmp_path.iterdir()) == []


def test_earlier_results_come_back_where_new_ones_cannot_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("1", encoding="utf-8")
    replace = os.replace

    def fail_for_new(source: Path, target: Path) -> None:
        if source.name == "new":
            full()
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_new)
    with pytest.raises(OSError, match="No space"):
        replace_folder(tmp_path / "out", Path.mkdir)

    assert (tmp_path / "out" / "summary.json").read_text(encoding="utf-8") == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_results_go_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    replace_folder(tmp_path / "out", lambda new: (new.mkdir(), (new / "summary.json").touch()))

    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["summary.json"]


@pytest.mark.parametrize("stranger", ["notes.txt", ".git", "index.html"])
def test_a_folder_with_anything_of_someone_else_is_never_replaced(stranger: str, nightshift: Nightshift) -> None:
    """Other programs write a summary.json too."""
    Path("results").mkdir()
    for name in ("summary.json", stranger):
        Path("results", name).touch()

    assert_refused(nightshift(), "results holds something other than results")
    assert Path("results", stranger).exists()


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(Exception, match="give a folder inside it"):
        check_results_folder(Path("."))


def test_a_name_that_no_disk_can_hold_is_refused(nightshift: Nightshift, capsys: pytest.CaptureFixture[str]) -> None:
    nightshift()
    assert run(["simulate", "scenario.yaml", "--out", "x" * 300]) == 2
    assert "cannot be written: File name too long" in capsys.readouterr().err


def test_a_process_of_its_own_says_the_same(tmp_path: Path, small_scenario: str) -> None:
    (tmp_path / "a.yaml").write_text(small_scenario.replace("rps: 2.0", "rps: -2.0"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sim.cli", "simulate", "a.yaml", "--out", "results"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "a.yaml:5  workload.0.arrivals.rps: -2.0 must be above 0; raise it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]
