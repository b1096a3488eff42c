"""What `validate --json` holds: plain JSON by the contract, and the targets it is judged by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.validation.comparison import COLUMNS, REQUESTS, Comparison
from sim.validation.payload import Payload, held_out_errors, validation_payload
from sim.validation.targets import TARGETS
from tests.made_comparisons import comparison, frame, own_logs, row


@dataclass(frozen=True)
class Fit:
    name: str = "shipped"
    sources: tuple[str, ...] = ("runs.csv",)
    held_out: Mapping[str, Any] = field(default_factory=dict)


def payload(made: Comparison, command: str = "", held_out: Mapping[str, Any] | None = None) -> Payload:
    return validation_payload(made, Fit(held_out=held_out or {}), command=command)


def targets(*rows: dict[str, Any]) -> dict[tuple[str, str, str], tuple[float, bool]]:
    found = payload(Comparison(frame(*rows)))["targets"]
    return {(one["group"], one["metric"], one["statistic"]): (round(one["reached"], 6), one["met"]) for one in found}


def test_it_is_json_without_nan() -> None:
    found = payload(comparison(200))

    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_rows_hold_every_column_and_the_error() -> None:
    (found,) = payload(Comparison(frame(row(predicted=9.0))))["rows"]

    assert list(found) == [*COLUMNS, "error"]
    assert found["error"] == -0.1


def test_what_is_not_known_is_null() -> None:
    rows = frame(row(concurrency=np.nan, model=None, predicted=np.inf), row(concurrency=np.nan, model=pd.NA))
    found = payload(Comparison(rows))

    assert [[one[key] for key in ("concurrency", "model")] for one in found["rows"]] == [[None, None]] * 2
    assert [found["rows"][0][key] for key in ("predicted", "error")] == [None, None]
    assert found["notes"] == ["1 of 2 figures have no prediction and count in no group"]


def test_it_says_by_which_calibration_and_how_to_get_it_again() -> None:
    found = payload(comparison(), "nightshift validate runs.csv")

    assert (found["calibration"], found["command"]) == (
        {"name": "shipped", "sources": ["runs.csv"], "held_out": {}},
        "nightshift validate runs.csv",
    )


def test_pairs_are_those_never_seen() -> None:
    found = payload(Comparison(frame(row(), row(seen=False, model="Qwen3-32B"))))["pairs"]

    assert [one["group"] for one in found] == ["H100-SXM Qwen3-32B"]


def test_a_target_is_of_the_median_of_its_group() -> None:
    rows = [row(predicted=predicted) for predicted in (10.1, 10.7, 19.0)]

    assert targets(*rows) == {("seen", "tpot_ms", "mean"): (0.07, True)}


def test_a_log_is_held_to_its_target_by_itself() -> None:
    logs = [row(kind="open-loop", metric="e2e_ms", predicted=predicted) for predicted in (10.0, 9.4)]

    assert targets(*logs)[("open-loop", "e2e_s", "mean")] == (0.06, False)


def test_saturated_runs_are_not_judged() -> None:
    assert targets(row(saturated=True)) == {}


def test_targets_without_runs_are_left_out() -> None:
    assert targets() == {}
    everything = pd.concat([comparison(200).rows, own_logs()], ignore_index=True)
    assert len(payload(Comparison(everything))["targets"]) == len(TARGETS)


def test_logs_of_our_own_engine_have_targets_of_their_own() -> None:
    logs = [one for one in payload(Comparison(own_logs()))["targets"] if one["group"] == "open-loop"]

    assert {(one["name"], one["metric"], one["statistic"], one["at_most"], one["met"]) for one in logs} == {
        ("our own engine", metric, statistic, at_most, True)
        for metric, of_mean in (("e2e_s", 0.05), ("tpot_ms", 0.05), ("ttft_ms", 0.10))
        for statistic, at_most in (("mean", of_mean), ("p99", 0.15))
    }


def test_single_requests_are_told_by_log() -> None:
    requests = pd.DataFrame(
        [("open-loop-60", False, "e2e_ms", 100.0, predicted) for predicted in (101.0, 90.0, 105.0)],
        columns=list(REQUESTS),
    )
    (found,) = payload(Comparison(own_logs(), requests=requests))["requests"]

    assert (found["group"], found["metric"], found["statistic"], found["n"]) == ("open-loop-60", "e2e_s", "request", 3)
    assert (found["median_abs_error"], found["bias"]) == (pytest.approx(0.05), pytest.approx(0.01))


def test_errors_on_runs_left_out_of_the_fit_are_headlines_and_pairs() -> None:
    found = held_out_errors(frame(row(), row(seen=False, gpu="H200-SXM")))

    assert {key: [one["group"] for one in groups] for key, groups in found.items()} == {
        "groups": ["seen", "unseen"],
        "pairs": ["H200-SXM Llama-3.1-8B"],
    }


def test_they_travel_with_the_calibration() -> None:
    held_out = held_out_errors(frame(row()))

    assert payload(comparison(), held_out=held_out)["calibration"]["held_out"] == held_out


def test_runs_left_out_of_the_fit_are_held_to_the_same_targets() -> None:
    group = {"group": "unseen", "metric": "ttft_ms", "statistic": "mean", "saturated": False, "median_abs_error": 0.3}
    found = payload(Comparison(frame()), held_out={"groups": [group], "pairs": []})["targets"]
    assert [(one["name"], one["reached"], one["met"]) for one in found] == [
        ("pairs never seen, runs left out of the fit", 0.3, False)
    ]
