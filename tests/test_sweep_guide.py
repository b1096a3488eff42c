"""The commands and the code of the guide to sweeps run, in order, on a small scenario."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sim.cli import run
from sim.sweep.report import RUNS
from tests.sweeping import SCENARIO

GUIDE = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Arguments of each command that needs no other machine."""
    lines = "\n".join(fenced("sh")).replace("\\\n", " ").splitlines()
    asked = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("nightshift ")]
    return [arguments for arguments in asked if "--ray" not in arguments]


def test_it_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SCENARIO, "scenario.yaml")
    less = ["--set", "horizon=3m", "--workers", "1"]
    assert [run([*arguments, *less]) for arguments in commands()] == [0, 0]
    capsys.readouterr()
    for code in fenced("python"):
        exec(compile(code, "docs/sweeps.md", "exec"), {})
    assert "latency.e2e_s.p99" in capsys.readouterr().out


def test_it_names_every_file() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", GUIDE.split("| in `--out` |")[1], re.MULTILINE)
    assert named == ["sweep.html", "sweep.json", "results.parquet", f"{RUNS}/"]
