"""A scenario at many points: what is varied, what came of it, what moves the answer, and the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sim.runs.outcome as outcomes
from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.load import load_scenario
from sim.runs import Outcome, Store, executor_of
from sim.runs.figures import run_figures
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.stats import paired_difference
from sim.sweep.document import document_of
from sim.sweep.points import check_axes, points_of
from sim.sweep.report import sweep_page
from sim.sweep.space import parse_axis, read_points
from sim.sweep.sweep import Plan, Progress, swept
from sim.sweep.table import sweep_frame
from tests.sweeping import SCENARIO, StandIn, linear, settings_of

REPLICAS, RPS, PRICE = "fleet.0.replicas", "workload.0.arrivals.rps", "fleet.h100.offer.usd_per_gpu_hour"
COST = "cost.total_usd"


def labels(text: str) -> list[str]:
    return [option.label for option in parse_axis(text).options]


def found_by(plan: Plan, law: Any = linear, **more: Any) -> dict[str, Any]:
    return document_of(swept(SCENARIO, plan, StandIn(law), **more))


class TestSpace:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("a=1,2,2,3", ["1", "2", "3"]),
            ("a=1:4:1", ["1", "2", "3", "4"]),
            ("a = 2 : 9 : 3", ["2", "5", "8"]),
            ("a=0:0.3:0.1", ["0.0", "0.1", "0.2", "0.3"]),
            ("a=-1:1:0.5", ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
            ("a=1e-3:3e-3:1e-3", ["0.001", "0.002", "0.003"]),
            ("a=5:5:1", ["5"]),
            ("a=1,10:30:10", ["1", "10", "20", "30"]),
            ("a=[x, y],{p: 1, q: [2, 3]},'b,c'", ["[x, y]", "{p: 1, q: [2, 3]}", "'b,c'"]),
            ("a=2026-03-02T00:00:00", ["2026-03-02T00:00:00"]),
            ("a=off-peak", ["off-peak"]),
        ],
    )
    def test_what_is_written_is_what_is_varied(self, text: str, values: list[str]) -> None:
        assert labels(text) == values

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("replicas", "is nothing to vary"),
            ("=1,2", "is nothing to vary"),
            ("a=", "is nothing to vary"),
            ("a=1,,2", "has an empty value between commas"),
            ("a=1:4", "has a range without a step"),
            ("a=4:1:1", "is no range from a lower to a higher number in steps above 0"),
            ("a=1:4:0", "in steps above 0"),
            ("a=0:1:0.0000001", "has 10,000,001 values, more than|has 10,000,001 values"),
            ("a=[1", "is not valid YAML"),
        ],
    )
    def test_what_says_nothing_is_refused(self, text: str, rule: str) -> None:
        with pytest.raises(InputError, match=rule):
            parse_axis(text)

    def test_a_grid_is_every_combination_and_the_last_key_goes_first(self) -> None:
        points = list(points_of([parse_axis("a=1,2"), parse_axis("b=x,y,z")], "grid"))
        assert [tuple(point.settings.values()) for point in points] == [
            (a, b) for a in ("1", "2") for b in ("x", "y", "z")
        ]
        assert [point.number for point in points] == list(range(6))

    def test_one_at_a_time_is_each_value_alone_beside_the_scenario_as_it_is(self) -> None:
        points = points_of([parse_axis("a=1,2"), parse_axis("b=x")], "one-at-a-time")
        assert [dict(point.settings) for point in points] == [{}, {"a": "1"}, {"a": "2"}, {"b": "x"}]

    def test_axes_that_make_no_sweep_are_refused(self) -> None:
        with pytest.raises(InputError, match="varies nothing; add such as --vary"):
            check_axes([], "grid")
        with pytest.raises(InputError, match="a is varied twice"):
            check_axes([parse_axis("a=1"), parse_axis("a=2")], "grid")
        wide = [parse_axis(f"{key}=1:101:1") for key in "abc"]
        with pytest.raises(InputError, match="1,030,301 points are more than the 1,000,000"):
            check_axes(wide, "grid")
        check_axes(wide, "one-at-a-time")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("p.yaml", "- {fleet.0.replicas: 2, name: a}\n- {workload.0.arrivals.rps: 0.5}\n"),
            ("p.json", '[{"fleet.0.replicas": 2, "name": "a"}, {"workload.0.arrivals.rps": 0.5}]'),
            ("p.csv", "fleet.0.replicas,name,workload.0.arrivals.rps\n2,a,\n,,0.5\n"),
        ],
    )
    def test_a_list_of_points_is_read_from_any_of_its_layouts(self, name: str, text: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text)
        found = found_by(Plan(points=tmp_path / name))
        assert [point["settings"] for point in found["points"]] == [
            {"fleet.0.replicas": 2, "name": "a"},
            {"workload.0.arrivals.rps": 0.5},
        ]

    @pytest.mark.parametrize("text", ["", "a: 1", "- 1", "- [1]", "- {1: 2}"])
    def test_what_is_no_list_of_points_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text(text)
        with pytest.raises(InputError):
            read_points(tmp_path / "p.yaml")


class TestFigures:
    def test_a_replication_of_a_point_is_that_of_simulate(self) -> None:
        """All points have the same luck, which a run of the point by hand shares."""
        plan = Plan((f"{REPLICAS}=1,3",), overrides=("horizon=3m", "seed=5"))
        made = swept(SCENARIO, plan, executor_of(workers=1))
        for answer, replicas in zip(made.answers, (1, 3), strict=True):
            figures = run_figures(simulate(load_scenario(SCENARIO, [*plan.overrides, f"{REPLICAS}={replicas}"])))
            assert answer.names == tuple(figures)
            assert np.array_equal(answer.values, np.array([*figures.values()]), equal_nan=True)
        found = document_of(made)
        apart = paired_difference(*(each.series(COST).tolist() for each in reversed(made.answers)))
        assert found["effects"][COST][0]["swing"]["mean"] == pytest.approx(apart.mean)

    def test_figures_asked_for_are_told_and_others_are_refused(self) -> None:
        made = swept(SCENARIO, Plan((f"{REPLICAS}=1,2",), figures=(COST,)), StandIn())
        assert [each["name"] for each in document_of(made)["figures"]] == [COST]
        with pytest.raises(
            InputError, match=r"cost\.total is no figure of this scenario, did you mean 'cost.total_usd'"
        ):
            swept(SCENARIO, Plan((f"{REPLICAS}=1,2",), figures=("cost.total",)), StandIn())

    def test_a_refused_point_is_told_and_the_others_go_on(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1,-1,2",)))
        assert [point["refused"] is None for point in found["points"]] == [True, False, True]
        assert "must be at least" in found["points"][1]["refused"]
        assert found["counts"] == {"points": 3, "answered": 2, "refused": 1, "failed": 0, "missing": 0}
        assert found["notes"][0].startswith("1 point of 3 cannot be run: --set fleet.0.replicas=-1")


class TestEffects:
    """Of the bill of `linear`: 10 a replica, 3 for a request a second, 1 for a dollar of price."""

    SWINGS = ((REPLICAS, 30.0), (RPS, 12.0), (PRICE, 3.0))

    @pytest.mark.parametrize(
        ("values", "design", "basis", "combinations"),
        [
            (("1:4:1", "2,4,6", "2,5"), "grid", "as it is", 1),
            (("1:4:1", "2,4,6", "3,6"), "grid", "mean over the others", 6),
            (("1:4:1", "2,4,6", "2,5"), "one-at-a-time", "as it is", 1),
        ],
    )
    def test_they_are_those_of_the_law_and_none_is_chance(
        self, values: tuple[str, ...], design: Any, basis: str, combinations: int
    ) -> None:
        vary = tuple(f"{key}={told}" for key, told in zip((REPLICAS, RPS, PRICE), values, strict=True))
        effects = found_by(Plan(vary, design=design))["effects"][COST]
        assert [(each["axis"], each["swing"]["mean"]) for each in effects] == [
            (key, pytest.approx(swing)) for key, swing in self.SWINGS
        ]
        assert (effects[0]["basis"], effects[0]["combinations"]) == (basis, combinations)
        assert all(each["certain"] for each in effects)
        ends = [effects[0]["levels"][effects[0][end]]["label"] for end in ("least", "most")]
        assert ends == ["1", "4"]
        assert effects[0]["levels"][0]["high"] - effects[0]["levels"][0]["low"] > 1.0
        assert effects[0]["swing"]["high"] - effects[0]["swing"]["low"] < 1e-9

    def test_what_is_as_it_is_is_known_by_what_it_does_and_not_by_how_it_is_written(self) -> None:
        found = found_by(Plan((f"{PRICE}=1,2.0,3", "horizon=10m,20m", f"{REPLICAS}=2,3")))
        assert [axis["as_it_is"] for axis in found["axes"]] == [1, 0, None]
        assert [axis["standing"] for axis in found["axes"]] == [2.0, 600.0, 1.0]

    def test_alone_a_key_has_the_scenario_as_it_is_among_its_levels_once(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1,2", f"{PRICE}=1,3"), design="one-at-a-time"))
        levels = {each["axis"]: [level["label"] for level in each["levels"]] for each in found["effects"][COST]}
        assert levels == {REPLICAS: ["1", "2"], PRICE: ["2 (as it is)", "1", "3"]}

    def test_means_count_only_combinations_in_which_every_value_was_answered(self) -> None:
        def picky(scenario: Scenario) -> Outcome:
            """Refuses the dear corner, which would make the highest price look cheap."""
            replicas, _, price = settings_of(scenario)
            return Outcome({}, "too dear") if replicas == 4 and price == 6 else linear(scenario)

        found = found_by(Plan((f"{REPLICAS}=2,3,4", f"{PRICE}=4,6")), picky)
        effects = {each["axis"]: each for each in found["effects"][COST]}
        assert effects[PRICE]["swing"]["mean"] == pytest.approx(2.0)
        assert effects[PRICE]["combinations"] == 2
        assert effects[REPLICAS]["swing"]["mean"] == pytest.approx(20.0)

    def test_what_only_chance_moves_is_said_to_be_that(self) -> None:
        def chance(scenario: Scenario) -> Outcome:
            replicas = settings_of(scenario)[0]
            return Outcome({COST: np.random.default_rng([7, int(replicas)]).normal(9.0, 1.0, 5).tolist()})

        found = found_by(Plan((f"{REPLICAS}=1,2",)), chance)
        assert not found["effects"][COST][0]["certain"]
        assert found["notes"][0] == "Chance moves the cost as much as anything that is varied does."

    def test_what_is_too_little_to_be_written_is_not_said_to_move_anything(self) -> None:
        def little(scenario: Scenario) -> Outcome:
            return Outcome({"slo.attainment": [0.9 + 1e-6 * settings_of(scenario)[0]] * 3})

        found = found_by(Plan((f"{REPLICAS}=1,2",)), little)
        assert found["effects"]["slo.attainment"][0]["certain"]
        assert found["notes"][0] == "Nothing that is varied moves the share of objectives met."

    def test_the_first_sentence_answers(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1:4:1", f"{RPS}=2,4")))
        assert found["notes"][0].startswith(f"{REPLICAS} moves the cost most: from $")
        assert f"; then {RPS} (from $" in found["notes"][0]


class TestTable:
    def frame(self) -> pd.DataFrame:
        vary = (f"{REPLICAS}=1,-1", f"{RPS}=0.5:1:0.5", "name=a,b")
        return sweep_frame(swept(SCENARIO, Plan(vary), StandIn()))

    def test_it_has_a_row_for_each_point_and_replication(self) -> None:
        frame = self.frame()
        assert list(frame.columns[:8]) == [REPLICAS, RPS, "name", "point", "replication", "seed", "key", "refused"]
        assert len(frame) == 4 * 3 + 4
        assert frame.loc[frame["refused"].isna(), COST].notna().all()
        assert frame.loc[frame["refused"].notna(), COST].isna().all()
        assert frame.groupby("point")["replication"].max().tolist() == [2] * 4 + [0] * 4

    @pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
    def test_others_can_read_it(self, reader: str, tmp_path: Path) -> None:
        library = pytest.importorskip(reader)
        file = tmp_path / "results.parquet"
        frame = self.frame()
        frame.to_parquet(file, index=False)
        if reader == "duckdb":
            asked = f'select "{REPLICAS}", avg("{COST}") from \'{file}\' where refused is null group by 1'
            assert library.sql(asked).fetchall() == [(1, pytest.approx(frame[COST].mean()))]
            return
        read = library.read_parquet(file)
        kept = read[COST].drop_nulls().drop_nans() if reader == "polars" else read[COST].dropna()
        assert kept.to_list() == frame[COST].dropna().tolist()
        assert sorted(set(read[REPLICAS].to_list())) == [-1, 1]
        assert sorted(set(read[RPS].to_list())) == [0.5, 1.0]
        assert sorted(set(read["name"].to_list())) == ["a", "b"]

    def test_a_key_that_is_left_as_it_is_has_its_number(self) -> None:
        plan = Plan((f"{PRICE}=1,3", f"{REPLICAS}=2,3", "name=x"), design="one-at-a-time")
        frame = sweep_frame(swept(SCENARIO, plan, StandIn())).groupby("point").first()
        assert frame[PRICE].tolist() == [2.0, 1.0, 3.0, 2.0, 2.0, 2.0]
        assert frame[REPLICAS].tolist() == [1, 1, 1, 2, 3, 1]
        assert frame["name"].isna().tolist() == [True] * 5 + [False]


class TestPage:
    def test_it_answers_first_and_names_every_point(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1:3:1", f"{RPS}=1,2,-1")))
        page = sweep_page(found).split("<script>")[0]
        assert page.index("moves the cost most") < page.index("What moves it most") < page.index("<h2>Points</h2>")
        assert "By both keys" in page
        assert page.count(f"{REPLICAS}=2, {RPS}=1<") == 1
        assert "Points that could not be run" in page

    def test_a_name_cannot_break_out(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1,2", "name=<script>alert(1)</script>,b")))
        page = sweep_page(found)
        assert "<script>alert(1)" not in page

    def test_many_points_are_told_by_their_ends(self) -> None:
        found = found_by(Plan((f"{REPLICAS}=1:40:1",)))
        told = sweep_page(found).split("<h2>Points</h2>")[1].split("</table>")[0]
        assert told.count("<tr>") == 1 + 20
        assert "<td>fleet.0.replicas=1<" in told
        assert "<td>fleet.0.replicas=20<" not in told


class TestProgress:
    def test_it_is_told_with_every_point(self, tmp_path: Path) -> None:
        seen: list[Progress] = []
        plan, store = Plan((f"{REPLICAS}=1,2,-1,1",)), Store(tmp_path)
        swept(SCENARIO, plan, StandIn(), store=store, progress=seen.append)
        assert [step.done for step in seen] == [1, 2, 3]
        assert (seen[-1].points, seen[-1].fresh, seen[-1].refused) == (3, 2, 1)
        swept(SCENARIO, plan, StandIn(), store=store, progress=seen.append)
        assert (seen[-1].done, seen[-1].kept, seen[-1].fresh) == (3, 2, 0)

    def test_an_interrupt_keeps_what_is_done(self, tmp_path: Path) -> None:
        plan, store = Plan((f"{REPLICAS}=1:9:1",)), Store(tmp_path)
        first = document_of(swept(SCENARIO, plan, StandIn(stops_after=5), store=store))
        assert first["interrupted"]
        assert (first["counts"]["answered"], first["counts"]["missing"]) == (len(store), 9 - len(store))
        assert len(store) >= 3
        rest = StandIn()
        second = document_of(swept(SCENARIO, plan, rest, store=store))
        assert len(rest.tasks) == 9 - first["counts"]["answered"]
        assert second["points"] == found_by(plan)["points"]


class TestCommand:
    SMALL = ("--vary", f"{REPLICAS}=1,2,-1", "--set", "horizon=2m", "--replications", "2", "--workers", "1")

    def test_it_prints_what_it_gives_back_and_leaves_a_folder(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        assert run(["sweep", str(SCENARIO), *self.SMALL, "--out", str(out), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == json.loads((out / "sweep.json").read_text())
        assert sorted(path.name for path in out.iterdir()) == ["results.parquet", "runs", "sweep.html", "sweep.json"]
        assert (told["speed"]["run"], told["counts"]["refused"], told["replications"]) == (2, 1, 2)
        assert run(["sweep", str(SCENARIO), *self.SMALL, "--out", str(out)]) == 0
        assert "0 run in" in (text := capsys.readouterr().out)
        assert "2 from the store" in text

    def test_ctrl_c_ends_it_with_what_is_done_and_says_how_it_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real, runs = outcomes.run_scenario, iter(range(9))

        def stopping(scenario: Scenario, threads: int | None = None) -> Outcome:
            if next(runs) == 1:
                raise KeyboardInterrupt
            return real(scenario, threads)

        monkeypatch.setattr(outcomes, "run_scenario", stopping)
        asked = ["sweep", str(SCENARIO), *self.SMALL, "--out", str(tmp_path / "out")]
        assert run(asked) == 130
        out, err = capsys.readouterr()
        assert "Interrupted after 1 of 3 points." in out
        assert "Interrupted; the same command goes on from here." in err
        assert run(asked) == 0
        assert "1 run in" in (text := capsys.readouterr().out)
        assert "1 from the store; 1 refused" in text

    def test_a_store_is_shared_between_sweeps(self, tmp_path: Path) -> None:
        plan = Plan((f"{REPLICAS}=1,2",), overrides=("horizon=2m", "replications=1"))
        other = Plan((f"{REPLICAS}=2,3",), overrides=("replications=1", "horizon=120s"))
        found = [commands.sweep(SCENARIO, each, store=tmp_path, workers=1)["speed"] for each in (plan, other)]
        assert [(each["run"], each["from_store"]) for each in found] == [(2, 0), (1, 1)]

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            ([], 2, "the sweep varies nothing"),
            (["--vary", "fleet.0.replicsa=1,2"], 2, "did you mean 'replicas'?"),
            (["--vary", f"{REPLICAS}=-1,-2"], 2, "2 points of 2 cannot be run"),
            (["--vary", f"{REPLICAS}=1,2", "--set", "horizon=-1"], 2, "horizon"),
            (["--points", "nowhere.csv"], 2, "nowhere.csv cannot be read (No such file or directory)"),
            (["--vary", f"{REPLICAS}=1,2", "--design", "square"], 2, "square"),
            (["--vary", f"{REPLICAS}=1,2", "--design", "one-at-a-time", "--set", "horizon=-1"], 2, "horizon"),
        ],
    )
    def test_what_cannot_be_swept_is_told(
        self, arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["sweep", str(SCENARIO), *arguments]) == code
        out, err = capsys.readouterr()
        assert told in out + err

    def test_a_folder_with_other_things_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "thesis.tex").write_text("dear")
        assert run(["sweep", str(SCENARIO), *self.SMALL, "--out", str(tmp_path)]) == 2
        assert "holds something other than a sweep (thesis.tex)" in capsys.readouterr().err

    def test_help_is_told_at_once(self) -> None:
        """What the command needs is imported when it runs."""
        import subprocess
        import sys

        asked = (
            "import sys; import sim.cli; print([m for m in ('numpy', 'pandas', 'joblib', 'ray') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
