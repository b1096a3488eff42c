"""The chance that one more month misses a target, foretold from few: as often right as it says."""

import numpy as np
import pytest

from sim.planning.search.judge import chance_below


@pytest.mark.parametrize("months", [3, 5, 12])
def test_one_more_month_lies_below_as_often_as_foretold(months):
    random = np.random.default_rng(months)
    values = random.normal(5000.0, 300.0, (3000, months + 1))
    foretold = np.array([chance_below(row[:-1].tolist(), row[-1]) for row in values])
    for chance in (0.05, 0.5, 0.95):
        assert (foretold < chance).mean() == pytest.approx(chance, abs=3 * np.sqrt(chance * (1 - chance) / 3000) + 1e-3)


def test_fewer_months_are_less_sure():
    below = 4500.0
    few, many = ([4800.0, 5200.0] * repeats for repeats in (2, 20))
    assert chance_below(few, below) > chance_below(many, below) > 0.0
