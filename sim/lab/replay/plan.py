"""What is to be sent, and when: the requests of a scenario's streams, with what each shares with others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.errors import InputError
from sim.scenario import Scenario
from sim.streams import RandomStreams
from sim.workload.blocks import Floats, RequestBlock
from sim.workload.columns import joined, rows_of
from sim.workload.workload import build_workload

__all__ = ["Plan", "Planned", "planned"]


class Planned(NamedTuple):
    """One request to come."""

    number: int
    """Its place in the plan, counted from 0."""
    due_s: float
    """When it is to be sent, seconds since the start of the replay."""
    stream: int
    """Index of its stream in the scenario's workload."""
    context_id: int
    """-1 where it has no context."""
    version: int
    question_id: int
    """-1 where it has no question."""
    prompt_tokens: int
    output_tokens: int
    shared_tokens: int
    """First tokens of the prompt that are the context's own, alike in all requests on this context and version."""


@dataclass(frozen=True)
class Plan:
    """The requests of a replay in order of time."""

    block: RequestBlock
    """As the workload gives them, in the scenario's own time."""
    speed: float
    """How many times faster than in the scenario they are sent."""
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.block.arrival_s.size)

    def __iter__(self) -> Iterator[Planned]:
        block = self.block
        columns = (
            self.due_s,
            block.stream,
            block.context_id,
            block.version,
            block.question_id,
            block.prompt_tokens,
            block.output_tokens,
            shared_tokens(block),
        )
        # One after the other, so that a month of requests does not stand in memory as objects.
        return (Planned(number, *(column[number].item() for column in columns)) for number in range(len(self)))

    @property
    def due_s(self) -> Floats:
        """When each request is to be sent, seconds since the start of the replay, [n]."""
        return np.asarray(self.block.arrival_s / self.speed)


def planned(scenario: Scenario, *, speed: float = 1.0, limit: int | None = None) -> Plan:
    """The first `limit` requests of a scenario's first replication, sent `speed` times faster than they came.

    Only open streams are sent: arrivals of closed ones follow from the answers.

    Raises:
        InputError: for a trace that cannot be replayed, and where there is nothing to send.
    """
    workload = build_workload(scenario, RandomStreams(scenario.seed, 0))
    blocks = list(_first(workload.blocks(), limit))
    if not blocks:
        raise InputError(scenario.name, "has no request of an open stream", "give a scenario that has some")
    return Plan(joined(blocks), speed, tuple(_left_out(scenario, [stream.stream for stream in workload.closed])))


def shared_tokens(block: RequestBlock) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """First tokens of each prompt that are its context's own, [n]: what it may have found, and what others may find."""
    kept = np.minimum(block.keep_tokens, block.prompt_tokens)
    return np.where(block.context_id >= 0, np.maximum(block.prefix_tokens, kept), 0)


def _first(blocks: Iterator[RequestBlock], limit: int | None) -> Iterator[RequestBlock]:
    left = limit
    for block in blocks:
        if left is not None and block.arrival_s.size >= left:
            yield rows_of(block, slice(left))
            return
        left = None if left is None else left - block.arrival_s.size
        yield block


def _left_out(scenario: Scenario, closed: list[int]) -> Iterator[str]:
    """What of the scenario is not replayed, in sentences."""
    streams = scenario.workload
    for index in closed:
        yield f"stream {streams[index].name} is left out: its arrivals follow from the answers"
    if any(strategy.kind != "direct" for strategy in scenario.strategies):
        yield "every request is sent once as a plain one, whatever the scenario's strategies"
    if scenario.sleep is not None:
        yield "no context is prepared: the scenario's sleep-time work is left out"
    if any(stream.client.retries for stream in streams):
        yield "no request is sent again: the retries of the scenario's clients are left out"
