"""`simulate(scenario)`: replications of one scenario, side by side, and what they came to."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from zoneinfo import ZoneInfo

from router.policies import Always, Policy, RandomMix, RoundRobin
from sim.control.clock import Clock
from sim.control.recorder import Batches, Buckets
from sim.control.schedule import Schedules
from sim.engine.plane import DataPlane
from sim.engine.state import LEAST_OUTSTANDING, POWER_OF_TWO, ROUND_ROBIN, Floats
from sim.engine.warm import compile_engine
from sim.errors import InputError
from sim.fleet import Fleet, build_fleet
from sim.ledger import take_charges
from sim.replication import Replication
from sim.results import Results
from sim.rows import RowSpool
from sim.scenario import AlwaysRouter, RandomRouter, Scenario
from sim.scenario.quantities import format_duration
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
    fleet = build_fleet(scenario)
    # Here, so that a faulty trace is refused before anything runs.
    first = build_workload(scenario, RandomStreams(scenario.seed, 0))
    compile_engine(_tell_of_compiling)
    begun_s = time.perf_counter()
    spool = RowSpool() if keep_requests else None

    def run(index: int, stop: Event) -> Replication:
        workload = first if index == 0 else build_workload(scenario, RandomStreams(scenario.seed, index))
        return _Run(scenario, fleet, workload, index, _watch(scenario, index, progress, stop), spool).replication()

    replications = _side_by_side(run, scenario.replications)
    _check_warm_up(scenario, replications)
    wall_s = time.perf_counter() - begun_s
    return Results(scenario, fleet, replications, summarise(scenario, fleet, replications, wall_s), spool)


def _check_warm_up(scenario: Scenario, replications: Sequence[Replication]) -> None:
    """A run without a horizon must have gone on for longer than its warm-up."""
    longest_s = max(float(run.tally.seconds[0]) for run in replications)
    if scenario.warm_up > 0.0 and longest_s <= scenario.warm_up:
        rule = f"as warm_up is not shorter than the run, which ended by itself after {longest_s:.0f}s"
        raise InputError(format_duration(scenario.warm_up), rule, "shorten it")


def _tell_of_compiling() -> None:
    """On stderr, unless the program around us has other plans for its log."""
    logging.getLogger("nightshift").warning("compiling the engine, once: about 20 s")


def _side_by_side(run: Callable[[int, Event], Replication], replications: int) -> list[Replication]:
    """All replications in order; where one fails or the user interrupts, the others stop at once."""
    stop = Event()
    with ThreadPoolExecutor(min(replications, os.cpu_count() or 1)) as threads:
        runs = [threads.submit(run, index, stop) for index in range(replications)]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)
    failures = [done.exception() for done in runs if not done.cancelled()]
    for failure in failures:
        if failure is not None and not isinstance(failure, _Stopped):
            raise failure
    return [done.result() for done in runs]


class _Stopped(Exception):
    """Ends a replication because another one failed."""


class _Run:
    """One replication: data plane, control plane and what is recorded, wired together."""

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        workload: Workload,
        index: int,
        watch: Callable[[float, int], None],
        spool: RowSpool | None,
    ) -> None:
        self.scenario, self.workload = scenario, workload
        self.plane = _data_plane(scenario, fleet, RandomStreams(scenario.seed, index), workload, spool, index)
        self.clock = Clock(self.plane, lambda now_s: watch(now_s, int(self.plane.state.run[0].next_id)))
        self.schedules = Schedules(self.plane, scenario.fleet, scenario.start, ZoneInfo(scenario.time_zone))
        self.buckets = Buckets(self.plane, scenario.bucket, [pool.data_parallel for pool in scenario.fleet])
        self.batches = Batches(self.plane, scenario.warm_up, keep=scenario.replications == 1)
        for process in (self.schedules, self.buckets, self.batches):
            self.clock.process(process.run(self.clock))

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
            peak_replicas=self.schedules.peak_replicas,
            skipped_rows=sum(self.workload.skipped.values()),
        )


def _watch(
    scenario: Scenario, index: int, progress: Callable[[Progress], None] | None, stop: Event
) -> Callable[[float, int], None]:
    """Called with time and arrivals as a replication goes on: reports them, and ends a run that is to stop."""

    def watch(now_s: float, arrived: int) -> None:
        if stop.is_set():
            raise _Stopped
        if progress is not None:
            progress(Progress(index, scenario.replications, now_s, scenario.horizon, arrived))

    return watch


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
