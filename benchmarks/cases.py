"""What is measured: scenarios that differ in one thing each, all at the same share of what the fleet can serve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sim.scenario import Scenario
from sim.simulation import simulate

__all__ = ["CASES", "EIGHT", "LOAD", "Case", "most_rps", "saturation_rps", "scenario_of"]

LOAD = 0.6
"""Arrivals as a share of what the fleet can serve."""

DOCUMENTS_RPS = 13.0
"""Most questions on documents a second that a replica of eight serves: at 12 the batch holds 52 of them, at 14 the
queue grows, documents are gone before their next question and it grows faster. More clients than a batch holds would
find nothing kept, so that this cannot be measured like the others."""

CONTEXTS = {
    "queries": 4,
    "think_time": {"kind": "lognormal", "median": "5s", "sigma": 0.8},
    "tokens": {"kind": "lognormal", "median": 3500, "sigma": 0.3, "max": 6000},
}
"""Documents of 3,500 tokens or so, and four questions on each, at the pace of a program that asks."""

VOTE_SHARE = 0.1
"""Share of the questions on documents that a vote of four answers."""

LENGTHS = {
    "kind": "lognormal",
    "prompt_median": 303,  # mean 500
    "prompt_sigma": 1.0,
    "output_median": 109,  # mean 150
    "output_sigma": 0.8,
    "prompt_max": 32_000,
    "output_max": 4_000,
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    replicas: int
    scheduler: str = "chunked"
    balancer: str = "least-outstanding"
    priorities: tuple[str, ...] = ("interactive",)
    """One stream for each."""
    keep_requests: bool = False
    on_documents: bool = False
    """Questions on documents that replicas keep while there is room, some of them answered by a vote."""


EIGHT = Case("8 replicas", 8)
CASES = (
    Case("1 replica", 1),
    EIGHT,
    Case("64 replicas", 64),
    replace(EIGHT, name="8, prefill first", scheduler="prefill-first"),
    replace(EIGHT, name="8, two classes, six streams", priorities=("interactive", "batch") * 3),
    replace(EIGHT, name="8, power of two", balancer="power-of-two"),
    replace(EIGHT, name="8, round robin", balancer="round-robin"),
    replace(EIGHT, name="8, a row for each request", keep_requests=True),
    replace(EIGHT, name="8, documents, votes", balancer="prefix-affinity", on_documents=True),
)


def scenario_of(case: Case, requests: int) -> Scenario:
    """The case as a scenario of about `requests` Poisson arrivals at LOAD."""
    rps = LOAD * case.replicas * most_rps(case)
    own_rps = rps / len(case.priorities)
    workload = [_stream(f"stream{n}", {"kind": "poisson", "rps": own_rps}, p) for n, p in enumerate(case.priorities)]
    options: dict[str, Any] = {"balancer": case.balancer}
    if case.on_documents:
        workload = [stream | {"contexts": CONTEXTS} for stream in workload]
        options |= _ANSWERS
    return _scenario(workload, case.replicas, case.scheduler, requests / rps, **options)


_ANSWERS = {
    "strategies": [{"name": "direct", "kind": "direct"}, {"name": "vote", "kind": "vote", "samples": 4}],
    "router": {"policy": "random", "weights": {"direct": 1.0 - VOTE_SHARE, "vote": VOTE_SHARE}},
}


def most_rps(case: Case) -> float:
    """Most requests a second that a replica of the case serves."""
    return DOCUMENTS_RPS if case.on_documents else saturation_rps(case.scheduler)


@cache
def saturation_rps(scheduler: str, horizon_s: float = 2000.0) -> float:
    """Most requests a second that one replica serves: the rate of more clients than its batch holds, none idle."""
    clients = _stream("clients", {"kind": "closed", "concurrency": 320}, "interactive")
    summary = simulate(_scenario([clients], 1, scheduler, horizon_s)).summary
    return float(summary["requests"]["completed"]) / horizon_s


def _stream(name: str, arrivals: dict[str, Any], priority: str) -> dict[str, Any]:
    objectives = {"ttft": 1.0, "e2e": 30.0}
    return {"name": name, "arrivals": arrivals, "lengths": LENGTHS, "priority": priority, "slo": objectives}


def _scenario(
    workload: list[dict[str, Any]], replicas: int, scheduler: str, horizon_s: float, **options: Any
) -> Scenario:
    pool = {
        "name": "h100",
        "gpu": "H100-SXM",
        "model": "Llama-3.1-8B",
        "replicas": replicas,
        "offer": {"kind": "reserved", "usd_per_gpu_hour": 2.10},
        "engine": {"scheduler": scheduler},
    }
    fields = {"name": "benchmark", "horizon": horizon_s, "workload": workload, "fleet": [pool], **options}
    return Scenario.model_validate(fields)
