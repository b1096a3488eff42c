"""A point as a scenario that can be run: pools bought in their numbers, switched with the hours, or left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from sim.planning.search.point import Choice, Point, Space
from sim.scenario import ApiPool, GpuPool, Scenario, ScheduleAutoscale, ScheduleWindow
from sim.scenario.shape import WEEKDAYS

__all__ = ["Refused", "changed", "levels_of_week", "realised", "schedule_windows"]

_Part = TypeVar("_Part", bound=BaseModel)
_HOURS = 168
_DAY_MINUTES = 1440


class Refused(NamedTuple):
    """A point that cannot be run, and why."""

    why: str


def realised(space: Space, point: Point) -> Scenario | Refused:
    """The scenario of a point, without its section `plan`; refused where a pool that is left out is still asked for.

    Pools that follow the blocks of hours get a schedule whose windows begin early by the start-up, so that capacity is
    there when a block begins. A pool of which there is none in any block is left out of the fleet, and of the lists of
    pools of streams and sleep.
    """
    scenario = space.options[point.option].scenario
    fleet = [
        made
        for pool, choice, row in zip(scenario.fleet, space.choices, point.replicas, strict=True)
        if (made := _bought(scenario, pool, choice, levels_of_week(space, row))) is not None
    ]
    if not fleet:
        return Refused("nothing is bought that could answer")
    changes = {"fleet": fleet, "plan": None} | _without(scenario, {pool.name for pool in fleet})
    try:
        return Scenario.model_validate(_fields(scenario) | changes)
    except ValidationError as error:
        return Refused(_told(error))


def levels_of_week(space: Space, row: Sequence[int]) -> list[int]:
    """Replicas in each local hour of the week, [168]."""
    return [row[block] for block in space.blocks.block.tolist()]


def _fields(scenario: Scenario) -> dict[str, Any]:
    return {name: getattr(scenario, name) for name in type(scenario).model_fields}


def _told(error: ValidationError) -> str:
    return "; ".join(str(each["msg"]) for each in error.errors(include_url=False))


def _bought(scenario: Scenario, pool: GpuPool | ApiPool, choice: Choice, levels: Sequence[int]) -> Any:
    """The pool in its numbers; None where there is none of it."""
    if not choice.is_free:
        return pool
    if not any(levels):
        return None
    if isinstance(pool, ApiPool):
        return pool
    if choice.by_block:
        return _scheduled(scenario, pool, levels)
    if pool.autoscale is not None and not isinstance(pool.autoscale, ScheduleAutoscale):
        return _with_most(pool, max(levels))
    schedule = [changed(window, replicas=min(window.replicas, levels[0])) for window in pool.schedule]
    return changed(pool, autoscale=None, start_up=_start_up(pool), replicas=levels[0], schedule=schedule)


def _with_most(pool: GpuPool, most: int) -> GpuPool:
    """A pool that scales by itself, up to `most`; one that is reserved is paid in full all the same."""
    assert pool.autoscale is not None
    scaling = changed(pool.autoscale, max=most, min=min(pool.autoscale.min, most))
    return changed(pool, autoscale=scaling, replicas=min(max(pool.replicas, scaling.min), most))


def _scheduled(scenario: Scenario, pool: GpuPool, levels: Sequence[int]) -> GpuPool:
    fewest, most = min(levels), max(levels)
    if fewest == most:
        return changed(pool, autoscale=None, start_up=_start_up(pool), replicas=most, schedule=[])
    scaling = ScheduleAutoscale(
        min=fewest,
        max=most,
        start_up=pool.start_up_s,
        cool_down=0.0,
        tick=30.0 if pool.autoscale is None else pool.autoscale.tick,
        windows=schedule_windows(levels, pool.start_up_s),
    )
    begin = scenario.start.weekday() * 24 + scenario.start.hour
    return changed(pool, autoscale=scaling, start_up=None, replicas=levels[begin % _HOURS], schedule=[])


def _start_up(pool: GpuPool) -> float | None:
    return pool.start_up if pool.autoscale is None else pool.autoscale.start_up


def schedule_windows(levels: Sequence[int], start_up_s: float) -> list[ScheduleWindow]:
    """Windows that give each hour of the local week [168] its number, launched early by the start-up.

    The highest come first, as the first window that holds an instant counts; the fewest need none.

    >>> levels = ([1] * 8 + [3] * 12 + [1] * 4) * 5 + [1] * 48
    >>> [(window.hours, len(window.days), window.replicas) for window in schedule_windows(levels, 180.0)]
    [('07:57-20:00', 5, 3)]
    """
    early = ceil(start_up_s / 60.0)
    found: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for level in sorted(set(levels) - {min(levels)}, reverse=True):
        for day in range(7):
            for begin, end in _runs(levels[24 * day : 24 * day + 24], level):
                rises = levels[(24 * day + begin - 1) % _HOURS] < level
                for shift, window in _minutes(begin * 60, end * 60, early if rises else 0):
                    found[level, *window].append((day + shift) % 7)
    return [_window(level, begin, end, days) for (level, begin, end), days in found.items()]


def _runs(day: Sequence[int], level: int) -> list[tuple[int, int]]:
    """Hours of a day at a level, as ranges."""
    edges = [0, *(hour for hour in range(1, 24) if day[hour] != day[hour - 1]), 24]
    return [(a, b) for a, b in pairwise(edges) if day[a] == level]


def _minutes(begin: int, end: int, early: int) -> list[tuple[int, tuple[int, int]]]:
    """A window of minutes that begins early: by days to shift, begin and end; in two parts over midnight."""
    early = min(early, _DAY_MINUTES - 1)
    if early <= begin:
        return [(0, (begin - early, end))]
    return [(0, (0, end)), (-1, (_DAY_MINUTES + begin - early, _DAY_MINUTES))]


def _window(level: int, begin: int, end: int, days: Sequence[int]) -> ScheduleWindow:
    hours = f"{begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
    return ScheduleWindow(hours=hours, days=[WEEKDAYS[day] for day in sorted(set(days))], replicas=level)


def changed(part: _Part, **changes: Any) -> _Part:
    """A part of a scenario with other values, checked anew."""
    values = {name: getattr(part, name) for name in type(part).model_fields} | changes
    return type(part).model_validate(values)


def _without(scenario: Scenario, pools: set[str]) -> dict[str, Any]:
    """Streams and sleep with only pools that are there in their lists; a list that would be empty stays as it is."""
    changes: dict[str, Any] = {"workload": [_less(stream, pools) for stream in scenario.workload]}
    if scenario.sleep is not None:
        changes["sleep"] = _less(scenario.sleep, pools)
    return changes


def _less(part: Any, pools: set[str]) -> Any:
    named = part.pools or []
    kept = [name for name in named if name in pools]
    return part if not kept or kept == named else changed(part, pools=kept)
