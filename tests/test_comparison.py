"""Two scenarios run and compared: bars add up, sameness is exact, folders count as scenarios, pages draw."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim import commands
from sim.cli import run
from sim.comparison.comparison import compared
from sim.comparison.objectives import missed_shares
from sim.comparison.report import comparison_page
from sim.comparison.sides import Asked
from sim.load import dump_scenario
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.tally import COUNTS
from tests.browser import Browser, chromium
from tests.small import chat, pool, rows, scenario

SPILLS = {"admission": {"spill_at": 6}}
API = {
    "name": "overflow",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tier": 1,
    "tariff": {
        "kind": "windows",
        "base": {"input_usd_per_1m": 1.0, "cached_input_usd_per_1m": 0.5, "output_usd_per_1m": 3.0},
        "windows": [{"name": "dear", "hours": ["00:02-00:04"], "input_usd_per_1m": 2.0, "output_usd_per_1m": 6.0}],
    },
}
HURRIED = chat(
    arrivals={"kind": "poisson", "rps": 25.0},
    slo={"ttft": "120ms", "tpot": "12ms", "e2e": "3s"},
    client={"timeout": "4s"},
)
CODE = chat(name="code", questions={"kind": "curves", "class": "arithmetic"}, arrivals={"kind": "poisson", "rps": 3.0})


def busy(**changes: Any) -> Scenario:
    """Two streams on one GPU, an API behind it, and two ways to answer."""
    fields = {
        "replications": 3,
        "warm_up": "30s",
        "workload": [HURRIED, CODE],
        "fleet": [pool(replicas=1, **SPILLS), API],
        "strategies": [{"name": "direct", "kind": "direct"}, {"name": "think", "kind": "think", "budget_tokens": 300}],
        "router": {"policy": "random", "weights": {"direct": 2, "think": 1}},
    }
    return scenario(**{**fields, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


def written(folder: Path, name: str, made: Scenario) -> str:
    file = folder / f"{name}.yaml"
    file.write_text(dump_scenario(made.model_copy(update={"name": name})), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def moved(folder: Path) -> dict[str, Any]:
    """A busy fleet beside one with another GPU, dearer tokens, and more thinking."""
    dear = yaml.safe_load(yaml.safe_dump(API).replace("6.0", "9.0").replace("3.0", "4.0"))
    b = busy(
        fleet=[pool(replicas=2, **SPILLS), dear],
        router={"policy": "random", "weights": {"direct": 1, "think": 2}},
    )
    asked = Asked(written(folder, "before", busy()), written(folder, "after", b), by_change=True)
    return commands.compare(asked, out=folder / "out")


def test_the_bars_add_up_to_the_difference(moved: dict[str, Any]) -> None:
    figures, bars = moved["figures"], moved["waterfall"]
    for name, key in (("cost", "cost.usd_per_month"), ("slo", "slo.attainment"), ("accuracy", "quality.accuracy")):
        assert len(bars[name]) >= 3
        whole = figures[key]["difference"]["mean"]
        assert whole != 0.0
        assert sum(bar["difference"]["mean"] for bar in bars[name]) == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_price_volume_and_what_is_fixed_add_up_line_by_line(moved: dict[str, Any]) -> None:
    for bar in moved["waterfall"]["cost"]:
        parts = sum(bar[part]["mean"] for part in ("price", "volume", "fixed"))
        assert parts == pytest.approx(bar["b"] - bar["a"], rel=1e-9, abs=1e-9)
        assert (bar["price"]["mean"] > 0.0) == (bar["pool"] == "overflow")


def test_the_stages_add_up_to_the_difference(moved: dict[str, Any]) -> None:
    assert [stage["sections"] for stage in moved["by_change"]] == [["fleet"], ["prices"], ["strategies"]]
    for name in ("cost.usd_per_month", "slo.attainment", "quality.accuracy"):
        parts = sum(stage["figures"][name]["mean"] for stage in moved["by_change"])
        assert parts == pytest.approx(moved["figures"][name]["difference"]["mean"], rel=1e-9)


def test_hours_of_cost_add_up_to_the_run(moved: dict[str, Any]) -> None:
    hours = 300.0 / len(moved["hourly"]) / 3600.0
    for side in "ab":
        assert sum(slot[side] for slot in moved["hourly"]) * hours == pytest.approx(
            moved["figures"]["cost.total_usd"][side], rel=1e-9
        )


def test_figures_are_those_of_a_simulation(moved: dict[str, Any], folder: Path) -> None:
    summary = commands.simulate(folder / "before.yaml")

    for name in ("slo.attainment", "cost.total_usd", "quality.accuracy", "latency.e2e_s.p99"):
        value = summary
        for key in name.split("."):
            value = value[key]
        assert moved["figures"][name]["a"] == pytest.approx(value, rel=1e-9)


def test_causes_are_those_of_the_requests_themselves() -> None:
    """The first objective that a row misses, counted from rows of requests."""
    made = busy(replications=1)
    results = simulate(made, keep_requests=True)
    streams = {stream.name: place for place, stream in enumerate(made.workload)}
    tally = results.replications[0].tally
    offered = tally.streams[:, COUNTS.index("measured_offered")].sum()
    found = {bar: share * offered for bar, share in missed_shares(tally, streams).items() if share}

    counts: Counter[tuple[str, str]] = Counter()
    for row in rows(results).query("arrival_s >= 30.0").itertuples():
        limits = made.workload[streams[row.stream]].slo
        named = [(name, getattr(limits, name) or np.inf) for name in ("ttft", "tpot", "e2e")]
        missed = [name for name, limit_s in named if getattr(row, f"{name}_s") > limit_s]
        if row.status != "completed" or missed:
            counts[row.stream, missed[0] if row.status == "completed" else row.status] += 1
    assert found == pytest.approx(dict(counts))
    assert {cause for _, cause in found} >= {"ttft", "tpot", "e2e", "timed_out", "unfinished"}


def test_keys_that_differ_are_told(moved: dict[str, Any]) -> None:
    keys = {change["key"]: (change["a"], change["b"]) for change in moved["changed"]}

    assert keys["fleet.h100.replicas"] == (1, 2)
    assert keys["router.weights.think"] == (1.0, 2.0)
    assert keys["fleet.overflow.tariff.windows.dear.output_usd_per_1m"] == (6.0, 9.0)
    assert len(keys) == 5


def test_the_same_scenario_twice_differs_in_nothing(folder: Path) -> None:
    same = written(folder, "same", busy())
    found, _ = compared(Asked(same, same))

    assert {figure["verdict"] for figure in found["figures"].values()} == {"same"}
    for figure in found["figures"].values():
        assert figure["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert {bar["difference"]["mean"] for bars in found["waterfall"].values() for bar in bars} <= {0.0}
    assert found["changed"] == []
    assert found["answer"][0] == "B costs as much as A, and as many requests meet their objectives."


def test_results_folders_are_compared_as_the_scenarios_they_hold(folder: Path, moved: dict[str, Any]) -> None:
    for name in ("before", "after"):
        commands.simulate(folder / f"{name}.yaml", out=folder / "results" / name)
    found, _ = compared(Asked(folder / "results" / "before", folder / "results" / "after"))

    assert found["figures"] == moved["figures"]
    assert found["waterfall"] == moved["waterfall"]


def test_b_takes_the_seed_and_the_replications_of_a(folder: Path) -> None:
    one = written(folder, "one", scenario(replications=2, seed=5))
    other = written(folder, "other", scenario(replications=4, seed=6))
    found, pair = compared(Asked(one, other))

    assert (pair.b.seed, pair.b.replications, found["replications"]) == (5, 2, 2)
    assert sum("so that they meet the same chances" in note for note in found["notes"]) == 2


def test_sides_that_run_unequally_long_are_compared_by_rates(folder: Path) -> None:
    file = written(folder, "short", scenario(replications=2))
    found, _ = compared(Asked(file, changes_b=("horizon=10m",)))

    assert "cost.total_usd" not in found["figures"]
    assert found["figures"]["cost.usd_per_hour"]["verdict"] == "same"
    assert found["figures"]["fleet.gpus"]["b"] == pytest.approx(2.0)


def test_streams_of_one_side_alone_are_left_out_of_how_requests_fare(folder: Path) -> None:
    a = written(folder, "alone", scenario(replications=2))
    b = written(folder, "joined", scenario(replications=2, workload=[chat(), chat(name="more")]))
    found, _ = compared(Asked(a, b))

    assert {bar["stream"] for bar in found["waterfall"]["slo"]} <= {"chat"}
    assert found["cost_split"] is None
    assert found["figures"]["slo.goodput_rps"]["b"] < 3.0


def test_one_replication_leaves_every_difference_open(folder: Path) -> None:
    found, _ = compared(Asked(written(folder, "single", scenario()), changes_b=("fleet.0.replicas=1",)))
    figure = found["figures"]["latency.e2e_s.mean"]

    assert (figure["verdict"], figure["difference"]["low"]) == ("open", None)
    assert any("tells no interval" in note for note in found["notes"])


def test_the_folder_holds_page_figures_and_both_scenarios(folder: Path, moved: dict[str, Any]) -> None:
    out = folder / "out"

    assert {file.name for file in out.iterdir()} == {"a.yaml", "b.yaml", "compare.html", "comparison.json"}
    assert json.loads((out / "comparison.json").read_text()) == moved
    again, _ = compared(Asked(out / "a.yaml", out / "b.yaml"))
    assert again["figures"] == moved["figures"]


def test_the_page_escapes_names(moved: dict[str, Any]) -> None:
    page = comparison_page(moved | {"a": {"scenario": "<script>alert(1)</script>", "seed": 1}})

    assert "<script>alert(1)" not in page


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.usefixtures("moved")
def test_the_page_draws_all_its_charts_in_silence(folder: Path, width: int) -> None:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium is installed")
    with Browser(program) as browser, browser.page(folder / "out" / "compare.html", width=width) as page:
        page.settle()
        assert page.run("document.querySelectorAll('figure .main-svg').length") >= 5
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.complaints() == []
        assert page.requests() == []


def test_json_is_what_the_function_returns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(folder, "told", scenario(replications=2))

    assert run(["compare", file, "--set-b", "fleet.0.replicas=3", "--json", "--out", str(folder / "json")]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found == json.loads((folder / "json" / "comparison.json").read_text())
    assert {"a", "b", "replications", "changed", "figures", "waterfall", "notes", "speed"} <= set(found)
    assert "compare.html" in captured.err


def test_the_terminal_begins_with_the_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(folder, "shown", scenario(replications=2))

    assert run(["compare", file, "--set-b", "fleet.0.replicas=3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("B costs $1,461 a month more than A (+50.0%)")
    assert "fleet.h100.replicas  2  3" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quickstart"], "has nothing to be compared with"),
        (["quickstart", "no-such-scenario"], "does not exist"),
        (["quickstart", "--set-b", "fleet.h100.replicsa=3"], "did you mean"),
        (["quickstart", "."], "is not a results folder"),
        (["quickstart", "--set-b", "seed=8", "--out", "file"], "cannot be written"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder", encoding="utf-8")

    assert run(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
