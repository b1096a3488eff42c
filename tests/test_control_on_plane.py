"""The control plane on the engine itself: nothing vanishes, and what is paid for is what the books hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.control.clock import Clock
from sim.control.fleet_control import FleetControl
from sim.engine.plane import DataPlane
from sim.engine.specs import StreamSpec
from sim.scenario import GpuPool
from sim.streams import RandomStreams
from tests.small import chat, pool, scenario
from tests.worlds import blocks, flat_law, pool_of, rows_of

RUNS = {"up": {"median": "5m", "mean": "10m"}, "down": {"median": "2m", "mean": "3m"}, "together": False}
OFFERS: dict[str, dict[str, Any]] = {
    "reserved": {"kind": "reserved", "usd_per_gpu_hour": 2.0},
    "on-demand": {"kind": "on-demand", "usd_per_gpu_hour": 3.0},
    "spot": {"kind": "spot", "usd_per_gpu_hour": 1.0, "notice": "30s", "availability": RUNS},
}
SCALINGS: dict[str, dict[str, Any] | None] = {
    "busy": {"kind": "busy", "target_busy": 0.6},
    "queue": {"kind": "queue", "target_outstanding": 3},
    "none": None,
}


class World:
    """An hour of one pool of up to four servers whose steps take a second, eight requests at a time to a rank."""

    def __init__(
        self,
        arrival_s: list[float],
        *,
        offer: str = "on-demand",
        scaling: dict[str, Any] | None = None,
        ranks: int = 1,
        tokens: int = 20,
        stream: StreamSpec | None = None,
        seed: int = 7,
        **changes: Any,
    ) -> None:
        limits = {"min": 1, "max": 4, "tick": "10s", "start_up": "20s", "cool_down": "30s"}
        fields = pool(offer=OFFERS[offer], data_parallel=ranks, replicas=2, **changes)
        if scaling is not None:
            fields |= {"autoscale": limits | scaling}
        one = GpuPool.model_validate(fields)
        spec = pool_of(flat_law(8, 1.0), replicas=one.ranks, ranks=ranks, always_paid=offer == "reserved")
        times, count = np.sort(np.array(arrival_s, np.float64)), len(arrival_s)
        self.kept: list[Any] = []
        self.plane = DataPlane(
            [spec],
            [stream or StreamSpec()],
            [[[[0]]]],
            blocks=blocks(times, np.ones(count, np.int64), np.full(count, tokens)),
            keep=self.kept.append,
        )
        self.clock = Clock(self.plane)
        whole = scenario(fleet=[one], workload=[chat()])
        self.control = FleetControl(whole, self.plane, self.clock, RandomStreams(seed, 0))
        self.ranks = ranks

    def run(self, end_s: float = 3600.0) -> World:
        self.control.start()
        self.clock.run_to(end_s)
        self.plane.finish(end_s)
        self.control.close(end_s)
        return self

    @property
    def paid_s(self) -> float:
        """Rank seconds paid for, as control has it."""
        return sum(one.end_s - one.begin_s for one in self.control.paid) * self.ranks

    @property
    def booked_s(self) -> float:
        """The same as the engine's books have it."""
        return float(self.plane.state.work_s.sum() + self.plane.state.unused_s.sum())


def steady(rps: float, begin_s: float = 0.0, end_s: float = 3600.0) -> list[float]:
    return np.arange(begin_s, end_s, 1.0 / rps).tolist()


def test_an_empty_pool_wakes_for_a_request_and_goes_back_to_sleep() -> None:
    scaling = {"kind": "queue", "target_outstanding": 8, "min": 0, "cool_down": "0s"}
    world = World([502.0], scaling=scaling, tokens=10).run()

    # Noticed at the next tick, at 510 s, and up 20 s later; a prompt and nine steps; given up at the tick after them.
    assert rows_of(world.kept)["finish_s"].tolist() == pytest.approx([539.0])
    assert [one[2:4] for one in woken(world)] == [(510.0, 540.0)]


def woken(world: World) -> list[tuple[int, int, float, float]]:
    """What has been paid for of servers launched after the start."""
    found = [(one.pool, one.server, one.begin_s, one.end_s) for one in world.control.paid]
    return [one for one in found if one[2] > 0.0]


def test_more_load_gets_more_servers_and_less_load_gives_them_up() -> None:
    world = World(steady(1.5, 600.0, 1800.0), scaling={"kind": "queue", "target_outstanding": 8}).run()

    assert world.control.peak_replicas == 4
    assert world.control.starts >= 3
    assert world.plane.state.accepting.sum() == 1


def test_servers_that_fail_send_their_requests_elsewhere_and_none_vanishes() -> None:
    world = World(steady(0.5), failures={"mtbf": "5m", "repair": "1m"}).run()
    stream = world.plane.state.streams[0]

    assert world.control.failures > 5
    assert stream.attempts > stream.offered
    assert stream.offered == accounted(world.plane)


def accounted(plane: DataPlane) -> int:
    """Requests by how they ended, and those still in flight at the end."""
    stream = plane.state.streams[0]
    ends = ("completed", "too_long", "no_replica", "queue_full", "rate_limited", "timed_out", "failed")
    return sum(int(stream[end]) for end in ends) + int(plane.state.run[0].in_flight)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    offer=st.sampled_from(sorted(OFFERS)),
    scaling=st.sampled_from(sorted(SCALINGS)),
    least=st.integers(0, 2),
    ranks=st.sampled_from([1, 1, 2, 3]),
    rps=st.sampled_from([0.02, 0.2, 1.0]),
    stream=st.sampled_from([StreamSpec(), StreamSpec(timeout_s=60.0, retries=2, backoff_s=5.0, resend_lost=False)]),
)
def test_nothing_vanishes_and_the_books_agree_whatever_happens(
    seed: int, offer: str, scaling: str, least: int, ranks: int, rps: float, stream: StreamSpec
) -> None:
    arrival_s = np.random.default_rng(seed).uniform(0.0, 3500.0, int(rps * 3500)).tolist()
    asked = SCALINGS[scaling]
    world = World(
        arrival_s,
        offer=offer,
        scaling=None if asked is None else asked | {"min": least},
        ranks=ranks,
        stream=stream,
        seed=seed,
        failures={"mtbf": "10m", "repair": "2m"},
    ).run()

    assert world.plane.state.streams[0].offered == len(arrival_s) == accounted(world.plane)
    assert world.paid_s == pytest.approx(world.booked_s, rel=1e-9)
    rows = rows_of(world.kept)
    assert np.array_equal(rows["request_id"], np.unique(rows["request_id"]))
