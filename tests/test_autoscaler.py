"""Servers launched, drained and taken back as the load, the clock or a forecast asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.control.open_servers import OpenServers
from sim.control.rules import BusyRule, ClockRule, ForecastRule, Outlook, QueueRule
from sim.control.server import Life
from sim.scenario import Billing
from tests.fake_plane import FakePlane
from tests.server_world import World


class Fixed:
    """A rule that wants what it is told, tick by tick."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)
        self._last = 0

    def desired(self, now_s: float) -> int:
        self._last = next(self._numbers, self._last)
        return self._last


def test_at_the_start_so_many_are_open_and_the_others_off() -> None:
    assert World(2).lives == "open open off off"


def test_a_launched_server_opens_after_its_start_up() -> None:
    world = World(1)

    world.want(10.0, 2)
    world.until(69.9)
    assert world.lives == "open starting off off"
    world.until(70.0)
    assert world.lives == "open open off off"


def test_a_server_finishes_what_it_has_before_it_is_off() -> None:
    world = World(2)
    world.plane.work(0, 500.0)
    world.plane.work(1, 100.0)

    world.want(10.0, 0)
    assert world.lives == "draining draining off off"
    world.until(101.0)
    assert world.lives == "draining off off off"
    assert world.paid == [(1, 0.0, 100.0)]
    assert world.plane.lost == []


def test_the_idlest_server_is_drained_first_and_the_last_of_alike_ones() -> None:
    world = World(4)
    world.plane.work(3, 500.0)
    world.plane.work(0, 500.0)

    world.want(10.0, 3)
    assert world.lives == "open open off open"
    world.want(11.0, 1)
    assert world.lives == "open off off draining"


def test_a_draining_server_is_taken_back_before_another_is_launched() -> None:
    world = World(2)
    world.plane.work(1, 500.0)
    world.plane.work(0, 500.0)
    world.plane.work(0, 500.0)

    world.want(10.0, 1)
    assert world.lives == "open draining off off"
    world.want(20.0, 3)

    assert world.lives == "open open starting off"
    world.until(1000.0)
    world.servers.close(1000.0)
    assert world.paid == [(0, 0.0, 1000.0), (1, 0.0, 1000.0), (2, 20.0, 1000.0)]


def test_what_has_not_opened_yet_is_called_off_first_and_the_newest_of_it() -> None:
    world = World(1)
    world.want(10.0, 2)
    world.want(20.0, 4)
    world.want(30.0, 3)
    assert world.lives == "open starting starting off"

    world.want(40.0, 1)
    world.until(500.0)
    assert world.lives == "open off off off"
    assert world.paid == [(3, 20.0, 30.0), (2, 20.0, 40.0), (1, 10.0, 40.0)]


def test_a_start_up_that_was_called_off_does_not_open_the_next_one() -> None:
    world = World(1)
    world.want(10.0, 2)
    world.want(20.0, 1)
    world.want(30.0, 2)

    world.until(70.0)
    assert world.lives == "open starting off off"
    world.until(90.0)
    assert world.lives == "open open off off"


def test_ranks_of_a_server_act_together() -> None:
    world = World(2, ranks=2)
    world.plane.work(2, 100.0)
    for rank in (0, 1):
        world.plane.work(rank, 500.0)

    world.want(10.0, 1)
    assert world.lives == "open draining off off"
    assert world.plane.lives == [2, 2, 3, 3, 0, 0, 0, 0]
    world.until(101.0)
    assert world.paid == [(1, 0.0, 100.0)]
    world.want(200.0, 2)
    assert world.plane.lives == [2, 2, 1, 1, 0, 0, 0, 0]
    world.until(260.0)
    assert world.plane.lives == [2, 2, 2, 2, 0, 0, 0, 0]


def test_reserved_servers_are_paid_for_all_along() -> None:
    world = World(1, offer={"kind": "reserved", "usd_per_gpu_hour": 2.0})
    world.want(10.0, 2)
    world.want(100.0, 1)
    world.until(1000.0)
    world.servers.close(1000.0)

    assert world.paid == [(number, 0.0, 1000.0) for number in range(4)]


def test_a_short_life_is_billed_up_to_the_minimum_unless_the_run_ends_it() -> None:
    world = World(1, billing=Billing(unit=60.0, minimum=600.0))
    world.want(0.0, 2)
    world.want(100.0, 1)
    world.want(200.0, 2)
    world.until(230.0)
    world.servers.close(230.0)

    lives = sorted((one.server, one.begin_s, one.rounding_s) for one in world.servers.paid)
    assert lives == [(0, 0.0, 0.0), (1, 0.0, 500.0), (1, 200.0, 0.0)]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 200.0), st.integers(0, 4), st.integers(0, 3)), max_size=20),
    offer=st.sampled_from(["on-demand", "spot"]),
)
def test_paid_intervals_never_overlap_and_are_what_the_plane_was_on(
    steps: list[tuple[float, int, int]], offer: str
) -> None:
    world = World(2, offer={"kind": offer, "usd_per_gpu_hour": 1.0})
    now_s = 0.0
    for wait_s, wanted, busy in steps:
        now_s += wait_s
        world.want(now_s, wanted)
        if world.plane.lives[busy] == 2:
            world.plane.work(busy, now_s + 50.0)
    end_s = now_s + 10.0
    world.until(end_s)
    world.servers.close(end_s)

    assert sum(one.end_s - one.begin_s for one in world.servers.paid) == pytest.approx(seconds_on(world.plane, end_s))
    for number in range(4):
        mine = sorted((one.begin_s, one.end_s) for one in world.servers.paid if one.server == number)
        assert all(left[1] <= right[0] for left, right in pairwise(mine))


def seconds_on(plane: FakePlane, end_s: float) -> float:
    """Replica seconds that were not off, from the log of the plane."""
    total = 0.0
    for replica in range(len(plane.lives)):
        since_s: float | None = 0.0
        for now_s, changed, life in plane.log:
            if changed != replica:
                continue
            if life == "off" and since_s is not None:
                total, since_s = total + now_s - since_s, None
            elif life != "off" and since_s is None:
                since_s = now_s
        total += 0.0 if since_s is None else end_s - since_s
    return total


def test_fewer_are_kept_only_after_the_cool_down() -> None:
    world = World(1, cool_down="100s")
    world.scale(Fixed([2, 1]))

    world.until(30.0)
    assert world.servers.wanted == 2
    world.until(120.0)
    assert world.servers.wanted == 2
    world.until(150.0)
    assert world.servers.wanted == 1


def test_more_are_launched_whatever_the_cool_down() -> None:
    world = World(1, cool_down="1h")
    world.scale(Fixed([2, 3, 4]))
    world.until(90.0)

    assert world.servers.wanted == 4


def test_what_was_asked_for_within_the_cool_down_is_kept() -> None:
    """A lull of two ticks between bursts gives nothing back, nor do bursts that ask for less than there is."""
    world = World(1, cool_down="60s")
    world.scale(Fixed([4, 1, 3, 1, 2, 1, 1]))
    wanted = []
    for tick in range(1, 8):
        world.until(30.0 * tick)
        wanted.append(world.servers.wanted)

    # At 90 s the 4 asked for at 30 s is past, and 3 is asked for; the change of then holds until 150 s.
    assert wanted == [4, 4, 3, 3, 2, 2, 1]


def test_the_number_stays_within_its_limits_and_its_step() -> None:
    world = World(2, min=2, max_step=1)
    world.scale(Fixed([9, 9, 9, 0, 0, 0]))
    wanted = []
    for tick in range(1, 7):
        world.until(30.0 * tick)
        wanted.append(world.servers.wanted)

    assert wanted == [3, 4, 4, 3, 2, 2]


@pytest.mark.parametrize(("busy", "desired"), [((), 0), ((0,), 2), ((0, 1), 4), ((0, 1, 2), 6)])
def test_the_busy_share_of_the_last_tick_decides(busy: tuple[int, ...], desired: int) -> None:
    world = World(4, target_busy=0.5, of="time")
    for replica in busy:
        world.plane.work(replica, 1e9)
    assert world.pool.autoscale is not None
    rule = BusyRule(world.servers, world.pool.autoscale)
    world.until(30.0)

    assert rule.desired(30.0) == desired


def test_exactly_enough_is_enough() -> None:
    world = World(4, target_busy=0.7, of="time")
    for replica in range(4):
        world.plane.work(replica, 21.0)
    rule = BusyRule(world.servers, world.pool.autoscale)
    world.until(30.0)

    assert rule.desired(30.0) == 4


@pytest.mark.parametrize(("requests", "desired"), [(0, 0), (1, 1), (8, 1), (9, 2), (17, 3)])
def test_the_queue_decides(requests: int, desired: int) -> None:
    world = World(2, kind="queue", target_outstanding=8)
    for request in range(requests):
        world.plane.work(request % 2, 1e9)

    assert QueueRule(world.servers, world.pool.autoscale).desired(0.0) == desired


def test_a_queue_is_averaged_over_the_ticks_of_some_time() -> None:
    world = World(1, kind="queue", target_outstanding=2, average="60s")
    rule = QueueRule(world.servers, world.pool.autoscale)
    wanted = []
    for tick, requests in enumerate([0, 8, 0, 0, 0]):
        world.plane.state.outstanding[0] = requests
        wanted.append(rule.desired(30.0 * tick))

    # Two ticks are within 60 s: that of now, and the one before it.
    assert wanted == [0, 2, 2, 0, 0]


def test_the_work_of_answered_requests_decides_whatever_time_it_took() -> None:
    world = World(4, target_busy=0.5, average="60s")
    rule = BusyRule(world.servers, world.pool.autoscale)
    wanted = []
    for tick, requests in enumerate([30, 90, 90, 90], start=1):
        world.until(30.0 * tick)
        world.plane.answered = requests
        wanted.append(rule.desired(30.0 * tick))

    # A second of work each: 30 in 30 s, 90 in 60 s, 60 in the last 60 s, none in the last 60 s.
    assert wanted == [2, 3, 2, 0]


@pytest.mark.parametrize(("hour", "desired"), [(7.99, 1), (8.0, 3), (19.99, 3), (20.0, 1)])
def test_the_clock_on_the_wall_decides(hour: float, desired: int) -> None:
    windows = [{"hours": "08:00-20:00", "replicas": 3}]
    world = World(1, kind="schedule", min=1, windows=windows)
    rule = ClockRule(world.pool.autoscale, datetime(2026, 3, 2), ZoneInfo("America/New_York"))

    assert rule.desired(hour * 3600.0) == desired


class Ramp:
    """Two streams; the second grows by one request a second each minute. Asked in order, and for each time once."""

    def __init__(self) -> None:
        self.asked_s = 0.0

    def rps(self, begin_s: float, end_s: float) -> NDArray[np.float64]:
        assert begin_s == self.asked_s
        self.asked_s = end_s
        return np.array([100.0, (begin_s + end_s) / 2 / 60.0])


@pytest.mark.parametrize(("beyond_rps", "desired"), [(0.0, 4), (3.0, 1), (50.0, 0)])
def test_the_forecast_is_followed_as_far_ahead_as_a_start_up_takes(beyond_rps: float, desired: int) -> None:
    world = World(1, kind="predictive", rps_per_replica=1.0, beyond_rps=beyond_rps, lead="150s")
    rule = ForecastRule(world.pool.autoscale, Outlook(Ramp()), [1])

    # In the minute before 180 s ahead of 60 s there are 3.5 requests a second.
    assert (rule.desired(0.0), rule.desired(60.0)) == (max(desired - 1, 0), desired)


def test_rules_that_look_ahead_differently_share_an_outlook() -> None:
    outlook = Outlook(Ramp())
    highest = [outlook.highest_rps(now_s, ahead_s, [1]) for now_s in (0.0, 30.0, 300.0) for ahead_s in (60.0, 600.0)]

    assert highest == [0.5, 9.5, 1.5, 10.5, 5.5, 14.5]


def test_a_long_gap_between_looks_is_skipped() -> None:
    class Flat:
        def rps(self, begin_s: float, end_s: float) -> NDArray[np.float64]:
            return np.array([begin_s])

    outlook = Outlook(Flat())

    assert (outlook.highest_rps(0.0, 60.0, [0]), outlook.highest_rps(6000.0, 60.0, [0])) == (0.0, 6000.0)


def test_an_empty_pool_holds_requests_and_wakes_at_the_next_tick() -> None:
    world = World(0, holds=True)
    world.scale(Fixed([0]), wakes=True)
    assert world.plane.state.accepting.tolist() == [2, 0, 0, 0]

    world.until(40.0)
    world.plane.work(0, 130.0)
    world.until(60.0)
    assert world.lives == "starting off off off"
    assert world.plane.state.accepting.tolist() == [2, 0, 0, 0]
    world.until(120.0)
    assert world.lives == "open off off off"
    assert world.plane.state.accepting.tolist() == [1, 0, 0, 0]
    world.until(150.0)
    assert world.lives == "off off off off"
    assert world.plane.state.accepting.tolist() == [2, 0, 0, 0]
    assert world.plane.lost == []


def test_a_server_that_starts_with_requests_is_not_called_off() -> None:
    world = World(0, holds=True)
    world.plane.work(0, 500.0)
    world.want(10.0, 1)
    world.want(20.0, 0)

    assert world.lives == "starting off off off"
    world.until(70.0)
    assert world.lives == "open off off off"


def test_a_pool_that_does_not_scale_to_zero_holds_nothing() -> None:
    assert World(0).plane.state.accepting.tolist() == [0, 0, 0, 0]


def test_what_happens_at_one_instant_counts_together() -> None:
    servers = OpenServers()
    for change, now_s in ((3, 0.0), (1, 0.0), (2, 3600.0), (-2, 3600.0 + 1e-9), (-1, 7200.0)):
        servers.change(change, now_s)

    assert servers.most == 4


def test_lives_are_told_by_their_names() -> None:
    assert [life.value for life in Life] == ["off", "starting", "open", "draining"]
