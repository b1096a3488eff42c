"""Quantiles from histograms and intervals, against numpy and scipy, and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from sim.engine.meter import BINS, bin_edges_s
from sim.stats import (
    batch_means_interval,
    bootstrap_quantile,
    half_width,
    histogram_quantiles,
    jackknife,
    lag_one,
    paired_bootstrap,
    prediction_interval,
)

PROBABILITIES = [0.01, 0.5, 0.9, 0.95, 0.99, 1.0]


def histogram(seconds: list[float]) -> np.ndarray:
    counts, _ = np.histogram(seconds, bin_edges_s())
    assert counts.size == BINS
    return counts.astype(np.int64)


@given(st.lists(st.floats(1e-5, 1e6), min_size=1, max_size=200))
def test_quantiles_are_off_by_less_than_a_bin(seconds: list[float]) -> None:
    exact = np.quantile(seconds, PROBABILITIES, method="inverted_cdf")

    assert histogram_quantiles(histogram(seconds), PROBABILITIES) == pytest.approx(exact.tolist(), rel=0.004)


def test_quantiles_never_fall() -> None:
    seconds = np.random.default_rng(1).lognormal(0.0, 2.0, 10_000).tolist()
    found = histogram_quantiles(histogram(seconds), np.linspace(0.001, 1.0, 1000).tolist())

    assert np.all(np.diff(found) >= 0)


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert np.isnan(histogram_quantiles(np.zeros(BINS, dtype=np.int64), [0.5, 0.99])).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_half_width_is_that_of_the_student_interval(values: list[float], confidence: float) -> None:
    error = np.std(values, ddof=1) / np.sqrt(len(values))

    assert half_width(values, confidence) == pytest.approx(t.ppf(0.5 + confidence / 2, len(values) - 1) * error)


def test_three_values_by_hand() -> None:
    # t(0.975, 2) = 4.3027, standard deviation 1
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)


def test_what_is_missing_does_not_count() -> None:
    assert half_width([1.0, float("nan"), 2.0, 3.0]) == half_width([1.0, 2.0, 3.0])


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")]])
def test_less_than_two_values_have_no_interval(values: list[float]) -> None:
    assert np.isnan(half_width(values))


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(10.0, 2.0, (2000, 5))
    held = [abs(sample.mean() - 10.0) <= half_width(sample.tolist()) for sample in samples]

    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def autoregression(random: np.random.Generator, correlation: float, values: int) -> list[float]:
    """A series of mean 5 and variance 1 whose neighbours are so correlated, in equilibrium from the start."""
    series = [random.normal()]
    for shock in random.normal(scale=np.sqrt(1 - correlation**2), size=values - 1):
        series.append(correlation * series[-1] + shock)
    return [5.0 + value for value in series]


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.92), (0.5, 0.90), (0.7, 0.86)])
def test_batch_means_hold_the_mean_of_correlated_batches(correlation: float, least: float) -> None:
    """Student's interval of the same forty batches holds it in 94, 74 and 59 of a hundred series."""
    random = np.random.default_rng(4)
    series = [autoregression(random, correlation, 40) for _ in range(500)]
    found = [batch_means_interval(values) for values in series]

    assert np.mean([each.low <= 5.0 <= each.high for each in found]) >= least
    plain = np.mean([abs(np.mean(values) - 5.0) <= half_width(values) for values in series])
    assert (plain < least) == (correlation > 0.0)


def test_batch_means_of_what_does_not_vary_have_no_width() -> None:
    assert batch_means_interval([2.0] * 40) == (2.0, 2.0, 2.0)
    assert np.isnan(batch_means_interval([2.0]).low)


def test_a_long_tail_moves_the_interval_towards_it() -> None:
    low, high = batch_means_interval([1.0] * 18 + [1.2, 9.0], point=1.4)[1:]

    assert high - 1.4 > 1.4 - low


def test_lag_one_is_the_correlation_of_neighbours() -> None:
    values = np.asarray(autoregression(np.random.default_rng(5), 0.6, 20_000))

    assert lag_one(values) == pytest.approx(np.corrcoef(values[1:], values[:-1])[0, 1], abs=0.001)
    assert lag_one(np.ones(5)) == 0.0


def test_pseudo_values_of_a_ratio_tell_its_spread() -> None:
    """As the delta method does."""
    random = np.random.default_rng(6)
    above, below = random.gamma(5.0, size=(2, 200))
    ratio = above.sum() / below.sum()
    pseudo = jackknife(ratio, ((above.sum() - above) / (below.sum() - below)).tolist())

    delta = np.std((above - ratio * below) / below.mean(), ddof=1)
    assert np.std(pseudo, ddof=1) == pytest.approx(delta, rel=0.02)


def test_the_bootstrap_of_a_quantile_holds_it() -> None:
    """Of twelve runs of 500 each: the true 95th percentile of an exponential law is ln 20."""
    random, held = np.random.default_rng(7), []
    for _ in range(100):
        counts = np.stack([histogram(random.exponential(size=500).tolist()) for _ in range(12)])
        found = bootstrap_quantile(counts, 0.95, random)
        held.append(found.low <= np.log(20.0) <= found.high)

    assert np.mean(held) >= 0.88
    assert found.mean == pytest.approx(histogram_quantiles(counts.sum(axis=0), [0.95])[0])


def test_a_paired_bootstrap_knows_what_runs_share() -> None:
    random = np.random.default_rng(8)
    levels = random.lognormal(0.0, 0.5, 15)
    draws = [level * random.exponential(size=500) for level in levels]
    counts, others = (np.stack([histogram((f * each).tolist()) for each in draws]) for f in (1.2, 1.0))
    paired = paired_bootstrap(counts, others, 0.5, random)
    apart = [bootstrap_quantile(each, 0.5, random) for each in (counts, others)]

    assert 0.0 < paired.low < paired.high
    assert paired.high - paired.low < 0.3 * max(each.high - each.low for each in apart)
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_bootstrap(counts, others[:-1], 0.5, random)


def test_empty_histograms_have_no_interval() -> None:
    assert np.isnan(bootstrap_quantile(np.zeros((12, BINS), np.int64), 0.5, np.random.default_rng(1))).all()


@pytest.mark.parametrize("values", [5, 60])
def test_the_next_value_lies_in_its_interval_as_often_as_it_says(values: int) -> None:
    samples = np.random.default_rng(9).normal(10.0, 2.0, (2000, values + 1))
    found = [prediction_interval(sample[:-1].tolist()) for sample in samples]
    held = [each.low <= sample[-1] <= each.high for each, sample in zip(found, samples, strict=True)]

    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
