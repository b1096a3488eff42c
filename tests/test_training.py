"""What training costs once, spread over the time or the requests it is good for."""

from __future__ import annotations

from math import inf

import pytest

from sim.errors import InputError
from sim.fleet import build_fleet
from sim.ledger import Entry
from sim.training import Spread, break_even_requests, spreads_of, training_entries
from tests.small import pool, scenario

WINDOWS = {"day": 7200.0, "night": 1800.0}
TWO = [{"name": "a", "pool": "one"}, {"name": "b", "pool": "two"}]
CASCADE = {"name": "c", "kind": "cascade", "steps": ["a", "b"]}


def entries(spread: Spread, answered: int = 0) -> list[Entry]:
    return list(training_entries([spread], lambda pool: WINDOWS, lambda strategies: answered))


def test_each_moment_bears_the_same_of_what_is_spread_over_time() -> None:
    """A hundred dollars over a hundred hours, of which two and a half have passed."""
    assert entries(Spread(100.0, 1, [0], over_s=360_000.0)) == [
        Entry("training", 1, "day", pytest.approx(2.0)),
        Entry("training", 1, "night", pytest.approx(0.5)),
    ]


def test_each_answer_bears_the_same_of_what_is_spread_over_requests() -> None:
    assert entries(Spread(100.0, 0, [0], over_requests=1e6), answered=2500) == [Entry("training", 0, "day", 0.25)]
    assert entries(Spread(100.0, 0, [0], over_requests=1e6)) == []


def test_a_training_is_borne_by_the_first_pool_of_what_was_trained() -> None:
    """A cascade through it counts with it."""
    given = scenario(
        fleet=[pool(name="one"), pool(name="two")],
        strategies=[*TWO, CASCADE],
        training=[
            {"name": "tune", "usd": 500, "over": "365d", "strategies": ["b"]},
            {"name": "distil", "usd": 900, "over_requests": 1000, "strategies": ["a", "b"]},
        ],
    )

    assert spreads_of(given, build_fleet(given)) == [
        Spread(500.0, 1, [1, 2], over_s=365 * 86_400.0, over_requests=inf),
        Spread(900.0, 0, [0, 1, 2], over_s=inf, over_requests=1000),
    ]


def test_a_training_breaks_even_after_its_cost_over_the_saving() -> None:
    assert break_even_requests(5000.0, 0.002) == pytest.approx(2.5e6)
    assert (break_even_requests(0.0, -1.0), break_even_requests(1.0, 0.0)) == (0.0, inf)
    with pytest.raises(InputError, match="less than nothing"):
        break_even_requests(-1.0, 1.0)
