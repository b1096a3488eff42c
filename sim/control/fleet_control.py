"""All that decides about the servers of a fleet in one run, wired together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from zoneinfo import ZoneInfo

from sim.control.autoscaler import Autoscaler, Rule
from sim.control.clock import Clock
from sim.control.failures import Breakdowns
from sim.control.open_servers import OpenServers
from sim.control.rules import BusyRule, ClockRule, ForecastRule, Outlook, QueueRule, RateForecast
from sim.control.schedule import Timetable
from sim.control.servers import Servers
from sim.control.spot import SpotCapacity
from sim.engine.plane import DataPlane
from sim.errors import EngineError
from sim.invoice import PaidInterval
from sim.prices import availability_runs, billed_s
from sim.scenario import (
    Autoscale,
    BusyAutoscale,
    GpuPool,
    QueueAutoscale,
    Reserved,
    Scenario,
    ScheduleAutoscale,
    Spot,
)
from sim.scenario.consistency import streams_of
from sim.streams import RandomStreams

__all__ = ["FleetControl"]


class FleetControl:
    """The control plane of a run: schedules, autoscalers, spot capacity and failures of every pool of GPUs.

    Made before anything runs, `start` has the processes begin, and `close` ends the books. Randomness comes from
    streams named by pool and server, so a pool that is added changes nothing elsewhere.
    """

    def __init__(
        self,
        scenario: Scenario,
        plane: DataPlane,
        clock: Clock,
        streams: RandomStreams,
        forecast: RateForecast | None = None,
    ) -> None:
        """Raises InputError for an unknown zone of spot availability."""
        self._scenario, self._clock, self._streams = scenario, clock, streams
        self._outlook = None if forecast is None else Outlook(forecast)
        self._zone = ZoneInfo(scenario.time_zone)
        self._open_servers = OpenServers()
        self._servers: dict[int, Servers] = {}
        self._spot: list[SpotCapacity] = []
        self._breakdowns: list[Breakdowns] = []
        self._deciding: list[Timetable | Autoscaler] = []
        for index, pool in enumerate(scenario.fleet):
            if isinstance(pool, GpuPool):
                self._add(index, pool, plane)

    def start(self) -> None:
        """Have the processes begin, at time zero and once."""
        for process in (*self._deciding, *self._spot, *self._breakdowns):
            self._clock.process(process.run(self._clock))

    def close(self, end_s: float) -> None:
        """End what is paid for with the run."""
        for servers in self._servers.values():
            servers.close(end_s)

    @property
    def paid(self) -> list[PaidInterval]:
        """What has been paid for, by pool, complete after `close`."""
        return [interval for servers in self._servers.values() for interval in servers.paid]

    def paid_of(self, pool: int) -> Sequence[PaidInterval]:
        """What has been paid for of a pool, in order of its end; grows as the run goes on. None of an API."""
        return self._servers[pool].paid if pool in self._servers else ()

    @property
    def starts(self) -> int:
        """Launches after time zero."""
        return sum(servers.starts for servers in self._servers.values())

    @property
    def reclaims(self) -> int:
        """Spot servers that were on when their notice came."""
        return sum(spot.reclaims for spot in self._spot)

    @property
    def failures(self) -> int:
        """Servers that broke down."""
        return sum(breakdowns.failures for breakdowns in self._breakdowns)

    @property
    def peak_replicas(self) -> int:
        """Most servers that took requests at once."""
        return self._open_servers.most

    def _add(self, index: int, pool: GpuPool, plane: DataPlane) -> None:
        wakes = pool.autoscale is not None and pool.autoscale.min == 0 and pool.autoscale.kind != "schedule"
        servers = Servers(
            index,
            pool,
            plane,
            self._clock,
            holds=wakes,
            rounding_s=_rounding(pool),
            open_servers=self._open_servers,
        )
        self._servers[index] = servers
        timetable = Timetable(servers, pool, self._scenario.start, self._zone)
        if pool.schedule:
            self._deciding.append(timetable)
        if pool.autoscale is not None:
            rule = self._rule(pool, pool.autoscale, servers)
            self._deciding.append(Autoscaler(servers, pool.autoscale, rule, wakes=wakes))
        spot = list(self._spot_of(pool, servers))
        self._spot.extend(spot)
        self._breakdowns.extend(self._breakdowns_of(pool, servers))
        servers.begin(timetable.replicas_at(0.0), [number for one in spot if not one.there for number in one.numbers])

    def _rule(self, pool: GpuPool, scaling: Autoscale, servers: Servers) -> Rule:
        if isinstance(scaling, BusyAutoscale):
            return BusyRule(servers, scaling)
        if isinstance(scaling, QueueAutoscale):
            return QueueRule(servers, scaling, self._overflow_to(pool))
        if isinstance(scaling, ScheduleAutoscale):
            return ClockRule(scaling, self._scenario.start, self._zone)
        if self._outlook is None:
            raise EngineError(f"pool '{pool.name}' scales by a forecast, and there is none")
        return ForecastRule(scaling, self._outlook, streams_of(self._scenario, pool))

    def _overflow_to(self, pool: GpuPool) -> Callable[[], float]:
        """Requests that pools of lower tiers have beyond the number at which they spill over to a pool.

        Servers about to open count with those that are. An API that never spills over leaves nothing.
        """
        streams = set(streams_of(self._scenario, pool))
        lower = [
            (index, other)
            for index, other in enumerate(self._scenario.fleet)
            if other.tier < pool.tier and streams.intersection(streams_of(self._scenario, other))
        ]
        if any(other.admission.spill_at is None for _, other in lower):
            return lambda: 0.0
        gpus = [(index, other.admission.spill_at or 0) for index, other in lower if isinstance(other, GpuPool)]

        def overflow() -> float:
            beyond = [self._servers[index].outstanding - spill_at * self._servers[index].up for index, spill_at in gpus]
            return float(max(sum(beyond), 0))

        return overflow

    def _spot_of(self, pool: GpuPool, servers: Servers) -> Iterator[SpotCapacity]:
        if not isinstance(pool.offer, Spot) or pool.offer.availability is None:
            return
        numbers = list(range(pool.most_replicas))
        groups = [numbers] if pool.offer.availability.together else [[number] for number in numbers]
        for group in groups:
            random = self._streams.generator(f"{pool.name}/spot/{group[0]}")
            yield SpotCapacity(servers, group, availability_runs(pool.offer.availability, random), pool.offer.notice)

    def _breakdowns_of(self, pool: GpuPool, servers: Servers) -> Iterator[Breakdowns]:
        if pool.failures is None:
            return
        for number in range(pool.most_replicas):
            random = self._streams.generator(f"{pool.name}/failures/{number}")
            yield Breakdowns(servers, number, pool.failures, random)


def _rounding(pool: GpuPool) -> Callable[[float], float]:
    """Seconds billed beyond a paid length, by the offer's units and minimum."""
    offer = pool.offer
    if isinstance(offer, Reserved):
        return lambda length_s: 0.0
    return lambda length_s: billed_s(offer.billing, length_s) - length_s
