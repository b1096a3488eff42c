"""A map in plain sentences: where preparing pays, where thinking does, where a direct answer does, and what loses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sim import wording as words
from sim.regions.grid import AXES, Point
from sim.regions.judge import Judged
from sim.regions.ways import KINDS, Kind

__all__ = ["AXIS_NAMES", "KIND_NAMES", "says_point", "says_value", "verdict"]

KIND_NAMES: dict[Kind, str] = {
    "prepare": "Preparing contexts",
    "think": "Thinking longer",
    "direct": "A direct answer",
}
AXIS_NAMES = {
    "queries": "questions a context",
    "predictability": "predictability",
    "price_ratio": "price ratio",
    "load": "load",
}
_MARKED = 0.25
"""Shares of points along an axis that differ by less are not worth a word."""

_Holds = Callable[[Judged], bool]


def verdict(points: Sequence[Judged], *, per: str = "question") -> list[str]:
    """What the map says, the kind of way that is best most often first, and whether preparing is worth its cost.

    `per` is what scores are dollars of: a question, or a right answer.
    """
    by_wins = sorted(KINDS, key=lambda kind: -_count(points, _wins(kind)))
    return [*(_region(points, kind) for kind in by_wins), *_undecided(points), *_preparing(points, per)]


def _wins(kind: Kind) -> _Holds:
    return lambda judged: judged.winner == kind


def _count(points: Sequence[Judged], holds: _Holds) -> int:
    return sum(1 for judged in points if holds(judged))


def _region(points: Sequence[Judged], kind: Kind) -> str:
    wins = _count(points, _wins(kind))
    if not wins:
        return f"{KIND_NAMES[kind]} is best nowhere on this grid."
    if wins == len(points):
        return f"{KIND_NAMES[kind]} is best everywhere on this grid."
    return f"{KIND_NAMES[kind]} is best at {_of(wins, points)}{_where(points, _wins(kind))}."


def _of(count: int, points: Sequence[Judged]) -> str:
    return f"{count} of {words.things(len(points), 'point')}"


def _undecided(points: Sequence[Judged]) -> Iterator[str]:
    open_points = _count(points, lambda judged: judged.winner is None)
    if open_points:
        yield (
            f"At {_of(open_points, points)} the 95 % interval of the difference holds zero: chance may decide there, "
            "and more replications would tell."
        )


def _preparing(points: Sequence[Judged], per: str) -> Iterator[str]:
    """Against the same answers without it."""
    against = "against answering in the same way without it"
    loses, gains = _count(points, _loses), _count(points, _gains)
    if loses:
        worst = min(points, key=lambda judged: judged.preparing.mean)
        most = f"At worst it loses {_usd(-worst.preparing.mean, per)} ({says_point(worst.point)})."
        yield f"Preparing loses money at {_of(loses, points)}, {against}{_where(points, _loses)}. {most}"
    else:
        yield f"Preparing loses money at no point, {against}."
    if gains:
        best = max(points, key=lambda judged: judged.preparing.mean)
        most = f"{_usd(best.preparing.mean, per)} ({says_point(best.point)})"
        yield f"It gains at {_of(gains, points)}, at best {most}."


def _usd(value: float, per: str) -> str:
    return f"{words.usd_fine(value)} a {per}"


def _loses(judged: Judged) -> bool:
    return judged.preparing_loses


def _gains(judged: Judged) -> bool:
    return judged.preparing_gains


def _where(points: Sequence[Judged], holds: _Holds) -> str:
    """Along which axes it makes a difference, and how much of one; nothing where it makes none."""
    parts = [part for axis in AXES if (part := _along(points, axis, holds))]
    return f": {'; '.join(parts)}" if parts else ""


def _along(points: Sequence[Judged], axis: str, holds: _Holds) -> str:
    """Such as "never with 1 question a context", or "20% of the points at a load of 30%, 80% at 90%"."""
    groups: dict[float, list[Judged]] = {}
    for judged in points:
        groups.setdefault(getattr(judged.point, axis), []).append(judged)
    shares = {value: _count(group, holds) / len(group) for value, group in groups.items()}
    none, some = ([value for value in shares if bool(shares[value]) is wanted] for wanted in (False, True))
    if len(shares) < 2:
        return ""
    if none:
        return f"only {_at(axis, some)}" if len(some) <= len(none) else f"never {_at(axis, none)}"
    ends = sorted((min(shares, key=lambda value: shares[value]), max(shares, key=lambda value: shares[value])))
    if abs(shares[ends[0]] - shares[ends[1]]) < _MARKED:
        return ""
    first, last = (f"{shares[value]:.0%}" for value in ends)
    with_ = "with" if axis == "queries" else "at"
    return f"{first} of the points {_at(axis, ends[:1])}, {last} {with_} {says_value(axis, ends[1])}"


def _at(axis: str, values: Sequence[float]) -> str:
    """Values of an axis after a preposition.

    >>> _at("queries", [10.0, 20.0]), _at("load", [0.3]), _at("price_ratio", [3.0])
    ('with 10 or 20 questions a context', 'at a load of 30%', 'at a price ratio of 3')
    """
    *others, last = [says_value(axis, value) for value in values]
    told = f"{', '.join(others)} or {last}" if others else last
    if axis == "queries":
        return f"with {told} question{'' if list(values) == [1.0] else 's'} a context"
    return f"at a {AXIS_NAMES[axis]} of {told}"


def says_value(axis: str, value: float | None) -> str:
    """A value of an axis.

    >>> says_value("load", 0.3), says_value("queries", 5.0)
    ('30%', '5')
    """
    if value is None:
        return "as it is"
    return f"{value:.0%}" if axis == "load" else f"{value:g}"


def says_point(point: Point) -> str:
    """A point in words, as far as it was turned."""
    named = [(axis, value) for axis, value in zip(AXES, point, strict=True) if value is not None]
    return ", ".join(_short(axis, value) for axis, value in named)


def _short(axis: str, value: float) -> str:
    told = says_value(axis, value)
    if axis == "queries":
        return f"{told} question{'' if value == 1.0 else 's'} a context"
    return f"{AXIS_NAMES[axis]} {told}"
