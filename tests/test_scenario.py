"""A scenario is consistent or it does not exist, and its durations, schema and parts mean what they say."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim.errors import InputError
from sim.scenario import (
    Closed,
    Daily,
    InlineModel,
    LognormalLengths,
    Poisson,
    Scenario,
    ScheduleWindow,
    Stream,
    TraceArrivals,
)
from sim.scenario.quantities import LengthOfTime, format_duration, parse_duration, parse_hours
from tests.conftest import SMALL_SCENARIO


def small(**changes: Any) -> dict[str, Any]:
    """The plain values of a small scenario, with some of them changed."""
    plain: dict[str, Any] = yaml.safe_load(SMALL_SCENARIO)
    return {**plain, **changes}


def complaint(**changes: Any) -> str:
    """What a small scenario says when it is changed so that it no longer holds."""
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(small(**changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("3ms", 0.003),
        ("30s", 30),
        ("3m", 180),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1.5 h", 5400),
        (90, 90),
        ("1e3", 1000),
    ],
)
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "24 hours",
        "5 apples",
        "-3s",
        -1,
        "",
        "s",
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        "1e999s",
        "101 y",
    ],
)
def test_anything_else_is_no_duration_and_the_units_are_listed(text: object) -> None:
    with pytest.raises(InputError, match=r"units ms, s, m, h, d|at most 100 years"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=36_525 * 86_400.0))
def test_a_duration_survives_being_written_and_read(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(1, 900), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_written_by_a_person_is_written_back_as_short(number: int, unit: str) -> None:
    assert len(format_duration(parse_duration(f"{number}{unit}"))) <= len(f"{number}{unit}") + (unit == "d")


def test_no_time_at_all_is_zero_seconds() -> None:
    assert format_duration(0.0) == "0s"


def test_an_objective_cannot_be_zero() -> None:
    with pytest.raises(ValidationError, match="longer than zero"):
        TypeAdapter(LengthOfTime).validate_python("0s")


def test_hours_may_cross_midnight() -> None:
    window = ScheduleWindow(hours="22:00-06:30", replicas=1)

    assert (window.start_s, window.end_s) == (22 * 3600, 6 * 3600 + 1800)


@pytest.mark.parametrize("text", ["8-9", "25:00-26:00", "08:60-09:00", "08:00-08:00", "24:00-08:00", "noon"])
def test_impossible_hours_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="HH:MM-HH:MM"):
        parse_hours(text)


def test_the_defaults_are_those_of_the_contract() -> None:
    scenario = Scenario.model_validate(small())
    engine = scenario.fleet[0].engine

    assert (scenario.start, scenario.time_zone, scenario.bucket) == (datetime(2026, 1, 5), "UTC", 300.0)
    assert (engine.scheduler, engine.max_num_seqs, engine.max_num_batched_tokens) == ("chunked", 256, 8192)


def test_a_scenario_cannot_be_changed() -> None:
    scenario = Scenario.model_validate(small())

    with pytest.raises(ValidationError, match="frozen"):
        scenario.seed = 3


def test_parts_can_be_built_in_python_too() -> None:
    lengths = LognormalLengths(prompt_median=900, prompt_sigma=1.0, output_median=150, output_sigma=0.8)
    stream = Stream(name="chat", arrivals=Poisson(rps=3), lengths=lengths)

    assert stream.arrivals == Poisson(kind="poisson", rps=3.0)


@pytest.mark.parametrize(
    ("arrivals", "finite"),
    [
        (Poisson(rps=1), False),
        (Daily(mean_rps=1), False),
        (Closed(concurrency=4), False),
        (Closed(concurrency=4, requests=10), True),
        (TraceArrivals(name="azure-llm-2023-conversation"), True),
    ],
)
def test_some_streams_end_by_themselves(arrivals: Any, finite: bool) -> None:
    lengths = (
        None if isinstance(arrivals, TraceArrivals) else {"kind": "constant", "prompt_tokens": 1, "output_tokens": 1}
    )

    assert Stream.model_validate({"name": "s", "arrivals": arrivals, "lengths": lengths}).finite is finite


def test_without_a_horizon_every_stream_must_end() -> None:
    assert "horizon is missing; add `horizon: 24h`; stream 'chat' has no end" in complaint(horizon=None)


def test_warm_up_ends_before_the_horizon() -> None:
    assert "warm_up: 10m must be shorter than the horizon (10m)" in complaint(warm_up="10m")


def test_all_broken_references_are_told_together() -> None:
    text = complaint(
        strategies=[{"name": "direct", "pool": "h200"}, {"name": "direct"}],
        router={"policy": "random", "weights": {"dirct": 1}},
        fleet=small()["fleet"] * 2,
        workload=[{**small()["workload"][0], "model": "Llama-3.1-80B"}],
    )

    assert [line.split(": ")[0].strip() for line in text.splitlines()[1:]] == [
        "fleet.1.name",
        "strategies.1.name",
        "workload.0.model",
        "strategies.0.pool",
        "router.weights.dirct",
    ]


@pytest.mark.parametrize(
    ("router", "told"),
    [
        ({"policy": "always", "strategy": "drect"}, "did you mean 'direct'?"),
        ({"policy": "random", "weights": {"direct": 0}}, "no weight above zero"),
        ({"policy": "random", "weights": {}}, "at least 1 item"),
    ],
)
def test_a_router_chooses_among_the_strategies(router: dict[str, Any], told: str) -> None:
    assert told in complaint(strategies=[{"name": "direct"}], router=router)


def test_a_router_needs_strategies() -> None:
    assert "has no strategies to choose from" in complaint(router={"policy": "round-robin"})


def test_a_schedule_cannot_switch_on_more_than_is_paid_for() -> None:
    pool = {**small()["fleet"][0], "schedule": [{"hours": "08:00-20:00", "replicas": 3}]}

    assert "schedule.0.replicas: 3 must be at most the pool's replicas (2)" in complaint(fleet=[pool])


def test_each_row_of_a_batch_needs_a_token_a_step() -> None:
    pool = {**small()["fleet"][0], "engine": {"max_num_seqs": 64, "max_num_batched_tokens": 32}}

    assert "max_num_batched_tokens: 32 must be at least max_num_seqs (64)" in complaint(fleet=[pool])


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        ({"arrivals": {"kind": "poisson", "rps": 1}}, "lengths is missing"),
        ({"arrivals": {"kind": "trace"}}, "path is missing"),
        ({"arrivals": {"kind": "trace", "path": "t.csv"}}, "format is missing"),
        (
            {
                "arrivals": {"kind": "trace", "path": "t.csv", "format": "azure"},
                "lengths": {"kind": "constant", "prompt_tokens": 1, "output_tokens": 1},
            },
            "cannot be given with a trace",
        ),
        (
            {
                "arrivals": {"kind": "poisson", "rps": 1},
                "lengths": {"kind": "quantiles", "prompt_tokens": [5, 3], "output_tokens": [1, 2]},
            },
            "prompt_tokens.1: 3.0 is below the value before it",
        ),
    ],
)
def test_a_stream_has_its_lengths_from_one_place(stream: dict[str, Any], told: str) -> None:
    assert told in complaint(workload=[{"name": "s", **stream}])


@pytest.mark.parametrize("start", ["2026-03-08T02:30:00", "2026-03-08 02:30", "2026-03-08"])
def test_a_local_time_skipped_by_the_clocks_is_accepted(start: str) -> None:
    assert Scenario.model_validate(small(start=start, time_zone="America/New_York")).start.day == 8


@pytest.mark.parametrize("start", ["2026-03-08T02:30:00Z", "yesterday", 20260308, "1816-01-01", None])
def test_a_start_is_a_local_date_and_time(start: object) -> None:
    assert "give local time such as 2026-01-05T00:00:00" in complaint(start=start)


def test_an_inline_model_has_the_fields_of_the_catalogue() -> None:
    from dataclasses import fields

    from sim.hardware.shape import Shape

    assert list(InlineModel.model_fields) == [field.name for field in fields(Shape)]


def test_an_inline_model_must_agree_with_itself() -> None:
    model = {
        "name": "mine",
        "layers": 2,
        "hidden": 64,
        "heads": 4,
        "kv_heads": 3,
        "vocab": 100,
        "head_dim": 16,
        "ffn_intermediate": 128,
    }

    assert "must have heads divisible by kv_heads" in complaint(models=[model])


def test_the_schema_describes_every_field() -> None:
    schema = Scenario.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    fields = [field for part in parts for field in part.get("properties", {}).values()]

    assert len(fields) > 80
    assert [field for field in fields if not field.get("description")] == []


def test_the_schema_tells_kinds_and_durations() -> None:
    schema = Scenario.model_json_schema()
    kinds = schema["$defs"]["Stream"]["properties"]["arrivals"]["discriminator"]["mapping"]

    assert set(kinds) == {"poisson", "gamma", "daily", "clients", "trace", "closed"}
    assert "(ms|s|m|h|d)" in json.dumps(schema["properties"]["warm_up"])
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "workload", "fleet"]
