"""Errors by group: what counts where, saturated runs apart, and how sure the medians are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sim.validation.comparison import with_errors
from sim.validation.groups import error_groups, median_interval, pair_groups
from tests.made_comparisons import comparison, frame, row


def named(groups: list[dict[str, Any]], name: str, **wanted: Any) -> list[dict[str, Any]]:
    return [one for one in groups if one["group"] == name and wanted.items() <= one.items()]


def test_a_group_tells_median_mean_and_bias_as_fractions_of_the_measured() -> None:
    rows = frame(*(row(predicted=predicted) for predicted in (8.0, 11.0, 13.0)))
    (seen,) = named(error_groups(rows), "seen")

    assert seen == {
        "group": "seen",
        "metric": "tpot_ms",
        "statistic": "mean",
        "saturated": False,
        "n": 3,
        "median_abs_error": pytest.approx(0.2),
        "mean_abs_error": pytest.approx(0.2),
        "bias": pytest.approx(0.1),
        "measured": 10.0,
        "predicted": 11.0,
        "interval": None,
    }


def test_saturated_runs_stand_apart_in_every_group() -> None:
    rows = frame(row(), row(saturated=True, predicted=5.0))
    found = [(one["group"], one["saturated"], one["n"]) for one in error_groups(rows)]

    name = "vllm H100-SXM Llama-3.1-8B bf16 TP1"
    assert found == [("seen", False, 1), ("seen", True, 1), (name, False, 1), (name, True, 1)]


def test_pairs_in_the_fit_are_seen_whatever_the_kind_of_serving() -> None:
    kinds = ("closed-loop", "batch", "open-loop")
    rows = frame(*(row(kind=kind, seen=seen) for kind in kinds for seen in (True, False)))
    groups = error_groups(rows)

    assert [named(groups, name)[0]["n"] for name in ("seen", "unseen")] == [3, 3]


def test_step_tables_and_replays_of_them_count_in_neither() -> None:
    rows = frame(row(kind="step-table", metric="step_ms"), row(kind="poisson", metric="ttft_ms"))

    assert [one["group"] for one in error_groups(rows)] == ["step-tables", "poisson", row()["configuration"]]


def test_end_to_end_times_are_in_seconds() -> None:
    (seen, *_) = error_groups(frame(row(metric="e2e_ms", measured=2000.0, predicted=1000.0)))

    assert (seen["metric"], seen["measured"], seen["predicted"], seen["bias"]) == ("e2e_s", 2.0, 1.0, -0.5)


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_a_run_without_a_prediction_is_in_no_group(nothing: float) -> None:
    rows = frame(row(), row(predicted=nothing))

    assert {one["n"] for one in error_groups(rows)} == {1}
    assert np.isnan(with_errors(rows)["error"].iloc[1])


def test_no_rows_make_no_groups() -> None:
    assert error_groups(frame()) == []
    assert pair_groups(frame()) == []


def test_each_group_stands_once() -> None:
    keys = [tuple(one[key] for key in ("group", "metric", "statistic", "saturated")) for one in groups_of_all()]

    assert len(keys) == len(set(keys))


def groups_of_all() -> list[dict[str, Any]]:
    return error_groups(comparison(200).rows)


def test_only_headlines_have_intervals_and_these_hold_the_median() -> None:
    with_interval = [one for one in groups_of_all() if one["interval"]]

    assert {one["group"] for one in with_interval} == {"seen", "unseen"}
    assert all(one["interval"][0] <= one["median_abs_error"] <= one["interval"][1] for one in with_interval)


def test_pairs_are_gpu_and_model_and_leave_steps_out() -> None:
    names = {one["group"] for one in pair_groups(comparison(36).rows)}

    assert "H100-SXM Qwen3-32B" in names
    assert not any("None" in name for name in names)
    assert len(names) == 6 * 3 + 1


def test_the_same_values_give_the_same_interval() -> None:
    values, clusters = np.random.default_rng(1).random(50), [f"c{n % 7}" for n in range(50)]

    assert median_interval(values, clusters) == median_interval(values, clusters)


def test_runs_that_err_alike_make_a_wider_interval() -> None:
    draws = np.random.default_rng(5)
    values = np.repeat(draws.random(12), 20) + 0.01 * draws.random(240)
    together = median_interval(values, np.repeat(np.arange(12), 20))
    apart = median_interval(values, np.arange(240))

    assert together is not None
    assert apart is not None
    assert together[1] - together[0] > 2.0 * (apart[1] - apart[0])


def test_the_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        draws = np.random.default_rng(seed)
        values = np.repeat(draws.normal(1.0, 0.3, 25), 4) + draws.normal(0.0, 0.1, 100)
        low, high = median_interval(values, np.repeat(np.arange(25), 4)) or [0.0, 0.0]
        held += low <= 1.0 <= high

    assert 88 <= held <= 100


@given(some.lists(some.tuples(some.floats(0.0, 2.0), some.integers(0, 4)), min_size=1, max_size=30))
def test_an_interval_lies_within_the_values(pairs: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in pairs])
    interval = median_interval(values, [cluster for _, cluster in pairs])

    assert interval is None or values.min() <= interval[0] <= interval[1] <= values.max()
