"""Spot servers that are reclaimed with a notice, and come back."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from sim.control.spot import SpotCapacity
from tests.server_world import World

SPOT = {"kind": "spot", "usd_per_gpu_hour": 1.0}


def reclaimed(begin: int, *runs: float, numbers: tuple[int, ...] = (0,), **world: Any) -> tuple[World, SpotCapacity]:
    """A world whose servers of these numbers are there for the first run, not for the second, and so on."""
    made = World(begin, offer=SPOT, **world)
    states = ((index % 2 == 0, length_s) for index, length_s in enumerate([*runs, 1e9]))
    spot = SpotCapacity(made.servers, numbers, states, notice_s=120.0)
    made.clock.process(spot.run(made.clock))
    return made, spot


def test_after_the_notice_what_has_not_drained_is_lost() -> None:
    world, spot = reclaimed(1, 1000.0, 5000.0)
    world.plane.work(0, 9999.0)

    world.until(1000.0)
    assert world.lives == "draining starting off off"
    world.until(1119.0)
    assert world.plane.lost == []
    world.until(1120.0)
    assert [job.replica for job in world.plane.lost] == [0]
    assert world.lives == "off open off off"
    assert world.paid == [(0, 0.0, 1120.0)]
    assert spot.reclaims == 1


def test_nothing_is_lost_of_what_drains_in_time() -> None:
    world, spot = reclaimed(1, 1000.0, 5000.0)
    world.plane.work(0, 1050.0)

    world.until(2000.0)
    assert world.plane.lost == []
    assert world.paid == [(0, 0.0, 1050.0)]
    assert spot.reclaims == 1


def test_capacity_that_is_back_is_started_if_it_is_wanted() -> None:
    everything = tuple(range(4))
    world, _ = reclaimed(2, 1000.0, 5000.0, numbers=everything)

    world.until(1000.0)
    assert world.lives == "off off off off"
    world.until(5999.0)
    assert world.lives == "off off off off"
    world.until(6000.0)
    assert world.lives == "starting starting off off"
    world.until(6060.0)
    assert world.lives == "open open off off"
    assert world.servers.starts == 2


def test_what_is_not_there_is_not_launched_however_much_it_is_wanted() -> None:
    world, _ = reclaimed(1, 1000.0, 5000.0, numbers=(0, 1, 2))
    world.want(1500.0, 4)

    assert world.lives == "off off off open"


def test_a_draining_server_under_notice_is_not_taken_back() -> None:
    world, _ = reclaimed(4, 1000.0, 5000.0)
    world.plane.work(0, 9999.0)
    world.want(1010.0, 3)
    assert world.lives == "draining open open open"
    world.want(1020.0, 4)

    assert world.lives == "draining open open open"


def test_a_start_up_is_called_off_by_a_notice() -> None:
    world, spot = reclaimed(0, 1000.0, 5000.0)
    world.want(990.0, 1)
    world.until(1000.0)

    assert world.lives == "off starting off off"
    assert world.paid == [(0, 990.0, 1000.0)]
    assert spot.reclaims == 1


def test_a_server_that_is_off_is_not_reclaimed() -> None:
    world, spot = reclaimed(0, 1000.0, 5000.0)
    world.until(3000.0)

    assert spot.reclaims == 0
    assert world.plane.log == [(0.0, number, life) for number in range(4) for life in ("draining", "off")]


def test_a_gap_shorter_than_the_notice_ends_with_it() -> None:
    world, _ = reclaimed(1, 1000.0, 10.0, 5000.0, numbers=tuple(range(4)))
    world.plane.work(0, 9999.0)

    world.until(1100.0)
    assert world.lives == "draining off off off"
    world.until(1120.0)
    assert world.lives == "starting off off off"
    assert len(world.plane.lost) == 1


def test_what_is_not_there_at_the_start_is_off_until_it_is() -> None:
    world = World(0, offer=SPOT)
    spot = SpotCapacity(world.servers, [0, 1, 2, 3], iter([(False, 50.0), (True, 1e9), (False, 1.0)]), 120.0)
    assert not spot.there
    world.servers.begin(2, spot.numbers)
    world.clock.process(spot.run(world.clock))

    world.until(49.0)
    assert world.lives == "off off off off"
    world.until(110.0)
    assert world.lives == "open open off off"


def test_requests_an_empty_pool_holds_move_to_what_is_there() -> None:
    world, _ = reclaimed(0, 1000.0, 5000.0, holds=True)
    assert world.plane.state.accepting.tolist() == [2, 0, 0, 0]
    world.plane.work(0, 9999.0)

    world.until(1000.0)
    assert world.plane.state.accepting.tolist() == [0, 2, 0, 0]
    assert len(world.plane.lost) == 1


def test_runs_may_be_endless() -> None:
    world = World(1, offer=SPOT)
    spot = SpotCapacity(world.servers, [0], ((True, length_s) for length_s in repeat(float("inf"))), 0.0)
    world.clock.process(spot.run(world.clock))
    world.until(1e6)

    assert world.lives == "open off off off"
