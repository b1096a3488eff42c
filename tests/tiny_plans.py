"""Small scenarios to plan for, drawn by number: an hour, up to three pools, so few plans that all can be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

__all__ = ["tiny_scenario", "write_tiny"]

_POOL = {"gpu": "H100-SXM", "model": "Llama-3.1-8B", "engine": {"max_num_seqs": 2}}


def tiny_scenario(number: int) -> dict[str, Any]:
    """A scenario with a section `plan`; the same number always gives the same one."""
    random = np.random.default_rng([8, number])
    quiet, busy = (round(float(each), 2) for each in random.uniform([0.2, 1.0], [1.2, 2.6]))
    has_api, has_policies = number % 2 == 0, number % 3 != 0
    scenario: dict[str, Any] = {
        "name": f"tiny-{number}",
        "start": "2026-03-02T08:30:00",
        "horizon": "1h",
        "warm_up": "3m",
        "seed": number,
        "workload": [
            {
                "name": "chat",
                "arrivals": {"kind": "poisson", "rps": 1.0},
                "weekly": _weekly(quiet, busy),
                "lengths": {
                    "kind": "lognormal",
                    "prompt_median": 300,
                    "prompt_sigma": 0.3,
                    "output_median": 250,
                    "output_sigma": 0.3,
                },
                "slo": {"e2e": "6s"},
            }
        ],
        "fleet": [
            {"name": "own", **_POOL, "replicas": 1, "offer": {"kind": "reserved", "usd_per_gpu_hour": 2.0}},
            {
                "name": "rented",
                **_POOL,
                "replicas": 1,
                "start_up": "2m",
                "offer": {"kind": "on-demand", "usd_per_gpu_hour": round(float(random.uniform(1.9, 4.5)), 2)},
            },
        ],
        "plan": {
            "targets": {"slo": float(random.choice([0.85, 0.93, 0.98])), "risk": 0.1},
            "pools": {"own": {"most": 2}, "rented": {"most": 2}},
            "blocks": [{"name": "first", "hours": "00:00-09:00"}, {"name": "second", "hours": "09:00-24:00"}],
        },
    }
    if has_api:
        _add_api(scenario, float(random.uniform(0.2, 1.0)))
    if has_policies:
        _add_policies(scenario, random)
    return scenario


def _weekly(quiet: float, busy: float) -> list[float]:
    return [busy if hour % 24 >= 9 else quiet for hour in range(168)]


def _add_api(scenario: dict[str, Any], price: float) -> None:
    rates = {"input_usd_per_1m": price, "cached_input_usd_per_1m": price / 4, "output_usd_per_1m": 4 * price}
    tariff = {"kind": "windows", "base": {name: round(value, 3) for name, value in rates.items()}}
    api = {"name": "api", "kind": "api", "model": "Llama-3.1-8B", "tier": 1, "tariff": tariff}
    for pool in scenario["fleet"]:
        pool["admission"] = {"spill_at": 6}
    scenario["fleet"].append(api)
    scenario["plan"]["pools"]["api"] = {"most": 1}


def _add_policies(scenario: dict[str, Any], random: np.random.Generator) -> None:
    scenario["workload"][0]["questions"] = {"kind": "curves", "class": "arithmetic"}
    scenario["strategies"] = [
        {"name": "direct", "kind": "direct"},
        {"name": "think", "kind": "think", "budget_tokens": 120},
    ]
    scenario["router"] = {"policy": "always", "strategy": "direct"}
    scenario["plan"]["vary"] = ["router.strategy=direct,think"]
    if random.random() < 0.5:
        scenario["plan"]["targets"]["accuracy"] = 0.25


def write_tiny(number: int, folder: Path) -> Path:
    """The scenario in a file."""
    file = folder / f"tiny-{number}.yaml"
    file.write_text(yaml.safe_dump(tiny_scenario(number)), encoding="utf-8")
    return file
