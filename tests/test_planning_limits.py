"""An API's rate limit, and capacity that comes and goes, as an instance tells them."""

import numpy as np
import pytest

from sim.load import load_scenario
from sim.planning.service.estimate import Estimator


@pytest.fixture(scope="module")
def desk():
    scenario = load_scenario("plan-support-desk")
    return scenario, Estimator(scenario)


def test_requests_take_a_part_of_an_apis_minute_for_each_call(desk):
    scenario, estimator = desk
    api = estimator.instance(scenario)
    place = [pool.name for pool in scenario.fleet].index("api")
    assert api.work_s[0, :, place].tolist() == pytest.approx([1.0, 1.0, 1.0, 4.0])
    assert (api.supplies[place].ceiling == 0.85).all()


def test_a_tighter_limit_of_tokens_counts(desk):
    scenario, _ = desk
    at = [pool.name for pool in scenario.fleet].index("api")
    tight = load_scenario("plan-support-desk", [f"fleet.{at}.rate_limit.tokens_per_minute=60000"])
    work_s = Estimator(tight).instance(tight).work_s[0, :, at]
    assert np.all(np.diff(work_s[:3]) > 0)
    assert work_s[0] > 1.5


def test_the_least_that_a_plan_costs_knows_no_limit(desk):
    scenario, estimator = desk
    hopeful, careful = (estimator.instance(scenario, optimistic=each) for each in (True, False))
    assert all(supply.ceiling is None for supply in hopeful.supplies if supply.kind == "api")
    assert [supply.together for supply in careful.supplies] == [False, False, True, False, False]
    assert not any(supply.together for supply in hopeful.supplies)
    assert careful.away_late_share == pytest.approx((1.0 - scenario.plan.targets.slo) / 3.0)
