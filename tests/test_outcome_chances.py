"""Chances of right answers: closed forms against draws, and against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import spearmanr

from sim.outcomes.confidence import confidences
from sim.outcomes.difficulty import CELLS, cells_of, chances, ranks, shifted
from sim.outcomes.luck import ANSWER, uniforms
from sim.outcomes.plurality import plurality_chances, wrong_shares
from sim.outcomes.thinking import Prepared, Thinking
from sim.outcomes.verifier import verdicts, verified_chances
from sim.strategies import Plurality
from tests.drawn_answers import answers, plurality_is_right

KEYS = np.random.default_rng(8).integers(0, 2**63 - 1, 40_000)


@pytest.mark.parametrize("samples", [1, 2, 3, 8, 33])
@pytest.mark.parametrize(
    "law", [Plurality(), Plurality(5, 1.7, 0.2), Plurality(12, 1.34, 0.19), Plurality(3, 1.0, 0.6)]
)
def test_the_plurality_of_drawn_answers_is_right_as_often_as_computed(samples: int, law: Plurality) -> None:
    for p in (0.1, 0.35, 0.7):
        drawn = plurality_is_right(answers(KEYS, np.full(KEYS.size, p), samples, law), law)
        expected = plurality_chances(np.array([p]), samples, law)[0]
        assert abs(drawn.mean() - expected) < 4.0 * np.sqrt(0.25 / KEYS.size)


def test_a_vote_of_two_is_by_hand() -> None:
    """Right first, or blank first and then right."""
    p, law = np.linspace(0.0, 1.0, 11), Plurality(7, 2.0, 0.3)
    assert plurality_chances(p, 2, law) == pytest.approx(p * (1.0 + (1.0 - p) * 0.3))


def test_a_vote_of_three_is_the_sum_over_all_outcomes() -> None:
    law, p = Plurality(3, 1.5, 0.25), 0.4
    shares = [p, *((1.0 - p) * 0.75 * wrong_shares(law)), (1.0 - p) * 0.25]
    blank = len(shares) - 1
    total = 0.0
    for outcome in itertools.product(range(len(shares)), repeat=3):
        said = [answer for answer in outcome if answer != blank]
        if said and max(said, key=lambda answer: (said.count(answer), -said.index(answer))) == 0:
            total += float(np.prod([shares[answer] for answer in outcome]))
    assert plurality_chances(np.array([p]), 3, law)[0] == pytest.approx(total, abs=1e-12)


def test_votes_help_where_the_right_answer_is_the_favourite_and_harm_elsewhere() -> None:
    law = Plurality(4, 1.0, 0.0)
    few, many = (plurality_chances(np.array([0.1, 0.6]), samples, law) for samples in (1, 65))
    assert many[0] < few[0] - 0.05
    assert many[1] > few[1] + 0.3


@pytest.mark.parametrize(("solutions", "verifications"), [(1, 4), (2, 1), (4, 3), (16, 8)])
def test_the_best_verified_solution_is_right_as_often_as_computed(solutions: int, verifications: int) -> None:
    random, rows, p = np.random.default_rng(3), 60_000, 0.3
    right = random.random((rows, solutions)) < p
    quality = np.where(right, random.beta(2.5, 0.7, right.shape), random.beta(0.6, 1.2, right.shape))
    score = random.binomial(verifications, quality) + random.random(right.shape) * 0.5
    picked = right[np.arange(rows), score.argmax(axis=1)]
    expected = verified_chances(np.array([p]), solutions, verifications, (2.5, 0.7), (0.6, 1.2))[0]
    assert abs(picked.mean() - expected) < 4.0 * np.sqrt(0.25 / rows)


def test_verdicts_of_a_verifier_that_knows_nothing_are_worth_nothing() -> None:
    p = np.linspace(0.05, 0.95, 7)
    assert verified_chances(p, 32, 8, (1.0, 2.0), (1.0, 2.0)) == pytest.approx(p)
    assert verdicts(8, (1.0, 1.0)) == pytest.approx(np.full(9, 1 / 9))


@given(some.floats(0.001, 0.999), some.floats(0.05, 50.0))
@settings(max_examples=60)
def test_chances_have_their_mean_and_rise_with_ease(mean: float, concentration: float) -> None:
    p = chances(mean, concentration)
    assert p.shape == (CELLS,)
    assert p.mean() == pytest.approx(mean, abs=1e-6)
    assert np.all(np.diff(p) >= -1e-9)
    assert np.all((p >= 0.0) & (p <= 1.0))


def test_chances_have_the_spread_of_their_beta_law() -> None:
    p = chances(0.3, 4.0)
    assert p.var() == pytest.approx(0.3 * 0.7 / 5.0, rel=1e-3)


def test_certain_answers_have_no_spread() -> None:
    assert chances(0.0, 1.0).max() == 0.0
    assert chances(1.0, 1.0).min() == 1.0


def test_a_shift_of_log_odds_can_be_taken_back() -> None:
    p = np.array([0.0, 0.2, 0.9, 1.0])
    assert shifted(shifted(p, 1.3), -1.3) == pytest.approx(p)


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.4, 0.9])
def test_difficulty_and_predictability_go_together_as_the_copula_says(rho: float) -> None:
    own, context = uniforms(KEYS, 10), uniforms(KEYS, 11)
    both = ranks(own, context, rho)
    expected = 6.0 / np.pi * np.arcsin(rho / 2.0)
    assert abs(spearmanr(both, context).statistic - expected) < 0.02
    assert abs(both.mean() - 0.5) < 0.01


def test_questions_without_a_context_keep_their_own_rank() -> None:
    own = np.array([0.2, 0.7])
    assert ranks(own, np.array([np.nan, 0.1]), 0.5)[0] == 0.2


def test_every_rank_has_a_cell() -> None:
    assert cells_of(np.array([0.0, 0.5, np.nextafter(1.0, 0.0), 1.0])).tolist() == [0, CELLS // 2, CELLS - 1, CELLS - 1]


def test_thinking_saturates_and_harms_beyond_its_peak() -> None:
    curve = Thinking(ceiling=0.9, floor=0.1, half_tokens=100, steepness=2, peak_tokens=1000, decline=0.2)
    assert curve.accuracy(1e-9) == pytest.approx(0.1)
    assert curve.accuracy(100) == pytest.approx(0.5)
    assert curve.accuracy(1000) > curve.accuracy(999)
    assert curve.accuracy(2000) < curve.accuracy(1000)
    assert Thinking(ceiling=0.4).accuracy(7) == 0.4


@given(some.floats(20.0, 800.0), some.floats(0.2, 1.3), some.floats(0.3, 1.8), some.floats(0.0, 0.6))
def test_enough_tokens_on_a_prepared_context_are_as_good_as_the_budget(
    budget: float, weight: float, scale: float, exponent: float
) -> None:
    law = Prepared(scale, exponent, 500.0)
    spent = law.enough(budget, weight, 20.0)
    assert 20.0 <= spent <= budget
    if 20.0 < spent < budget:
        assert law.equivalent(spent, weight) == pytest.approx(budget)


def test_a_context_that_foretells_more_is_worth_more() -> None:
    law = Prepared(1.06, 0.59, 500.0)
    assert law.equivalent(50, 1.2) > law.equivalent(50, 0.8) > 50
    assert law.equivalent(500, 1.2) > 500
    assert Prepared(0.6, 0.5, 500.0).equivalent(500, 1.2) == pytest.approx(300)


@pytest.mark.parametrize("auc", [0.5, 0.75, 0.95])
def test_confidence_tells_right_from_wrong_as_well_as_asked_and_means_what_it_says(auc: float) -> None:
    p = np.where(uniforms(KEYS, 10) < 0.5, 0.9, 0.3)
    right = uniforms(KEYS, ANSWER) < p
    sure = confidences(KEYS, p, prior=float(p.mean()), auc=auc, step=0)
    pairs = 20_000
    wins = np.random.default_rng(1).permutation(sure[right])[:pairs]
    losses = np.random.default_rng(2).permutation(sure[~right])
    losses = np.resize(losses, wins.size)
    assert abs(np.mean((wins > losses) + 0.5 * (wins == losses)) - auc) < 0.015
    high = sure >= np.quantile(sure, 0.7)
    assert abs(right[high].mean() - sure[high].mean()) < 0.02
