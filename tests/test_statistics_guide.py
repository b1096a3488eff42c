"""Every command of the guide to statistics runs, and what it says of the scenario loads."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from sim.cli import run
from sim.scenario import Scenario, Uncertainty
from tests.small import scenario

GUIDE = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    """Contents of the guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in fenced("sh") for line in block.splitlines()]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs_and_does_what_it_is_shown_for(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*shlex.split(line)[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert any(found[section] is not None for section in ("precision", "warm_up", "uncertainty"))
    assert found["precision"] is None or found["precision"]["reached"]


def test_the_section_loads_and_every_key_of_it_is_told() -> None:
    (piece,) = fenced("yaml")
    given = yaml.safe_load(piece)
    loaded: Scenario = scenario(**given)

    assert set(given["uncertainty"]) == set(Uncertainty.model_fields)
    assert not loaded.uncertainty.is_none
    assert set(re.findall(r"^\| `(\w+)` \| [^|]*\| [^|]*\|$", GUIDE, re.MULTILINE)) == set(Uncertainty.model_fields)
