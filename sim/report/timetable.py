"""The chart over time as a table, by slots wide enough that the whole run is in few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sim import wording as words
from sim.report.chart import Table, rounded
from sim.report.series import MOST_ROWS, wide_enough, width_in_words
from sim.report.slots import Slots, slots_of
from sim.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["timetable"]

_Form = Callable[[float | None], str]


def timetable(source: Source) -> Table:
    """Load, replicas, prices and dollars by slot."""
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_ROWS)
    slots = slots_of(source, width_s)
    columns = {"from": [source.clock.says(begin_s) for begin_s in slots.edges["begin_s"]]}
    columns |= _load(slots) | _pools(slots) | {"dollars": _texts(slots.usd, words.usd)}
    if slots.total["kwh"].any():
        columns |= {"kWh": _texts(slots.total["kwh"], words.number)}
    if slots.total["carbon_kg"].any():
        columns |= {"kg CO2": _texts(slots.total["carbon_kg"], words.number)}
    every = width_in_words(source.bucket_s)
    note = f"By {width_in_words(width_s)}; buckets.parquet holds every {every}, with more columns."
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), note)


def _load(slots: Slots) -> dict[str, list[str]]:
    return {
        "arriving a second": _texts(slots.arriving, words.number),
        "answered a second": _texts(slots.answered, words.number),
        "being answered": _texts(slots.total["running"], words.number),
        "waiting": _texts(slots.total["waiting"], words.number),
    }


def _pools(slots: Slots) -> dict[str, list[str]]:
    def columns(
        title: str, pools: Sequence[str], values: Callable[[str], pd.Series[float]], form: _Form
    ) -> dict[str, list[str]]:
        return {title.format(pool): _texts(values(pool), form) for pool in pools}

    return {
        **columns("replicas of {}", slots.gpus, lambda pool: slots.of(pool, "accepting_replicas"), words.number),
        **columns("busy, {}", slots.gpus, slots.busy, words.share),
        **columns("GPU-hour, {}", slots.gpus, lambda pool: slots.of(pool, "usd_per_gpu_hour"), words.usd),
        **columns("1M output tokens, {}", slots.apis, lambda pool: slots.of(pool, "output_usd_per_1m"), words.usd),
    }


def _texts(values: Iterable[float], form: _Form) -> list[str]:
    return [form(value) for value in rounded(values, 8)]
