"""Luck of requests: the same numbers as the engine's, and what a sample answers drawn twice over."""

from __future__ import annotations

import numpy as np

from sim.engine.jit import entry
from sim.engine.luck import uniform
from sim.outcomes.luck import mixed, normals, uniforms

KEYS = np.random.default_rng(5).integers(0, 2**63 - 1, 20_000)


@entry
def engine_uniform(key: int, place: int, branch: int, purpose: int) -> float:
    return uniform(key, place, branch, purpose)


def test_the_numbers_are_those_of_the_engine() -> None:
    for purpose, place, branch in ((0, 0, 0), (10, 0, 3), (13, 2, 0)):
        own = uniforms(KEYS[:50], purpose, place=place, branch=branch)
        assert own.tolist() == [engine_uniform(int(key), place, branch, purpose) for key in KEYS[:50]]


def test_purposes_know_nothing_of_each_other() -> None:
    one, other = uniforms(KEYS, 10), uniforms(KEYS, 11)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(one.mean() - 0.5) < 0.01


def test_normal_numbers_are_finite_and_standard() -> None:
    drawn = normals(KEYS, 12)
    assert np.all(np.isfinite(drawn))
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1.0) < 0.02


def test_equal_numbers_make_equal_keys_and_words_differ() -> None:
    numbers = np.array([0, 1, 1, -1])
    keys = mixed(2**64 - 1, numbers)
    assert keys[1] == keys[2]
    assert len(set(keys.tolist())) == 3
    assert np.all(keys >= 0)
    assert not np.any(keys == mixed(3, numbers))
