"""Hours of the local week in which a fleet stays the same: those a scenario names, or few that its load suggests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim.planning.needs.demand import HOURS_PER_WEEK, Demand
from sim.planning.purchase.instance import Floats, Integers, Transition
from sim.scenario import Scenario
from sim.scenario.planning import Block
from sim.scenario.quantities import parse_hours
from sim.scenario.shape import WEEKDAYS

__all__ = ["WeekBlocks", "Windows", "blocks_of"]

Windows = list[tuple[list[str], str]]
"""Weekdays on which a window begins, and its hours such as 22:00-06:00."""

_MOST_BLOCKS = 6
_WASTE = 0.1
"""Found blocks are enough when capacity for the highest hour of each is idle for this share of its time at most."""
_WEEKDAYS = 5


@dataclass(frozen=True)
class WeekBlocks:
    """A partition of the 168 hours of the local week, Monday 00:00 first, into H blocks."""

    names: tuple[str, ...]
    block: Integers
    """Block of each hour, [168]."""
    hours_per_month: Floats
    """Hours a month of each block, [H]: as often as its hours come in the scenario; their sum is 730.5."""
    transitions: tuple[Transition, ...]
    """How often one block gives way to another."""

    @classmethod
    def of(cls, names: Sequence[str], block: Integers, demand: Demand) -> WeekBlocks:
        """Blocks by the hours of the week they hold; those without an hour that the scenario comes to are kept."""
        hours = np.bincount(block, demand.hours, len(names)).astype(np.float64)
        return cls(tuple(names), block, hours, tuple(_transitions(block, demand)))

    @property
    def count(self) -> int:
        """H."""
        return len(self.names)

    def windows(self, block: int) -> Windows:
        """When the block holds, as windows of a schedule; one over midnight belongs to the day on which it begins."""
        days_of: dict[tuple[int, int], list[str]] = defaultdict(list)
        for begin, end in self._stretches(block):
            days_of[begin % 24, end % 24].append(WEEKDAYS[begin // 24 % 7])
        return [(days, f"{begin:02}:00-{end or 24:02}:00") for (begin, end), days in days_of.items()]

    def _stretches(self, block: int) -> list[tuple[int, int]]:
        """Begins and ends of stretches of a day at most, in hours of the week; over midnight where that is shorter."""
        if np.all(self.block == block):
            return [(24 * day, 24 * day) for day in range(7)]
        mine = self.block == block
        begins = [hour for hour in range(HOURS_PER_WEEK) if mine[hour] and not mine[hour - 1]]
        found = []
        for begin in begins:
            end = begin + 1
            while mine[end % HOURS_PER_WEEK]:
                end += 1
            found += _by_days(begin, end)
        return found


def blocks_of(scenario: Scenario, demand: Demand, usd: Floats | None = None) -> WeekBlocks:
    """The blocks that the scenario's plan names, or else at most six stretches of the day that suit load and prices.

    `usd`, [..., 168], are prices by hour of the week. Found blocks are hours of weekdays and of weekends; of both alike
    where they hardly differ, or where the scenario knows only one kind. There is one block for all hours where nothing
    that may be bought follows the clock, or the load hardly does.
    """
    plan = scenario.plan
    if plan is not None and plan.blocks:
        return WeekBlocks.of(*_named(plan.blocks), demand)
    return WeekBlocks.of(
        *_found(_weight(demand), _full_week(np.zeros((0, 168)) if usd is None else usd, demand)), demand
    )


def _named(blocks: Sequence[Block]) -> tuple[list[str], Integers]:
    found = np.full(HOURS_PER_WEEK, len(blocks))
    for index in reversed(range(len(blocks))):
        found[[hour for hour in range(HOURS_PER_WEEK) if _holds(blocks[index], hour)]] = index
    names = [block.name for block in blocks]
    if np.all(found < len(blocks)):
        return names, found
    return [*names, _unused("rest", names)], found


def _unused(name: str, names: Sequence[str]) -> str:
    return name if name not in names else _unused(f"{name} of the week", names)


def _holds(block: Block, hour: int) -> bool:
    """Whether most of an hour of the week lies in a block."""
    begin_s, end_s = parse_hours(block.hours)
    end_s += 86_400 if end_s <= begin_s else 0
    middle_s = (hour % 24) * 3600 + 1800
    today, before = WEEKDAYS[hour // 24], WEEKDAYS[hour // 24 - 1]
    return (begin_s <= middle_s < end_s and today in block.days) or (middle_s + 86_400 < end_s and before in block.days)


def _by_days(begin: int, end: int) -> list[tuple[int, int]]:
    """A stretch cut at the midnights within it so that no part is longer than a day."""
    if end - begin < 24:
        return [(begin, end % HOURS_PER_WEEK)]
    cuts = [begin, *(hour for hour in range(begin + 1, end) if hour % 24 == 0), end]
    return [(first % HOURS_PER_WEEK, last % HOURS_PER_WEEK) for first, last in pairwise(cuts)]


def _transitions(block: Integers, demand: Demand) -> list[Transition]:
    """Changes of block in the weeks that the scenario comes to; the first is not one."""
    from sim.planning.needs.demand import HOURS_PER_MONTH

    passed = block[demand.hour]
    pairs = Counter((int(a), int(b)) for a, b in pairwise(passed) if a != b)
    months = demand.horizon_s / 3600.0 / HOURS_PER_MONTH
    return [Transition(before, after, times / months) for (before, after), times in sorted(pairs.items())]


def _weight(demand: Demand) -> Floats:
    """Load of each hour of the week, [168], each stream as a share of its mean; of hours that never come, of others."""
    known = np.nan_to_num(demand.mean_rps)
    mean = known @ demand.hours / max(demand.hours.sum(), 1e-9)
    used = known[mean > 0] / mean[mean > 0, np.newaxis]
    return _full_week(used.sum(axis=0, keepdims=True), demand)[0] if used.size else np.ones(HOURS_PER_WEEK)


def _full_week(values: Floats, demand: Demand) -> Floats:
    """Values by hour of the week, [..., 168], those of hours that never come taken from the same hour of other days."""
    by_day, comes = values.reshape(*values.shape[:-1], 7, 24), (demand.hours > 0).reshape(7, 24)
    total = np.where(comes, by_day, 0.0).sum(axis=-2)
    count = comes.sum(axis=0)
    overall = np.where(comes, by_day, 0.0).sum(axis=(-1, -2)) / max(comes.sum(), 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), overall[..., np.newaxis])
    filled: Floats = np.where(comes, by_day, mean[..., np.newaxis, :]).reshape(values.shape)
    return filled


def _found(load: Floats, usd: Floats) -> tuple[list[str], Integers]:
    days, prices = load.reshape(7, 24), usd.reshape(-1, 7, 24)
    kinds = [(days[:_WEEKDAYS].mean(axis=0), prices[:, :_WEEKDAYS].mean(axis=1)), _weekend(days, prices)]
    if _alike(kinds):
        kinds = [(days.mean(axis=0), prices.mean(axis=1))]
    parts = _fewest([_costs(*kind) for kind in kinds], float(sum(kind[0].sum() for kind in kinds)))
    hour_names: list[str] = []
    block = np.zeros((7, 24), np.int64)
    for index, starts in enumerate(parts):
        where = slice(None) if len(kinds) == 1 else (slice(_WEEKDAYS), slice(_WEEKDAYS, 7))[index]
        first = len(hour_names)
        block[where] = first + _numbered(starts)
        hour_names += [_name(begin, end, index if len(kinds) > 1 else None) for begin, end in _pairs(starts)]
    return hour_names, block.reshape(HOURS_PER_WEEK)


def _weekend(days: Floats, prices: Floats) -> tuple[Floats, Floats]:
    return days[_WEEKDAYS:].mean(axis=0), prices[:, _WEEKDAYS:].mean(axis=1)


def _alike(kinds: Sequence[tuple[Floats, Floats]]) -> bool:
    (load, usd), (other_load, other_usd) = kinds
    same_price = np.allclose(usd, other_usd, rtol=0.05)
    return bool(np.abs(load - other_load).mean() <= 0.1 * max(load.mean(), 1e-9) and same_price)


def _costs(load: Floats, usd: Floats) -> Floats:
    """What is lost if hours i .. i + n - 1 of the day (mod 24) are one block, [24, 25]: capacity that is idle outside
    its highest hour, and load that meets another price than the block's mean."""
    found = np.zeros((24, 25))
    for begin in range(24):
        for length in range(1, 25):
            hours = np.arange(begin, begin + length) % 24
            own = usd[:, hours]
            mean = np.maximum(own.mean(axis=1, keepdims=True), 1e-12)
            off = np.abs(own / mean - 1.0).max(axis=0, initial=0.0)
            found[begin, length] = (load[hours].max() - load[hours]).sum() + (off * load[hours]).sum()
    return found


def _fewest(costs: Sequence[Floats], total: float) -> list[list[int]]:
    """Begins of the parts of each kind of day: as few as leave little waste, six in all at most."""
    ways = [[_best_cut(each, parts) for parts in range(1, _MOST_BLOCKS + 1)] for each in costs]
    best: list[list[int]] = [way[0][1] for way in ways]
    for count in range(len(costs), _MOST_BLOCKS + 1):
        splits = [(count,)] if len(costs) == 1 else [(one, count - one) for one in range(1, count)]
        waste, split = min((sum(way[n - 1][0] for way, n in zip(ways, split, strict=True)), split) for split in splits)
        best = [way[n - 1][1] for way, n in zip(ways, split, strict=True)]
        if waste <= _WASTE * total:
            break
    return best


def _best_cut(costs: Floats, parts: int) -> tuple[float, list[int]]:
    """Least waste of a day cut into so many stretches, and where they begin; the day is a circle."""
    if parts == 1:
        return float(costs[0, 24]), [0]
    return min(_cut_from(costs, first, parts) for first in range(24))


def _cut_from(costs: Floats, first: int, parts: int) -> tuple[float, list[int]]:
    """The same where one of them begins at `first`: by dynamic programming over ends."""
    least = costs[first].copy()
    least[0] = np.inf
    cuts: list[Integers] = []
    for _ in range(parts - 1):
        step = np.full((25, 25), np.inf)
        for begin in range(1, 24):
            ends = np.arange(begin + 1, 25)
            step[begin, ends] = least[begin] + costs[(first + begin) % 24, ends - begin]
        cuts.append(np.argmin(step, axis=0))
        least = step.min(axis=0)
    begins, end = [], 24
    for cut in reversed(cuts):
        end = int(cut[end])
        begins.append((first + end) % 24)
    return float(least[24]), sorted([first, *begins])


def _pairs(starts: Sequence[int]) -> list[tuple[int, int]]:
    return [(begin, starts[(index + 1) % len(starts)]) for index, begin in enumerate(starts)]


def _numbered(starts: Sequence[int]) -> Integers:
    """Part of each hour of the day, [24]; hours before the first begin belong to the last part."""
    if len(starts) == 1:
        return np.zeros(24, np.int64)
    return (np.searchsorted(np.array(starts), np.arange(24), side="right") - 1) % len(starts)


def _name(begin: int, end: int, kind: int | None) -> str:
    days = "" if kind is None else ("weekdays ", "weekends ")[kind]
    return f"{days}all day" if begin == end else f"{days}{begin:02}-{end:02}"
