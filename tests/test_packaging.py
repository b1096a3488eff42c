"""An installed wheel works from any folder: the data it needs travels with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def run_in(site: Path, folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", "from sim.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_bundled_scenario_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    short = ["--set", "horizon=10m", "--set", "warm_up=0", "--replications", "1", "--json"]
    done = run_in(site, tmp_path, ["simulate", "quickstart", *short])
    assert json.loads(done.stdout)["requests"]["offered"] > 0, done.stderr


def test_init_writes_a_scenario_that_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    assert run_in(site, tmp_path, ["init"]).returncode == 0
    done = run_in(site, tmp_path, ["simulate", "scenario.yaml", "--set", "horizon=10m", "--set", "warm_up=0"])
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_packages_and_their_data_only(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"sim", "router"}
    assert (site / "sim" / "py.typed").is_file()
    assert (site / "sim" / "_data" / "gpus.csv").is_file()
    pages = ("pages/base.html", "report/page.html", "validation/page.html")
    assert [page for page in pages if not (site / "sim" / page).is_file()] == []


@pytest.mark.parametrize(
    ("platform", "machine", "runtime"),
    [
        ("linux", "x86_64", "onnxruntime-gpu"),
        ("win32", "AMD64", "onnxruntime-gpu"),
        ("linux", "aarch64", "onnxruntime"),
        ("darwin", "arm64", "onnxruntime"),
    ],
)
def test_each_platform_gets_the_one_runtime_it_has_a_wheel_of(platform: str, machine: str, runtime: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for line in project["dependencies"] if line.startswith("onnxruntime")]
    here = {"sys_platform": platform, "platform_machine": machine}
    assert [one.name for one in asked if one.marker and one.marker.evaluate(here)] == [runtime]


def test_the_runtime_works_on_this_machine() -> None:
    import onnxruntime

    assert "CPUExecutionProvider" in onnxruntime.get_available_providers()
