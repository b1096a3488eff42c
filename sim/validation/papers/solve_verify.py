"""Simulated runs of votes and of verified solutions, and what follows: where compute goes, and what it buys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from sim.scenario.strategies import MOST_SAMPLES
from sim.validation.papers.points import LAMBDA, Grid
from sim.validation.papers.rows import Row
from sim.validation.papers.worlds import ask

__all__ = ["grid_rows", "left_out"]

_MOST_BRANCHES, _FEWEST, _MOST = 300_000, 233, 6765
"""Branches of a run of verified solutions, and requests, which are Fibonacci numbers: they spread difficulty evenly."""
_VOTE_BRANCHES, _VOTES = 3_300_000, 17_711
"""The same for votes, whose samples are really drawn."""
_SAMPLE_TOKENS = 100.0
_TIMES_TO_MATCH, _TIMES_MORE, _POINTS_MORE = 8.0, 128.0, 3.8
_EXPONENTS = {"solutions": 0.56, "verifications": 0.48}
_REFERENCE = 128
"""Samples at which the published vote is best."""


class _Point(NamedTuple):
    compute: float
    """Output tokens in samples, as they were simulated."""
    rate: float
    """Per cent right."""
    solutions: int
    verifications: int


def grid_rows(grid: Grid) -> Iterator[Row]:
    """Every point, and the claims that follow from all of them."""
    votes = {samples: _voted(grid.class_name, samples) for samples in grid.votes if samples <= MOST_SAMPLES}
    for samples in votes:
        published = grid.votes[samples]
        yield Row(grid.figure, "votes", samples, published, votes[samples], "points", "votes")
    verified = {(s, v): _verified(grid.class_name, s, v) for s, v in _all_points(grid)}
    for (s, v), published in grid.verified.items():
        yield Row(grid.figure, f"{v} verifications", s, published, verified[s, v].rate, "points", "verified")
    if _REFERENCE in votes and verified:
        yield from _claims(grid.figure, votes[_REFERENCE], _envelope(verified))


def left_out(grid: Grid) -> Iterator[str]:
    """What is published and cannot be simulated."""
    for samples in grid.votes:
        if samples > MOST_SAMPLES:
            yield f"a vote of {samples:,} samples is left out: a scenario may ask for {MOST_SAMPLES:,}"


def _all_points(grid: Grid) -> list[tuple[int, int]]:
    """All powers of two up to the largest solutions and verifications that were published."""
    if not grid.verified:
        return []
    solutions, verifications = (max(pair[place] for pair in grid.verified) for place in (0, 1))
    return [(s, v) for v in _powers(verifications) for s in _powers(solutions)]


def _powers(most: int) -> list[int]:
    return [2**n for n in range(most.bit_length())]


def _voted(class_name: str, samples: int) -> float:
    requests = _requests(samples, _VOTE_BRANCHES, _VOTES)
    return 100.0 * ask(class_name, {"kind": "vote", "samples": samples}, requests).accuracy


def _verified(class_name: str, solutions: int, verifications: int) -> _Point:
    strategy = {
        "kind": "verify", "solutions": solutions, "verifications": verifications, "length_ratio": LAMBDA,
    }  # fmt: skip
    requests = _requests(solutions * (1 + verifications), _MOST_BRANCHES, _MOST)
    found = ask(class_name, strategy, requests)
    return _Point(found.tokens / _SAMPLE_TOKENS, 100.0 * found.expected_accuracy, solutions, verifications)


def _requests(branches: int, most_branches: int, most: int) -> int:
    """A Fibonacci number of requests: as many as the branches allow."""
    one, next_one = _FEWEST, 377
    while next_one <= min(most_branches // branches, most):
        one, next_one = next_one, one + next_one
    return one


def _envelope(verified: Mapping[tuple[int, int], _Point]) -> list[_Point]:
    """The points that no cheaper one is as good as, cheapest first."""
    best: list[_Point] = []
    for point in sorted(verified.values()):
        if not best or point.rate > best[-1].rate:
            best.append(point)
    return best


def _claims(figure: str, vote: float, envelope: list[_Point]) -> Iterator[Row]:
    """Compute to match the vote, what many times more of it brings, and how the best allocation grows with it."""
    logs, rates = np.log([point.compute for point in envelope]), [point.rate for point in envelope]
    matched = float(np.exp(np.interp(vote, rates, logs))) / _REFERENCE if rates[-1] >= vote else None
    series = f"compute to match a vote of {_REFERENCE}"
    yield Row(figure, series, _REFERENCE, _TIMES_TO_MATCH, matched, "ratio", "match")
    # The largest published point has 130 times the compute of the vote.
    within = [point.rate for point in envelope if point.compute <= 1.05 * _TIMES_MORE * _REFERENCE]
    more = max(within) - vote
    yield Row(figure, f"points gained at {_TIMES_MORE:.0f} times", _TIMES_MORE, _POINTS_MORE, more, "points", "gain")
    for name, published in _EXPONENTS.items():
        spent = np.log([getattr(point, name) for point in envelope])
        exponent = float(np.polyfit(logs, spent, 1)[0])
        yield Row(figure, f"exponent of {name} by compute", len(envelope), published, exponent, "exponent", "exponents")
