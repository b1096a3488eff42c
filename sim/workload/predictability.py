"""How far contexts foretell their questions, as ranks among all of them: drawn evenly, or given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.scenario import Stream
from sim.streams import RandomStreams
from sim.workload.blocks import Floats, Integers
from sim.workload.keys import uniform_of

__all__ = ["Ranks"]


@dataclass(frozen=True)
class Ranks:
    """The ranks of a stream's contexts; that of context n is always the same, whoever asks."""

    word: int
    """Word of the random stream `NAME/contexts/predictability`."""
    given: float | None

    @classmethod
    def of(cls, stream: Stream, streams: RandomStreams) -> Ranks:
        """The ranks of a stream's contexts; even where the scenario gives none."""
        given = None if stream.contexts is None else stream.contexts.predictability
        return cls(streams.word(f"{stream.name}/contexts/predictability"), given)

    def of_numbers(self, number: Integers) -> Floats:
        """The ranks of these contexts, numbered within the stream, from 0 to 1."""
        return uniform_of(self.word, number) if self.given is None else np.full(number.size, self.given)
