"""What both sides have in common, and what makes a comparison of them less than paired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sim.scenario import Scenario, Stream

__all__ = ["Common", "common_to"]

_OF_REQUESTS = {"arrivals", "lengths", "contexts", "questions", "growth", "weekly", "special_days"}
"""Keys of a stream that make its requests; the others say how they are treated."""


class Common(NamedTuple):
    """What two scenarios have in common."""

    streams: tuple[str, ...]
    """Names of the streams that are compared; all of A's where none is common."""
    same_streams: bool
    same_requests: bool
    """Whether the streams that both have send the same requests."""
    same_horizon: bool
    notes: tuple[str, ...]
    """What is not common, in sentences."""


def common_to(a: Scenario, b: Scenario) -> Common:
    """What is compared of two scenarios, and beware of what."""
    mine, others = ({stream.name: stream for stream in side.workload} for side in (a, b))
    both = tuple(name for name in mine if name in others)
    differing = [name for name in both if not _same_requests(mine[name], others[name])]
    same_clock = (a.start, a.time_zone) == (b.start, b.time_zone)
    return Common(
        streams=both,
        same_streams=set(mine) == set(others),
        same_requests=bool(both) and same_clock and not differing,
        same_horizon=a.horizon == b.horizon,
        notes=tuple(_notes(a, b, both, differing, same_clock)),
    )


def _same_requests(one: Stream, other: Stream) -> bool:
    return _requests(one) == _requests(other)


def _requests(stream: Stream) -> dict[str, Any]:
    plain = stream.model_dump(mode="json", by_alias=True)
    return {key: plain.get(key) for key in _OF_REQUESTS}


def _notes(a: Scenario, b: Scenario, both: tuple[str, ...], differing: list[str], same_clock: bool) -> Iterator[str]:
    for side, scenario in (("A", a), ("B", b)):
        own = [stream.name for stream in scenario.workload if stream.name not in both]
        if own and both:
            yield (
                f"Only {side} has {_listed(own)}: how requests fare is told of {_listed(both)}, and money of all. "
                "Price and volume are not told apart."
            )
    if not both:
        yield (
            "No stream is common to both: how requests fare cannot be paired, and the differences are those between "
            "two workloads."
        )
    if differing:
        yield (
            f"{_listed(differing)} {'sends' if len(differing) == 1 else 'send'} other requests in B than in A: "
            "differences are also those between the workloads."
        )
    if not same_clock:
        yield "The two begin at different times or in different time zones, so their requests are not the same."
    if a.horizon != b.horizon:
        yield "The two do not run equally long: rates are compared, and no totals."
    if a.warm_up != b.warm_up:
        yield "The two leave out warm-ups of different lengths, so that latencies are of different requests."
    if a.replications == 1:
        yield "One replication tells no interval: whether a difference is chance stays open. Ask for --replications 5."


def _listed(names: list[str] | tuple[str, ...]) -> str:
    """Names as a sentence lists them.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
