"""From measurements to a bill on the command line: calibrate, validate, simulate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.cli import run
from sim.hardware import load_catalogue
from tests.served_worlds import csv_of, runs, steps_csv
from tests.step_tables import made_up

Ask = Callable[..., dict[str, Any]]

SCENARIO = """\
name: own-servers
horizon: 2m
workload:
  - name: chat
    arrivals: {{kind: poisson, rps: 2.0}}
    lengths: {{kind: constant, prompt_tokens: 200, output_tokens: 50}}
fleet:
  - name: ours
    gpu: {gpu}
    model: {model}
    replicas: 2
    engine: {{max_num_seqs: 32}}
    step_time: {{path: ours.json}}
    offer: {{kind: reserved, usd_per_gpu_hour: 2.10}}
"""


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command in a folder of its own; gives back the JSON it prints."""
    monkeypatch.chdir(tmp_path)

    def answer(*arguments: str) -> dict[str, Any]:
        status = run([*arguments, "--json"])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        found: dict[str, Any] = json.loads(printed.out)
        return found

    return answer


def write(file: str, lines: list[str]) -> None:
    Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_own_servers(ask: Ask) -> None:
    write("runs.csv", csv_of(runs(models=["Llama-3.1-8B"]), load_catalogue()))
    write("own.yaml", [SCENARIO.format(gpu="H100-SXM", model="Llama-3.1-8B")])

    fitted = ask("calibrate", "runs.csv", "--out", "ours.json")
    assert (fitted["file"], fitted["sources"]) == ("ours.json", ["runs.csv"])
    assert {group["group"] for group in fitted["held_out"]["groups"]} == {"seen", "unseen"}

    validated = ask("validate", "runs.csv", "--calibration", "ours.json")
    assert validated["calibration"]["held_out"] == fitted["held_out"]
    assert {target["name"]: target["met"] for target in validated["targets"]}["pairs in the fit"]
    assert all(row["seen"] and abs(row["error"]) < 0.1 for row in validated["rows"])
    assert len(validated["rows"]) == 3 * 24

    summary = ask("simulate", "own.yaml")
    shipped = ask("simulate", "own.yaml", "--set", "fleet.ours.step_time=null")
    assert summary["requests"]["completed"] > 200
    assert summary["fleet"]["step_times"]["ours"]["standing"] == "calibrated"
    assert summary["latency"] != shipped["latency"]


def test_own_steps(ask: Ask) -> None:
    write("steps.csv", steps_csv(made_up()))
    write("own.yaml", [SCENARIO.format(gpu="A100", model="Llama-3-8B")])
    served_by = ["--gpu", "A100", "--model", "Llama-3-8B"]

    fitted = ask("calibrate", "steps.csv", "--out", "ours.json", *served_by)
    assert fitted["held_out"] == {}
    assert fitted["notes"][-1].startswith("steps.csv: mean error 0.0")

    validated = ask("validate", "steps.csv", "--calibration", "ours.json", *served_by)
    assert {row["kind"] for row in validated["rows"]} == {"step-table", "poisson"}
    assert {target["name"] for target in validated["targets"] if target["met"]} == {
        "step tables",
        "Poisson on step tables",
    }

    summary = ask("simulate", "own.yaml")
    assert summary["fleet"]["step_times"]["ours"]["standing"] == "measured"


def test_a_pool_that_the_calibration_does_not_know_is_refused(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    write("steps.csv", steps_csv(made_up()))
    write("own.yaml", [SCENARIO.format(gpu="H100-SXM", model="Llama-3.1-8B")])
    ask("calibrate", "steps.csv", "--out", "ours.json", "--gpu", "A100", "--model", "Llama-3-8B")

    assert run(["simulate", "own.yaml"]) == 2
    said = capsys.readouterr().err
    assert "ours.json has no step times of Llama-3.1-8B on 1 x H100-SXM in bf16; calibrate with measurements" in said
