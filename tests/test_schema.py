"""`nightshift schema` is JSON Schema, and says yes to what loads, written any way that loads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from sim import commands
from sim.load import bundled_scenarios
from sim.paths import data_path, scenario_path
from sim.scenario import Scenario

SCHEMA = commands.schema()
EVERYTHING = """\
name: everything
start: 2026-09-07
horizon: 1d
workload:
  - name: chat
    arrivals: {kind: poisson, rps: 2.0}
    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}
    client: {timeout: 30s, retries: 2, retry_on: [rejected], on_loss: fail}
    contexts:
      queries: {kind: geometric, mean: 4}
      think_time: {kind: lognormal, median: 2m, sigma: 1.5}
      tokens: 6000
      lead: 5m
      changes_every: 1d
      predictability: 0.4
    questions: {kind: curves, class: arithmetic}
    usd_per_correct: 0.01
fleet:
  - name: spot
    gpu: H100-SXM
    model: Llama-3.1-8B
    autoscale: {min: 0, max: 3}
    offer:
      kind: spot
      tariff:
        kind: windows
        usd_per_gpu_hour: 2
        windows: [{hours: "22:00-03:00", days: [mon], dates: [2026-12-25], valid_from: 2026-01-01, usd_per_gpu_hour: 1}]
      availability: {up: {median: 1h, mean: 2h}, down: {median: 1h, mean: 2h}}
      billing: {unit: 1h, minimum: 0}
    electricity:
      kind: windows
      usd_per_kwh: -0.1
      holidays: [2026-12-25]
      demand: [{usd_per_kw_month: 3, hours: ["06:00-10:00", "16:00-22:00"], holidays: skip}]
    carbon: {kind: series, g_co2_per_kwh: [1, 2], repeat: true}
    failures: {mtbf: 1d, repair: 10m}
    power: {busy_w: 700, pue: 1.2}
  - name: own
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 1
    offer: {kind: reserved, cloud: aws, region: us-east-1, term: 3y, discount: 0.4, upfront_usd_per_gpu: 100}
    electricity: pge-b-19
    carbon: de-2020
  - name: night
    kind: api
    model: Llama-3.1-8B
    tariff: {kind: named, name: deepseek-2026-08, tier: openai/batch}
    batch: {}
    rate_limit: {requests_per_minute: 10, when_full: wait}
    max_usd_per_1m_output: 2
  - {name: day, kind: api, model: Llama-3.1-8B, tariff: deepseek-2026-08, latency: {ttft_median: 300ms}}
balancer: prefix-affinity
affinity_slack: 4
strategies:
  - {name: direct, pool: own}
  - {name: think, kind: think, model: Llama-3.1-8B, budget_tokens: 1000}
  - {name: vote, kind: vote, samples: 8, stop: {agree: 3}, class: arithmetic-tuned}
  - {name: check, kind: verify, solutions: 4, verifications: 8, verifier_pool: own}
  - {name: search, kind: tree, width: 4, branch: 4, depth: 5, budget_tokens: 2000}
  - {name: both, kind: cascade, steps: [direct, vote], escalate_below: 0.7}
sleep: {when: [off-peak], effort: high, pools: [own, night], drafts: 3, forecast: {questions: oracle}}
training: [{name: tuned, usd: 5000, over: 365d, strategies: [direct], accuracy_logit: 0.4, class: tuned}]
"""
NOTES = {"title", "description", "default", "examples", "discriminator", "format", "$schema", "$defs"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": int | float,
}


def is_of_type(value: Any, names: str | list[str]) -> bool:
    names = [names] if isinstance(names, str) else names
    return any(isinstance(value, TYPES[name]) and (name == "boolean" or value is not True) for name in names)


CHECKS: dict[str, Callable[[Any, Any, dict[str, Any]], bool]] = {
    "$ref": lambda value, ref, _: agrees(value, SCHEMA["$defs"][ref.removeprefix("#/$defs/")]),
    "anyOf": lambda value, schemas, _: any(agrees(value, schema) for schema in schemas),
    "oneOf": lambda value, schemas, _: sum(agrees(value, schema) for schema in schemas) == 1,
    "type": lambda value, names, _: is_of_type(value, names),
    "const": lambda value, wanted, _: value == wanted,
    "enum": lambda value, wanted, _: value in wanted,
    "pattern": lambda value, pattern, _: not isinstance(value, str) or re.search(pattern, value) is not None,
    "minimum": lambda value, bound, _: not is_of_type(value, "number") or value >= bound,
    "maximum": lambda value, bound, _: not is_of_type(value, "number") or value <= bound,
    "exclusiveMinimum": lambda value, bound, _: not is_of_type(value, "number") or value > bound,
    "exclusiveMaximum": lambda value, bound, _: not is_of_type(value, "number") or value < bound,
    "minLength": lambda value, bound, _: not isinstance(value, str) or len(value) >= bound,
    "minItems": lambda value, bound, _: not isinstance(value, list) or len(value) >= bound,
    "maxItems": lambda value, bound, _: not isinstance(value, list) or len(value) <= bound,
    "minProperties": lambda value, bound, _: not isinstance(value, dict) or len(value) >= bound,
    "required": lambda value, keys, _: not isinstance(value, dict) or set(keys) <= set(value),
    "items": lambda value, schema, _: not isinstance(value, list) or all(agrees(item, schema) for item in value),
    "properties": lambda value, schemas, _: (
        not isinstance(value, dict) or all(agrees(value[key], schemas[key]) for key in value if key in schemas)
    ),
    "propertyNames": lambda value, schema, _: not isinstance(value, dict) or all(agrees(key, schema) for key in value),
    "additionalProperties": lambda value, schema, whole: (
        not isinstance(value, dict)
        or all(
            schema is not False and (schema is True or agrees(value[key], schema))
            for key in value
            if key not in whole.get("properties", {})
        )
    ),
}
"""The keywords of JSON Schema that ours uses, as far as it uses them."""


def agrees(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is as the schema says."""
    return all(CHECKS[key](value, wanted, schema) for key, wanted in schema.items() if key not in NOTES)


def schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that are in it."""
    yield schema
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key])
    parts = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    parts += [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for part in parts:
        yield from schemas(part)


def plain(text: str) -> Any:
    """A scenario as it is written, dates being texts as in JSON."""
    return json.loads(json.dumps(yaml.safe_load(text), default=str))


def test_it_uses_no_keyword_and_no_reference_that_is_not_known() -> None:
    everywhere = list(schemas(SCHEMA))

    assert {key for schema in everywhere for key in schema} <= {*NOTES, *CHECKS}
    assert {schema["$ref"].removeprefix("#/$defs/") for schema in everywhere if "$ref" in schema} <= set(
        SCHEMA["$defs"]
    )


def test_what_prices_and_fleets_may_hold_agrees_with_it() -> None:
    Scenario.model_validate(yaml.safe_load(EVERYTHING))

    assert agrees(plain(EVERYTHING), SCHEMA)


@pytest.mark.parametrize("name", [*bundled_scenarios(), "starter"])
def test_what_we_ship_agrees_with_it(name: str) -> None:
    file = data_path("starter.yaml") if name == "starter" else scenario_path(name)

    assert agrees(plain(file.read_text(encoding="utf-8")), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: spot", "kind: spit"),
        ("tier: openai/batch", "teir: openai/batch"),
        ('hours: "22:00-03:00"', "hours: at night"),
        ("max: 3", "max: 0"),
        ("discount: 0.4", "discount: 1.4"),
        ("tariff: deepseek-2026-08, ", ""),
        ("autoscale: {min: 0, max: 3}", "tier: 1"),
        ("pue: 1.2", "pue: 0.2"),
        ("kind: tree", "kind: bush"),
        ("lead: 5m", "lead: soon"),
        ("tokens: 6000", "tokens: 0"),
        ("class: arithmetic}", "klass: arithmetic}"),
        ("over: 365d", "per: 365d"),
    ],
)
def test_what_does_not_load_does_not_agree_with_it(old: str, new: str) -> None:
    assert old in EVERYTHING

    assert not agrees(plain(EVERYTHING.replace(old, new)), SCHEMA)
