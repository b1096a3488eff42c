"""Buckets of time, put together into as many as a chart or a table can show, as means over the replications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.scenario.quantities import format_duration

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_POINTS", "MOST_ROWS", "mean_over_time", "wide_enough", "width_in_words"]

MOST_POINTS = 1_500
"""Of a trace."""

MOST_ROWS = 200
"""Of a table."""

_MINUTES = (1, 5, 10, 15, 20, 30, 60, 120, 180, 360, 720, 1_440, 10_080)


def wide_enough(span_s: float, bucket_s: float, most: int) -> float:
    """Width in seconds of what holds whole buckets, no more than `most` over the span; a round one where there is one.

    >>> wide_enough(7 * 86400.0, 300.0, 1500), wide_enough(30 * 86400.0, 300.0, 200), wide_enough(3600.0, 300.0, 200)
    (600.0, 21600.0, 300.0)
    """
    if span_s <= bucket_s * most:
        return bucket_s
    rounds = (60.0 * minutes for minutes in _MINUTES)
    whole = (width for width in rounds if width % bucket_s == 0 and span_s <= width * most)
    return next(whole, bucket_s * -(-span_s // (bucket_s * most)))


def width_in_words(width_s: float) -> str:
    """A width of time, such as "10m"; 10 minutes, an hour, a day.

    >>> width_in_words(600.0), width_in_words(3600.0), width_in_words(86400.0), width_in_words(45.0)
    ('10 minutes', 'hour', 'day', '45s')
    """
    units = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))
    for size, unit in units:
        if width_s % size == 0 and width_s >= size:
            return unit if width_s == size else f"{width_s / size:.0f} {unit}s"
    return format_duration(round(width_s, 3))


def mean_over_time(
    frame: pd.DataFrame,
    width_s: float,
    by: str,
    *,
    sums: Sequence[str],
    levels: Sequence[str] = (),
    last: Sequence[str] = (),
) -> pd.DataFrame:
    """The frame by slot of `width_s` and by `by`, on average over the replications; with `begin_s` and `end_s`.

    `sums` add up within a slot (a replication without rows there counts as none), `levels` are averaged, and of
    `last` the last value of the slot stands.
    """
    runs = frame["replication"].nunique() or 1
    cut = frame.assign(slot=((frame["begin_s"] + 1e-6) // width_s).astype(int)).sort_values("begin_s")
    keys = ["slot", by]
    groups = cut.groupby(keys, sort=True)
    parts = groups[list(sums)].sum() / runs
    if levels:
        parts = parts.join(groups[list(levels)].mean())
    if last:
        parts = parts.join(cut.groupby([*keys, "replication"])[list(last)].last().groupby(keys).mean())
    edges = cut.groupby("slot").agg(begin_s=("begin_s", "min"), end_s=("end_s", "max"))
    return parts.reset_index().merge(edges, on="slot")
