"""`warm_up: auto` and the warning of a short one, on systems whose start is known to be over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.load import dump_scenario
from sim.results import Results
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.stats import mser5
from sim.warm_up import is_short
from tests.small import chat, pool, scenario, steady_step_times

SERVICE_S = 100.0
STEP_S = 0.05


def long_service(folder: Path, **changes: Any) -> Results:
    """M/D/infinity: requests that take 100 s each and never wait, so that the start is over after 100 s."""
    lengths = {"kind": "constant", "prompt_tokens": 1, "output_tokens": round(SERVICE_S / STEP_S)}
    stream = {"arrivals": {"kind": "poisson", "rps": 0.5}, "lengths": lengths}
    fleet = [pool(step_time=steady_step_times(folder, STEP_S), engine={"max_num_seqs": 256})]
    given = {"horizon": 4000.0, "bucket": 5.0, "replications": 5, "seed": 3, "fleet": fleet}
    stream |= changes.pop("stream", {})
    return simulate(scenario(workload=[chat(**stream)], **(given | changes)))


def test_auto_finds_where_the_start_is_over(tmp_path: Path) -> None:
    found = long_service(tmp_path, warm_up="auto")

    assert 0.7 * SERVICE_S <= found.summary["warm_up_s"] <= 2.0 * SERVICE_S
    assert found.summary["warm_up"]["determined"]
    assert found.summary["warnings"] == []
    assert found.scenario.warm_up == found.summary["warm_up_s"]


def test_a_found_warm_up_acts_like_a_stated_one(tmp_path: Path) -> None:
    found = long_service(tmp_path, warm_up="auto").summary
    stated = long_service(tmp_path, warm_up=found["warm_up_s"]).summary

    assert found["latency"] == stated["latency"]
    assert stated["warm_up"] is None


def test_a_load_that_follows_the_clock_is_not_taken_for_a_start(tmp_path: Path) -> None:
    daily = {"arrivals": {"kind": "daily", "mean_rps": 0.5, "amplitude": 0.9, "peak_hour": 1}}
    found = long_service(tmp_path, warm_up="auto", stream=daily).summary

    assert (found["warm_up_s"], found["warm_up"]["determined"]) == (0.0, False)
    assert "the load of chat follows the clock" in found["warnings"][0]
    assert long_service(tmp_path, stream=daily).summary["warnings"] == []


def test_a_short_warm_up_is_warned_of_and_a_long_one_is_not(tmp_path: Path) -> None:
    hour = {"horizon": 1000.0, "replications": 10}
    assert "not yet steady after the warm-up of 0s" in long_service(tmp_path, **hour).summary["warnings"][0]
    assert long_service(tmp_path, warm_up=130.0, **hour).summary["warnings"] == []


def test_auto_is_written_as_it_was_read() -> None:
    given = scenario(warm_up="auto")

    assert "warm_up: auto" in dump_scenario(given)
    assert Scenario.model_validate(given.model_dump(mode="json")).warm_up == 0.0


def test_mser_leaves_out_a_start_that_decays() -> None:
    random = np.random.default_rng(1)
    cuts = [mser5((10.0 * np.exp(-np.arange(1000) / 20) + random.normal(size=1000)).tolist()) for _ in range(20)]

    assert all(cut is not None and 40 <= cut <= 200 for cut in cuts)


def test_mser_does_not_say_where_nothing_is_steady_or_little_is_there() -> None:
    assert mser5(np.arange(1000.0).tolist()) is None
    assert mser5([1.0] * 49) is None


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_steady_series_are_seldom_taken_for_short_warm_ups(correlation: float) -> None:
    """Of 200 that are steady from the start at most one in fifty."""
    random = np.random.default_rng(2)
    false = 0
    for _ in range(200):
        series = [random.normal()]
        for shock in random.normal(size=499):
            series.append(correlation * series[-1] + np.sqrt(1 - correlation**2) * shock)
        values = 5.0 + np.asarray(series)
        cut = mser5(values.tolist())
        false += cut is not None and is_short(values[:cut], values[cut:])

    assert false <= 4
