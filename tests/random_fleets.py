"""Random fleets that scale, fail, are reclaimed and follow prices, with random streams of requests."""

from __future__ import annotations

from random import Random
from typing import Any

from sim.scenario import Scenario
from tests.small import chat, pool, scenario

__all__ = ["random_scenario"]

WINDOWS = {"kind": "windows", "usd_per_gpu_hour": 2.0, "windows": [{"hours": "00:20-01:10", "usd_per_gpu_hour": 5.0}]}
PROCESS = {"kind": "spot-process", "mean_usd_per_gpu_hour": 2.0, "volatility": 0.5, "half_life": "1h", "step": "7m"}
PRICES: list[dict[str, Any]] = [{"usd_per_gpu_hour": 2.0}, {"tariff": WINDOWS}, {"tariff": PROCESS}]
RULES: list[dict[str, Any]] = [
    {"kind": "busy"},
    {"kind": "queue", "target_outstanding": 4},
    {"kind": "schedule", "windows": [{"hours": "00:30-01:00", "replicas": 3}]},
    {"kind": "predictive", "rps_per_replica": 3.0},
]
TOKENS = {"input_usd_per_1m": 0.5, "cached_input_usd_per_1m": 0.1, "output_usd_per_1m": 1.5}
NIGHT = {"hours": "00:40-01:20", "input_usd_per_1m": 0.25, "output_usd_per_1m": 0.75}


def random_scenario(seed: int) -> Scenario:
    """Two hours, half of the time over the leap of a daylight-saving clock."""
    luck = Random(seed)
    fleet = [_pool(luck, index) for index in range(luck.randint(1, 3))]
    models = sorted({found["model"] for found in fleet})
    if luck.random() < 0.5:
        fleet.append(_api(luck, luck.choice(models)))
    return scenario(
        fleet=fleet,
        workload=[_stream(luck, model) for model in models],
        horizon="2h",
        seed=seed,
        bucket="1m",
        time_zone="America/New_York",
        start=luck.choice(["2026-03-08T01:30:00", "2026-01-05"]),
    )


def _pool(luck: Random, index: int) -> dict[str, Any]:
    made = pool(name=f"p{index}", replicas=luck.randint(1, 3), offer=_offer(luck), tier=luck.randint(0, 1))
    if luck.random() < 0.5:
        made["failures"] = {"mtbf": "40m", "repair": "5m"}
    if luck.random() < 0.3:
        made |= {"model": "Qwen3-30B-A3B", "data_parallel": 2, "tensor_parallel": 2}
    if luck.random() < 0.5:
        made["admission"] = luck.choice([{"max_outstanding": 2}, {"spill_at": 3, "max_outstanding": 10}])
    way = luck.random()
    if way < 0.6:
        made |= _scaling(luck)
    elif way < 0.8:
        made["schedule"] = [{"hours": "00:40-01:20", "replicas": 0}]
    return made


def _offer(luck: Random) -> dict[str, Any]:
    made = {"kind": luck.choice(["reserved", "on-demand", "spot"]), **luck.choice(PRICES)}
    if made["kind"] != "reserved":
        made["billing"] = {"unit": luck.choice(["1s", "1m", "1h"]), "minimum": luck.choice(["0s", "10m"])}
    if made["kind"] == "spot":
        up, down = {"median": "10m", "mean": "20m"}, {"median": "1m", "mean": "6m"}
        made["availability"] = {"up": up, "down": down, "together": luck.random() < 0.5}
        made["notice"] = luck.choice(["0s", "30s", "5m"])
    return made


def _scaling(luck: Random) -> dict[str, Any]:
    fewest = luck.randint(0, 1)
    times = {"tick": "20s", "start_up": luck.choice(["0s", "1m", "4m"]), "cool_down": luck.choice(["0s", "2m"])}
    return {"autoscale": {"min": fewest, "max": 3, **times, **luck.choice(RULES)}, "replicas": luck.randint(fewest, 3)}


def _api(luck: Random, model: str) -> dict[str, Any]:
    tariff = {"kind": "windows", "base": TOKENS, "windows": [NIGHT], "bill_by": luck.choice(["arrival", "completion"])}
    made = {"name": "api", "kind": "api", "model": model, "tariff": tariff, "cached_share": luck.choice([0.0, 0.4])}
    if luck.random() < 0.5:
        when_full = luck.choice(["refuse", "wait"])
        made["rate_limit"] = {"requests_per_minute": 60, "tokens_per_minute": 20_000, "when_full": when_full}
    if luck.random() < 0.3:
        made["max_usd_per_1m_output"] = 1.0
    return made


def _stream(luck: Random, model: str) -> dict[str, Any]:
    patient: dict[str, Any] = {"on_loss": luck.choice(["resend", "fail"])}
    hasty = {"timeout": "20s", "retries": 2, "backoff": "1s", "on_loss": luck.choice(["resend", "fail"])}
    arrivals = {"kind": "poisson", "rps": luck.choice([0.05, 1.0, 8.0])}
    return chat(name=model, model=model, arrivals=arrivals, client=luck.choice([patient, hasty]))
