"""Settings searched inside the simulator: what is varied, the front, fresh seeds, interrupts, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.load import load_scenario
from sim.runs.jobs import Job, Outcome
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.stats import paired_difference
from sim.tune import Plan, tuned
from sim.tune.defaults import default_space
from sim.tune.front import Tried, front_of
from sim.tune.space import Choices, Range, parse_vary
from sim.tune.suits import suited
from sim.tune.tuning import fresh_seed

SCENARIO = Path(__file__).with_name("tune.yaml")
VARY = ("router.weights.direct=0:1", "router.weights.think=0:1")
SMALL = ["--trials", "9", "--fresh", "3", "--points", "3", "--workers", "1", "--set", "horizon=4m"]
Law = Callable[[dict[str, float], np.random.Generator], tuple[float, float, float]]


class StandIn:
    """In place of the simulator a law of cost, accuracy and attainment, with luck that hangs on seed and setting."""

    def __init__(self, law: Law, *, stops_after: int | None = None) -> None:
        self.law, self.stops_after = law, stops_after
        self.jobs: list[Job] = []

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if len(self.jobs) == self.stops_after:
                raise KeyboardInterrupt
            self.jobs.append(job)
            yield self.outcome(job)

    def outcome(self, job: Job) -> Outcome:
        setting = {"router.weights.direct": 1.0, "router.weights.think": 1.0}
        setting |= {key: float(value) for key, value in (text.split("=") for text in job.overrides)}
        told = [
            self.law(setting, np.random.default_rng([job.seed, n, hash_of(setting)])) for n in range(job.replications)
        ]
        names = ("cost.used_usd_per_1k_requests", "quality.accuracy", "slo.attainment")
        return Outcome({name: [row[place] for row in told] for place, name in enumerate(names)})


def hash_of(setting: dict[str, float]) -> int:
    return crc32(repr(sorted(setting.items())).encode())


def trade_off(setting: dict[str, float], random: np.random.Generator) -> tuple[float, float, float]:
    """Accuracy costs; `direct` at 0.3 wastes nothing, so that the front is the line on which it is that."""
    direct, think = setting["router.weights.direct"], setting["router.weights.think"]
    return 1.0 + think + 4.0 * (direct - 0.3) ** 2, think, 1.0 - 0.1 * think


def luck_alone(setting: dict[str, float], random: np.random.Generator) -> tuple[float, float, float]:
    cost, right = 1.0 + 0.05 * random.standard_normal(), 0.5 + 0.02 * random.standard_normal()
    return float(cost), float(right), 1.0


def wasted(found: dict[str, Any]) -> list[float]:
    """What the points of the front cost above the true front."""
    on_front = [each for each in found["trials"] if each["on_front"] and each["settings"]]
    return [each["cost"] - 1.0 - each["accuracy"] for each in on_front]


class TestSpace:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("router.value_usd=0.001:0.1:log", Range("router.value_usd", 0.001, 0.1, is_log=True)),
            ("router.above = 0 : 0.5", Range("router.above", 0.0, 0.5)),
            ("sleep.effort=low,medium,low", Choices("sleep.effort", ("low", "medium"))),
            ("router={policy: a, x: 1},{policy: b}", Choices("router", ("{policy: a, x: 1}", "{policy: b}"))),
            ("name='a,b','c:d'", Choices("name", ("'a,b'", "'c:d'"))),
        ],
    )
    def test_what_is_written_is_what_is_varied(self, text: str, meant: object) -> None:
        assert parse_vary(text) == meant

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("router.above", "is nothing to vary"),
            ("=0:1", "is nothing to vary"),
            ("router.above=0.1", "leaves nothing to choose"),
            ("router.above=a,a", "leaves nothing to choose"),
            ("router.above=a,,b", "has an empty value between commas"),
            ("router.above=low:high", "is no range of numbers"),
            ("router.above=1:0", "is no range from a lower to a higher number"),
            ("router.above=0:inf", "is no range from a lower to a higher number"),
            ("router.above=0:1:log", "does not begin above 0"),
            ("router.above=0.1:1:step", "that is not log"),
        ],
    )
    def test_what_says_nothing_is_refused(self, text: str, rule: str) -> None:
        with pytest.raises(InputError, match=rule) as caught:
            parse_vary(text)
        assert caught.value.value == text

    def test_numbers_are_whole_where_the_scenario_takes_no_others(self) -> None:
        assert suited(SCENARIO, [], Range("strategies.think.budget_tokens", 10, 90)).is_whole  # type: ignore[union-attr]
        assert not suited(SCENARIO, [], Range("router.weights.think", 0, 9)).is_whole  # type: ignore[union-attr]

    def test_a_key_or_value_that_the_scenario_refuses_is_told_in_its_words(self) -> None:
        with pytest.raises(InputError, match=r"--vary router.wieghts=0:1  router.wieghts: .*did you mean 'weights'"):
            suited(SCENARIO, [], Range("router.wieghts", 0, 1))
        with pytest.raises(InputError, match=r"--vary seed=-5:5  seed: -5 must be at least 0"):
            suited(SCENARIO, [], Range("seed", -5, 5))

    @pytest.mark.parametrize(
        ("overrides", "keys"),
        [
            ((), ["router.weights.direct", "router.weights.think", "strategies.think.budget_tokens"]),
            (("router={policy: always, strategy: think}",), ["router.strategy", "strategies.think.budget_tokens"]),
            (
                (
                    "router={policy: always, strategy: both}",
                    "strategies=[{name: a}, {name: b}, {name: both, kind: cascade, steps: [a, b]}]",
                ),
                ["router.strategy", "strategies.both.escalate_below"],
            ),
        ],
    )
    def test_what_a_scenario_leaves_open_is_varied(self, overrides: tuple[str, ...], keys: list[str]) -> None:
        space = default_space(load_scenario(SCENARIO, overrides))
        assert [dimension.key for dimension in space] == keys
        assert [suited(SCENARIO, overrides, dimension) for dimension in space] == space

    @pytest.mark.parametrize(
        ("router", "told"),
        [
            (
                "{policy: learned, model: data/router/default.onnx}",
                ["router.value_usd=6e-06:0.0006:log", "sleep.effort=low,medium,high"],
            ),
            (
                "{policy: oracle, value_usd: 1, budget: {usd_per_hour: 4}}",
                [
                    "router.value_usd=0.1:10:log",
                    "router.budget.usd_per_hour=2:8:log",
                    "sleep.effort=low,medium,high",
                ],
            ),
            (
                "{policy: threshold, by: gain, model: data/router/default.onnx, cheap: direct, strong: think}",
                ["router.above=0:0.5", "sleep.effort=low,medium,high"],
            ),
        ],
    )
    def test_of_a_router_what_it_weighs_by(self, router: str, told: list[str]) -> None:
        overrides = [f"router={router}"]
        space = default_space(load_scenario("lab-router-day", overrides))
        assert [str(dimension) for dimension in space] == told
        assert [suited("lab-router-day", overrides, dimension) for dimension in space] == space

    def test_a_scenario_that_leaves_nothing_open_is_refused(self) -> None:
        scenario = load_scenario(SCENARIO, ["router=null", "strategies=[{name: a}]"])
        with pytest.raises(InputError, match="leave something to tune; say what to vary"):
            default_space(scenario)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20))
def test_a_front_is_what_nothing_beats(losses: list[tuple[int, int, int]]) -> None:
    tried = [Tried({"n": n}, tuple(map(float, mine))) for n, mine in enumerate(losses)]
    front = front_of(tried)

    def beats(one: Tried, other: Tried) -> bool:
        return one.losses != other.losses and all(a <= b for a, b in zip(one.losses, other.losses, strict=True))

    assert not any(beats(one, other) for one in tried for other in front)
    for other in tried:
        assert other in front or any(beats(one, other) or one.losses == other.losses for one in front)
    assert len({point.losses for point in front}) == len(front)


class TestSearch:
    def test_it_comes_close_to_the_true_front_and_closer_than_chance(self) -> None:
        plan = Plan(vary=VARY, objectives=("cost", "accuracy"), trials=120, fresh=2)
        found = tuned(SCENARIO, plan, runner=StandIn(trade_off))
        early = tuned(
            SCENARIO, Plan(vary=VARY, objectives=("cost", "accuracy"), trials=16, fresh=2), runner=StandIn(trade_off)
        )
        assert np.median(wasted(found)) < 0.005
        assert np.median(wasted(found)) < 0.2 * np.median(wasted(early))
        rights = [each["accuracy"] for each in found["trials"] if each["on_front"]]
        assert min(rights) < 0.1
        assert max(rights) > 0.9

    def test_a_space_of_few_settings_is_tried_whole(self) -> None:
        runner = StandIn(trade_off)
        vary = ("router.weights.direct=0.1,0.3", "router.weights.think=0.5,0.7,0.9")
        found = tuned(SCENARIO, Plan(vary=vary, trials=6), runner=runner)
        tried = {tuple(each["settings"].values()) for each in found["trials"] if each["settings"]}
        assert tried == {(a, b) for a in ("0.1", "0.3") for b in ("0.5", "0.7", "0.9")}

    def test_the_constraint_is_kept_where_it_can_be(self) -> None:
        plan = Plan(vary=VARY, objectives=("accuracy",), slo=0.95, trials=64, fresh=2)
        found = tuned(SCENARIO, plan, runner=StandIn(trade_off))
        best = found["points"][-1]
        assert 0.45 < best["fresh"]["accuracy"]["mean"] <= 0.5 + 1e-12
        assert best["meets_slo"]
        assert not found["points"][0]["meets_slo"]
        assert found["chosen"] == best["point"]

    def test_where_nothing_meets_it_the_nearest_is_told(self) -> None:
        plan = Plan(vary=("router.weights.think=0.2:1",), slo=0.99, trials=24, fresh=2)
        found = tuned(SCENARIO, plan, runner=StandIn(trade_off))
        assert [each["settings"]["router.weights.think"] for each in found["trials"] if each["on_front"]] == [
            min(each["settings"]["router.weights.think"] for each in found["trials"][1:])
        ]
        assert found["chosen"] is None
        assert "No setting met 99.0% of requests within their objectives" in found["notes"][0]

    def test_settings_that_the_scenario_refuses_are_told_and_left_out(self) -> None:
        class Picky(StandIn):
            def outcome(self, job: Job) -> Outcome:
                found = super().outcome(job)
                bad = any("direct=0.1" in text for text in job.overrides)
                return Outcome({}, "weights has no weight above zero; raise one") if bad else found

        vary = ("router.weights.direct=0.1,0.3", "router.weights.think=0.5,0.7")
        found = tuned(SCENARIO, Plan(vary=vary, trials=4), runner=Picky(trade_off))
        refused = [each for each in found["trials"] if each["refused"]]
        assert [each["settings"]["router.weights.direct"] for each in refused] == ["0.1", "0.1"]
        assert not any(each["on_front"] for each in refused)
        with pytest.raises(InputError, match=r"allows none of the settings tried \(weights has no weight above zero"):
            tuned(SCENARIO, Plan(vary=("router.weights.direct=0.1,0.11",)), runner=Picky(trade_off))


class TestFreshSeeds:
    def test_the_search_and_its_confirmation_share_no_seed(self) -> None:
        runner = StandIn(trade_off)
        found = tuned(SCENARIO, Plan(vary=VARY, trials=10, replications=3, fresh=5), runner=runner)
        fresh = [job for job in runner.jobs if job.seed != 0]
        assert {job.replications for job in runner.jobs if job.seed == 0} == {3}
        assert {(job.seed, job.replications) for job in fresh} == {(fresh_seed(0), 5)}
        assert [job.overrides for job in fresh] == [
            tuple(f"{key}={value}" for key, value in point["settings"].items()) for point in found["points"]
        ]
        assert fresh[0].overrides == ()

    def test_what_was_luck_is_lost_there_and_nothing_is_chosen_for_it(self) -> None:
        found = tuned(SCENARIO, Plan(vary=VARY, trials=64, replications=1, fresh=10), runner=StandIn(luck_alone))
        gains = [point["searched"]["cost"] - found["points"][0]["searched"]["cost"] for point in found["points"][1:]]
        assert min(gains) < -0.05
        assert found["shifts"]["cost"] + found["shifts"]["accuracy"] > 0.02
        worth = [verdict for point in found["points"][1:] for verdict in point["verdict"].values()]
        assert worth.count("better") <= 0.15 * len(worth)
        assert any("gain less than in the search in" in note for note in found["notes"])

    def test_differences_are_those_of_runs_on_the_same_luck(self, tmp_path: Path) -> None:
        """The figures of a point are what its scenario gives when it is simulated by hand."""
        plan = Plan(("router.weights.think=0.2:5",), trials=3, replications=1, fresh=3, overrides=("horizon=4m",))
        found = commands.tune(SCENARIO, plan, out=tmp_path / "out", workers=1)
        point = found["points"][1]
        fresh = [f"seed={found['fresh_seed']}", "replications=3"]
        base = simulate(load_scenario(SCENARIO, ["horizon=4m", *fresh])).replications
        mine = simulate(load_scenario(tmp_path / "out" / "point-1.yaml", fresh)).replications

        def used(runs: Any) -> list[float]:
            return [each.charges.used_usd.sum() * 1e3 / each.tally.streams[0, 1] for each in runs]

        apart = paired_difference(used(mine), used(base))
        assert list(point["difference"]["cost"].values()) == pytest.approx(list(apart), rel=1e-12)
        assert point["fresh"]["cost"]["mean"] == pytest.approx(np.mean(used(mine)), rel=1e-12)


class TestCommand:
    def test_same_seed_same_bytes_and_another_seed_others(self, capsys: pytest.CaptureFixture[str]) -> None:
        told = []
        for more in ([], [], ["--seed", "1"]):
            assert run(["tune", str(SCENARIO), *SMALL, "--json", *more]) == 0
            told.append(capsys.readouterr().out)
        assert told[0] == told[1]
        one, other = (json.loads(text) for text in told[1:])
        assert (one["seed"], other["seed"]) == (0, 1)
        assert one["trials"][1:] != other["trials"][1:]

    def test_an_interrupted_search_goes_on_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import sim.runs.outcome as runs
        from sim.runs import Store

        real, count = runs.run_scenario, 0

        def stopping(scenario: Scenario, threads: int | None = None) -> Outcome:
            nonlocal count
            count += 1
            if count == 6:
                raise KeyboardInterrupt
            return real(scenario, threads)

        arguments = ["tune", str(SCENARIO), *SMALL, "--out"]
        assert run([*arguments, str(tmp_path / "whole")]) == 0
        monkeypatch.setattr(runs, "run_scenario", stopping)
        assert run([*arguments, str(tmp_path / "cut")]) == 130
        assert "Interrupted after 5 trials" in capsys.readouterr().out
        partial = json.loads((tmp_path / "cut" / "tuning.json").read_text())
        assert (len(partial["trials"]), partial["points"], partial["chosen"]) == (5, [], None)
        assert len(Store(tmp_path / "cut" / "runs")) == 5
        before, whole = count, (tmp_path / "whole" / "tuning.json").read_bytes()
        assert run([*arguments, str(tmp_path / "cut")]) == 0
        assert count - before == len(Store(tmp_path / "whole" / "runs")) - 5
        assert (tmp_path / "cut" / "tuning.json").read_bytes() == whole

    def test_a_setting_of_another_scenario_is_not_taken_for_this_one(self, tmp_path: Path) -> None:
        plan = Plan(("router.weights.think=1,3",), trials=2, replications=1, fresh=2, overrides=("horizon=4m",))
        one = commands.tune(SCENARIO, plan, out=tmp_path, workers=1)
        other = tmp_path.parent / "other.yaml"
        other.write_text(SCENARIO.read_text().replace("usd_per_gpu_hour: 2.0", "usd_per_gpu_hour: 4.0"))
        two = commands.tune(other, plan, out=tmp_path, workers=1)
        costs = [[each["cost"] for each in found["trials"]] for found in (one, two)]
        assert costs[1] == pytest.approx([2.0 * cost for cost in costs[0]])

    def test_the_chosen_scenario_is_kept_whole(self, tmp_path: Path) -> None:
        plan = Plan(("router.weights.direct=0,1,9",), ("accuracy",), trials=3, overrides=("horizon=4m",))
        found = commands.tune(SCENARIO, plan, out=tmp_path / "out", workers=1)
        chosen = load_scenario(tmp_path / "out" / "chosen.yaml")
        assert found["points"][found["chosen"]]["settings"] == {"router.weights.direct": "0"}
        assert chosen == load_scenario(SCENARIO, ["horizon=4m", "router.weights.direct=0"])

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--objectives", "price"], "price is no objective; use one of: cost"),
            (["--objectives", "cost,cost"], "cost is an objective twice; give it once"),
            (["--objectives", "slo", "--set", "workload.0.slo={}"], "slo cannot be held against objectives"),
            (["--slo", "0.9", "--set", "workload.0.slo={}"], "slo cannot be held against objectives"),
            (
                ["--objectives", "accuracy", "--set", "workload.0.questions=null"],
                "no stream says which answers are right",
            ),
            (["--slo", "95"], "95.0 is no share of requests; give --slo between 0 and 1, such as 0.95"),
            (["--vary", "seed=1:9", "--vary", "seed=1,2"], "seed is varied twice; give it once"),
        ],
    )
    def test_what_cannot_be_searched_is_refused(
        self, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["tune", str(SCENARIO), *arguments]) == 2
        assert told in capsys.readouterr().err

    def test_a_folder_with_other_things_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "thesis.tex").write_text("dear")
        assert run(["tune", str(SCENARIO), "--out", str(tmp_path)]) == 2
        assert "holds something other than a search (thesis.tex)" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_without_optuna_it_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        assert run(["tune", str(SCENARIO)]) == 2
        assert "not installed; add it with: pip install 'nightshift[tune]'" in capsys.readouterr().err
