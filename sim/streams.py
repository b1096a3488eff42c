"""Named random streams: one per purpose, so that all policies meet the same arrivals."""

from __future__ import annotations

from zlib import crc32

import numpy as np

__all__ = ["RandomStreams"]


class RandomStreams:
    """Independent streams of random numbers, by name, for one replication of one seed.

    A name always gives the same numbers, whatever other names are in use, so a purpose that is added or left
    out changes no other. The seed of a stream is `SeedSequence(seed, spawn_key=(replication, crc32(name)))`.

    >>> streams = RandomStreams(seed=7, replication=0)
    >>> streams.generator("chat/arrivals").random() == streams.generator("chat/arrivals").random()
    True
    """

    def __init__(self, seed: int, replication: int) -> None:
        """`seed` and `replication` are whole numbers, zero or more."""
        self.seed, self.replication = seed, replication

    def generator(self, name: str) -> np.random.Generator:
        """A new generator at the start of the stream `name`."""
        return np.random.Generator(np.random.SFC64(self._seed_sequence(name)))

    def word(self, name: str) -> int:
        """64 random bits of the stream `name`, to seed counter-based draws in compiled code."""
        return int(self._seed_sequence(name).generate_state(1, np.uint64)[0])

    def _seed_sequence(self, name: str) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(self.replication, crc32(name.encode())))
