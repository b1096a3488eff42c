"""Routers that look at requests, from the scenario to the summary: what they choose, and what that is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine.specs import StrategySpec
from sim.errors import InputError, ScenarioError
from sim.load import load_scenario
from sim.policies import compare_policies
from sim.results import Results
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.strategies import path_multiples, strategy_specs, vote_stage
from tests.made_router import Made
from tests.routed import API, STRATEGIES, made_table, on_gpus, routed, written
from tests.small import chat, pool, rows, steady_step_times

PEAK = {"name": "peak", "hours": ["10:00-11:00"], "input_usd_per_1m": 0.5, "output_usd_per_1m": 5.0}


def run(fields: dict[str, Any], *, keep: bool = False) -> Results:
    return simulate(Scenario.model_validate(fields), keep_requests=keep)


def router(fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same with another router, or other keys of it."""
    return {**fields, "router": changes if "policy" in changes else {**fields["router"], **changes}}


def test_a_router_that_wants_the_cheapest_is_that_strategy_to_the_last_digit(tmp_path: Path) -> None:
    """Requests keep their luck: same questions, same answers, as they have under one strategy for all."""
    table = made_table(tmp_path, trials=3)
    fields = routed(tmp_path, replications=2)
    fields["workload"][0]["questions"]["path"] = str(table)
    cheapest = run(router(fields, value_usd=1e-9, latency=0), keep=True)
    always = run(router(fields, policy="always", strategy="direct"), keep=True)

    assert rows(cheapest).drop(columns="replica").equals(rows(always).drop(columns="replica"))
    assert 0.0 < rows(always)["correct"].mean() < 1.0


def test_what_a_router_decides_takes_its_time(tmp_path: Path) -> None:
    fields = routed(tmp_path)
    late, prompt = (run(router(fields, latency=latency), keep=True) for latency in ("2s", 0))
    for name in ("ttft_s", "e2e_s"):
        later_s = (rows(late)[name] - rows(prompt)[name]).dropna()
        assert len(later_s) > 2000
        assert later_s.to_numpy() == pytest.approx(2.0)


def off_by(summary: dict[str, Any]) -> dict[str, int]:
    """Right answers by which each strategy was misjudged, beyond those that were still under way."""
    completed, open_ones = (summary["requests"][name] for name in ("completed", "unfinished"))
    decided = summary["router"]
    found = {}
    for name, way in summary["strategies"].items():
        right = completed * way["share"] * (way["accuracy"] or 0.0)
        foreseen = (
            decided["decisions"]
            * decided["strategies"][name]["share"]
            * (decided["strategies"][name]["p_correct"] or 0.0)
        )
        found[name] = max(round(abs(foreseen - right)) - open_ones, 0)
    return found


def test_an_oracle_knows_which_answers_will_be_right(tmp_path: Path) -> None:
    """From a table with chances between 0 and 1, and votes, whose samples are all like their answer."""
    fields = routed(tmp_path)
    fields["workload"][0]["questions"]["path"] = str(made_table(tmp_path, trials=3))
    fields["strategies"] = [{"name": "direct"}, {"name": "short"}, {"name": "long", "kind": "vote", "samples": 3}]
    summary = run(router(fields, policy="oracle", value_usd=0.003)).summary
    ways = summary["strategies"]

    assert set(off_by(summary).values()) == {0}
    assert min(ways[name]["share"] for name in STRATEGIES) > 0.01
    assert ways["long"]["accuracy"] == ways["short"]["accuracy"] == 1.0 > ways["direct"]["accuracy"]


def test_an_oracle_knows_votes_and_cascades_of_response_curves() -> None:
    fields = {
        "name": "curves",
        "horizon": "30m",
        "workload": [chat(questions={"kind": "curves", "class": "arithmetic"}, usd_per_correct=0.01)],
        "fleet": [API],
        "strategies": [
            {"name": "direct"},
            {"name": "vote", "kind": "vote", "samples": 5},
            {"name": "careful", "kind": "verify", "solutions": 2, "verifications": 2},
            {"name": "doubtful", "kind": "cascade", "steps": ["direct", "vote"]},
            {"name": "votes", "kind": "cascade", "steps": ["vote", "careful"], "escalate_below": 0.9},
        ],
        "router": {"policy": "oracle"},
    }
    summary = run(fields).summary

    assert set(off_by(summary).values()) == {0}
    assert sum(way["share"] > 0.005 for way in summary["strategies"].values()) >= 4


def test_a_bandit_finds_the_strategy_that_pays(tmp_path: Path) -> None:
    """A direct answer is right half the time for a twentieth of the price of the longest, worth a dollar in both."""
    fields = routed(tmp_path, horizon="1h")
    dear = run(router(fields, policy="bandit", value_usd=1.0)).summary["strategies"]
    cheap = run(router(fields, policy="bandit", value_usd=1e-5)).summary["strategies"]

    assert dear["long"]["share"] > 0.9
    assert cheap["direct"]["share"] > 0.9


@pytest.mark.parametrize(("policy", "key"), [("difficulty-threshold", "below"), ("gain-threshold", "above")])
def test_thresholds_go_from_one_strategy_to_the_other(tmp_path: Path, policy: str, key: str) -> None:
    fields = routed(tmp_path)
    two = {"model": fields["router"]["model"], "cheap": "direct", "strong": "long"}
    shares = [
        run(router(fields, policy=policy, **two, **{key: at})).summary["strategies"]["long"]["share"]
        for at in (0.0, 0.3, 1.0)
    ]
    by_difficulty = policy.startswith("difficulty")
    alias = {"policy": "threshold", "by": policy.split("-")[0], **two, key: 0.3}
    named = run(router(fields, **alias)).summary["strategies"]["long"]["share"]

    assert (shares[0], shares[2]) == ((0.0, 1.0) if by_difficulty else (1.0, 0.0))
    assert 0.1 < shares[1] < 0.9
    assert named == shares[1]


def test_shares_follow_the_price_of_the_hour(tmp_path: Path) -> None:
    """Between ten and eleven tokens cost five times as much; without an eye on prices that hour is as the others."""
    api = {**API, "tariff": {**API["tariff"], "windows": [PEAK]}}
    fields = routed(tmp_path, fleet=[api], start="2026-03-02T09:00:00", horizon="3h", bucket="30m")
    looks, does_not = (
        {
            hour["hour"]: hour["shares"]
            for hour in run(router(fields, price=price, value_usd=0.003)).summary["router"]["by_hour"]
        }
        for price in (True, False)
    )

    assert sorted(looks) == [9, 10, 11]
    assert looks[10]["direct"] > looks[9]["direct"] + 0.2
    assert looks[9]["direct"] == pytest.approx(looks[11]["direct"], abs=0.03)
    assert does_not[10]["direct"] == pytest.approx(does_not[9]["direct"], abs=0.03)
    assert looks[9]["direct"] < does_not[9]["direct"] < looks[10]["direct"]


def test_an_eye_on_load_keeps_answers_in_time(tmp_path: Path) -> None:
    """One replica of eight places: with long answers for most of the questions a queue forms that never ends."""
    fleet = on_gpus(1, steady_step_times(tmp_path, 0.02), engine={"max_num_seqs": 8})
    fields = routed(tmp_path, fleet=fleet)
    fields["workload"][0]["slo"] = {"e2e": "12s"}
    looks, does_not = (run(router(fields, value_usd=1.0, load=load)).summary for load in (True, False))

    assert does_not["slo"]["attainment"] < 0.5
    assert looks["slo"]["attainment"] > does_not["slo"]["attainment"] + 0.3
    assert looks["strategies"]["long"]["share"] < does_not["strategies"]["long"]["share"]
    assert looks["router"]["strategies"]["long"]["p_late"] > 0.0
    assert does_not["router"]["strategies"]["long"]["p_late"] == 0.0


def test_a_budget_is_kept(tmp_path: Path) -> None:
    """What pays costs about two dollars an hour; one is allowed."""
    fields = routed(tmp_path, horizon="6h")
    free = run(router(fields, value_usd=0.01)).summary["cost"]["usd_per_hour"]
    summary = run(router(fields, value_usd=0.01, budget={"usd_per_hour": 0.5 * free, "tick": "60s"})).summary
    budget = summary["router"]["budget"]

    assert budget["spent_usd_per_hour"] == pytest.approx(0.5 * free, rel=0.08)
    assert budget["spent_usd_per_hour"] == pytest.approx(summary["cost"]["usd_per_hour"], rel=1e-6)
    assert budget["multiplier"]["start"] == 1.0 < budget["multiplier"]["mean"] < budget["multiplier"]["most"]


def test_a_stream_with_its_own_strategy_is_left_alone(tmp_path: Path) -> None:
    fields = routed(tmp_path)
    own = chat(name="own", strategy="direct")
    with_own = run({**fields, "workload": [*fields["workload"], own]}, keep=True)
    alone = rows(run({**fields, "workload": [own], "router": None}, keep=True))
    mine = rows(with_own)[rows(with_own)["stream"] == "own"]

    assert set(mine["strategy"]) == {"direct"}
    assert mine["output_tokens"].tolist() == alone["output_tokens"].tolist()
    assert with_own.summary["router"]["decisions"] == len(rows(with_own)) - len(mine)


def test_a_strategy_that_no_pool_can_run_for_a_stream_is_not_chosen(tmp_path: Path) -> None:
    fields = routed(tmp_path, fleet=[API, {**pool(), "name": "own"}])
    fields["strategies"] = [{"name": "direct", "pool": "own"}, {"name": "short"}, {"name": "long"}]
    fields["workload"][0]["pools"] = ["api"]
    shares = {name: way["share"] for name, way in run(fields).summary["strategies"].items()}

    assert shares["direct"] == 0.0 < shares["short"]


def test_only_questions_that_training_left_out(tmp_path: Path) -> None:
    from router.splits import is_held_out
    from sim.outcomes.tables import read_outcomes
    from sim.scenario import HeldOut

    path = made_table(tmp_path)
    some = read_outcomes(path, held_out=HeldOut(share=0.25))
    names = [str(n) for n in range(200)]
    kept = [name for name, out in zip(names, is_held_out(names, 0.25, 0), strict=True) if out]

    assert {str(int(q) // 2) for q in some.questions} == set(kept)
    assert 30 < len(kept) < 70


def test_a_router_that_sees_its_questions_is_told(tmp_path: Path) -> None:
    from hashlib import sha256
    from json import dumps

    fields = routed(tmp_path)
    digest = sha256(Path(fields["workload"][0]["questions"]["path"]).read_bytes()).hexdigest()
    labels = {"source": "made", "rows": 1, "questions": 1, "sha256": digest, "held_out": {"share": 0.3, "seed": 0}}
    Made(strategies=STRATEGIES, metadata={"labels": dumps(labels)}).write(Path(fields["router"]["model"]))
    told = run(fields).summary["warnings"]
    fields["workload"][0]["questions"]["held_out"] = {"share": 0.3}

    assert len(told) == 1
    assert "was trained on questions of" in told[0]
    assert run(fields).summary["warnings"] == []


def compared(folder: Path, fields: dict[str, Any]) -> dict[str, Any]:
    return compare_policies(written(folder, fields), replications=4, places=5)


def test_a_router_that_knows_beats_mixes_and_single_strategies_at_equal_spending(tmp_path: Path) -> None:
    found = compared(tmp_path, routed(tmp_path, horizon="1h"))
    equal, singles = found["at_equal_spending"]["policies"], found["against_single"]
    first = found["first"]

    assert first == "learned, price and load"
    assert equal[first]["against_mix"]["accuracy"]["low"] > 0.02
    assert equal["oracle"]["against_mix"]["accuracy"]["low"] > equal[first]["against_mix"]["accuracy"]["high"]
    assert abs(equal["bandit"]["against_mix"]["accuracy"]["mean"]) < 0.05
    assert singles["short"][first]["accuracy"]["low"] > 0.0
    for name in ("direct", "long"):
        known = singles[name][first]["accuracy"]["mean"]
        assert known is None or known > -0.005
    assert found["verdict"][0].startswith("Routing pays here.")


def test_a_router_that_knows_nothing_does_not_beat_them(tmp_path: Path) -> None:
    fields = routed(tmp_path, horizon="1h")
    fields["workload"][0]["questions"]["path"] = str(made_table(tmp_path, knows=False))
    found = compared(tmp_path, fields)

    assert found["at_equal_spending"]["policies"][found["first"]]["against_mix"]["accuracy"]["low"] < 0.005
    assert not found["verdict"][0].startswith("Routing pays")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no such file": ({"router.model": "nowhere.onnx"}, "router.model: nowhere.onnx is not a file"),
    "no questions": (
        {"workload.0.questions": None},
        "questions: are missing, and the router of policy learned weighs chances of right answers",
    ),
    "no value": (
        {"workload.0.usd_per_correct": None},
        "router.value_usd: is missing, and stream 'chat' does not say what a right answer is worth",
    ),
    "curves": (
        {"workload.0.questions": {"kind": "curves", "class": "arithmetic"}},
        "of kind curves have no features that a router file could look at",
    ),
    "label of nothing": ({"router.labels": {"think": "long"}}, "router.labels.think: is no strategy of the scenario"),
    "one threshold": (
        {"router": {"policy": "threshold", "by": "gain", "below": 0.5, "model": "router.onnx", "cheap": "direct",
                    "strong": "long"}},
        "router.below: 0.5 cannot be given with by: gain; use `above`",
    ),
    "twice the same": (
        {"router": {"policy": "gain-threshold", "model": "router.onnx", "cheap": "long", "strong": "long"}},
        "router.strong: long is the cheap strategy as well",
    ),
    "learned sleep": ({"router": {"policy": "oracle"}, "sleep": {"prepare": "learned"}}, "needs a router file"),
    "a slip": ({"router.prise": True}, "router.prise: unknown key, did you mean 'price'?"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    import json

    file = written(tmp_path, routed(tmp_path))
    overrides = [
        f"{key}={json.dumps(value).replace('router.onnx', str(tmp_path / 'router.onnx'))}"
        for key, value in changes.items()
    ]
    with pytest.raises(ScenarioError) as refused:
        load_scenario(file, overrides)
    assert told in str(refused.value)


def test_what_a_router_file_does_not_know_is_refused(tmp_path: Path) -> None:
    fields = routed(tmp_path)
    other = {**fields, "strategies": [*fields["strategies"][:2], {"name": "vote", "kind": "vote", "samples": 2}]}
    table = Path(fields["workload"][0]["questions"]["path"])
    import pandas as pd

    frame = pd.read_parquet(table)
    frame.assign(strategy=frame["strategy"].replace("long", "vote")).to_parquet(table)
    with pytest.raises(
        InputError, match=r"router\.labels  strategy 'vote' is not known to router.onnx; say by `labels`"
    ):
        run(other)
    labelled = run(router(other, labels={"vote": "long"}, value_usd=0.01)).summary
    assert labelled["strategies"]["vote"]["share"] > 0.0

    frame.drop(columns="hard").to_parquet(table)
    with pytest.raises(InputError, match="lacks the feature 'hard', which the router looks at"):
        run(fields)
    frame.assign(hard=np.arange(len(frame))).to_parquet(table)
    with pytest.raises(InputError, match="feature 'hard' differs between rows of one question"):
        run(fields)
    Path(fields["router"]["model"]).write_bytes(b"no router")
    with pytest.raises(InputError, match=r"router.onnx"):
        run(fields)


def test_a_comparison_needs_a_router_that_looks(tmp_path: Path) -> None:
    fields = router(routed(tmp_path), policy="always", strategy="direct")
    with pytest.raises(InputError, match="does not look at requests, so there is nothing to hold against"):
        compare_policies(written(tmp_path, fields))


def test_the_last_branch_is_longer_than_the_mean_one() -> None:
    """The longest of eight lognormal lengths, by a million draws; the third of eight; and one alone."""
    draws = np.sort(np.exp(0.5 * np.random.default_rng(1).standard_normal((200_000, 8)) - 0.125), axis=1).mean(axis=0)
    longest, third = (
        path_multiples(StrategySpec(stages=[vote_stage(8, sigma=0.5, shortest=shortest)])) for shortest in (8, 3)
    )

    assert longest == pytest.approx([draws[7]], rel=0.01)
    assert third == pytest.approx([draws[2]], rel=0.01)
    assert path_multiples(strategy_specs(Scenario.model_validate(_verify()).strategies)[0]) == pytest.approx([3.0])


def _verify() -> dict[str, Any]:
    verify = {"name": "v", "kind": "verify", "solutions": 2, "verifications": 2, "length_sigma": 0.0}
    return {"name": "x", "horizon": "1m", "workload": [chat()], "fleet": [pool()], "strategies": [verify]}


def test_the_command_tells_what_routing_is_worth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sim.cli import run as command

    file = str(written(tmp_path, routed(tmp_path)))
    assert command(["policies", file, "--replications", "2", "--places", "3"]) == 0
    told = capsys.readouterr().out

    assert "routed: what routing is worth" in told
    assert all(name in told for name in (*STRATEGIES, "oracle", "bandit", "gain threshold", "random mix"))
    Path(tmp_path / "router.onnx").write_bytes(b"no router")
    assert command(["simulate", file]) == 2
