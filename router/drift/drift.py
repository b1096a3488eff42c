"""Drift of a router: its log, window by window, beside what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from router.drift.judgement import Advice, Judged, Rules, Window, advise, judge
from router.drift.logs import Log, read_log
from router.errors import RouterError
from router.learned import LearnedRouter
from router.manifest import Manifest

__all__ = ["Drift", "drift", "drift_of"]

_DAY_S = 86_400.0
_MOST_WINDOWS = 100_000


@dataclass(frozen=True)
class Drift:
    """All windows in order of time, and what to do."""

    windows: tuple[Judged, ...]
    advice: Advice

    @property
    def alarms(self) -> list[str]:
        """Windows in which inputs or outcomes were an alarm."""
        return [window.name for window in self.windows if window.alarm]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "advice": {"verdict": self.advice.verdict, "reason": self.advice.reason, "since": self.advice.since},
            "alarms": self.alarms,
            "windows": [window.document() for window in self.windows],
        }


def drift(
    file: Path,
    logs: Path,
    *,
    window_s: float = _DAY_S,
    names: Mapping[str, str] | None = None,
    rules: Rules | None = None,
) -> Drift:
    """How far the requests in a log are from what a router's file was trained on, in windows of some seconds.

    A log without times is one window.

    Raises:
        RouterError: for a file that is no router and a log that cannot be read.
    """
    router = LearnedRouter.load(file, provider="auto")
    log = read_log(logs, router.features, router.strategies, names)
    return drift_of(router, log, window_s=window_s, rules=rules)


def drift_of(router: LearnedRouter, log: Log, *, window_s: float = _DAY_S, rules: Rules | None = None) -> Drift:
    """The same of a router and a log that are read already."""
    rules = rules or Rules()
    then = _errors_then(router.manifest)
    reference = router.manifest.reference
    judged = tuple(judge(window, reference, then, rules) for window in _windows(router, log, window_s))
    return Drift(judged, advise(judged, rules))


def _errors_then(manifest: Manifest) -> dict[str, float]:
    """The calibration error of each strategy on held-out questions."""
    found = manifest.metrics.get("by_strategy", manifest.metrics)
    errors = {}
    for name in manifest.strategies:
        figures = found.get(name, {})
        error = figures.get("ece_equal_mass", figures.get("ece")) if isinstance(figures, dict) else None
        if not isinstance(error, (int, float)):
            rule = "has no calibration error among the file's metrics"
            raise RouterError(name, rule, "export the router again with `nightshift train`")
        errors[name] = float(error)
    return errors


def _windows(router: LearnedRouter, log: Log, window_s: float) -> Iterator[Window]:
    scores = router.score(log.features)
    named = len(router.features.spec.names)
    chances = scores.p_correct
    if scores.prepared is not None:
        chances = np.where(log.prepared[:, np.newaxis], scores.prepared.p_correct, chances)
    given = chances[np.arange(len(log)), np.maximum(log.strategy, 0)]
    columns = [list(router.features.spec.names).index(name) for name in router.manifest.reference.features]
    for name, rows in _slices(log, window_s):
        yield Window(
            name,
            log.features[rows, :named][:, columns],
            scores.p_correct[rows],
            given[rows],
            log.strategy[rows],
            log.correct[rows],
            log.belongs_to[rows],
        )


def _slices(log: Log, window_s: float) -> Iterator[tuple[str, slice]]:
    if not window_s > 0.0:
        raise RouterError(window_s, "is no length of a window", "give seconds above zero")
    if log.time_s is None:
        yield "all", slice(None)
        return
    which = np.floor(log.time_s / window_s)
    if which[-1] - which[0] > _MOST_WINDOWS:
        raise RouterError(window_s, f"cuts the log into more than {_MOST_WINDOWS:,} windows", "give a longer window")
    edges = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), len(log)]
    for begin, end in pairwise(edges):
        yield _name(which[begin] * window_s, log.begins), slice(begin, end)


def _name(begin_s: float, begins: str | None) -> str:
    """When a window begins: a date and time, or days and hours.

    >>> _name(90000.0, "2026-03-02"), _name(90000.0, None)
    ('2026-03-03 01:00', 'day 1, 01:00')
    """
    if begins is not None:
        return (datetime.fromisoformat(begins) + timedelta(seconds=begin_s)).strftime("%Y-%m-%d %H:%M")
    days, rest_s = divmod(begin_s, _DAY_S)
    hours, minutes_s = divmod(rest_s, 3600.0)
    return f"day {days:.0f}, {hours:02.0f}:{minutes_s // 60:02.0f}"
