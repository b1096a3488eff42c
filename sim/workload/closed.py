"""Closed streams: a fixed number of clients, each waiting for its answer before it asks again."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.scenario import Closed, Stream
from sim.streams import RandomStreams
from sim.workload.blocks import PRIORITIES, Integers
from sim.workload.keys import Keys
from sim.workload.lengths import LengthSampler

__all__ = ["ClosedStream"]


@dataclass(frozen=True)
class ClosedStream:
    """What the engine needs to run the clients of one stream, who ask when they have been answered."""

    stream: int
    """Index of the stream in the scenario's workload."""
    concurrency: int
    think_time_s: float
    requests: int
    """Requests in all; -1 where the clients go on until the horizon."""
    priority: int
    lengths: LengthSampler = field(repr=False)
    keys: Keys = field(repr=False)

    @classmethod
    def of(cls, index: int, stream: Stream, arrivals: Closed, streams: RandomStreams) -> ClosedStream:
        """The closed stream at `index` of the workload; its lengths start at the first request."""
        assert stream.lengths is not None
        return cls(
            stream=index,
            concurrency=arrivals.concurrency,
            think_time_s=arrivals.think_time,
            requests=-1 if arrivals.requests is None else arrivals.requests,
            priority=PRIORITIES.index(stream.priority),
            lengths=LengthSampler(stream.lengths, streams, stream.name),
            keys=Keys(streams, stream.name),
        )

    def draw(self, rows: int) -> tuple[Integers, Integers]:
        """Prompt tokens [rows] and output tokens [rows] of the stream's next requests."""
        return self.lengths.draw(rows)

    def draw_keys(self, rows: int) -> Integers:
        """Keys [rows] of the stream's next requests, apart from their lengths."""
        return self.keys.draw(rows)
