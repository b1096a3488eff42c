"""Figures of an evaluation on cases small enough to do by hand, and what no relabelling may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.evaluation.curves import accuracy_at, aiq, spend_at
from router.evaluation.pairs import recovered
from router.evaluation.resampling import Draws, interval
from router.evaluation.scoring import auc, bin_of, error_by_chance, expected_calibration_error, scores_of
from router.evaluation.table import Judged
from router.evaluation.ways import Sweep, by_price, fixed, mixes, oracle, threshold
from router.types import Floats


def draws_of(n: int, draws: int = 3) -> Draws:
    return Draws(np.arange(n), draws=draws)


def judged(p: Floats, correct: Floats, usd: Floats, expected: Floats | None = None) -> Judged:
    names = tuple(f"s{place}" for place in range(p.shape[1]))
    return Judged(names, np.arange(len(p)), p, correct, usd, usd if expected is None else expected, usd)


def random_table(seed: int, n: int = 40, strategies: int = 3) -> Judged:
    generator = np.random.default_rng(seed)
    p = generator.random((n, strategies)).round(1)
    correct = (generator.random((n, strategies)) < p).astype(float)
    usd = generator.integers(1, 6, (n, strategies)) * (10.0 ** np.arange(strategies)) * 1e-6
    return judged(p, correct, usd, usd * generator.uniform(0.8, 1.2, usd.shape))


def test_scores_of_four_questions_are_those_done_by_hand() -> None:
    p, correct = np.array([0.2, 0.2, 0.6, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])

    found = scores_of(p, correct, draws_of(4))

    # Right 0.2 and 0.9 against wrong 0.2 and 0.6: a tie, a loss, two wins.
    assert found["auc"]["value"] == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    # Bins of 1/15: both 0.2 in one (0.4 said, 1 came), the others alone.
    assert found["ece"]["value"] == pytest.approx((abs(0.4 - 1) + 0.6 + 0.1) / 4)
    assert found["brier"]["value"] == pytest.approx((0.04 + 0.64 + 0.36 + 0.01) / 4)
    parts = {name: part["value"] for name, part in found["brier_parts"].items()}
    assert parts["reliability"] == pytest.approx((2 * 0.3**2 + 0.6**2 + 0.1**2) / 4)
    assert parts["resolution"] == pytest.approx((2 * 0.0 + 0.5**2 + 0.5**2) / 4)
    assert parts["uncertainty"] == pytest.approx(0.25)
    assert parts["within"] == pytest.approx(0.0, abs=1e-12)
    assert found["log_loss"]["value"] == pytest.approx(-np.log([0.8, 0.2, 0.4, 0.9]).mean())


def test_what_bins_hide_of_the_brier_score_is_variance_less_twice_covariance() -> None:
    p, correct = np.array([0.41, 0.45, 0.95]), np.array([0.0, 1.0, 1.0])

    within = scores_of(p, correct, draws_of(3))["brier_parts"]["within"]["value"]

    assert within == pytest.approx((0.0004 - 2 * 0.01) * 2 / 3)


def test_shares_of_trials_count_as_so_many_right_and_wrong_answers() -> None:
    p, half = np.array([0.3, 0.7]), np.array([0.5, 1.0])
    split = (np.array([0.3, 0.3, 0.7, 0.7]), np.array([0.0, 1.0, 1.0, 1.0]))

    mean, whole = scores_of(p, half, draws_of(2)), scores_of(*split, draws_of(4))

    for name in ("auc", "ece", "brier", "log_loss"):
        assert mean[name]["value"] == pytest.approx(whole[name]["value"])


def test_bins_of_equal_mass_keep_equal_chances_together() -> None:
    p = np.array([0.1] * 6 + [0.2, 0.3, 0.4, 0.5])

    counts = np.bincount(bin_of(p, bins=5, equal_mass=True))

    assert counts.tolist()[0] == 6
    assert counts.sum() == 10


def test_calibration_error_by_chance_is_what_exact_chances_show() -> None:
    generator = np.random.default_rng(3)
    p = generator.random(2000)
    bins = bin_of(p)

    def shown(correct: Floats) -> float:
        sums = np.stack([np.bincount(bins, weights=values) for values in (np.ones(p.size), p, correct)], axis=1)
        return float(expected_calibration_error(sums[None])[0])

    mean = np.mean([shown((generator.random(p.size) < p).astype(float)) for _ in range(200)])

    assert error_by_chance(p, bins) == pytest.approx(mean, rel=0.05)


def test_gap_recovered_on_four_questions() -> None:
    cheap, strong = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])
    score = np.array([4.0, 3.0, 2.0, 1.0])

    apgr, cpt, curve = recovered(score, cheap, strong, shares=np.array([0.0, 0.25, 0.5, 0.75, 1.0]))

    # One gained, none, one gained, one lost: of a gap of one answer 0, 1, 1, 2, 1.
    assert curve.tolist() == [[0.0, 1.0, 1.0, 2.0, 1.0]]
    assert apgr.tolist() == [(0.5 + 1.0 + 1.5 + 1.5) / 4]
    assert cpt.tolist() == [[0.125, 0.2]]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_order_of_questions_and_stretching_of_scores_change_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.integers(0, 8, 30) / 8.0
    cheap, strong = (generator.random((2, 30)) < [[0.4], [0.8]]).astype(float)
    order = generator.permutation(30)
    plain = (auc(score, strong), *recovered(score, cheap, strong))

    stretched = (auc(score**3, strong), *recovered(np.exp(score), cheap, strong))
    shuffled = (auc(score[order], strong[order]), *recovered(score[order], cheap[order], strong[order]))

    for mine, other, third in zip(plain, stretched, shuffled, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-12)
        np.testing.assert_allclose(mine, third, atol=1e-12)


def test_a_score_that_knows_nothing_recovers_half_the_gap() -> None:
    generator = np.random.default_rng(5)
    cheap, strong = (generator.random((2, 4000)) < [[0.5], [0.8]]).astype(float)

    equal, _, _ = recovered(np.zeros(4000), cheap, strong)
    random = [recovered(generator.random(4000), cheap, strong)[0][0] for _ in range(50)]

    assert equal[0] == pytest.approx(0.5, abs=1e-12)
    assert np.mean(random) == pytest.approx(0.5, abs=0.01)


def test_the_learned_rule_goes_from_the_cheapest_to_the_likeliest() -> None:
    p = np.array([[0.1, 0.9], [0.8, 0.9], [0.5, 0.6]])
    correct = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    usd = np.array([[1.0, 3.0]] * 3)

    sweep = by_price(judged(p, correct, usd), draws_of(3))

    # First the question with most to gain goes to the strong strategy, then those with a tenth.
    assert sweep.usd[0].tolist() == pytest.approx([1.0, 5 / 3, 3.0])
    assert sweep.right[0].tolist() == pytest.approx([2 / 3, 1.0, 2 / 3])
    assert sweep.share[1].tolist() == pytest.approx([2 / 3, 1 / 3])


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_no_way_does_better_than_the_oracle_at_any_spend(seed: int) -> None:
    table = random_table(seed)
    draws = Draws(table.group, draws=0 + 1)
    singles = fixed(table, draws)
    upper = oracle(table, draws)

    ways = [by_price(table, draws), mixes(singles), threshold(table, draws, 0, 2, "gain")]

    for way in ways:
        room = accuracy_at(upper, way.usd)[0] - way.right[0]
        assert np.nanmin(room) > -1e-9
        assert aiq(upper, singles)[0] >= aiq(way, singles)[0] - 1e-9


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_questions_and_strategies_changes_no_curve(seed: int) -> None:
    table = random_table(seed)
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(40), generator.permutation(3)
    other = judged(*(values[rows][:, columns] for values in (table.p, table.correct, table.usd, table.expected_usd)))

    mine, theirs = (by_price(one, Draws(one.group, draws=1)) for one in (table, other))

    np.testing.assert_allclose(mine.usd[0], theirs.usd[0], rtol=1e-12)
    np.testing.assert_allclose(mine.right[0], theirs.right[0], rtol=1e-12)


def test_mixes_keep_strategies_on_the_hull_only() -> None:
    usd = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)
    right = np.array([[0.2, 0.3, 0.8, 0.7]] * 2)

    mix = mixes(Sweep(usd, right, np.eye(4)))

    assert mix.usd[0].tolist() == [1.0, 3.0]
    assert mix.right[0].tolist() == [0.2, 0.8]


def test_aiq_is_the_mean_height_over_the_range_of_the_strategies() -> None:
    singles = Sweep(np.array([[1.0, 3.0]]), np.array([[0.2, 0.6]]), np.eye(2))
    bent = Sweep(np.array([[1.0, 2.0, 3.0]]), np.array([[0.2, 0.6, 0.5]]), np.eye(3)[:, :2])

    assert aiq(singles, singles).tolist() == pytest.approx([0.4])
    # It rises to 0.6 at 2 and stays, as the hull never falls.
    assert aiq(bent, singles).tolist() == pytest.approx([0.5])


def test_spend_at_an_accuracy_is_the_least_one() -> None:
    bent = Sweep(np.array([[1.0, 2.0, 3.0]]), np.array([[0.2, 0.6, 0.5]]), np.eye(3)[:, :2])

    assert spend_at(bent, np.array([0.5])).tolist() == pytest.approx([1.75])


def test_groups_are_drawn_whole_and_draws_follow_the_seed() -> None:
    group = np.repeat(np.arange(50), 4)
    values = np.repeat(np.random.default_rng(0).random(50), 4)

    by_group = interval(Draws(group, 400, seed=1).means(values))
    again = interval(Draws(group, 400, seed=1).means(values))
    alone = interval(Draws(np.arange(200), 400, seed=1).means(values))

    def width(found: object) -> float:
        assert isinstance(found, dict)
        return float(found["high"] - found["low"])

    assert by_group == again
    # Four equal values are one: the interval is twice as wide as if they were independent.
    assert width(by_group) == pytest.approx(2.0 * width(alone), rel=0.15)
