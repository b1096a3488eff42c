"""Every command of the guide to what-ifs runs, in order, in one folder, and its story is true."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from sim.cli import run
from sim.comparison.comparison import compared
from sim.comparison.sides import Asked

GUIDE = (Path(__file__).parents[1] / "docs" / "what-if.md").read_text(encoding="utf-8")
STORY = "what-if-prices-double"


def fenced(language: str) -> list[str]:
    """Contents of the guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in fenced("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("nightshift ")]


def test_commands_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.yaml").write_text(fenced("yaml")[0], encoding="utf-8")
    own = [arguments for arguments in commands() if STORY not in arguments]

    assert len(own) >= 5
    assert {" ".join(arguments): run(arguments) for arguments in own} == {" ".join(arguments): 0 for arguments in own}
    assert (tmp_path / "results" / "compared" / "compare.html").is_file()


def told(arguments: list[str]) -> tuple[float, float]:
    """By what share the bill grows, and accuracy moves, in a comparison of the guide, run for some hours."""
    changes = [after for before, after in pairwise(arguments) if before == "--set"]
    short = ("start=2026-03-03T09:00:00", "horizon=4h")
    found, _ = compared(Asked(arguments[1], arguments[2], (*changes, *short), replications=2))
    figures = found["figures"]
    return figures["cost.usd_per_month"]["relative"], figures["quality.accuracy"]["difference"]["mean"]


def test_a_bill_at_twice_the_price_doubles_only_where_nothing_reacts() -> None:
    learned, always = (told(arguments) for arguments in commands() if STORY in arguments)

    assert 0.4 < learned[0] < 0.85
    assert learned[1] < -0.03
    assert 0.9 < always[0] < 1.1
    assert abs(always[1]) < 0.02
