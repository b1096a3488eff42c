"""`simulate(scenario)`: replications of one scenario, side by side, and what they came to."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np

from router.policies import Always, Policy, RandomMix, RoundRobin
from sim.control.bill import Bill
from sim.control.clock import Clock
from sim.control.energy import Energy
from sim.control.fleet_control import FleetControl
from sim.control.prices import Prices, price_clocks
from sim.control.recorder import Batches, Buckets
from sim.control.routing import RouterControl
from sim.control.sleep import SleepControl
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec
from sim.engine.state import LEAST_OUTSTANDING, POWER_OF_TWO, PREFIX_AFFINITY, ROUND_ROBIN, Floats
from sim.engine.warm import compile_engine
from sim.errors import InputError
from sim.fleet import Fleet, build_fleet
from sim.headline import run_figures
from sim.outcomes import Outcomes
from sim.precision import Precision, precision_warnings
from sim.prices import PriceClock
from sim.replication import Replication
from sim.results import Results
from sim.routing.contexts import ForeseenContexts
from sim.routing.corpora import Corpora
from sim.routing.routes import routes_of
from sim.rows import RowSpool
from sim.scenario import (
    AlwaysRouter,
    ApiPool,
    GpuPool,
    LookingRouter,
    PredictiveAutoscale,
    RandomRouter,
    Scenario,
)
from sim.scenario.quantities import format_duration
from sim.scoring import Scorer, variants_of
from sim.sleep import with_sleep
from sim.sleep_section import sleep_warnings
from sim.streams import RandomStreams
from sim.summary import Sections, summarise
from sim.tally import take_tally
from sim.training import spreads_of
from sim.uncertainty import World, Worlds, doubts_of, uncertainty_section, uncertainty_warnings
from sim.warm_up import FoundWarmUp, found_in, pilot_of, warm_up_warnings
from sim.workload.forecast import Forecast, build_forecast
from sim.workload.workload import Workload, build_workload

__all__ = ["Progress", "Simulation", "check_warm_up", "policy_of", "side_by_side", "simulate", "tell_of_compiling"]

_BALANCERS = {
    "round-robin": ROUND_ROBIN,
    "least-outstanding": LEAST_OUTSTANDING,
    "power-of-two": POWER_OF_TWO,
    "prefix-affinity": PREFIX_AFFINITY,
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
    precision: Precision | None = None,
    threads: int | None = None,
) -> Results:
    """Run all replications of a scenario, on as many threads as there are cores unless `threads` says how many.

    `progress` is called now and then, from any thread. `keep_requests` keeps a row for each request, on disk. With
    `precision` replications are added to those of the scenario until its figures are known so closely.
    The same scenario and seed give the same results, whatever the number of threads.

    Raises:
        InputError: for what the scenario names and cannot be used: a trace, a step-time file, a GPU or model; and for a
            precision that cannot be had.
    """
    simulation = Simulation(scenario, progress, keep_requests)
    scenario = simulation.scenario
    first = scenario.replications if precision is None else precision.first(scenario)
    compile_engine(tell_of_compiling)
    begun_s = time.perf_counter()

    def run(indices: range) -> list[Replication]:
        return side_by_side([partial(simulation.run, index, of=indices.stop) for index in indices], threads)

    replications = run(range(first))
    check_warm_up(scenario, replications)
    while precision is not None and (more := precision.more(scenario, replications)):
        replications += run(range(len(replications), len(replications) + more))
    return simulation.results(replications, time.perf_counter() - begun_s, precision)


class Simulation:
    """A scenario ready to run: what its replications share."""

    def __init__(
        self,
        scenario: Scenario,
        progress: Callable[[Progress], None] | None = None,
        keep_requests: bool = False,
    ) -> None:
        """A warm-up that is to be found is looked for here, in a pilot run.

        Raises:
            InputError: for what the scenario names and cannot be used.
        """
        self._found: FoundWarmUp | None = None
        if (pilot := pilot_of(scenario)) is not None:
            self._found = found_in(pilot, simulate(pilot).replications)
            scenario = scenario.model_copy(update={"warm_up": self._found.seconds})
        self.scenario, self._progress = scenario, progress
        self._base = base = _world(scenario)
        self._worlds = Worlds(base, doubts_of(scenario, base.fleet, base.outcomes, base.corpora))
        self._spool = RowSpool() if keep_requests else None

    @property
    def fleet(self) -> Fleet:
        """The engine's view of the scenario, before anything is drawn."""
        return self._base.fleet

    def run(self, index: int, stop: Event, *, of: int | None = None) -> Replication:
        """One replication, `of` so many; it ends early where `stop` is set."""
        scenario = self.scenario
        watch = _watch(scenario, index, of or scenario.replications, self._progress, stop)
        return _Run(self._worlds.of(index), index, watch, self._spool).replication()

    def warnings(self, replications: Sequence[Replication]) -> list[str]:
        """What is to be held against the figures."""
        return [
            *self._base.outcomes.warnings,
            *sleep_warnings(replications),
            *warm_up_warnings(self.scenario, replications, self._found),
            *uncertainty_warnings(self.scenario, self.fleet),
        ]

    def results(self, replications: list[Replication], wall_s: float, precision: Precision | None = None) -> Results:
        """What all replications came to, which took `wall_s`."""
        scenario = self.scenario.model_copy(update={"replications": len(replications)})
        sections = Sections(
            precision=None if precision is None else precision.section(scenario, replications),
            warm_up=None if self._found is None else self._found.section(),
            uncertainty=self._uncertainty(replications),
        )
        warnings = [*self.warnings(replications), *precision_warnings(sections.precision)]
        corpora = self._base.corpora
        opened = None if corpora is None else corpora.opened
        summary = summarise(scenario, self.fleet, replications, wall_s, warnings, opened, sections)
        return Results(scenario, self.fleet, replications, summary, self._spool)

    def _uncertainty(self, replications: Sequence[Replication]) -> dict[str, Any] | None:
        if not self._worlds.doubts:
            return None
        drawn = [self._worlds.drawn(index) for index in range(len(replications))]
        return uncertainty_section(self._worlds.doubts, drawn, run_figures(self.scenario, replications))


def _world(scenario: Scenario) -> World:
    """What all replications run in, but for what each draws; a faulty trace is refused here, before anything runs."""
    outcomes = Outcomes(scenario)
    return World(
        outcomes,
        Corpora(outcomes, variants_of(scenario)) if isinstance(scenario.router, LookingRouter) else None,
        with_sleep(scenario, build_fleet(scenario, outcomes.pluralities)),
        build_workload(scenario, RandomStreams(scenario.seed, 0)),
    )


def check_warm_up(scenario: Scenario, replications: Sequence[Replication]) -> None:
    """A run without a horizon must have gone on for longer than its warm-up.

    Raises:
        InputError: where it has not.
    """
    longest_s = max(float(run.tally.seconds[0]) for run in replications)
    if scenario.warm_up > 0.0 and longest_s <= scenario.warm_up:
        rule = f"as warm_up is not shorter than the run, which ended by itself after {longest_s:.0f}s"
        raise InputError(format_duration(scenario.warm_up), rule, "shorten it")


def tell_of_compiling() -> None:
    """On stderr, unless the program around us has other plans for its log."""
    logging.getLogger("nightshift").warning("compiling the engine, once: about a minute")


def side_by_side(wanted: Sequence[Callable[[Event], Replication]], threads: int | None = None) -> list[Replication]:
    """All replications in order, on as many threads as there are cores unless `threads` says how many.

    Where one fails or the user interrupts, the others stop at once.
    """
    stop = Event()
    with ThreadPoolExecutor(min(len(wanted), threads or os.cpu_count() or 1)) as pool:
        runs = [pool.submit(run, stop) for run in wanted]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
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
        world: World,
        index: int,
        watch: Callable[[float, int], None],
        spool: RowSpool | None,
    ) -> None:
        outcomes, corpora, fleet, workload = world.outcomes, world.corpora, world.fleet, world.workload
        self.scenario = scenario = outcomes.scenario
        self.workload = workload
        streams = RandomStreams(scenario.seed, index)
        clocks = price_clocks(scenario, streams)
        scorer = Scorer(outcomes, policy_of(scenario, fleet, streams), streams, corpora)
        self.plane = plane = _data_plane(scenario, fleet, clocks, streams, workload, scorer, spool, index)
        self.clock = Clock(plane, lambda now_s: watch(now_s, int(plane.state.run[0].next_id)))
        self.prices = Prices(plane, scenario.fleet, clocks)
        self.servers = FleetControl(scenario, plane, self.clock, streams, _forecast(scenario, streams))
        self.energy = Energy(plane, scenario, fleet.draws)
        self.bill = Bill(plane, scenario, self.prices, self.energy, self.servers, spreads_of(scenario, fleet))
        self.sleep: SleepControl | None = None
        if scenario.sleep is not None:
            foreseen = None
            if scenario.sleep.prepare == "learned" and corpora is not None:
                foreseen = ForeseenContexts(outcomes, corpora, streams)
            self.sleep = SleepControl(
                scenario, fleet, plane, self.clock, workload, self.prices, streams, outcomes, foreseen
            )
        self.routing = None if corpora is None else RouterControl(scenario, plane, self.clock)
        self.buckets = Buckets(plane, scenario.bucket, scenario.fleet, self.prices, self.energy, self.bill)
        keep = scenario.replications == 1
        self.batches = Batches(plane, scenario.warm_up, self.bill, keep=keep)

    def replication(self) -> Replication:
        """Run to the end and close the books."""
        for process in (self.buckets, self.batches):
            self.clock.process(process.run(self.clock))
        for control in (self.prices, self.energy):
            control.start(self.clock)
        self.servers.start()
        if self.sleep is not None:
            self.sleep.start()
        if self.routing is not None:
            self.routing.start()
        end_s = self.clock.run_to(self.scenario.horizon)
        self.plane.finish(end_s)
        self.servers.close(end_s)
        self.buckets.close(end_s)
        tally = take_tally(self.plane, end_s, self.scenario.warm_up, float(self.bill.other_usd(end_s).sum()))
        state = self.plane.state
        sleep = None if self.sleep is None else self.sleep.close()
        return Replication(
            tally=tally,
            batches=self.batches.close(tally),
            buckets=self.buckets.rows,
            stream_buckets=self.buckets.stream_rows,
            charges=self.bill.close(end_s, sleep),
            energy=np.array([self.energy.read(p) for p in range(len(self.scenario.fleet))]),
            full_batch_s=np.array([_full_batch_s(self.plane, p, pool) for p, pool in enumerate(self.scenario.fleet)]),
            cached_tokens=int(state.pools["cached_tokens"].sum()),
            unfinished=self.plane.unfinished,
            peak_replicas=self.servers.peak_replicas,
            starts=self.servers.starts,
            reclaims=self.servers.reclaims,
            failures=self.servers.failures,
            windows=[clock.windows for clock in self.prices.clocks],
            skipped_rows=sum(self.workload.skipped.values()),
            sleep=sleep,
            routing=None if self.routing is None else self.routing.close(end_s),
        )


def _full_batch_s(plane: DataPlane, index: int, pool: GpuPool | ApiPool) -> float:
    return plane.full_batch_s(index, *plane.completed(index).tolist()) if isinstance(pool, GpuPool) else 0.0


def _forecast(scenario: Scenario, streams: RandomStreams) -> Forecast | None:
    """The forecast of the load, where somebody looks at it."""
    pools = [pool for pool in scenario.fleet if isinstance(pool, GpuPool)]
    wanted = any(isinstance(pool.autoscale, PredictiveAutoscale) for pool in pools)
    return build_forecast(scenario, streams) if wanted else None


def _watch(
    scenario: Scenario, index: int, replications: int, progress: Callable[[Progress], None] | None, stop: Event
) -> Callable[[float, int], None]:
    """Called with time and arrivals as a replication goes on: reports them, and ends a run that is to stop."""

    def watch(now_s: float, arrived: int) -> None:
        if stop.is_set():
            raise _Stopped
        if progress is not None:
            progress(Progress(index, replications, now_s, scenario.horizon, arrived))

    return watch


def _data_plane(
    scenario: Scenario,
    fleet: Fleet,
    clocks: Sequence[PriceClock],
    streams: RandomStreams,
    workload: Workload,
    scorer: Scorer,
    spool: RowSpool | None,
    index: int,
) -> DataPlane:
    draws_luck = scenario.balancer == "power-of-two"
    has_apis = any(isinstance(pool, ApiPool) for pool in scenario.fleet)
    return DataPlane(
        [
            replace(pool, windows=len(clock.windows)) if isinstance(pool, PoolSpec) else pool
            for pool, clock in zip(fleet.pools, clocks, strict=True)
        ],
        fleet.streams,
        fleet.targets,
        strategies=fleet.strategy_specs,
        blocks=workload.blocks(),
        clients=workload.closed,
        score=scorer.score,
        luck=_luck(streams) if draws_luck else None,
        api_luck=_api_luck(streams) if has_apis else None,
        balancer=_BALANCERS[scenario.balancer],
        affinity_slack=scenario.affinity_slack,
        warm_up_s=scenario.warm_up,
        keep=None if spool is None else lambda rows: spool.add(index, rows),
        prepares=scenario.sleep is not None,
        routes=routes_of(scenario),
    )


def _luck(streams: RandomStreams) -> Callable[[int], Floats]:
    generator = streams.generator("balancer")
    return lambda requests: generator.random(requests)


def _api_luck(streams: RandomStreams) -> Callable[[int], Floats]:
    generator = streams.generator("api")
    return lambda requests: generator.standard_normal((requests, 2))


def policy_of(scenario: Scenario, fleet: Fleet, streams: RandomStreams) -> Policy:
    """What chooses the strategies of one replication."""
    names = [strategy.name for strategy in fleet.strategies]
    router = scenario.router
    if router is None or isinstance(router, LookingRouter):
        # What looks at requests chooses when they arrive; no policy is asked then.
        return Always(0)
    if isinstance(router, AlwaysRouter):
        return Always(names.index(router.strategy))
    if isinstance(router, RandomRouter):
        return RandomMix(names, router.weights, streams.generator("router"))
    return RoundRobin(len(names))
