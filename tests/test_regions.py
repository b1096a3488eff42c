"""Maps of where preparing, thinking or a direct answer is best: the grid, the paired judgement, the words, the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.load import load_scenario
from sim.regions import AXES, Grid, Plan, Point, Way, judged_points, made_map, mapping, save_regions, ways_of
from sim.regions.grid import turned
from sim.regions.judge import judge
from sim.regions.report import regions_frame, regions_page
from sim.regions.terminal import format_regions
from sim.regions.trial import Trial, run_trial
from sim.regions.verdict import verdict
from tests.browser import Browser, chromium
from tests.console import printed

SCENARIO = Path(__file__).with_name("regions.yaml")
DIRECT, LITTLE, MUCH = Way("direct", "direct", "direct"), Way("little", "think", "little"), Way("much", "think", "much")
PREPARED = Way("little, prepared", "prepare", "little")
WAYS = (DIRECT, LITTLE, MUCH, PREPARED)
WORTH = (0.01,)
HERE = Point(5.0, 0.5, 3.0, 0.6)
SMALL = Grid(queries=(1.0, 10.0), predictability=(0.1, 0.9), price_ratio=(1.0, 10.0), load=(0.5,))


def trial(
    right: Sequence[float], usd: Sequence[float], *, preparing: float = 0.0, asked: float = 100.0, bill: float = 48.0
) -> Trial:
    """A way of which each replication gave so many right answers for so much money."""
    n = len(right)
    return Trial(
        asked=np.full(n, asked),
        right=np.array([[value] for value in right]),
        known=np.full(n, asked),
        output_tokens=np.full(n, 100.0 * asked),
        used_usd=np.array(usd),
        bill_usd=np.full(n, bill),
        off_peak_used_usd=np.zeros(n),
        off_peak_bill_usd=np.zeros(n),
        preparing_usd=np.full(n, preparing),
        on_contexts=np.full(n, asked),
        hits=np.full(n, 0.75 * asked),
        work_share=0.2,
    )


def trials(**changes: Trial) -> dict[Way, Trial]:
    """Preparing is best: as good as thinking much, at little more than the price of thinking little."""
    made = {
        DIRECT: trial([50.0, 52.0, 51.0], [0.01, 0.01, 0.01]),
        LITTLE: trial([60.0, 62.0, 61.0], [0.05, 0.05, 0.05]),
        MUCH: trial([80.0, 82.0, 81.0], [0.4, 0.4, 0.4]),
        PREPARED: trial([80.0, 82.0, 81.0], [0.1, 0.11, 0.1], preparing=0.05),
    }
    return made | {way: changes[way.name] for way in WAYS if way.name in changes}


class TestWays:
    def test_all_strategies_and_the_least_thinking_one_prepared(self) -> None:
        assert ways_of(load_scenario(SCENARIO)) == list(WAYS)

    def test_another_strategy_may_be_the_one_prepared(self) -> None:
        assert ways_of(load_scenario(SCENARIO), "direct")[-1] == Way("direct, prepared", "prepare", "direct")

    @pytest.mark.parametrize(
        ("change", "told"),
        [("sleep=null", "sleep is missing"), ("workload.0.questions=null", "not known which answers are right")],
    )
    def test_a_scenario_without_such_ways_is_refused(self, change: str, told: str) -> None:
        with pytest.raises(InputError, match=told):
            ways_of(load_scenario(SCENARIO, [change]))

    def test_an_unknown_strategy_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"muhc.*did you mean 'much'"):
            ways_of(load_scenario(SCENARIO), "muhc")


class TestGrid:
    def test_the_default_grid(self) -> None:
        points = list(Grid().points())

        assert len(points) == 135
        assert points[0] == Point(1.0, 0.1, 1.0, 0.3)

    def test_a_point_turns_the_knobs_of_the_scenario(self) -> None:
        scenario = load_scenario(SCENARIO)
        there = load_scenario(SCENARIO, turned(scenario, Grid(), HERE, 2.0))
        stream, offer = there.workload[0], there.fleet[0].model_dump()["offer"]

        assert stream.arrivals.model_dump()["mean_rps"] == 0.04
        assert stream.contexts is not None
        assert stream.contexts.model_dump()["queries"] == {"kind": "geometric", "mean": 5.0}
        assert stream.contexts.predictability == 0.5
        assert offer["tariff"]["usd_per_gpu_hour"] == 1.0
        assert offer["tariff"]["windows"][0]["usd_per_gpu_hour"] == pytest.approx(1.0 / 3.0)

    def test_an_api_is_cheap_off_peak_for_all_kinds_of_tokens(self) -> None:
        api = {"name": "api", "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"}
        change = [f"fleet={json.dumps([api])}", "sleep.pools=[api]", "start=2026-09-01T00:00:00"]
        scenario = load_scenario(SCENARIO, change)
        there = load_scenario(SCENARIO, [*change, *turned(scenario, Grid(), Point(None, None, 10.0, None))])
        tariff = there.fleet[0].model_dump()["tariff"]

        assert [tariff["windows"][0][key] * 10.0 for key in tariff["base"]] == pytest.approx(
            list(tariff["base"].values())
        )

    def test_an_axis_left_out_leaves_the_scenario_as_it_is(self) -> None:
        scenario = load_scenario(SCENARIO)

        assert turned(scenario, Grid(), Point(None, None, None, None)) == []
        assert list(Grid((), (), (), ()).points()) == [Point(None, None, None, None)]

    @pytest.mark.parametrize(
        ("grid", "told"),
        [
            (Grid(queries=(0.5,)), "0.5 is no value of queries"),
            (Grid(predictability=(1.5,)), "1.5 is no value of predictability"),
            (Grid(load=(0.0,)), "0 is no value of load"),
        ],
    )
    def test_values_out_of_range_are_refused(self, grid: Grid, told: str) -> None:
        with pytest.raises(InputError, match=told):
            judged_points(SCENARIO, Plan(grid), workers=1)


class TestJudge:
    def test_the_best_way_is_held_against_the_best_of_another_kind(self) -> None:
        judged = judge(HERE, 1.0, trials(), WORTH)

        assert (judged.best, judged.runner_up, judged.winner) == (PREPARED, LITTLE, "prepare")
        assert judged.lead.mean == pytest.approx(0.2 * 0.01 - 0.16 / 300.0)
        assert judged.measured["direct"].score.mean == pytest.approx(0.51 * 0.01 - 0.0001)

    def test_differences_are_paired(self) -> None:
        """Replications differ a lot, and in each the same way is ahead by as much."""
        shaky = {way: trial([10.0 + n, 50.0 + n, 90.0 + n], [0.01] * 3) for n, way in enumerate(WAYS)}
        judged = judge(HERE, 1.0, shaky, WORTH)

        assert judged.lead.low == pytest.approx(judged.lead.high)
        assert judged.winner == "prepare"

    def test_where_the_interval_holds_zero_nothing_is_decided(self) -> None:
        judged = judge(HERE, 1.0, trials(**{PREPARED.name: trial([60.0, 66.0, 60.0], [0.05] * 3)}), WORTH)

        assert judged.best == PREPARED
        assert judged.winner is None

    def test_preparing_is_held_against_the_same_strategy_without(self) -> None:
        dear = judge(HERE, 1.0, trials(**{PREPARED.name: trial([61.0, 62.0, 60.0], [0.9] * 3, preparing=0.85)}), WORTH)

        assert judge(HERE, 1.0, trials(), WORTH).preparing_gains
        assert dear.preparing_loses
        assert dear.preparing.mean == pytest.approx(-0.85 / 100.0)

    def test_without_a_value_the_lowest_cost_of_a_right_answer_is_best(self) -> None:
        judged = judge(HERE, 1.0, trials(), None)

        assert judged.best == DIRECT
        assert judged.measured["direct"].score.mean == pytest.approx(-0.01 / 51.0, rel=1e-3)

    def test_the_whole_bill_is_the_same_for_all_on_a_fleet_that_is_paid_anyway(self) -> None:
        judged = judge(HERE, 1.0, trials(), WORTH, "bill")

        assert (judged.best.kind, judged.lead.mean) == ("think", pytest.approx(0.0))
        assert judged.winner is None

    def test_a_way_that_answers_nothing_is_worst(self) -> None:
        judged = judge(HERE, 1.0, trials(direct=trial([0.0] * 3, [0.01] * 3)), None)

        assert judged.best == LITTLE
        assert np.isnan(judged.measured["direct"].usd_per_correct)


def fake_trial(source: Any, overrides: Sequence[str], way: Way, replications: int) -> Trial:
    """Preparing pays with many questions or a cheap night, direct answers do with few; a load as it is asked for."""
    knobs = dict(change.split("=", 1) for change in overrides)
    queries = json.loads(knobs.get("workload.0.contexts.queries", '{"mean": 4}'))["mean"]
    offer = json.loads(knobs.get("fleet.0.offer", "null"))
    ratio = 1.0 if offer is None else 1.0 / offer["tariff"]["windows"][0]["usd_per_gpu_hour"]
    predictability = float(knobs.get("workload.0.contexts.predictability", 0.5))
    right = {"direct": 50.0, "little": 52.0, "much": 70.0, PREPARED.name: 55.0 + 20.0 * predictability}[way.name]
    usd = {"direct": 0.01, "little": 0.02, "much": 0.19, PREPARED.name: 0.02 + 0.8 / queries / ratio}[way.name]
    wobble = np.linspace(-0.1, 0.1, replications)
    made = trial((right + wobble * (way.name == "little")).tolist(), [usd] * replications)
    return made._replace(work_share=0.1 * len(way.strategy))


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A map from runs that are made up."""
    monkeypatch.setattr(mapping, "run_trial", fake_trial)
    monkeypatch.setattr(mapping, "_compile", lambda: None)
    return made_map(SCENARIO, Plan(SMALL, ("workload.0.usd_per_correct=0.01",), replications=3), workers=1)


class TestSweep:
    def test_every_point_is_judged_in_order(self, faked: dict[str, Any]) -> None:
        assert [tuple(point[axis] for axis in AXES) for point in faked["points"]] == list(SMALL.points())
        assert [way["name"] for way in faked["ways"]] == [way.name for way in WAYS]

    def test_the_load_is_that_of_the_way_with_most_work(self, faked: dict[str, Any]) -> None:
        assert [point["arrivals_factor"] for point in faked["points"]] == pytest.approx([0.5 / 0.6] * 8)

    def test_it_is_json(self, faked: dict[str, Any]) -> None:
        assert json.loads(json.dumps(faked, allow_nan=False)) == faked

    def test_progress_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mapping, "run_trial", fake_trial)
        monkeypatch.setattr(mapping, "_compile", lambda: None)
        told: list[tuple[int, int]] = []
        judged_points(SCENARIO, Plan(SMALL), workers=1, progress=lambda *step: told.append(step))

        assert told == [(done, 20) for done in range(1, 21)]


class TestVerdict:
    def test_regions_are_told_with_what_makes_the_difference(self, faked: dict[str, Any]) -> None:
        assert faked["verdict"][0] == (
            "Preparing contexts is best at 4 of 8 points: 25% of the points with 1 question a context, 75% with 10; "
            "25% of the points at a predictability of 0.1, 75% at 0.9; 25% of the points at a price ratio of 1, "
            "75% at 10."
        )

    def test_values_without_a_point_are_named_where_they_are_few(self) -> None:
        few = trials(**{PREPARED.name: trial([61.0, 62.0, 60.0], [0.9] * 3)})
        points = [judge(HERE._replace(queries=n), 1.0, few if n == 1.0 else trials(), WORTH) for n in (1.0, 5.0, 9.0)]

        assert verdict(points)[0].endswith("is best at 2 of 3 points: never with 1 question a context.")

    def test_a_kind_that_is_best_everywhere_or_nowhere(self) -> None:
        points = [judge(HERE, 1.0, trials(), WORTH)]
        told = verdict(points)

        assert told[0] == "Preparing contexts is best everywhere on this grid."
        assert told[1:3] == [
            "Thinking longer is best nowhere on this grid.",
            "A direct answer is best nowhere on this grid.",
        ]
        assert told[3] == "Preparing loses money at no point, against answering in the same way without it."

    def test_where_preparing_loses_money_is_said_plainly(self) -> None:
        dear = trials(**{PREPARED.name: trial([61.0, 62.0, 60.0], [0.9] * 3)})
        points = [
            judge(HERE._replace(queries=1.0), 1.0, dear, WORTH),
            judge(HERE._replace(queries=10.0), 1.0, trials(), WORTH),
        ]
        told = next(sentence for sentence in verdict(points) if sentence.startswith("Preparing loses"))

        assert told == (
            "Preparing loses money at 1 of 2 points, against answering in the same way without it: only with 1 "
            "question a context. At worst it loses $0.00850 a question (1 question a context, predictability 0.5, "
            "price ratio 3, load 60%)."
        )

    def test_chance_is_told(self) -> None:
        points = [judge(HERE, 1.0, trials(**{PREPARED.name: trial([60.0, 66.0, 60.0], [0.05] * 3)}), WORTH)]

        assert any("1 of 1 point the 95 % interval of the difference holds zero" in told for told in verdict(points))


class TestShown:
    def test_the_terminal_shows_the_verdict_and_a_letter_a_point(self, faked: dict[str, Any]) -> None:
        text = printed(format_regions(faked), 80)

        assert text.splitlines()[0] == "map: which way of answering is best where"
        assert max(map(len, text.splitlines())) <= 80
        assert [line.split() for line in text.splitlines() if "predictability" in line][-1][-2:] == ["1", "10"]
        rows = text.split("price ratio  predictability")[1].split("\n\n")[0].splitlines()[1:]
        assert next(row.split() for row in rows) == ["1", "0.1", "T", "T"]
        assert len(rows) == 4

    def test_the_table_has_a_row_for_each_point_and_way(self, faked: dict[str, Any]) -> None:
        frame = regions_frame(faked)

        assert len(frame) == 32
        assert frame.groupby(list(AXES))["is_best"].sum().eq(1).all()
        assert (frame["score_low"] <= frame["score_mean"]).all()

    def test_a_folder_holds_page_table_and_json(self, faked: dict[str, Any], tmp_path: Path) -> None:
        save_regions(faked, tmp_path / "map")

        assert sorted(file.name for file in (tmp_path / "map").iterdir()) == [
            "regions.html",
            "regions.json",
            "regions.parquet",
        ]
        assert len(pd.read_parquet(tmp_path / "map" / "regions.parquet")) == 32

    def test_the_page_has_a_cell_for_each_point_and_needs_no_plotly(self, faked: dict[str, Any]) -> None:
        page = regions_page(faked)

        assert page.count('class="cell ') == 8
        assert "Plotly" not in page
        assert len(page) < 200_000

    def test_names_cannot_break_out_of_the_page(self, faked: dict[str, Any]) -> None:
        nasty = "</script><img src=x onerror=alert(1)>\" '"
        page = regions_page(json.loads(json.dumps(faked).replace("little", json.dumps(nasty)[1:-1])))

        assert "<img" not in page

    def test_an_axis_as_it_is_has_one_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mapping, "run_trial", fake_trial)
        monkeypatch.setattr(mapping, "_compile", lambda: None)
        found = made_map(SCENARIO, Plan(Grid((), (), (), ()), replications=2), workers=1)

        assert regions_page(found).count('class="cell ') == 1
        assert "as it is" in printed(format_regions(found), 80)


class TestTrials:
    """Short runs of the engine itself."""

    SHORT = ("horizon=24h", "workload.0.arrivals.mean_rps=0.01")

    def tried(self, way: Way, point: Point) -> Trial:
        scenario = load_scenario(SCENARIO, self.SHORT)
        grid = Grid(off_peak="14:00-20:00")
        return run_trial(SCENARIO, [*self.SHORT, *turned(scenario, grid, point)], way, 2)

    def test_prices_change_the_cost_of_plain_answers_and_nothing_else(self) -> None:
        flat, steep = (self.tried(MUCH, HERE._replace(price_ratio=ratio)) for ratio in (1.0, 10.0))
        repriced = flat.repriced(0.1)

        assert 0.0 < steep.used_usd[0] < flat.used_usd[0]
        for name in Trial._fields:
            assert getattr(repriced, name) == pytest.approx(getattr(steep, name), rel=1e-9), name

    def test_all_ways_meet_the_same_questions(self) -> None:
        found = [self.tried(way, HERE) for way in WAYS]

        assert len({tuple(each.asked) for each in found}) == 1
        assert [each.hits.sum() > 0.0 for each in found] == [False, False, False, True]
        assert [each.preparing_usd.sum() > 0.0 for each in found] == [False, False, False, True]
        assert found[1].right.sum() < found[3].right.sum() <= found[3].asked.sum()

    def test_a_small_map(self) -> None:
        plan = Plan(Grid((2.0, 20.0), (0.5,), (3.0,), (0.3,)), self.SHORT, replications=2)
        found = made_map(SCENARIO, plan, workers=1)
        few, many = (point["ways"][PREPARED.name] for point in found["points"])

        assert few["preparing_usd_per_question"] > 2.0 * many["preparing_usd_per_question"]
        assert few["hit_rate"] > 0.8


class TestCommand:
    def test_the_command_gives_back_what_it_prints(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(mapping, "run_trial", fake_trial)
        monkeypatch.setattr(mapping, "_compile", lambda: None)
        words = ["--queries", "1,10", "--predictability", "0.1,0.9", "--price-ratio", "1,10", "--load", "0.5"]
        code = run(["regions", str(SCENARIO), *words, "--replications", "3", "--workers", "1", "--json"])
        told = json.loads(capsys.readouterr().out)
        found = commands.regions(SCENARIO, SMALL, replications=3, workers=1)

        assert code == 0
        assert told | {"speed": None} == found | {"speed": None}

    def test_what_is_no_list_of_numbers_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["regions", str(SCENARIO), "--load", "high"]) == 2
        assert "high is no list of values of load; give numbers between commas" in capsys.readouterr().err


@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
class TestInABrowser:
    def test_a_cell_tells_its_figures_to_mouse_and_keyboard(self, faked: dict[str, Any], tmp_path: Path) -> None:
        save_regions(faked, tmp_path)
        program = chromium()
        assert program is not None
        with Browser(program) as browser, browser.page(tmp_path / "regions.html", width=390) as page:
            page.run("document.querySelector('.cell').focus()")
            assert "is ahead of" in page.run("document.getElementById('tip').textContent")
            page.run("document.querySelector('.cell').blur()")
            assert page.run("document.getElementById('tip').hidden")
            assert page.run("document.documentElement.scrollWidth") <= 390
            assert page.complaints() == []
            assert page.requests() == []
