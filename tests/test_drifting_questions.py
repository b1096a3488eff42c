"""The month in which questions change: the alarm comes that day and not before, and training again pays."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from router.rows import Labels, read_labels
from sim.cli import run
from sim.lab.drifting import DAYS, OUTCOMES, ROUTERS, SHIFT_DAY, STRATEGIES, TRACE, TRAINED_DAY, log_of, month, parts_of
from sim.load import load_scenario
from sim.simulation import simulate

VALUE_USD = 0.0006


@pytest.fixture(scope="module")
def labels() -> Labels:
    return read_labels(OUTCOMES, strategies=STRATEGIES)


@pytest.fixture(scope="module")
def logs(labels: Labels) -> dict[str, pd.DataFrame]:
    """The month with the router before and after it was trained again; one replication each, the same luck."""
    found = {}
    for name, file in ROUTERS.items():
        scenario = load_scenario("drifting-questions", [f"router.model={file}", "replications=1"])
        requests = pd.concat(simulate(scenario, keep_requests=True).requests())
        found[name] = log_of(requests.sort_values("request_id"), labels)
    return found


def test_the_alarm_comes_on_the_day_of_the_shift_and_not_before(
    logs: dict[str, pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs["before"].to_csv(tmp_path / "log.csv", index=False)
    assert run(["drift", str(ROUTERS["before"]), str(tmp_path / "log.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = found["windows"][SHIFT_DAY]

    assert len(found["windows"]) == DAYS
    assert found["alarms"] == [window["window"] for window in found["windows"][SHIFT_DAY:]]
    assert found["advice"]["verdict"] == "retrain"
    assert found["advice"]["since"] == first["window"] == f"day {SHIFT_DAY}, 00:00"
    assert "asked_names" in {shift["column"] for shift in first["inputs"] if shift["level"] == "major"}
    assert [row["strategy"] for row in first["outcomes_by_strategy"] if row["off"]] == ["think"]


def test_the_advice_is_to_train_again_two_days_later(
    logs: dict[str, pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the day of the alarm outcomes are too few to train on; the next evening they are not."""
    verdicts = {}
    for days in (SHIFT_DAY, SHIFT_DAY + 1, SHIFT_DAY + 2):
        log = logs["before"]
        log[log["arrival_s"] < 86_400.0 * days].to_csv(tmp_path / "log.csv", index=False)
        assert run(["drift", str(ROUTERS["before"]), str(tmp_path / "log.csv"), "--json"]) == 0
        verdicts[days - SHIFT_DAY] = json.loads(capsys.readouterr().out)["advice"]["verdict"]

    assert verdicts[0] in ("keep", "watch")
    assert (verdicts[1], verdicts[2]) == ("collect", "retrain")


def test_training_again_pays(logs: dict[str, pd.DataFrame]) -> None:
    """On questions new to both routers: value of right answers less cost, day by day with the same requests."""
    by_day = {}
    for name, log in logs.items():
        late = log[log["arrival_s"] >= 86_400.0 * TRAINED_DAY]
        net_usd = VALUE_USD * late["correct"].astype(float) - late["cost_usd"]
        by_day[name] = net_usd.groupby(late["arrival_s"] // 86_400.0).mean().to_numpy()
    gain = by_day["after"] - by_day["before"]
    half_width = 2.262 * gain.std(ddof=1) / np.sqrt(gain.size)

    assert gain.mean() - half_width > 0.15 * by_day["before"].mean()


def test_what_the_second_router_is_asked_it_has_not_learned(labels: Labels) -> None:
    first, middle, last = parts_of(labels)
    contexts = np.asarray(labels.context)

    assert (first.astype(int) + middle + last == 1).all()
    assert not set(contexts[last]) & set(contexts[first | middle])
    assert min(first.mean(), middle.mean(), last.mean()) > 0.25


def test_the_month_is_made_as_it_is_shipped(labels: Labels) -> None:
    text = io.StringIO()
    month(labels).to_csv(text, index=False)

    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text.getvalue())), pd.read_csv(TRACE))
