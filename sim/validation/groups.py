"""Errors by group: pairs in the fit, pairs never seen, each configuration, each pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from sim.streams import RandomStreams
from sim.validation.comparison import SERVING, with_errors

__all__ = ["HEADLINES", "Group", "error_groups", "median_interval", "pair_groups", "request_groups"]

Group: TypeAlias = dict[str, Any]
"""Of one group, metric and statistic: `group`, `metric`, `statistic`, `saturated`, `n` (runs), `median_abs_error`,
`mean_abs_error` and `bias` (median signed error) as fractions of what was measured, `measured` and `predicted`
(medians over the runs), and `interval` (95 %, of `median_abs_error`; None outside the headline groups and where all
runs are of one configuration)."""

HEADLINES = ("seen", "unseen", "step-tables", "poisson")
"""Groups across configurations, in their order."""

_SEED = 0
_RESAMPLES = 2000
_BLOCK = 100
_METRICS = ("ttft_ms", "tpot_ms", "e2e_s", "step_ms")
_STATISTICS = ("mean", "p50", "p90", "p99", "request")


def error_groups(rows: DataFrame) -> list[Group]:
    """Groups of the rows of a `Comparison`: the headlines, then each configuration, saturated runs always apart.

    The headlines are "seen" and "unseen" (runs of whole servers), "step-tables" and "poisson". Rows without a
    prediction are in no group.
    """
    known = _predicted(rows)
    headlines = list(_groups(known.assign(group=_headline(known)), resampled=True))
    single = known[known["kind"] != "poisson"]
    first = sorted(headlines, key=lambda group: HEADLINES.index(group["group"]))
    return [*first, *_groups(single.assign(group=single["configuration"]))]


def _headline(rows: DataFrame) -> NDArray[np.str_]:
    """The headline group of each row, [n]."""
    kind, seen = rows["kind"], rows["seen"].to_numpy(np.bool_)
    whole = np.where(seen, "seen", "unseen")
    return np.where(kind.isin(SERVING), whole, np.where(kind == "poisson", "poisson", "step-tables"))


def pair_groups(rows: DataFrame) -> list[Group]:
    """Groups by pair of GPU and model, "H100-SXM Llama-3.1-8B", of runs of whole servers; saturated runs apart."""
    known = _predicted(rows)
    serving = known[known["kind"].isin(SERVING)]
    return list(_groups(serving.assign(group=serving["gpu"] + " " + serving["model"])))


def request_groups(requests: DataFrame) -> list[Group]:
    """Groups of the requests of a `Comparison` by log, with `statistic` "request"; saturated logs apart."""
    return list(_groups(_predicted(requests).assign(group=requests["source"], statistic="request")))


def _predicted(rows: DataFrame) -> DataFrame:
    return with_errors(rows).dropna(subset=["error"])


def _groups(rows: DataFrame, *, resampled: bool = False) -> Iterator[Group]:
    """A group for each of `group`, saturation, metric and statistic, in this order."""
    alike = rows.groupby(["group", "saturated", "metric", "statistic"], sort=False)
    for key, members in sorted(alike, key=lambda item: _place(item[0])):
        name, saturated, metric, statistic = key
        of: Group = {"group": name, "metric": metric, "statistic": statistic, "saturated": bool(saturated)}
        yield of | _errors(members) | {"interval": _interval(members) if resampled else None}


def _place(key: Sequence[Any]) -> tuple[Any, ...]:
    name, saturated, metric, statistic = key
    return name, bool(saturated), _at(metric, _METRICS), _at(statistic, _STATISTICS)


def _at(name: str, names: Sequence[str]) -> tuple[int, str]:
    return (names.index(name) if name in names else len(names)), name


def _errors(members: DataFrame) -> Group:
    error = members["error"].to_numpy(np.float64)
    return {
        "n": len(error),
        "median_abs_error": float(np.median(np.abs(error))),
        "mean_abs_error": float(np.mean(np.abs(error))),
        "bias": float(np.median(error)),
        "measured": float(members["measured"].median()),
        "predicted": float(members["predicted"].median()),
    }


def _interval(members: DataFrame) -> list[float] | None:
    return median_interval(members["error"].abs().to_numpy(np.float64), members["configuration"])


def median_interval(values: NDArray[np.float64], clusters: Iterable[object]) -> list[float] | None:
    """95 % interval of the median of values [n], by resampling whole clusters (a label for each value).

    Runs of one configuration err alike, so resampling single runs would make the interval too narrow. The same
    values always give the same interval. None where there is but one cluster, as it tells nothing of others.

    >>> median_interval(np.array([0.1, 0.1, 0.3, 0.3]), ["a", "a", "b", "b"])
    [0.1, 0.3]
    >>> median_interval(np.array([0.1, 0.2]), ["a", "a"]) is None
    True
    """
    names, places = np.unique([str(cluster) for cluster in clusters], return_inverse=True)
    if names.size < 2:
        return None
    order = np.argsort(values, kind="stable")
    draws = RandomStreams(_SEED, 0).generator("validation/intervals")
    chances = np.full(names.size, 1.0 / names.size)
    medians = [
        _weighted_medians(values[order], draws.multinomial(names.size, chances, size=_BLOCK)[:, places[order]])
        for _ in range(_RESAMPLES // _BLOCK)
    ]
    low, high = np.quantile(np.concatenate(medians), [0.025, 0.975])
    return [float(low), float(high)]


def _weighted_medians(ordered: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Medians [m] of the values [n], in rising order, each taken as often as its counts [m, n] say."""
    reached = np.cumsum(counts, axis=1)
    total = reached[:, -1:]
    below = np.argmax(reached > (total - 1) // 2, axis=1)
    above = np.argmax(reached > total // 2, axis=1)
    medians: NDArray[np.float64] = (ordered[below] + ordered[above]) / 2.0
    return medians
