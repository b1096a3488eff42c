"""Train a router: labels in, what is learned from them out, with figures on questions that were held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.drift.bins import reference
from router.errors import RouterError
from router.features import Features, FeatureSpec
from router.learning.calibration import fit_line, fit_sigmoids, lines_left, squares_left
from router.learning.forest import Growth
from router.learning.heads import Amounts, Blend, Chances, Head, best_blend, fit_head, out_of_fold
from router.learning.metrics import figures_of
from router.learning.targets import Layout, amounts_of, correct_of, layout_of
from router.rows import Labels
from router.splits import blocks_of, folds_of

__all__ = ["Trained", "features_of", "train"]

Floats = NDArray[np.float64]

HASHED = 2048
"""Places of hashed n-grams where rows have a text."""

_CHANCES = Growth()
_AMOUNTS = Growth(trees=24, rate=0.2)
_FEWEST_ROWS = 20


@dataclass(frozen=True)
class Trained:
    """A router, and how well it does on what it has not seen."""

    spec: FeatureSpec
    layout: Layout
    correct: Chances
    amounts: Amounts
    spread: Floats
    """Spread of what the amounts leave, by column."""
    figures: Mapping[str, Any]
    """Held-out figures."""
    labels: Mapping[str, Any]
    """Where the labels come from."""
    reference: Mapping[str, Any]
    """How features and chances were spread in training."""
    calibration: Mapping[str, Any]
    held_out: Floats
    """Chances of each question by models that have not seen it, [Q, A + prepared]."""

    def predict(self, features: NDArray[np.float32]) -> dict[str, Floats]:
        """What the exported file gives, by the names of its outputs."""
        layout, first = self.layout, len(self.layout.strategies)
        chance, amount = self.correct.of(features), self.amounts.of(features)
        spread = np.broadcast_to(self.spread[: layout.columns], (len(features), layout.columns))
        found = {"p_correct": chance[:, :first], "log_tokens": amount[:, :first], "log_tokens_sd": spread[:, :first]}
        if layout.prepared is not None:
            on = layout.on_prepared
            found["p_correct_prepared"] = chance[:, on]
            found["log_tokens_prepared"] = amount[:, on]
            found["log_tokens_prepared_sd"] = spread[:, on]
        if layout.has_logprob:
            found["predictability"] = amount[:, layout.logprob_column]
        elif layout.prepared is not None:
            found["predictability"] = (chance[:, first:] - chance[:, list(layout.prepared)]).mean(axis=1)
        if layout.has_contexts:
            found["expected_questions"] = np.exp(amount[:, layout.questions_column])
        return found

    def document(self) -> dict[str, Any]:
        """What there is to tell: the labels, features, strategies, calibration, and the figures held out."""
        return {
            "strategies": list(self.layout.strategies),
            "features": {"names": list(self.spec.names), "hashed": self.spec.hashed},
            "labels": dict(self.labels),
            "calibration": dict(self.calibration),
            "metrics": dict(self.figures),
        }


def features_of(labels: Labels, spec: FeatureSpec) -> NDArray[np.float32]:
    """The features of all questions, [Q, width]."""
    return Features(spec).of(labels.text if spec.text else None, labels.numbers)


def train(
    labels: Labels,
    *,
    seed: int = 0,
    folds: int = 5,
    hashed: int = HASHED,
    progress: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Learn each strategy's chance and tokens; figures are of questions whose context and group were left out.

    Raises:
        RouterError: for labels too few, of one class, or with fewer groups than folds.
    """
    if len(labels) < _FEWEST_ROWS:
        raise RouterError(len(labels), f"are fewer questions than the {_FEWEST_ROWS} needed", "give more rows")
    layout = layout_of(labels)
    spec = FeatureSpec(tuple(labels.numbers), labels.text is not None, hashed if labels.text is not None else 0)
    blocks = blocks_of(labels)
    fold = folds_of(blocks, folds, seed)
    _check_classes(correct_of(labels, layout), fold, layout)
    features = features_of(labels, spec)
    progress(f"{len(labels):,} questions, {len(layout.strategies)} strategies, {spec.width:,} features")

    shares = correct_of(labels, layout)
    correct, blend, chances = _learn_chances(features, spec, shares, fold, seed, progress)
    amounts, spread = _learn_amounts(features, spec, amounts_of(labels, layout), fold, seed, progress)
    return Trained(
        spec=spec,
        layout=layout,
        correct=correct,
        amounts=amounts,
        spread=spread,
        figures=figures_of(layout, chances, shares, blocks, seed),
        labels=_provenance(labels, blocks, folds, seed),
        reference=_reference(features, spec, correct.of(features), layout),
        calibration={
            "kind": "sigmoid of a cubic",
            "penalty": blend.penalty,
            "ridge_share": blend.share,
            "by_strategy": {
                layout.name_of(column): {"low": float(low), "scale": float(scale), "powers": powers}
                for column, (low, scale, powers) in enumerate(
                    zip(correct.sigmoids.low, correct.sigmoids.scale, correct.sigmoids.powers.T.tolist(), strict=True)
                )
            },
        },
        held_out=chances,
    )


def _check_classes(shares: Floats, fold: NDArray[np.int64], layout: Layout) -> None:
    for held in np.unique(fold):
        for column, values in enumerate(shares[fold != held].T):
            known = values[~np.isnan(values)]
            if not len(known) or (known.min() == known.max() and known.min() in (0.0, 1.0)):
                rule = "has outcomes of one kind only once a fold is held out"
                raise RouterError(layout.name_of(column), rule, "give more rows, or other --folds or --seed")


def _learn_chances(
    features: NDArray[np.float32],
    spec: FeatureSpec,
    shares: Floats,
    fold: NDArray[np.int64],
    seed: int,
    progress: Callable[[str], None],
) -> tuple[Chances, Blend, Floats]:
    """The head of chances, and chances out of fold: scores of models that have not seen a question, through a sigmoid.

    A sigmoid fitted without a fold would know by what it leaves out: its offset moves against that fold's mean, and
    so would the ranking across folds, most of all where whole subjects are held out.
    """
    dense = len(spec.names)
    scores = out_of_fold(features, dense, shares, fold, seed, _CHANCES, lambda: progress("a fold of chances"))
    blend = best_blend(scores, lambda found: squares_left(found, shares))
    sigmoids = fit_sigmoids(blend.of(scores), shares)
    scaling, fitted = fit_head(features, dense, shares, seed, _CHANCES)
    head = Head(scaling, fitted.linear[blend.penalty], fitted.forest, blend.share)
    return Chances(head, sigmoids), blend, sigmoids.of(blend.of(scores))


def _learn_amounts(
    features: NDArray[np.float32],
    spec: FeatureSpec,
    amounts: Floats,
    fold: NDArray[np.int64],
    seed: int,
    progress: Callable[[str], None],
) -> tuple[Amounts, Floats]:
    """The head of amounts, each learned in its own spread, and the spread of what is left out of fold."""
    dense = len(spec.names)
    middle, spread = np.nanmean(amounts, axis=0), np.nanstd(amounts, axis=0)
    width = np.where(spread > 1e-9, spread, 1.0)
    scaled = np.where(spread > 1e-9, (amounts - middle) / width, np.where(np.isnan(amounts), np.nan, 0.0))
    scores = out_of_fold(features, dense, scaled, fold, seed, _AMOUNTS, lambda: progress("a fold of amounts"))
    blend = best_blend(scores, lambda found: lines_left(found, scaled))
    mixed = blend.of(scores)
    lines = np.array([fit_line(mixed[:, column], scaled[:, column]) for column in range(amounts.shape[1])])
    scaling, fitted = fit_head(features, dense, scaled, seed, _AMOUNTS)
    head = Head(scaling, fitted.linear[blend.penalty], fitted.forest, blend.share)
    return Amounts(head, lines[:, 0] * width, lines[:, 1] * width + middle), lines[:, 2] * width


def _provenance(labels: Labels, blocks: NDArray[np.int64], folds: int, seed: int) -> dict[str, Any]:
    return {
        **labels.source,
        "questions": len(labels),
        "contexts": int(labels.context.max()) + 1 if labels.has_contexts else 0,
        "groups": int(blocks.max()) + 1,
        "folds": folds,
        "seed": seed,
        "tokens": "measured" if labels.has_tokens else "not measured: every answer counts as one token",
    }


def _reference(features: NDArray[np.float32], spec: FeatureSpec, chances: Floats, layout: Layout) -> dict[str, Any]:
    return reference(features, spec.names, chances, [layout.name_of(column) for column in range(layout.columns)])
