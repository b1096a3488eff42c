"""Servers that break down while they run, and are repaired."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from sim.control.failures import Breakdowns
from sim.scenario import Failures
from tests.server_world import World

RESERVED = {"kind": "reserved", "usd_per_gpu_hour": 2.0}


class Drawn:
    """Random times that are known beforehand."""

    def __init__(self, *times_s: float) -> None:
        self._times_s = iter(times_s)
        self.means_s: list[float] = []

    def exponential(self, mean_s: float) -> float:
        self.means_s.append(mean_s)
        return next(self._times_s, 1e9)


def failing(world: World, *times_s: float, number: int = 0) -> Breakdowns:
    """Have one server fail and be repaired after these times in turn."""
    law = Failures(mtbf=1000.0, repair=100.0)
    made = Breakdowns(world.servers, number, law, Drawn(*times_s))
    world.clock.process(made.run(world.clock))
    return made


def test_a_server_that_fails_loses_all_it_has_and_opens_after_repair_and_start_up() -> None:
    world = World(1)
    breakdowns = failing(world, 500.0, 300.0)
    world.plane.work(0, 9999.0)

    world.until(500.0)
    assert [job.replica for job in world.plane.lost] == [0]
    assert world.plane.lives[0] == 4
    assert world.lives == "off starting off off"
    world.want(501.0, 4)
    assert world.lives == "off starting starting starting"
    world.until(800.0)
    assert world.lives == "starting open open open"
    world.until(860.0)
    assert world.lives == "open open open open"
    assert breakdowns.failures == 1


def test_a_server_is_not_paid_for_while_it_is_down_unless_reserved() -> None:
    on_demand, reserved = World(4), World(4, offer=RESERVED)
    for world in (on_demand, reserved):
        failing(world, 500.0, 300.0)
        world.until(2000.0)
        world.servers.close(2000.0)

    assert [one for one in on_demand.paid if one[0] == 0] == [(0, 0.0, 500.0), (0, 800.0, 2000.0)]
    assert [one for one in reserved.paid if one[0] == 0] == [(0, 0.0, 2000.0)]


def test_a_server_that_is_off_cannot_fail() -> None:
    world = World(1)
    breakdowns = failing(world, 500.0, 600.0, number=2)
    world.until(1500.0)

    assert breakdowns.failures == 0
    assert world.lives == "open off off off"


def test_a_server_that_starts_or_drains_can_fail() -> None:
    world = World(1)
    starting = failing(world, 30.0, number=1)
    world.want(0.0, 2)
    world.until(30.0)
    assert (starting.failures, world.lives) == (1, "open off starting off")

    draining = failing(world, 100.0)
    world.plane.work(0, 9999.0)
    world.plane.work(0, 9999.0)
    world.until(100.0)
    world.plane.work(2, 9999.0)
    world.plane.work(2, 9999.0)
    world.plane.work(2, 9999.0)
    world.want(110.0, 1)
    assert world.lives == "draining off open off"
    world.until(130.0)
    assert (draining.failures, world.lives) == (1, "off off open off")


def test_what_is_repaired_and_not_wanted_stays_off() -> None:
    world = World(1)
    failing(world, 500.0, 300.0)
    world.until(900.0)

    assert world.lives == "off open off off"
    assert world.plane.lives[0] == 0


def test_ranks_of_a_server_fail_together() -> None:
    world = World(1, ranks=2)
    failing(world, 500.0, 300.0)
    world.plane.work(0, 9999.0)
    world.plane.work(1, 9999.0)
    world.until(500.0)

    assert len(world.plane.lost) == 2
    assert world.plane.lives[:2] == [4, 4]


def test_a_server_is_on_for_mtbf_of_mtbf_plus_repair() -> None:
    world = World(4, offer=RESERVED)
    law = Failures(mtbf=1000.0, repair=200.0)
    made = [Breakdowns(world.servers, number, law, np.random.default_rng(number)) for number in range(4)]
    for one in made:
        world.clock.process(one.run(world.clock))
    world.until(1e6)

    # Of the time it is on the start-up comes first, unless it fails in it.
    starting_s = 1000.0 * (1.0 - exp(-60.0 / 1000.0))
    assert sum(one.failures for one in made) == pytest.approx(4e6 / 1200.0, rel=0.05)
    assert sum_open_s(world, 1e6) / 4e6 == pytest.approx((1000.0 - starting_s) / 1200.0, rel=0.03)


def sum_open_s(world: World, end_s: float) -> float:
    """Server seconds in which they were open."""
    since_s, total_s = dict.fromkeys(range(4), 0.0), 0.0
    for now_s, replica, life in [*world.plane.log, *((end_s, replica, "end") for replica in range(4))]:
        if life == "open":
            since_s[replica] = now_s
        elif replica in since_s:
            total_s += now_s - since_s.pop(replica)
    return total_s
