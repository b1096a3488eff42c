"""Every piece of YAML in the planners' guides runs, put into the guide's own scenario."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.ledger import LINES
from sim.load import load_scenario
from sim.scenario import GpuPool, Scenario, Stream
from sim.scenario.autoscale import Autoscale
from sim.simulation import simulate

DOCS = Path(__file__).parents[1] / "docs"
GUIDE, THINKING = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("prices-and-fleets.md", "thinking-and-sleep.md")
)


def fenced(language: str, guide: str = GUIDE) -> list[str]:
    """Contents of a guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)


BASE, *PIECES = fenced("yaml")
THINKING_BASE, *THINKING_PIECES = fenced("yaml", THINKING)


def put_together(piece: Any, base: str = BASE) -> dict[str, Any]:
    """A guide's scenario with a piece in its place."""
    whole: dict[str, Any] = yaml.safe_load(base)
    if isinstance(piece, list):
        whole["fleet"] += piece
        return whole
    for key, value in piece.items():
        places = {Scenario: whole, GpuPool: whole["fleet"][0], Stream: whole["workload"][0]}
        (place,) = (place for part, place in places.items() if key in part.model_fields)
        place[key] = value
    return whole


def run(whole: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "prices.csv").write_text(fenced("csv")[0], encoding="utf-8")
    (folder / "guide.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return simulate(load_scenario(folder / "guide.yaml")).summary


def test_the_scenario_of_the_guide_runs(tmp_path: Path) -> None:
    assert run(yaml.safe_load(BASE), tmp_path)["cost"]["total_usd"] == pytest.approx(4.2)


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.split(":")[0] + str(len(piece)))
def test_a_piece_runs_and_its_bill_adds_up(piece: str, tmp_path: Path) -> None:
    cost = run(put_together(yaml.safe_load(piece)), tmp_path)["cost"]

    assert sum(cost["by_line"].values()) == pytest.approx(cost["total_usd"], rel=1e-9)
    assert sum(cost["allocated"]["by_stream"].values()) == pytest.approx(cost["total_usd"], rel=1e-9)


@pytest.mark.parametrize("piece", ["{}", *THINKING_PIECES], ids=lambda piece: piece.split(":")[0] + str(len(piece)))
def test_a_piece_on_thinking_and_sleep_runs(piece: str, tmp_path: Path) -> None:
    whole = put_together(yaml.safe_load(piece), THINKING_BASE)
    summary = run(whole, tmp_path)

    assert sum(summary["cost"]["by_line"].values()) == pytest.approx(summary["cost"]["total_usd"], rel=1e-9)
    assert 0.0 < summary["quality"]["expected_accuracy"] < 1.0
    assert ("sleep" not in whole) or summary["sleep"]["prepared"] > 0


def test_the_pieces_work_together(tmp_path: Path) -> None:
    """The further pools beside the first, under a load that spills over from tier to tier."""
    pools = [pool for piece in PIECES if piece.startswith("-") for pool in yaml.safe_load(piece)]
    whole = put_together(pools) | {"horizon": "30m"}
    whole["workload"][0]["arrivals"]["rps"] = 60
    for pool in whole["fleet"]:
        pool["admission"] = {"spill_at": 4}
    by_pool = run(whole, tmp_path)["cost"]["by_pool"]

    assert list(by_pool) == ["own", *(pool["name"] for pool in pools)]
    assert [name for name, usd in by_pool.items() if usd == 0.0] == []


def test_the_guide_names_every_line_of_the_bill() -> None:
    assert re.findall(r"^\| `(\w+)` \| [^|]*\|$", GUIDE.split("## What the bill says")[1], re.MULTILINE) == list(LINES)


def test_the_guide_names_every_way_to_scale() -> None:
    kinds = {part.model_fields["kind"].default for part in Autoscale.__args__[0].__args__}
    named = re.findall(r"^\| `(\w+)` \|", GUIDE.split("## Fleets that change")[1].split("## ")[0], re.MULTILINE)

    assert set(named) == kinds
