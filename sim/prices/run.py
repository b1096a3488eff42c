"""The run that prices are made for, on the clock of a tariff; and whether the tariff is valid in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import merge
from math import inf, isfinite
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sim.errors import InputError
from sim.prices.calendar import Moment, Rule, edges_s, instant_of, local, window_seconds
from sim.prices.clock import Period
from sim.scenario.windows import Calendar

__all__ = ["Run", "Stretch", "run_of", "stretches", "while_valid"]


class Run(NamedTuple):
    """Where and when a tariff meets a run."""

    start_instant: float
    """Start of the run, seconds since 1970."""
    zone: ZoneInfo
    """Clock of the tariff."""
    horizon_s: float | None
    """Length of the run, where it has one."""


class Stretch(NamedTuple):
    """Time between two edges, and the moment at which it begins."""

    begin_s: float
    end_s: float
    moment: Moment


def run_of(tariff: Calendar, start: datetime, zone: ZoneInfo, horizon_s: float | None) -> Run:
    """A run from a local time in the scenario's zone, as the tariff sees it.

    Raises:
        InputError: where the run starts before the tariff is valid, or does not end while it is.
    """
    own = ZoneInfo(tariff.time_zone) if tariff.time_zone else zone
    run = Run(instant_of(start, zone), own, horizon_s)
    first_s, last_s = _validity(tariff, run)
    if not (first_s <= 0.0 < last_s) or (horizon_s or 0.0) > last_s:
        raise _outside(tariff, run)
    return run


def while_valid(periods: Iterator[Period], tariff: Calendar, run: Run) -> Iterator[Period]:
    """The periods as long as the tariff is valid.

    Raises:
        InputError: when more are asked for.
    """
    last_s = _validity(tariff, run)[1]
    for period in periods:
        if period.end_s > last_s:
            yield period._replace(end_s=last_s)
            raise _outside(tariff, run)
        yield period


def stretches(rules: Sequence[Rule], run: Run, seconds: Sequence[int] = ()) -> Iterator[Stretch]:
    """Stretches of the run in which neither a rule nor the local clock's reading past one of `seconds` changes."""
    begin_s = 0.0
    for end_s in _edges(rules, run, seconds):
        if end_s > begin_s:
            instant = run.start_instant + begin_s
            yield Stretch(begin_s, end_s, Moment(instant, local(instant, run.zone)))
            begin_s = end_s


def _edges(rules: Sequence[Rule], run: Run, seconds: Sequence[int]) -> Iterator[float]:
    if not rules and not seconds:
        return iter([inf])
    bounds = {bound for rule in rules for bound in (rule.from_instant, rule.to_instant) if isfinite(bound)}
    clock = edges_s(window_seconds(rules) | set(seconds), run.start_instant, run.zone)
    return merge(sorted(bound - run.start_instant for bound in bounds), clock)


def _validity(tariff: Calendar, run: Run) -> tuple[float, float]:
    """First and last second of the tariff, counted from the start of the run."""
    first, last = tariff.valid_from, tariff.valid_to
    begin = -inf if first is None else instant_of(first, run.zone) - run.start_instant
    return begin, inf if last is None else instant_of(last, run.zone) - run.start_instant


def _outside(tariff: Calendar, run: Run) -> InputError:
    first, last = (None if bound is None else bound.isoformat() for bound in (tariff.valid_from, tariff.valid_to))
    validity = " ".join([*(["from", first] if first else []), *(["to", last] if last else [])])
    start = local(run.start_instant, run.zone).replace(tzinfo=None).isoformat()
    length = "" if run.horizon_s is None else f" for {run.horizon_s:g} s"
    rule = f"is a run outside the tariff, which is valid {validity} ({run.zone.key})"
    return InputError(f"{start}{length}", rule, "start and end within it, or use another tariff")
