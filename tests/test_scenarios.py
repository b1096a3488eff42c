"""The shipped scenarios give the figures they gave when they were last looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import ALWAYS, FOLDER, differences, golden_summary, read


@pytest.mark.parametrize("name", ALWAYS)
def test_a_shipped_scenario_gives_its_golden_summary(name: str) -> None:
    assert list(differences(read(name), golden_summary(name))) == []


def test_every_shipped_scenario_has_a_golden_summary() -> None:
    shipped = {path.stem for path in Path(__file__).parents[1].joinpath("scenarios").glob("*.yaml")}
    assert shipped == {path.stem for path in FOLDER.glob("*.json")}


def test_azure_conversation_gives_its_golden_summary(shared: Path) -> None:
    assert list(differences(read("azure-conversation"), golden_summary("azure-conversation"))) == []


def test_every_azure_request_has_one_fate() -> None:
    requests = read("azure-conversation")["requests"]
    fates = [requests[fate] for fate in ("completed", "rejected", "timed_out", "failed", "unfinished")]
    assert requests["offered"] == sum(fates) == 19_366


def test_a_change_of_a_millionth_is_seen() -> None:
    golden = {"cost": {"total_usd": 1.0, "lines": [1, 2]}, "name": "a"}
    moved = {"cost": {"total_usd": 1.00001, "lines": [1, 3]}, "name": "a"}
    assert list(differences(golden, moved)) == ["cost.lines.1: 2 is now 3", "cost.total_usd: 1.0 is now 1.00001"]
