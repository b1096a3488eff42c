"""The workload of a scenario: open streams as one flow of blocks in time order, closed streams beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from sim.scenario import ClientArrivals, Closed, Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times
from sim.workload.blocks import BLOCK_ROWS, NOTHING, PRIORITIES, Floats, Integers, RequestBlock, plain_block
from sim.workload.clients import Clients
from sim.workload.closed import ClosedStream
from sim.workload.keys import Keys
from sim.workload.lengths import LengthSampler
from sim.workload.merge import merge_blocks
from sim.workload.replay import Replay
from sim.workload.shape import Shape

__all__ = ["Workload", "build_workload"]

_FEWEST_ROWS = 4_096
_Source = Callable[[RandomStreams], Iterator[RequestBlock]]


class Workload:
    """Requests of all streams of a scenario, for one replication."""

    def __init__(
        self, scenario: Scenario, sources: tuple[_Source, ...], streams: RandomStreams, skipped: Mapping[str, int]
    ) -> None:
        self._scenario, self._sources, self._streams = scenario, sources, streams
        self.closed = _closed(scenario, streams)
        """Streams whose arrivals follow from the answers."""
        self.finite = all(stream.finite for stream in scenario.workload)
        """Whether the requests come to an end without a horizon."""
        self.skipped = dict(skipped)
        """Bad rows left out of each trace stream, by stream name."""

    def replicated(self, streams: RandomStreams) -> Workload:
        """The same for another replication; no file is read again to look for faults."""
        return Workload(self._scenario, self._sources, streams, self.skipped)

    def blocks(self) -> Iterator[RequestBlock]:
        """Requests of all open streams in time order, below the horizon; every call gives the same ones.

        Requests of the same instant stand in the order of their streams. Blocks are never empty. Memory does
        not grow with the number of requests.
        """
        return merge_blocks([source(self._streams) for source in self._sources])


def build_workload(scenario: Scenario, streams: RandomStreams) -> Workload:
    """The workload of a scenario; traces and tables are read through once, so that faults show before the run.

    Raises:
        InputError: for a public trace that has not been fetched.
        TraceError: for a trace that cannot be replayed, or tables of clients that cannot be used.
    """
    replays = {
        index: Replay.of(stream.arrivals)
        for index, stream in enumerate(scenario.workload)
        if isinstance(stream.arrivals, TraceArrivals)
    }
    sources = tuple(
        _source(index, stream, replays.get(index), scenario)
        for index, stream in enumerate(scenario.workload)
        if not isinstance(stream.arrivals, Closed)
    )
    skipped = {scenario.workload[index].name: replay.skipped for index, replay in replays.items()}
    return Workload(scenario, sources, streams, skipped)


def _closed(scenario: Scenario, streams: RandomStreams) -> tuple[ClosedStream, ...]:
    return tuple(
        ClosedStream.of(index, stream, stream.arrivals, streams)
        for index, stream in enumerate(scenario.workload)
        if isinstance(stream.arrivals, Closed)
    )


def _source(index: int, stream: Stream, replay: Replay | None, scenario: Scenario) -> _Source:
    if replay is not None:
        return partial(_replayed, index, stream, replay, scenario.horizon)
    if isinstance(stream.arrivals, ClientArrivals):
        return partial(_asked, index, stream, Clients.of(stream, stream.arrivals), scenario)
    return partial(_generated, index, stream, scenario)


def _generated(index: int, stream: Stream, scenario: Scenario, streams: RandomStreams) -> Iterator[RequestBlock]:
    assert stream.lengths is not None
    assert scenario.horizon is not None
    assert not isinstance(stream.arrivals, ClientArrivals | TraceArrivals | Closed)
    times = arrival_times(
        stream.arrivals,
        streams.generator(f"{stream.name}/arrivals"),
        scenario.horizon,
        start=scenario.start,
        time_zone=scenario.time_zone,
        shape=Shape.of(stream),
        rows=_rows_at_a_time(scenario),
    )
    lengths, keys = LengthSampler(stream.lengths, streams, stream.name), Keys(streams, stream.name)
    for arrival_s in times:
        yield _block(index, stream, keys, arrival_s, *lengths.draw(arrival_s.size))


def _asked(
    index: int, stream: Stream, clients: Clients, scenario: Scenario, streams: RandomStreams
) -> Iterator[RequestBlock]:
    assert scenario.horizon is not None
    requests = clients.requests(
        streams,
        scenario.horizon,
        start=scenario.start,
        time_zone=scenario.time_zone,
        rows=_rows_at_a_time(scenario),
    )
    keys = Keys(streams, stream.name)
    for block in requests:
        yield _block(index, stream, keys, *block)


def _block(
    index: int, stream: Stream, keys: Keys, arrival_s: Floats, prompt_tokens: Integers, output_tokens: Integers
) -> RequestBlock:
    """Requests of a stream without contexts."""
    priority = PRIORITIES.index(stream.priority)
    key = keys.draw(arrival_s.size)
    return plain_block(arrival_s, prompt_tokens, output_tokens, stream=index, priority=priority, key=key)


def _replayed(
    index: int, stream: Stream, replay: Replay, horizon_s: float | None, streams: RandomStreams
) -> Iterator[RequestBlock]:
    own_priority, keys = PRIORITIES.index(stream.priority), Keys(streams, stream.name)
    for rows in replay.rows(horizon_s):
        block = plain_block(
            rows.arrival_s,
            rows.prompt_tokens,
            rows.output_tokens,
            stream=index,
            priority=np.where(rows.priority == NOTHING, own_priority, rows.priority),
            question_id=rows.question_id,
            key=keys.draw(rows.arrival_s.size),
        )
        yield block._replace(context_id=rows.context_id)


def _rows_at_a_time(scenario: Scenario) -> int:
    """A full block for one stream; less for many, which all keep one in memory."""
    return max(BLOCK_ROWS // len(scenario.workload), _FEWEST_ROWS)
