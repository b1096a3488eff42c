"""Named random streams: the same name, the same numbers, whatever else is drawn."""

import numpy as np
import pytest

from sim.streams import RandomStreams


def test_a_name_gives_the_same_numbers_each_time():
    first, second = (RandomStreams(7, 0).generator("chat/arrivals").random(5) for _ in range(2))
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize(
    "other", [RandomStreams(8, 0), RandomStreams(7, 1)], ids=["another seed", "another replication"]
)
def test_seed_and_replication_change_the_numbers(other: RandomStreams):
    assert RandomStreams(7, 0).generator("chat").random() != other.generator("chat").random()


def test_names_are_independent():
    streams = RandomStreams(7, 0)
    draws = np.array([streams.generator(f"stream {index}").random(4_000) for index in range(30)])
    assert np.abs(np.corrcoef(draws) - np.eye(30)).max() < 0.07


def test_words_are_64_bits_that_follow_the_name():
    streams = RandomStreams(7, 0)
    words = {streams.word(name) for name in ("balancer", "router", "chat")}
    assert len(words) == 3
    assert all(0 <= word < 2**64 for word in words)
    assert streams.word("router") in words


def test_the_seed_is_the_documented_one():
    sequence = np.random.SeedSequence(7, spawn_key=(3, 0x352441C2))  # crc32 of "abc"
    expected = np.random.Generator(np.random.SFC64(sequence)).random()
    assert RandomStreams(7, 3).generator("abc").random() == expected
