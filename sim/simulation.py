"""`simulate(scenario)`: replications of one scenario, side by side, and what they came to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import simpy

from router.policies import Always, Policy, RandomMix, RoundRobin
from sim.control.clock import Clock
from sim.control.recorder import Batches, Buckets
from sim.control.schedule import follow_schedule
from sim.engine.plane import DataPlane
from sim.engine.state import LEAST_OUTSTANDING, POWER_OF_TWO, ROUND_ROBIN, Floats
from sim.fleet import Fleet, build_fleet
from sim.ledger import take_charges
from sim.replication import Replication
from sim.results import Results
from sim.rows import RowSpool
from sim.scenario import AlwaysRouter, RandomRouter, Scenario
from sim.streams import RandomStreams
from sim.summary import summarise
from sim.tally import take_tally
from sim.workload.workload import Workload, build_workload

__all__ = ["Progress", "simulate"]

_BALANCERS = {
    "round-robin": ROUND_ROBIN,
    "least-outstanding": LEAST_OUTSTANDING,
    "power-of-two": POWER_OF_TWO,
}
_REPORTS = 200
_REPORT_EVERY_S = 60.0


@dataclass(frozen=True)
class Progress:
    """How far one replication is."""

    replication: int
    replications: int
    simulated_s: float
    horizon_s: float | None
    """None where the end is not known beforehand."""
    requests: int
    """Requests that have arrived so far."""


def simulate(
    scenario: Scenario,
    *,
    progress: Callable[[Progress], None] | None = None,
    keep_requests: bool = False,
) -> Results:
    """Run all replications of a scenario, on as many threads as there are cores.

    `progress` is called now and then, from any thread. `keep_requests` keeps a row for each request, on disk.
    The same scenario and seed give the same results, whatever the number of threads.

    Raises:
        InputError: for what the scenario names and cannot be used: a trace, a step-time file, a GPU or model.
    """
    begun_s = time.perf_counter()
    fleet = build_fleet(scenario)
    build_workload(scenario, RandomStreams(scenario.seed, 0))  # a faulty trace is refused before anything runs
    spool = RowSpool() if keep_requests else None

    def run(index: int) -> Replication:
        return _Run(scenario, fleet, index, progress, spool).replication()

    with ThreadPoolExecutor(min(scenario.replications, os.cpu_count() or 1)) as threads:
        replications = list(threads.map(run, range(scenario.replications)))
    wall_s = time.perf_counter() - begun_s
    return Results(scenario, fleet, replications, summarise(scenario, fleet, replications, wall_s), spool)


class _Run:
    """One replication: data plane, control plane and what is recorded, wired together."""

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        index: int,
        progress: Callable[[Progress], None] | None,
        spool: RowSpool | None,
    ) -> None:
        self.scenario, self.index, self.progress = scenario, index, progress
        streams = RandomStreams(scenario.seed, index)
        self.workload = build_workload(scenario, streams)
        self.plane = _data_plane(scenario, fleet, streams, self.workload, spool, index)
        self.clock = Clock(self.plane)
        self.buckets = Buckets(self.plane, scenario.bucket)
        self.batches = Batches(self.plane, scenario.warm_up)
        self._start_processes()

    def replication(self) -> Replication:
        """Run to the end and close the books."""
        end_s = self.clock.run_to(self.scenario.horizon)
        self.plane.finish(end_s)
        self.buckets.close(end_s)
        state = self.plane.state
        return Replication(
            tally=take_tally(self.plane, end_s, self.scenario.warm_up),
            batches=self.batches.close(end_s),
            buckets=self.buckets.rows,
            charges=take_charges(state),
            ended_requests=state.ended_requests.copy(),
            ended_output_tokens=state.ended_output_tokens.copy(),
            unfinished=int(state.run[0].in_flight),
            peak_replicas=self.plane.most_accepting,
            skipped_rows=sum(self.workload.skipped.values()),
        )

    def _start_processes(self) -> None:
        """The order matters for events of the same time: switches come first, then what is recorded."""
        zone = ZoneInfo(self.scenario.time_zone)
        for pool, first in zip(self.scenario.fleet, self.plane.first_replica, strict=False):
            if pool.schedule:
                steps = follow_schedule(self.clock, self.plane, pool, first, self.scenario.start, zone)
                self.clock.process(steps)
        self.clock.process(self.buckets.run(self.clock))
        self.clock.process(self.batches.run(self.clock))
        if self.progress is not None:
            self.clock.process(self._report(self.progress))

    def _report(self, progress: Callable[[Progress], None]) -> Generator[simpy.Event]:
        horizon_s = self.scenario.horizon
        while True:
            yield self.clock.timeout(_REPORT_EVERY_S if horizon_s is None else horizon_s / _REPORTS)
            arrived = int(self.plane.state.run[0].next_id)
            progress(Progress(self.index, self.scenario.replications, self.clock.now, horizon_s, arrived))


def _data_plane(
    scenario: Scenario,
    fleet: Fleet,
    streams: RandomStreams,
    workload: Workload,
    spool: RowSpool | None,
    index: int,
) -> DataPlane:
    policy = _policy(scenario, fleet, streams)
    draws_luck = scenario.balancer == "power-of-two"
    return DataPlane(
        fleet.pools,
        fleet.streams,
        fleet.targets,
        blocks=workload.blocks(),
        clients=workload.closed,
        choose=lambda stream: policy.choose(stream.size),
        luck=_luck(streams) if draws_luck else None,
        balancer=_BALANCERS[scenario.balancer],
        warm_up_s=scenario.warm_up,
        keep=None if spool is None else lambda rows: spool.add(index, rows),
    )


def _luck(streams: RandomStreams) -> Callable[[int], Floats]:
    generator = streams.generator("balancer")
    return lambda requests: generator.random(requests)


def _policy(scenario: Scenario, fleet: Fleet, streams: RandomStreams) -> Policy:
    names = [strategy.name for strategy in fleet.strategies]
    router = scenario.router
    if router is None:
        return Always(0)
    if isinstance(router, AlwaysRouter):
        return Always(names.index(router.strategy))
    if isinstance(router, RandomRouter):
        return RandomMix(names, router.weights, streams.generator("router"))
    return RoundRobin(len(names))
