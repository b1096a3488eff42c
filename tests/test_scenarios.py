"""The shipped scenarios give the figures they gave when they were last looked at."""

from __future__ import annotations

from pathlib import Path

from tests.golden import differences, golden_summary, read


def test_quickstart_gives_its_golden_summary() -> None:
    assert list(differences(read("quickstart"), golden_summary("quickstart"))) == []


def test_azure_conversation_gives_its_golden_summary(shared: Path) -> None:
    assert list(differences(read("azure-conversation"), golden_summary("azure-conversation"))) == []


def test_every_azure_request_has_one_fate() -> None:
    requests = read("azure-conversation")["requests"]
    fates = [requests[fate] for fate in ("completed", "rejected", "timed_out", "unfinished")]
    assert requests["offered"] == sum(fates) == 19_366


def test_a_change_of_a_millionth_is_seen() -> None:
    golden = {"cost": {"total_usd": 1.0, "lines": [1, 2]}, "name": "a"}
    moved = {"cost": {"total_usd": 1.00001, "lines": [1, 3]}, "name": "a"}
    assert list(differences(golden, moved)) == ["cost.lines.1: 2 is now 3", "cost.total_usd: 1.0 is now 1.00001"]
