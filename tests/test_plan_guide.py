"""The guide from a bill to a plan: its commands run in order, and print what stands under them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sim.load import load_scenario
from tests.plan_guide import GUIDE, blocks_of, missing_lines, printed_by, scenario_of

TEXT = GUIDE.read_text(encoding="utf-8")
LONG = "--budget"
"""In commands that take long."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk.yaml").write_text(scenario_of(TEXT), encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_commands_print_what_the_guide_shows() -> None:
    blocks = [block for block in blocks_of(TEXT) if LONG not in block.command]

    assert len(blocks) >= 7
    assert {block.command: missing_lines(block, printed_by(block.command)) for block in blocks} == {
        block.command: [] for block in blocks
    }


@pytest.mark.long
@pytest.mark.usefixtures("folder")
def test_a_budget_buys_what_the_guide_shows() -> None:
    for block in blocks_of(TEXT):
        if LONG in block.command:
            assert missing_lines(block, printed_by(block.command)) == []


def test_what_is_not_known_can_be_said(folder: Path) -> None:
    piece = yaml.safe_load("uncertainty: {step_time: calibrated, load: 0.1}")
    assert "uncertainty: {step_time: calibrated, load: 0.1}" in TEXT
    (folder / "unsure.yaml").write_text(yaml.safe_dump(yaml.safe_load(scenario_of(TEXT)) | piece), encoding="utf-8")

    assert load_scenario(folder / "unsure.yaml").uncertainty.load == 0.1


def test_a_line_that_is_not_printed_is_found() -> None:
    block = blocks_of(TEXT)[0]

    assert missing_lines(block, "desk: $1.00 for 3 answers in 24 h\n")[0].startswith("desk: $87.36")
