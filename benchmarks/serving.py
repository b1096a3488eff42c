"""Requests a second through the whole path, and where the time of a request goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.cases import Case, most_rps, scenario_of
from benchmarks.clocks import timed
from benchmarks.reference import serve_bare
from sim.engine.plane import DataPlane
from sim.engine.specs import Scored
from sim.engine.state import LEAST_OUTSTANDING, POWER_OF_TWO, PREFIX_AFFINITY, ROUND_ROBIN
from sim.fleet import build_fleet
from sim.outcomes import Outcomes
from sim.results import Results
from sim.scenario import Scenario
from sim.scoring import Scorer
from sim.simulation import policy_of, simulate
from sim.streams import RandomStreams
from sim.workload.blocks import RequestBlock
from sim.workload.workload import build_workload

__all__ = ["Serving", "bare_total_s", "blocks_of", "measure_serving", "serve_blocks"]

_BALANCERS = {
    "round-robin": ROUND_ROBIN,
    "least-outstanding": LEAST_OUTSTANDING,
    "power-of-two": POWER_OF_TWO,
    "prefix-affinity": PREFIX_AFFINITY,
}


@dataclass(frozen=True)
class Serving:
    """One row of the table. Nanoseconds are CPU time a request, each the best of the runs."""

    case: str
    replicas: int
    requests: int
    saturation_rps: float
    """Of one replica."""
    busy_share: float
    mean_outstanding: float
    """Requests in flight on a replica: arrival rate times mean end-to-end time (Little)."""
    best_rps: float
    """Requests a second of wall time, the best run."""
    median_rps: float
    cpu_s: float
    whole_ns: float
    """`simulate(scenario)`."""
    workload_ns: float
    """Making the requests, and what is known of each by its strategy."""
    engine_ns: float
    """Serving ready-made requests."""
    bare_ns: float | None
    """The reference loop, on the same requests; None where it would read what a replica keeps."""

    @property
    def rest_ns(self) -> float:
        """Control plane, tallies, ledger, summary; where rows are kept, also those."""
        return self.whole_ns - self.workload_ns - self.engine_ns

    @property
    def share_of_bare(self) -> float | None:
        """Speed of the whole path as a share of the reference's."""
        return None if self.bare_ns is None else self.bare_ns / self.whole_ns

    def figures(self) -> dict[str, Any]:
        return asdict(self) | {"rest_ns": self.rest_ns, "share_of_bare": self.share_of_bare}


def measure_serving(case: Case, requests: int, runs: int) -> Serving:
    """Run the case and its parts `runs` times each."""
    scenario = scenario_of(case, requests)
    results = simulate(scenario, keep_requests=case.keep_requests)
    count = int(results.summary["requests"]["offered"])
    whole = timed(lambda: simulate(scenario, keep_requests=case.keep_requests), runs)
    workload = timed(lambda: _exhaust(_scored(scenario, blocks_of(scenario))), runs)
    blocks = list(blocks_of(scenario))
    scored = list(_scored(scenario, blocks))
    engine = timed(lambda: serve_blocks(scenario, blocks, scored), runs)
    return Serving(
        case=case.name,
        replicas=case.replicas,
        requests=count,
        saturation_rps=most_rps(case),
        **_state_of(results, case.replicas),
        best_rps=count / whole.best_s,
        median_rps=count / whole.median_s,
        cpu_s=min(whole.cpu_s),
        **{
            f"{name}_ns": min(timing.cpu_s) / count * 1e9
            for name, timing in {"whole": whole, "workload": workload, "engine": engine}.items()
        },
        bare_ns=None if case.on_documents else _bare_ns(scenario, blocks, runs),
    )


def _bare_ns(scenario: Scenario, blocks: Sequence[RequestBlock], runs: int) -> float:
    bare_total_s(scenario, blocks[:1])  # compiles it
    columns = [_joined(blocks, name) for name in RequestBlock._fields[:3]]
    bare = timed(lambda: _bare(scenario, columns), runs)
    return min(bare.cpu_s) / columns[0].size * 1e9


def blocks_of(scenario: Scenario) -> Iterator[RequestBlock]:
    """The requests of the scenario's first replication."""
    return build_workload(scenario, RandomStreams(scenario.seed, 0)).blocks()


def bare_total_s(scenario: Scenario, blocks: Sequence[RequestBlock]) -> float:
    """Sum of the end-to-end times that the reference finds for the requests, in seconds."""
    return _bare(scenario, [_joined(blocks, name) for name in RequestBlock._fields[:3]])


def _scored(scenario: Scenario, blocks: Iterable[RequestBlock]) -> Iterator[Scored]:
    """What is known of the requests of the blocks."""
    streams = RandomStreams(scenario.seed, 0)
    policy = policy_of(scenario, build_fleet(scenario), streams)
    return map(Scorer(Outcomes(scenario), policy, streams).score, blocks)


def serve_blocks(
    scenario: Scenario, blocks: Sequence[RequestBlock], scored: Sequence[Scored] | None = None
) -> DataPlane:
    """The scenario's data plane after it has served the requests, to the last one."""
    fleet = build_fleet(scenario)
    known = iter(scored or _scored(scenario, blocks))
    plane = DataPlane(
        fleet.pools,
        fleet.streams,
        fleet.targets,
        strategies=fleet.strategy_specs,
        blocks=iter(blocks),
        score=lambda _: next(known),
        luck=np.random.default_rng(0).random,
        balancer=_BALANCERS[scenario.balancer],
        affinity_slack=scenario.affinity_slack,
    )
    plane.advance(float("inf"))
    return plane


def _bare(scenario: Scenario, columns: Sequence[Any]) -> float:
    (pool,) = build_fleet(scenario).pools
    return serve_bare(*columns, pool.step_time, pool.replicas)


def _joined(blocks: Sequence[RequestBlock], name: str) -> Any:
    return np.concatenate([getattr(block, name) for block in blocks])


def _exhaust(parts: Iterator[Any]) -> None:
    for _ in parts:
        pass


def _state_of(results: Results, replicas: int) -> dict[str, float]:
    summary = results.summary
    arrivals_rps = summary["requests"]["offered"] / summary["horizon_s"] / replicas
    return {
        "busy_share": summary["fleet"]["busy_share"],
        "mean_outstanding": arrivals_rps * summary["latency"]["e2e_s"]["mean"],
    }
