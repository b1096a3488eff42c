"""How many answers are right: the sums of a tally, the figures that follow, their intervals, the rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim.engine import state
from sim.headline import headline_figures, strategy_figures
from sim.results import Results
from sim.rows import request_frame
from sim.simulation import simulate
from sim.tally import COUNTS, LATENCIES, Tally, batch_figures, figures
from tests.small import chat, rows, scenario

ONE_GPU = np.array([1], np.int64)
DIRECT = (100.0, 5_000.0, 100.0, 60.0, 62.0)
THINK = (50.0, 50_000.0, 50.0, 45.0, 44.0)
UNKNOWN = (40.0, 400.0, 0.0, 0.0, 0.0)


def tally(*streams: Any, usd: float = 10.5, prompt_tokens: tuple[int, int] = (1000, 250)) -> Tally:
    """A tally whose streams answered by the given sums, one row a strategy."""
    answers = np.array(streams or [[DIRECT, THINK]])
    n = len(answers)
    return Tally(
        seconds=np.array([3600.0, 3600.0]),
        histogram=np.zeros((n, len(LATENCIES), 256), np.int64),
        latency_sum_s=np.zeros((n, len(LATENCIES))),
        latency_count=np.zeros((n, len(LATENCIES)), np.int64),
        streams=np.zeros((n, len(COUNTS)), np.int64),
        answers=answers,
        prompt_tokens=np.array(prompt_tokens),
        pool_s=np.array([[1800.0, 1800.0]]),
        usd=np.array([usd]),
    )


def run_of(whole: Tally, *batches: Tally) -> Any:
    return SimpleNamespace(tally=whole, batches=list(batches), full_batch_s=np.array([60.0]))


def test_accuracy_is_of_the_answers_whose_quality_is_modelled() -> None:
    found = figures(tally([DIRECT, THINK], [UNKNOWN, UNKNOWN]), ONE_GPU)

    assert found["quality.accuracy"] == pytest.approx(105 / 150)
    assert found["quality.expected_accuracy"] == pytest.approx(106 / 150)
    assert found["cost.usd_per_correct"] == pytest.approx(10.5 / 105)
    assert found["fleet.prefix_hit_share"] == 0.25


def test_each_stream_has_its_own_quality() -> None:
    both = tally([DIRECT, THINK], [UNKNOWN, UNKNOWN])

    assert figures(both.of_stream(0), ONE_GPU)["quality.accuracy"] == pytest.approx(0.7)
    assert np.isnan(figures(both.of_stream(1), ONE_GPU)["quality.accuracy"])


def test_tallies_of_answers_add_up() -> None:
    later = tally([tuple(2.0 * np.array(DIRECT)), THINK])

    assert (later - tally()).answers[0, 0].tolist() == list(DIRECT)
    assert batch_figures(later - tally(), ONE_GPU, 3600.0)["quality.accuracy"] == pytest.approx(0.6)


def test_strategies_share_the_answers_among_them() -> None:
    found, _ = strategy_figures(["direct", "think"], [run_of(tally([DIRECT, THINK], [UNKNOWN, UNKNOWN]))])

    assert [found[name]["share"] for name in found] == pytest.approx([140 / 230, 90 / 230])
    assert found["direct"]["accuracy"] == pytest.approx(0.6)
    assert found["think"]["expected_accuracy"] == pytest.approx(0.88)
    assert found["think"]["mean_output_tokens"] == pytest.approx(50_400 / 90)


def test_a_strategy_that_nobody_uses_has_no_figures() -> None:
    found, _ = strategy_figures(["direct", "think"], [run_of(tally([DIRECT, (0.0,) * 5]))])

    assert found["think"] == {"share": 0.0, "accuracy": None, "expected_accuracy": None, "mean_output_tokens": None}


def test_the_streams_of_preparing_are_nobodys() -> None:
    """Strategies of sleep-time jobs come after those of the scenario, and no stream of its own uses them."""
    found, _ = strategy_figures(["direct"], [run_of(tally([DIRECT, (0.0,) * 5]))])

    assert found["direct"]["share"] == 1.0


@pytest.mark.parametrize("replications", [1, 3])
def test_quality_has_intervals_over_replications_or_parts(replications: int) -> None:
    parts = [tally([(100.0, 5e3, 100.0, right, 62.0), THINK]) for right in (55.0, 60.0, 65.0)]
    runs = [run_of(part) for part in parts] if replications > 1 else [run_of(tally(), *parts)]
    _, overall = headline_figures(scenario(replications=replications), runs)
    _, of_strategies = strategy_figures(["direct", "think"], runs)
    found = overall | of_strategies

    low, high = found["strategies.direct.accuracy"] or (0.0, 0.0)
    assert low < 0.6 < high
    low, high = found["quality.accuracy"] or (0.0, 0.0)
    assert low < 0.7 < high
    low, high = found["cost.usd_per_correct"] or (0.0, 0.0)
    assert low < 0.1 < high
    assert found["strategies.think.accuracy"] == [0.9, 0.9]


def test_intervals_of_accuracy_stay_within_nothing_and_all() -> None:
    parts = [tally([(100.0, 5e3, 100.0, right, 99.0)]) for right in (90.0, 100.0, 100.0)]
    _, found = strategy_figures(["direct"], [run_of(part) for part in parts])
    low, high = found["strategies.direct.accuracy"] or (0.0, 0.0)

    assert low < high == 1.0


def test_rows_say_what_is_right_what_is_wrong_and_what_nobody_knows() -> None:
    rows = state.records(state.ROW, 3)
    rows["correct"], rows["p_correct"] = [1, 0, state.NONE], [0.9, 0.4, np.nan]
    rows["prepared"], rows["steps"] = [1, 0, 0], [1, 2, 1]
    frame = request_frame(0, rows, ["chat"], ["direct"], [("h100", 0)])

    assert frame["correct"].isna().to_list() == [False, False, True]
    assert frame["correct"].to_list()[:2] == [True, False]
    assert frame["p_correct"].isna().to_list() == [False, False, True]
    assert frame["prepared"].to_list() == [True, False, False]
    assert frame["steps"].to_list() == [1, 2, 1]


WAYS = [
    {"name": "direct"},
    {"name": "think", "kind": "think", "budget_tokens": 100},
    {"name": "vote", "kind": "vote", "samples": 4, "budget_tokens": 60},
    {"name": "doubt", "kind": "cascade", "steps": ["direct", "think"]},
]


@pytest.fixture(scope="module")
def judged() -> Results:
    """Five minutes of chat in four ways in turn, of which it is known what was right."""
    asked = chat(questions={"kind": "curves", "class": "arithmetic"})
    ways = {"strategies": WAYS, "router": {"policy": "round-robin"}}
    return simulate(scenario(workload=[asked, chat(name="other")], replications=2, **ways), keep_requests=True)


def test_rows_agree_with_the_summary(judged: Results) -> None:
    frame, summary = rows(judged), judged.summary
    known = frame[(frame["stream"] == "chat") & (frame["status"] == "completed")]
    by_run = known.groupby("replication")

    assert summary["quality"]["known"] * 2 == len(known)
    assert by_run["correct"].mean().mean() == pytest.approx(summary["quality"]["accuracy"])
    assert by_run["p_correct"].mean().mean() == pytest.approx(summary["quality"]["expected_accuracy"])
    assert frame[frame["stream"] == "other"]["correct"].isna().all()
    for name, way in summary["strategies"].items():
        assert known[known["strategy"] == name]["correct"].mean() == pytest.approx(way["accuracy"])


def test_time_per_token_of_branches_counts_the_longest_path(judged: Results) -> None:
    done = rows(judged).query("status == 'completed'")
    mean_s = done.groupby("replication")["tpot_s"].mean().mean()

    assert mean_s == pytest.approx(judged.summary["latency"]["tpot_s"]["mean"], rel=1e-9)
    assert done[done["strategy"] == "vote"]["tpot_s"].mean() > 0.8 * done[done["strategy"] == "think"]["tpot_s"].mean()


def test_a_cascade_takes_steps(judged: Results) -> None:
    steps = rows(judged).query("stream == 'chat'").groupby("strategy", observed=True)["steps"].max()

    assert steps.to_dict() == {"direct": 1, "think": 1, "vote": 1, "doubt": 2}


def test_quality_of_a_run_has_intervals_around_it(judged: Results) -> None:
    summary = judged.summary
    names = ("quality.accuracy", "quality.expected_accuracy", "cost.usd_per_correct")

    for name in names:
        section, key = name.split(".")
        low, high = summary["intervals"][name]
        assert low < summary[section][key] < high
    assert summary["intervals"]["strategies.think.accuracy"] is not None


def test_where_quality_is_not_modelled_it_is_null() -> None:
    summary = simulate(scenario()).summary

    assert summary["quality"] == {"accuracy": None, "expected_accuracy": None, "known": 0}
    assert summary["cost"]["usd_per_correct"] is None
    assert summary["strategies"]["direct"]["accuracy"] is None
    assert summary["streams"]["chat"]["quality"] == {"accuracy": None, "expected_accuracy": None, "known": 0}
    assert summary["warnings"] == []
