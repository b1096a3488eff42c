"""What a server adds outside its steps: clients see requests later, and its replicas do not notice."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import state
from sim.engine.plane import DataPlane
from sim.engine.specs import StreamSpec
from sim.errors import InputError
from sim.simulation import simulate
from sim.steptime import StepTime, load_step_time, save_step_time
from tests import small
from tests.oracle import Job
from tests.two_roads import Clients
from tests.worlds import blocks, flat_law, pool_of, rows_of, run

STEP_S = 0.01
SHORT_FORM: dict[str, Any] = {
    "prefill": {"a_s": 0.004, "b_s_per_token": 2e-5, "c_s_per_token_pair": 1e-9},
    "decode": {"rows": [1, 256], "base_s": [0.010, 0.020], "kv_s": [1e-7, 1e-7]},
}
OUTPUT_TOKENS = np.array([1, 2, 11, 6])


def served(law: StepTime) -> tuple[DataPlane, state.Records]:
    """Four requests, alone on a replica one after the other: the plane, and their rows."""
    kept: list[Any] = []
    requests = blocks(np.array([0.0, 1.0, 2.0, 3.0]), np.full(4, 8), OUTPUT_TOKENS)
    plane = run([pool_of(law)], requests, kept=kept)
    return plane, rows_of(kept)


def with_front_end(law: StepTime, seconds: float, steps: float) -> StepTime:
    return replace(law, front_end_s=seconds, front_end_steps=steps)


def test_first_token_and_answer_are_seen_later_and_time_per_token_stays() -> None:
    law = flat_law(4, STEP_S)
    (bare, without), (plane, rows) = served(law), served(with_front_end(law, 0.02, 1.5))
    later_s = 0.02 + np.where(OUTPUT_TOKENS > 1, 1.5 * STEP_S, 0.0)

    np.testing.assert_allclose(rows["first_token_s"] - without["first_token_s"], later_s, rtol=1e-9)
    np.testing.assert_allclose(rows["finish_s"] - without["finish_s"], later_s, rtol=1e-9)
    gained_s = plane.state.latency_sum_s[0] - bare.state.latency_sum_s[0]
    np.testing.assert_allclose(gained_s, [later_s.sum(), 0.0, later_s.sum()], rtol=1e-9, atol=1e-12)


def test_the_replica_works_and_costs_as_before_and_the_run_lasts_until_the_last_answer_is_seen() -> None:
    law = flat_law(4, STEP_S)
    (bare, without), (plane, rows) = served(law), served(with_front_end(law, 0.02, 1.5))

    assert plane.state.replicas["busy_s"] == bare.state.replicas["busy_s"]
    assert rows["cost_usd"].tolist() == without["cost_usd"].tolist()
    assert (bare.last_event_s, plane.last_event_s) == (without["finish_s"].max(), rows["finish_s"].max())


def test_objectives_are_held_against_what_clients_see() -> None:
    def met(law: StepTime) -> int:
        requests = blocks(np.zeros(1), np.full(1, 8), np.full(1, 11))
        plane = DataPlane([pool_of(law)], [StreamSpec(ttft_slo_s=0.01)], [[[[0]]]], blocks=requests)
        plane.advance(inf)
        return int(plane.state.streams[0].measured_met)

    law = flat_law(4, STEP_S)
    assert [met(law), met(with_front_end(law, 0.02, 0.0)), met(with_front_end(law, 0.0, 1.5))] == [1, 0, 0]


def test_a_client_asks_again_once_it_has_seen_its_answer() -> None:
    law = with_front_end(flat_law(4, STEP_S), 0.02, 1.5)
    kept: list[Any] = []
    run([pool_of(law)], clients=[Clients(1, 0.5, [Job(0.0, 8, 11)] * 3)], kept=kept)
    rows = rows_of(kept)

    pauses_s = rows["arrival_s"][1:] - rows["finish_s"][:-1]
    assert pauses_s.tolist() == pytest.approx([0.5, 0.5])
    assert np.diff(rows["arrival_s"]).tolist() == pytest.approx([10 * STEP_S + 0.02 + 1.5 * STEP_S + 0.5] * 2)


def test_a_run_without_horizon_ends_with_the_last_answer_seen_and_its_buckets_too(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text(json.dumps(SHORT_FORM | {"front_end": {"s": 90.0, "steps": 0}}), encoding="utf-8")
    stream = small.chat(arrivals={"kind": "closed", "concurrency": 1, "requests": 1})
    pool = small.pool(step_time={"path": str(file)})
    results = simulate(small.scenario(horizon=None, bucket="1m", workload=[stream], fleet=[pool]), keep_requests=True)

    end_s = results.summary["horizon_s"]
    assert end_s > 90
    assert end_s == pytest.approx(small.rows(results)["e2e_s"].max())
    assert results.buckets["end_s"].tolist() == [60.0, end_s]


@pytest.mark.parametrize("front_end", [(0.0, 0.0), (0.02, 0.0), (0.02, 1.5)])
def test_a_front_end_is_saved_and_loaded(tmp_path: Path, front_end: tuple[float, float]) -> None:
    path = tmp_path / "times.json"
    save_step_time(with_front_end(flat_law(4, STEP_S), *front_end), path)
    loaded = load_step_time(path)

    assert (loaded.front_end_s, loaded.front_end_steps) == front_end
    assert ("front_end_s" in json.loads(path.read_text())) == (front_end[0] > 0)


def test_the_short_form_has_a_front_end_of_its_own_which_covering_keeps(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(SHORT_FORM | {"front_end": {"s": 0.02, "steps": 1.5}}), encoding="utf-8")
    loaded = load_step_time(path).covering(64)

    assert (loaded.front_end_s, loaded.front_end_steps) == (0.02, 1.5)


@pytest.mark.parametrize(
    ("front_end", "problem"),
    [
        (3, "front_end must be a JSON object"),
        ({"s": 0.02}, "front_end lacks steps"),
        ({"s": 0.02, "steps": 1, "ms": 2}, "front_end has unknown ms"),
        ({"s": -0.02, "steps": 1}, r"-0.02 is not a time \(front_end.s\)"),
    ],
)
def test_a_wrong_front_end_is_refused_by_name(tmp_path: Path, front_end: Any, problem: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(SHORT_FORM | {"front_end": front_end}), encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        load_step_time(path)


@pytest.mark.parametrize("front_end", [(-1.0, 0.0), (0.0, -1.0), (np.nan, 0.0), (0.0, inf)])
def test_unsound_front_ends_are_refused(front_end: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="finite and not negative"):
        with_front_end(flat_law(4, STEP_S), *front_end)
