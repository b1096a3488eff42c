"""A gateway's log as drift needs it: features, strategy, outcome and time of each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError
from router.features import Features
from router.types import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Log", "parse_names", "read_log"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Log:
    """n requests in order of time, [n] each."""

    features: NDArray[np.float32]
    """[n, F]."""
    strategy: Integers
    """Of the router's strategies; -1 for others and where the log does not say."""
    correct: Floats
    """Share of the answer that was right; NaN where nobody knows."""
    prepared: NDArray[np.bool_]
    belongs_to: Integers
    """Number of its context; else of its question, or of its features where neither is named."""
    time_s: Floats | None
    """Seconds; None where the log has no times."""
    begins: str | None
    """Date and time of second 0; None where the log counts seconds."""

    def __len__(self) -> int:
        return int(self.strategy.size)


def parse_names(text: str) -> dict[str, str]:
    """Our names and the log's, from OURS=THEIRS between commas.

    >>> parse_names("text=prompt, arrival_s=when")
    {'text': 'prompt', 'arrival_s': 'when'}

    Raises:
        RouterError: for what is no pair.
    """
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        ours, _, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and theirs):
            raise RouterError(pair, "is no pair of names", "write OURS=THEIRS, such as text=prompt", "--map")
        found[ours] = theirs
    return found


def read_log(
    path: Path, features: Features, strategies: tuple[str, ...], names: Mapping[str, str] | None = None
) -> Log:
    """A log in CSV, JSON lines (either may be gzip) or Parquet.

    Columns: `text` and the numbers that the router reads; and where known `strategy`, `correct` (0, 1, a share or
    empty), `prepared` (0 or 1), `context` or `question`, and `arrival_s` (seconds) or `time` (ISO 8601). `names` maps
    these to the file's.

    Raises:
        RouterError: for a file that cannot be read, lacks what the router reads, or has a wrong row, with its line.
    """
    from router.tables import read_table

    rows = read_table(path)
    for ours, theirs in (names or {}).items():
        if theirs not in rows:
            raise RouterError(theirs, "is no column of the log", f"it has {', '.join(map(str, rows))}", str(path))
        rows[ours] = rows[theirs]
    time_s, begins = _times(rows, path)
    log = Log(
        _features(rows, features, path),
        _strategies(rows, strategies, path),
        _numbers(rows, "correct", path, "must be 0, 1, a share between or empty", blank=np.nan),
        _numbers(rows, "prepared", path, "must be 0 or 1", blank=0.0) > 0.5,
        np.zeros(len(rows), np.int64),
        time_s,
        begins,
    )
    return _in_order(log, _owners(rows, log.features))


def _in_order(log: Log, owners: Integers) -> Log:
    order = np.arange(len(log)) if log.time_s is None else np.argsort(log.time_s, kind="stable")
    return Log(
        log.features[order],
        log.strategy[order],
        log.correct[order],
        log.prepared[order],
        owners[order],
        None if log.time_s is None else log.time_s[order],
        log.begins,
    )


def _features(rows: pd.DataFrame, features: Features, path: Path) -> NDArray[np.float32]:
    from router.tables import numbers, texts

    spec = features.spec
    needed = [*(["text"] if spec.text else []), *spec.numbers]
    lacking = [name for name in needed if name not in rows]
    if lacking:
        remedy = f"name it by --map {lacking[0]}=COLUMN; the log has {', '.join(map(str, rows))}"
        raise RouterError(lacking[0], "is read by the router and no column of the log", remedy, str(path))
    columns = {name: numbers(rows[name]).to_numpy() for name in spec.numbers}
    for name, column in columns.items():
        _refuse(rows, name, ~np.isfinite(column), "must be a finite number", path)
    return features.of(texts(rows["text"]).tolist() if spec.text else None, columns)


def _strategies(rows: pd.DataFrame, strategies: tuple[str, ...], path: Path) -> Integers:
    from router.tables import texts

    if "strategy" not in rows:
        return np.full(len(rows), -1, np.int64)
    places = {name: place for place, name in enumerate(strategies)}
    found = np.array([places.get(name, -1) for name in texts(rows["strategy"])], np.int64)
    if found.max() < 0:
        remedy = f"give the log of a router of: {', '.join(strategies)}"
        raise RouterError(
            rows["strategy"].iloc[0], "is no strategy of this router, nor is any other in the log", remedy
        )
    return found


def _numbers(rows: pd.DataFrame, name: str, path: Path, rule: str, blank: float) -> Floats:
    from router.tables import blank as is_blank
    from router.tables import numbers

    if name not in rows:
        return np.full(len(rows), blank)
    column = numbers(rows[name].astype(object)).to_numpy()
    empty = is_blank(rows[name]).to_numpy()
    _refuse(rows, name, ~((column >= 0.0) & (column <= 1.0)) & ~empty, rule, path)
    found: Floats = np.where(empty, blank, column)
    return found


def _times(rows: pd.DataFrame, path: Path) -> tuple[Floats | None, str | None]:
    """Seconds from the first whole day of the log on, and when that was; or the log's own seconds."""
    import pandas as pd

    from router.tables import numbers

    if "arrival_s" in rows:
        seconds = np.asarray(numbers(rows["arrival_s"]), np.float64)
        _refuse(rows, "arrival_s", ~np.isfinite(seconds), "must be a number of seconds", path)
        return seconds, None
    if "time" not in rows:
        return None, None
    moments = pd.to_datetime(rows["time"], errors="coerce", utc=True, format="ISO8601")
    _refuse(rows, "time", moments.isna().to_numpy(), "must be a time such as 2026-03-02T08:30:00Z", path)
    first = moments.min().floor("D")
    return np.asarray((moments - first).dt.total_seconds(), np.float64), first.strftime("%Y-%m-%d")


def _owners(rows: pd.DataFrame, features: NDArray[np.float32]) -> Integers:
    """Requests on one context, or of one question, say the same thing again: they share a number."""
    import pandas as pd

    from router.tables import texts

    owner = pd.Series("", index=rows.index)
    for column in ("context_id", "context", "question"):
        if column in rows:
            named = texts(rows[column].astype(object))
            owner = owner.where((owner != "") | (named == ""), f"{column}:" + named)
    if (owner == "").any():
        same = np.unique(features, axis=0, return_inverse=True)[1].ravel()
        owner = owner.where(owner != "", pd.Series(same, index=rows.index).map("features:{}".format))
    return np.asarray(pd.factorize(owner)[0], np.int64)


def _refuse(rows: pd.DataFrame, name: str, bad: NDArray[Any], rule: str, path: Path) -> None:
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        where = f"{path}:{rows.index[place]}  {name}"
        raise RouterError(rows[name].iloc[place], rule, "correct the row, or leave it out", where)
