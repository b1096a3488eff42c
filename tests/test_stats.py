"""Quantiles from histograms and Student intervals, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from sim.engine.meter import BINS, bin_edges_s
from sim.stats import half_width, histogram_quantiles

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
