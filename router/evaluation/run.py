"""`nightshift evaluate`: from files to figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import RouterError
from router.evaluation.logs import judged_log, read_log
from router.evaluation.pricing import TokenPrices
from router.evaluation.report import Settings, evaluated
from router.evaluation.sources import (
    Expected,
    Happened,
    Missing,
    aligned,
    happened_in,
    judged,
    read_happened,
    read_predictions,
)

if TYPE_CHECKING:
    from router.rows import Labels

__all__ = ["Asked", "evaluate"]


@dataclass(frozen=True)
class Asked:
    """What is to be judged, and how. One of `router`, `predictions`, `refit` says where expectations come from."""

    router: Path | None = None
    """A router's file."""
    outcomes: Path | None = None
    """What came of the questions; predictions may hold that themselves."""
    predictions: Path | None = None
    """Expectations of any router: question, strategy, p_correct, and if there tokens, correct, group."""
    refit: bool = False
    """Train anew on the outcomes, for each fold without it."""
    baseline: Path | None = None
    """Predictions of another router, to be held against at equal spend."""
    log: Path | None = None
    """Answers chosen by chance with known propensities, for an off-policy estimate."""
    names: dict[str, str] = field(default_factory=dict)
    """Our columns, by the file's (`router.tables`)."""
    texts: Path | None = None
    """A file of texts by question."""
    group: str | None = None
    """The column of groups."""
    features: tuple[str, ...] = ("auto",)
    """Numeric columns to train on anew."""
    signals: tuple[str, ...] = ()
    """Signals to train on anew, such as confidence:direct."""
    strategies: tuple[str, ...] | None = None
    prepared: bool = False
    """Judge answers on prepared contexts."""
    effort: str = "medium"
    missing: Missing = "leave-out"
    prices: TokenPrices = field(default_factory=TokenPrices)
    usd_per_correct: float | None = None
    """What a right answer is worth to the policy that a log is asked about."""
    folds: int = 5
    settings: Settings = field(default_factory=Settings)


def evaluate(asked: Asked, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """All figures of `report.evaluated` and where they come from; if asked for, the same of unseen groups and of a log.

    Raises:
        RouterError: for files that cannot be read, do not fit together, or are asked for in ways that exclude
            each other.
    """
    _check(asked)
    if asked.predictions is not None:
        return _of_predictions(asked, asked.predictions)
    assert asked.outcomes is not None
    if asked.router is not None:
        return _of_router(asked, asked.router, asked.outcomes)
    return _of_refit(asked, asked.outcomes, progress)


def _check(asked: Asked) -> None:
    ways = {"a router's file": asked.router, "--predictions": asked.predictions, "--refit": asked.refit or None}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        told = " and ".join(given) or "nothing"
        rule = "says what to judge" if not given else "exclude each other"
        raise RouterError(told, rule, "give a router's file, or --predictions FILE, or --refit")
    if asked.outcomes is None and asked.predictions is None:
        raise RouterError(given[0], "needs outcomes to be held against", "give the file of outcomes as well")
    if asked.usd_per_correct is not None and asked.log is None:
        raise RouterError("--usd-per-correct", "is for the policy that a log is asked about", "add --log FILE")


def _of_predictions(asked: Asked, path: Path) -> dict[str, Any]:
    expected, happened = read_predictions(path)
    source: dict[str, Any] = {"predictions": path.name}
    if asked.outcomes is not None:
        happened = _from_file(asked, asked.outcomes)
        source["outcomes"] = asked.outcomes.name
    if happened is None:
        if asked.log is None:
            raise RouterError(path.name, "has no column correct", "add it, or give the file of outcomes as well")
        return {"source": source, "off_policy": _off_policy(asked, expected)}
    return _result(asked, source, expected, happened)


def _of_router(asked: Asked, path: Path, outcomes: Path) -> dict[str, Any]:
    from router.evaluation.scored import expected_by, labels_for
    from router.learned import LearnedRouter

    router = LearnedRouter.load(path)
    labels, note = _unseen(
        labels_for(router, outcomes, names=asked.names, texts_path=asked.texts, group=asked.group, effort=asked.effort),
        router.manifest.labels,
    )
    expected = expected_by(router, labels, prepared=asked.prepared)
    source = {"router": path.name, "outcomes": outcomes.name}
    found = _result(asked, source, expected, _happened(asked, labels, outcomes))
    found["notes"] += note
    return found


def _unseen(labels: Labels, trained_on: Mapping[str, Any]) -> tuple[Labels, list[str]]:
    """The questions that a router has not seen, where it was trained on this file, and what is to be said of it."""
    from router.splits import is_held_out

    if trained_on.get("sha256") != labels.source.get("sha256"):
        return labels, []
    rule = trained_on.get("held_out")
    if rule is None:
        return labels, [
            "The router was trained on these very rows: the figures are too good; --refit gives honest ones"
        ]
    out = is_held_out(labels.context_names, float(rule["share"]), int(rule["seed"]))
    note = f"The router was trained on the rest of this file: only the {int(out.sum())} questions held out are judged"
    return labels.only(np.flatnonzero(out), labels.source), [note]


def _of_refit(asked: Asked, outcomes: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    from router.evaluation.refit import out_of_fold

    labels = _labels(asked, outcomes)
    views = {"in-distribution": False} | ({"unseen groups": True} if labels.group is not None else {})
    found: dict[str, Any] = {}
    for name, by_group in views.items():
        progress(name)
        expected = out_of_fold(
            labels,
            by_group=by_group,
            prepared=asked.prepared,
            folds=asked.folds,
            seed=asked.settings.seed,
            progress=progress,
        )
        source = {"refit": name, "folds": asked.folds, "outcomes": outcomes.name}
        # What groups are in training stays the same in distribution, so only contexts are drawn.
        drawn = labels if by_group else replace(labels, group=None)
        view = _result(asked, source, expected, _happened(asked, drawn, outcomes))
        if found:
            found["unseen_groups"] = view
        else:
            found = view
    return found


def _labels(asked: Asked, path: Path) -> Labels:
    from router.rows import read_labels

    return read_labels(
        path,
        names=asked.names,
        texts_path=asked.texts,
        group=asked.group,
        features=asked.features,
        signals=asked.signals,
        strategies=asked.strategies,
        effort=asked.effort,
    )


def _happened(asked: Asked, labels: Labels, path: Path) -> Happened:
    found = happened_in(labels, prepared=asked.prepared)
    if not asked.prices.usd_per_1m_prompt:
        return found
    # Labels leave out what no router can see, such as the tokens of the prompt.
    whole = replace(asked, group=None)
    return replace(found, prompt_tokens=aligned(_from_file(whole, path), found))


def _from_file(asked: Asked, path: Path) -> Happened:
    return read_happened(path, asked.names, asked.group, prepared=asked.prepared, effort=asked.effort)


def _result(asked: Asked, source: dict[str, Any], expected: Expected, happened: Happened) -> dict[str, Any]:
    table = judged(expected, happened, asked.prices, strategies=asked.strategies, missing=asked.missing)
    other = None
    if asked.baseline is not None:
        another, _ = read_predictions(asked.baseline)
        other = judged(another, happened, asked.prices, strategies=table.strategies, missing=asked.missing)
        source["baseline"] = asked.baseline.name
    found = {"source": source, **evaluated(table, asked.settings, other)}
    if asked.log is not None:
        found["off_policy"] = _off_policy(asked, expected)
    return found


def _off_policy(asked: Asked, expected: Expected) -> dict[str, Any]:
    assert asked.log is not None
    how = asked.settings
    log = read_log(asked.log)
    return judged_log(
        log, expected, asked.prices, usd_per_correct=asked.usd_per_correct, draws=how.draws, seed=how.seed
    )
