"""Differences between runs on the same streams: what they share falls out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from sim.stats import Estimate, estimate, half_width, paired_difference

NAN = float("nan")


def test_a_paired_difference_is_that_of_the_t_test() -> None:
    rng = np.random.default_rng(4)
    values, others = rng.normal(10.0, 3.0, (2, 7)).tolist()
    told = ttest_rel(values, others).confidence_interval(0.95)

    found = paired_difference(values, others)

    assert found.mean == pytest.approx(np.mean(values) - np.mean(others))
    assert (found.low, found.high) == pytest.approx((told.low, told.high))


def test_luck_that_both_share_falls_out() -> None:
    luck = np.random.default_rng(5).normal(0.0, 100.0, 6)
    cheap, dear = (luck + 1.0).tolist(), (luck + 2.0).tolist()

    assert paired_difference(cheap, dear) == pytest.approx((-1.0, -1.0, -1.0))
    assert half_width(cheap) > 50.0


def test_three_pairs_by_hand() -> None:
    # Differences 1, 2, 3: t(0.975, 2) = 4.3027, standard deviation 1.
    found = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])

    assert found == pytest.approx((2.0, 2.0 - 4.3027 / np.sqrt(3), 2.0 + 4.3027 / np.sqrt(3)), rel=1e-4)


def test_a_pair_with_a_missing_value_does_not_count() -> None:
    assert paired_difference([1.0, NAN, 3.0, 9.0], [0.0, 1.0, 1.0, NAN]) == paired_difference([1.0, 3.0], [0.0, 1.0])


def test_runs_of_unlike_length_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("values", "mean"), [([], NAN), ([NAN], NAN), ([2.0], 2.0)])
def test_less_than_two_values_have_a_mean_at_most(values: list[float], mean: float) -> None:
    assert estimate(values) == pytest.approx(Estimate(mean, NAN, NAN), nan_ok=True)


def test_intervals_of_differences_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(6)
    luck = rng.normal(0.0, 5.0, (2000, 5))
    pairs = zip(luck + rng.normal(1.0, 1.0, luck.shape), luck + rng.normal(0.0, 1.0, luck.shape), strict=True)
    found = [paired_difference(values.tolist(), others.tolist()) for values, others in pairs]

    assert np.mean([one.low <= 1.0 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)
