"""Every command of the README runs, in order, in one folder, as a reader would run them."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import run
from sim.load import load_scenario
from sim.workload.fetch import fetched_path
from sim.workload.registry import public_trace

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NEEDS_TRACE = "azure-"


def fenced(language: str) -> list[str]:
    """Contents of the README's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Arguments of each `nightshift` command of the shell blocks."""
    lines = [line for block in fenced("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("nightshift ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with the README's trace and measurements in it."""
    monkeypatch.chdir(tmp_path)
    for name, text in zip(("requests.csv", "measured.csv"), fenced("csv"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_commands_run_in_order() -> None:
    own = [arguments for arguments in commands() if NEEDS_TRACE not in " ".join(arguments)]
    assert len(own) >= 7
    assert {" ".join(arguments): run(arguments) for arguments in own} == {" ".join(arguments): 0 for arguments in own}


def test_the_public_trace_is_fetched_and_replayed(folder: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace lies in the cache already, so that fetching verifies it and downloads nothing."""
    monkeypatch.setenv("NIGHTSHIFT_CACHE", str(folder / "cache"))
    file = fetched_path(public_trace("azure-llm-2023-conversation"))
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.decompress((shared / "traces" / "azure-llm-2023-conv.csv.gz").read_bytes()))
    public = [arguments for arguments in commands() if NEEDS_TRACE in " ".join(arguments)]
    assert [run(arguments) for arguments in public] == [0, 0]


def test_the_scenario_loads(tmp_path: Path) -> None:
    file = tmp_path / "support-desk.yaml"
    file.write_text(fenced("yaml")[0], encoding="utf-8")
    assert load_scenario(file).name == "support-desk"


def test_the_python_runs(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", fenced("python")[0]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
