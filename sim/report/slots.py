"""The fleet over time: load, time, money and prices by slot and pool, on average over the replications."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sim.report.series import mean_over_time
from sim.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Slots", "slots_of"]

_TIMES = ("busy_s", "idle_s", "starting_s", "draining_s", "down_s", "off_s")
_MONEY = ("busy_usd", "unused_usd", "api_usd", "other_usd")
_SUMS = ("completed", "prompt_tokens", "cached_tokens", *_TIMES, *_MONEY, "kwh", "carbon_kg")
_LEVELS = ("running", "waiting", "accepting_replicas", "starting_replicas")
_PRICES = ("usd_per_gpu_hour", "output_usd_per_1m")


@dataclass(frozen=True)
class Slots:
    """The slots of a run, numbered; `frame` has a row for each of them and pool."""

    frame: pd.DataFrame
    gpus: tuple[str, ...]
    """Pools with GPUs that have buckets, in the scenario's order."""
    apis: tuple[str, ...]
    """Pools that are an API, likewise."""
    offered: pd.Series[float]
    """Requests that arrived, by slot, whether a pool took them or not; each once, however often it was sent."""
    right: pd.Series[float]
    """Share of right ones among the answers whose quality is modelled, by slot."""

    @cached_property
    def edges(self) -> pd.DataFrame:
        """`begin_s` and `end_s` of each slot."""
        return self.frame.drop_duplicates("slot").set_index("slot").sort_index()[["begin_s", "end_s"]]

    @cached_property
    def hours(self) -> pd.Series[float]:
        """Length of each slot."""
        return (self.edges["end_s"] - self.edges["begin_s"]) / 3600.0

    @cached_property
    def total(self) -> pd.DataFrame:
        """Sums over the pools by slot."""
        return self.frame.groupby("slot")[[*_SUMS, *_LEVELS]].sum()

    @cached_property
    def usd(self) -> pd.Series[float]:
        """Dollars of all pools by slot."""
        return self.total[list(_MONEY)].sum(axis=1)

    @cached_property
    def starting(self) -> pd.Series[float]:
        """Replicas launched and not yet open, by slot."""
        return self.frame[self.frame["pool"].isin(self.gpus)].groupby("slot")["starting_replicas"].sum()

    @property
    def arriving(self) -> pd.Series[float]:
        """Requests that arrived, by the second."""
        return self.offered / self.hours / 3600.0

    @property
    def answered(self) -> pd.Series[float]:
        """Requests that all pools answered, by the second."""
        return self.total["completed"] / self.hours / 3600.0

    def of(self, pool: str, column: str) -> pd.Series[float]:
        """A column of a pool by slot."""
        return self._pool(pool)[column]

    def busy(self, pool: str) -> pd.Series[float]:
        """Share of a pool's paid time in which it works, by slot."""
        mine = self._pool(pool)
        return mine["busy_s"] / mine[list(_TIMES)].sum(axis=1)

    def cached(self, pool: str) -> pd.Series[float]:
        """Share of a pool's prompt tokens that it found cached, by slot."""
        mine = self._pool(pool)
        return mine["cached_tokens"] / mine["prompt_tokens"].where(mine["prompt_tokens"] > 0.0)

    def usd_per_hour(self, pool: str) -> pd.Series[float]:
        """Dollars of a pool by the hour."""
        return self._pool(pool)[list(_MONEY)].sum(axis=1) / self.hours

    def _pool(self, pool: str) -> pd.DataFrame:
        return self.frame[self.frame["pool"] == pool].set_index("slot").reindex(self.edges.index)


def slots_of(source: Source, width_s: float) -> Slots:
    """The slots of a run; gauges are averaged within a slot, prices are those at its end."""
    frame = mean_over_time(source.buckets, width_s, "pool", sums=_SUMS, levels=_LEVELS, last=_PRICES)
    there = set(frame["pool"])
    gpus, apis = (tuple(name for name in source.pools_of(kind) if name in there) for kind in ("gpu", "api"))
    streams = mean_over_time(source.streams, width_s, "stream", sums=("offered", "known", "correct"))
    sums = streams.groupby("slot")[["offered", "known", "correct"]].sum()
    sums = sums.reindex(sorted(set(frame["slot"])), fill_value=0.0)
    return Slots(frame, gpus, apis, sums["offered"], sums["correct"] / sums["known"].where(sums["known"] > 0.0))
