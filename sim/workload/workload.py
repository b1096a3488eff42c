"""The workload of a scenario: open streams as one flow of blocks in time order, closed streams beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from sim.errors import InputError
from sim.scenario import ClientArrivals, Closed, Daily, Gamma, Poisson, Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times
from sim.workload.blocks import (
    BLOCK_ROWS,
    NOTHING,
    PRIORITIES,
    ContextBlock,
    Floats,
    Integers,
    RequestBlock,
    plain_block,
)
from sim.workload.clients import Clients
from sim.workload.closed import ClosedStream
from sim.workload.contexts import GeneratedContexts
from sim.workload.crowd import ClientRequests
from sim.workload.keys import Keys
from sim.workload.lengths import LengthSampler
from sim.workload.merge import merge_blocks
from sim.workload.predictability import Ranks
from sim.workload.replay import Replay
from sim.workload.replayed import ReplayedStream
from sim.workload.shape import Shape

__all__ = ["Workload", "build_workload"]

_FEWEST_ROWS = 4_096
_FEWEST_BIRTHS = 256


class _Source(NamedTuple):
    """Where the requests of an open stream come from, and what happens to its contexts."""

    requests: Callable[[RandomStreams], Iterator[RequestBlock]]
    events: Callable[[RandomStreams], Iterator[ContextBlock]] | None = None


class Workload:
    """Requests of all streams of a scenario, for one replication."""

    def __init__(
        self, scenario: Scenario, replays: Mapping[int, Replay], sources: tuple[_Source, ...], streams: RandomStreams
    ) -> None:
        self._scenario, self._replays, self._sources, self._streams = scenario, replays, sources, streams
        self.closed = _closed(scenario, streams)
        """Streams whose arrivals follow from the answers."""
        self.finite = all(stream.finite for stream in scenario.workload)
        """Whether the requests come to an end without a horizon."""
        self.skipped = {scenario.workload[index].name: replay.skipped for index, replay in replays.items()}
        """Bad rows left out of each trace stream, by stream name."""
        self._ranks = [Ranks.of(stream, streams) for stream in scenario.workload]

    def replicated(self, streams: RandomStreams) -> Workload:
        """The same for another replication; no file is read again to look for faults."""
        return Workload(self._scenario, self._replays, self._sources, streams)

    def varied(self, scenario: Scenario, streams: RandomStreams) -> Workload:
        """The same streams at the rates and speeds of another scenario; no trace is read again to look for faults."""
        replays = {
            index: replace(replay, speed=arrivals.speed)
            for index, replay in self._replays.items()
            if isinstance(arrivals := scenario.workload[index].arrivals, TraceArrivals)
        }
        return Workload(scenario, replays, _sources(scenario, replays), streams)

    def blocks(self) -> Iterator[RequestBlock]:
        """Requests of all open streams in time order, below the horizon; every call gives the same ones.

        Requests of the same instant stand in the order of their streams. Blocks are never empty. Memory does
        not grow with the number of requests, but for what traces say of it.
        """
        return merge_blocks([source.requests(self._streams) for source in self._sources])

    def contexts(self) -> Iterator[ContextBlock]:
        """What happens to the contexts of all streams in time order, below the horizon.

        It follows from the same random streams as the requests, not from how far those have been taken; every
        call gives the same. Blocks are never empty.
        """
        events = [source.events(self._streams) for source in self._sources if source.events is not None]
        return merge_blocks(events)

    def predictability(self, context_id: Integers) -> Floats:
        """Ranks of contexts by how far they foretell their questions, 0 to 1, [n]; NaN where there is no context."""
        ranks = np.full(context_id.size, np.nan)
        number, stream = np.divmod(context_id, len(self._ranks))
        for index, own in enumerate(self._ranks):
            mine = np.flatnonzero((stream == index) & (context_id != NOTHING))
            ranks[mine] = own.of_numbers(number[mine])
        return ranks


def build_workload(scenario: Scenario, streams: RandomStreams) -> Workload:
    """The workload of a scenario; traces and tables are read through once, so that faults show before the run.

    Raises:
        InputError: for a public trace that has not been fetched, and clients with lengths of their own that ask
            about contexts.
        TraceError: for a trace that cannot be replayed, or tables of clients that cannot be used.
    """
    replays = {
        index: Replay.of(stream.arrivals)
        for index, stream in enumerate(scenario.workload)
        if isinstance(stream.arrivals, TraceArrivals)
    }
    return Workload(scenario, replays, _sources(scenario, replays), streams)


def _sources(scenario: Scenario, replays: Mapping[int, Replay]) -> tuple[_Source, ...]:
    return tuple(
        _source(index, stream, replays.get(index), scenario)
        for index, stream in enumerate(scenario.workload)
        if not isinstance(stream.arrivals, Closed)
    )


def _closed(scenario: Scenario, streams: RandomStreams) -> tuple[ClosedStream, ...]:
    return tuple(
        ClosedStream.of(index, stream, stream.arrivals, streams)
        for index, stream in enumerate(scenario.workload)
        if isinstance(stream.arrivals, Closed)
    )


def _source(index: int, stream: Stream, replay: Replay | None, scenario: Scenario) -> _Source:
    if replay is not None:
        replayed = ReplayedStream(index, stream, replay, scenario)
        return _Source(replayed.requests, replayed.events if stream.has_contexts else None)
    if stream.contexts is not None:
        contexts = _contexts(index, stream, scenario)
        return _Source(contexts.requests, contexts.events)
    if isinstance(stream.arrivals, ClientArrivals):
        return _Source(partial(_asked, index, stream, Clients.of(stream, stream.arrivals), scenario))
    return _Source(partial(_generated, index, stream, scenario))


def _contexts(index: int, stream: Stream, scenario: Scenario) -> GeneratedContexts:
    assert stream.contexts is not None
    assert stream.contexts.queries is not None
    assert scenario.horizon is not None
    rows, mean = _rows_at_a_time(scenario), stream.contexts.queries.mean
    births = _births(stream, mean, scenario, max(int(rows / mean), _FEWEST_BIRTHS))
    return GeneratedContexts(index, stream, len(scenario.workload), scenario.horizon, rows, births)


def _births(
    stream: Stream, mean_questions: float, scenario: Scenario, rows: int
) -> Callable[[RandomStreams], Iterator[Floats]]:
    """What gives the times at which contexts appear: the stream's arrivals at a lower rate."""
    arrivals = stream.arrivals
    if isinstance(arrivals, ClientArrivals):
        _check_lengths(stream, arrivals)
        fewer = arrivals.model_copy(update={"scale": arrivals.scale / mean_questions})
        clients = Clients.of(stream, fewer)
        return lambda streams: (block.arrival_s for block in _of_clients(clients, scenario, streams, rows))
    assert isinstance(arrivals, Poisson | Gamma | Daily)
    rate = "mean_rps" if isinstance(arrivals, Daily) else "rps"
    slower = arrivals.model_copy(update={rate: getattr(arrivals, rate) / mean_questions})
    return partial(_times, slower, stream, scenario, rows=rows)


def _check_lengths(stream: Stream, arrivals: ClientArrivals) -> None:
    own = arrivals.brings_lengths or any(client.lengths is not None for client in arrivals.clients or [])
    if own or stream.lengths is None:
        rule = f"of stream {stream.name} cannot be given with clients that bring lengths of their own"
        raise InputError("contexts", rule, "give the lengths of all questions in the stream's `lengths` alone")


def _times(
    arrivals: Poisson | Gamma | Daily, stream: Stream, scenario: Scenario, streams: RandomStreams, *, rows: int
) -> Iterator[Floats]:
    """Arrival times of a stream below the horizon."""
    assert scenario.horizon is not None
    return arrival_times(
        arrivals,
        streams.generator(f"{stream.name}/arrivals"),
        scenario.horizon,
        start=scenario.start,
        time_zone=scenario.time_zone,
        shape=Shape.of(stream),
        rows=rows,
    )


def _generated(index: int, stream: Stream, scenario: Scenario, streams: RandomStreams) -> Iterator[RequestBlock]:
    assert stream.lengths is not None
    assert isinstance(stream.arrivals, Poisson | Gamma | Daily)
    lengths, keys = LengthSampler(stream.lengths, streams, stream.name), Keys(streams, stream.name)
    for arrival_s in _times(stream.arrivals, stream, scenario, streams, rows=_rows_at_a_time(scenario)):
        yield _block(index, stream, keys, arrival_s, *lengths.draw(arrival_s.size))


def _asked(
    index: int, stream: Stream, clients: Clients, scenario: Scenario, streams: RandomStreams
) -> Iterator[RequestBlock]:
    keys = Keys(streams, stream.name)
    for block in _of_clients(clients, scenario, streams, _rows_at_a_time(scenario)):
        yield _block(index, stream, keys, *block)


def _of_clients(clients: Clients, scenario: Scenario, streams: RandomStreams, rows: int) -> Iterator[ClientRequests]:
    assert scenario.horizon is not None
    return clients.requests(streams, scenario.horizon, start=scenario.start, time_zone=scenario.time_zone, rows=rows)


def _block(
    index: int, stream: Stream, keys: Keys, arrival_s: Floats, prompt_tokens: Integers, output_tokens: Integers
) -> RequestBlock:
    """Requests of a stream without contexts."""
    priority = PRIORITIES.index(stream.priority)
    key = keys.draw(arrival_s.size)
    return plain_block(arrival_s, prompt_tokens, output_tokens, stream=index, priority=priority, key=key)


def _rows_at_a_time(scenario: Scenario) -> int:
    """A full block for one stream; less for many, which all keep one in memory."""
    return max(BLOCK_ROWS // len(scenario.workload), _FEWEST_ROWS)
