"""Random spot prices, and runs in which spot capacity is there."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from math import exp, inf, log, sqrt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from sim.errors import InputError
from sim.prices import availability_runs, gpu_prices
from sim.scenario import Availability, RunLengths, Spot, SpotProcess
from sim.streams import RandomStreams

UTC, MONDAY = ZoneInfo("UTC"), datetime(2026, 1, 5)
HOUR = 3600.0


def random(replication: int = 0) -> np.random.Generator:
    return RandomStreams(seed=7, replication=replication).generator("spot")


def prices_of(count: int, replication: int = 0, **changes: Any) -> np.ndarray[Any, Any]:
    """Hourly prices of a process of mean 2, volatility 0.3 and half-life 6 h."""
    process = SpotProcess(**({"mean_usd_per_gpu_hour": 2.0, "volatility": 0.3, "half_life": 6 * HOUR} | changes))
    clock = gpu_prices(Spot(tariff=process), "any", MONDAY, UTC, random(replication))
    return np.array([period.rates[0] for period in islice(clock.periods(), count)])


def test_the_mean_spot_price_is_as_given() -> None:
    # Successive prices are correlated (0.891 an hour), so 60,000 of them are worth about 60,000 / 17.
    assert prices_of(60_000).mean() == pytest.approx(2.0, abs=4 * 0.62 / sqrt(60_000 / 17))


def test_the_logarithm_has_the_volatility_and_halves_in_the_half_life() -> None:
    logs = np.log(prices_of(60_000))
    deviations = logs - (log(2.0) - 0.3**2 / 2)

    assert deviations.std() == pytest.approx(0.3, rel=0.04)
    assert np.mean(deviations[6:] * deviations[:-6]) / np.mean(deviations**2) == pytest.approx(0.5, abs=0.04)


def test_a_price_starts_in_equilibrium() -> None:
    first = np.log([prices_of(1, replication)[0] for replication in range(2000)])

    assert first.std() == pytest.approx(0.3, rel=0.06)


def test_finer_steps_are_the_same_process() -> None:
    every_sixth = np.log(prices_of(60_000, step=600.0)[::6])
    deviations = every_sixth - (log(2.0) - 0.3**2 / 2)

    assert np.mean(deviations[6:] * deviations[:-6]) / np.mean(deviations**2) == pytest.approx(0.5, abs=0.06)


def test_floor_and_cap_hold() -> None:
    prices = prices_of(5000, floor_usd_per_gpu_hour=1.8, cap_usd_per_gpu_hour=2.2)

    assert (prices.min(), prices.max()) == (1.8, 2.2)


def test_without_randomness_the_price_is_its_mean() -> None:
    clock = gpu_prices(Spot(tariff="spot-aws-us-east-1-H100-SXM"), "H100-SXM", MONDAY, UTC, None)

    assert list(clock.periods()) == [(0.0, inf, "spot", (2.0399,))]


def test_the_same_stream_gives_the_same_prices() -> None:
    assert prices_of(100).tolist() == prices_of(100).tolist()
    assert prices_of(100).tolist() != prices_of(100, replication=1).tolist()


RUNS = Availability(up=RunLengths(median=HOUR, mean=2 * HOUR), down=RunLengths(median=0.5 * HOUR, mean=0.75 * HOUR))


def test_runs_of_capacity_have_their_median_and_mean() -> None:
    runs = list(islice(availability_runs(RUNS, random()), 1, 60_001))
    up, down = (np.array([seconds for is_up, seconds in runs if is_up is state]) / HOUR for state in (True, False))

    assert [np.median(up), up.mean(), np.median(down), down.mean()] == pytest.approx([1, 2, 0.5, 0.75], rel=0.05)
    assert np.std(np.log(up)) == pytest.approx(sqrt(2 * log(2)), rel=0.02)


def test_up_and_down_come_in_turn() -> None:
    states = [is_up for is_up, _ in islice(availability_runs(RUNS, random()), 6)]

    assert states in ([True, False] * 3, [False, True] * 3)


def up_at(time_s: float, replication: int) -> bool:
    for is_up, seconds in availability_runs(RUNS, random(replication)):
        time_s -= seconds
        if time_s < 0:
            return is_up
    raise AssertionError("runs never end")


@pytest.mark.parametrize("hours", [0.0, 0.4, 3.0])
def test_the_share_of_time_with_capacity_is_right_from_the_start(hours: float) -> None:
    share = np.mean([up_at(hours * HOUR, replication) for replication in range(3000)])

    # 2 of 2.75 hours; three standard errors.
    assert share == pytest.approx(2 / 2.75, abs=3 * sqrt(0.727 * 0.273 / 3000))


def test_the_first_run_is_what_is_left_of_one() -> None:
    firsts = [next(availability_runs(RUNS, random(replication))) for replication in range(4000)]
    left = np.array([seconds for is_up, seconds in firsts if is_up]) / HOUR

    # A run's mean residual is E[L^2] / (2 E[L]) = mean * exp(sigma^2) / 2, here 2 * 4 / 2; its tail is long.
    assert np.median(left) == pytest.approx(median_residual(), rel=0.1)


def median_residual() -> float:
    """By numbers: the residual has density P(L > x) / E[L]."""
    from scipy.stats import lognorm

    grid = np.linspace(0, 40, 400_001)
    survival = lognorm(s=sqrt(2 * log(2)), scale=1.0).sf(grid)
    return float(grid[np.searchsorted(np.cumsum(survival) * 1e-4 / 2.0, 0.5)])


def test_without_availability_capacity_is_always_there() -> None:
    assert list(availability_runs(None, random())) == [(True, inf)]


def test_runs_may_be_of_one_length() -> None:
    steady = Availability(up=RunLengths(median=HOUR, mean=HOUR), down=RunLengths(median=60.0, mean=60.0))
    lengths = {seconds for _, seconds in islice(availability_runs(steady, random()), 1, 9)}

    assert lengths == {HOUR, 60.0}


def test_a_zone_has_a_shipped_fit() -> None:
    zone = Availability(zone="aws-us-west-2a-v100x1-2023-02")
    up = [seconds for is_up, seconds in islice(availability_runs(zone, random()), 1, 20_001) if is_up]

    assert np.median(up) / HOUR == pytest.approx(1.029, rel=0.1)
    assert exp(np.mean(np.log(up))) / HOUR == pytest.approx(1.029, rel=0.1)


def test_a_zone_that_nobody_knows_is_told() -> None:
    with pytest.raises(InputError, match="is no shipped zone of spot availability, did you mean 'aws-us-west-2a-v100x"):
        availability_runs(Availability(zone="aws-us-west-2a-v100"), random())
