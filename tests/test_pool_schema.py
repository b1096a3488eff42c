"""Pools of GPUs and of APIs, as a scenario describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sim.errors import ScenarioError
from sim.load import dump_scenario, load_scenario
from sim.scenario import ApiBatch, ApiPool, BusyAutoscale, GpuPool, PredictiveAutoscale, Scenario
from tests.conftest import SMALL_SCENARIO
from tests.small import chat, pool, scenario

SCALING = {"min": 1, "max": 6, "target_busy": 0.7, "tick": "30s", "start_up": "3m"}
API = {"name": "overflow", "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"}


def scaled(**changes: Any) -> dict[str, Any]:
    """A pool that scales and does not say how many replicas it begins with."""
    fields = pool(autoscale={**SCALING, **changes})
    return {key: value for key, value in fields.items() if key != "replicas"}


def complaint(fields: dict[str, Any], part: type[GpuPool | ApiPool] = GpuPool) -> str:
    with pytest.raises(ValidationError) as caught:
        part.model_validate(fields)
    return str(caught.value)


def test_the_autoscaler_of_the_contract_goes_by_the_busy_share() -> None:
    scaling = GpuPool.model_validate(scaled()).autoscale

    assert isinstance(scaling, BusyAutoscale)
    assert (scaling.tick, scaling.start_up, scaling.cool_down) == (30.0, 180.0, 300.0)


@pytest.mark.parametrize(("given", "begins"), [({}, 1), ({"min": 0}, 0), ({"min": 3}, 3)])
def test_a_pool_that_scales_begins_with_its_fewest(given: dict[str, int], begins: int) -> None:
    found = GpuPool.model_validate(scaled(**given))

    assert (found.replicas, found.most_replicas, found.ranks) == (begins, 6, 6)


def test_a_pool_that_scales_may_begin_with_more() -> None:
    assert GpuPool.model_validate(scaled() | {"replicas": 4}).replicas == 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (scaled(min=7) | {"replicas": 6}, "min: 7 must be at most max (6)"),
        (scaled() | {"replicas": 9}, "replicas: 9 must lie between autoscale.min (1) and autoscale.max (6)"),
        (scaled() | {"schedule": [{"hours": "1:00-2:00", "replicas": 0}]}, "cannot be given with autoscale"),
        (scaled() | {"start_up": "1m"}, "start_up: start_up cannot be given with autoscale"),
        (pool(replicas=0), "0 must be at least 1"),
        (pool(admission={"max_outstanding": 4, "spill_at": 5}), "5 must be at most max_outstanding (4)"),
        (pool(power={"pue": 0.9}), "greater than or equal to 1"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(fields: dict[str, Any], told: str) -> None:
    assert told in complaint(fields)


def test_windows_of_an_autoscaler_lie_between_its_fewest_and_most() -> None:
    windows = [{"hours": "8:00-20:00", "replicas": 7}]
    fields = pool(autoscale={"kind": "schedule", "max": 6, "windows": windows}, replicas=1)

    assert "windows.0.replicas: 7 must lie between min (1) and max (6)" in complaint(fields)


def test_a_forecast_is_looked_at_until_what_is_launched_at_the_next_tick_is_up() -> None:
    found = GpuPool.model_validate(pool(autoscale={"kind": "predictive", "max": 6, "rps_per_replica": 2}, replicas=1))

    assert isinstance(found.autoscale, PredictiveAutoscale)
    assert found.autoscale.ahead_s == 180.0 + 30.0 + 30.0


def test_closed_arrivals_cannot_be_foreseen() -> None:
    ahead = pool(autoscale={"kind": "predictive", "max": 6, "rps_per_replica": 2}, replicas=1)
    closed = chat(name="loop", arrivals={"kind": "closed", "concurrency": 4})
    with pytest.raises(ValidationError, match="predictive cannot foresee stream 'loop'"):
        scenario(fleet=[ahead], workload=[chat(), closed])


def test_a_fleet_may_hold_both_kinds_and_is_of_gpus_where_nothing_is_said() -> None:
    fleet = scenario(fleet=[pool(), API]).fleet

    assert [(found.kind, found.tier) for found in fleet] == [("gpu", 0), ("api", 1)]


def test_a_fleet_survives_being_written_and_read(scenario_file: Callable[[str], Path]) -> None:
    spot = {"kind": "spot", "usd_per_gpu_hour": 1.0, "availability": {"zone": "aws-us-west-2a-v100-2023-02"}}
    pools = [
        pool(failures={"mtbf": "100h", "repair": "1h"}, admission={"spill_at": 8}),
        scaled(min=0) | {"name": "spot", "offer": spot},
        API | {"batch": {}, "rate_limit": {"requests_per_minute": 60}},
    ]
    before = scenario(fleet=pools, workload=[chat()])

    assert load_scenario(scenario_file(dump_scenario(before))) == before


def test_keys_of_a_pool_are_suggested_among_those_of_its_kind(scenario_file: Callable[[str], Path]) -> None:
    api = "  - {name: o, kind: api, model: Llama-3.1-8B, tarif: t}\n"
    text = SMALL_SCENARIO + "    autoscale: {max: 4, target_bsy: 0.5}\n" + api
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(text))

    assert [str(fault).split("  ")[1] for fault in caught.value.faults] == [
        "fleet.0.autoscale.target_bsy: unknown key, did you mean 'target_busy'?",
        "fleet.1.tarif: unknown key, did you mean 'tariff'?",
    ]


def test_an_unknown_kind_of_pool_is_told_with_those_there_are(scenario_file: Callable[[str], Path]) -> None:
    with pytest.raises(ScenarioError, match=r"fleet.0.kind: tpu is not a known kind; use one of: gpu, api"):
        load_scenario(scenario_file(SMALL_SCENARIO + "    kind: tpu\n"))


def test_an_api_may_serve_a_model_that_the_catalogue_does_not_hold(scenario_file: Callable[[str], Path]) -> None:
    text = SMALL_SCENARIO.replace("  - name: chat", "  - name: chat\n    model: own-9t")
    file = scenario_file(text + "  - {name: o, kind: api, model: own-9t, tariff: deepseek-2026-08}\n")

    assert load_scenario(file).fleet[1].model == "own-9t"


def test_a_batch_tier_has_the_published_experience_by_default() -> None:
    batch = ApiBatch()

    assert (batch.median, batch.p90, batch.window) == (420.0, 3600.0, 86_400.0)
    assert batch.sigma == pytest.approx(1.6765, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch": {"median": "2h"}}, "2h must be at most p90 (1h)"),
        ({"batch": {"window": "30m"}}, "1h must be at most window (30m)"),
        ({"rate_limit": {"burst": "10s"}}, "limits nothing"),
        ({"cached_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_an_api_that_contradicts_itself_is_refused(changes: dict[str, Any], told: str) -> None:
    assert told in complaint(API | changes, ApiPool)


def test_the_schema_asks_for_replicas_or_an_autoscaler() -> None:
    pools = Scenario.model_json_schema()["$defs"]["GpuPool"]

    assert "replicas" not in pools["required"]
    assert pools["anyOf"] == [{"required": ["replicas"]}, {"required": ["autoscale"]}]
