"""Expectations of questions by routers that have not seen them: one trained anew for each fold that is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from router.errors import RouterError
from router.evaluation.sources import Expected

if TYPE_CHECKING:
    from router.rows import Labels

__all__ = ["out_of_fold"]


def out_of_fold(
    labels: Labels,
    *,
    by_group: bool,
    prepared: bool = False,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Expected:
    """Out-of-fold expectations of all questions, in which neither a context nor a text is on both sides of a fold.

    With `by_group` neither is a group, so that these are the figures for groups never seen; without it groups are
    seen in training, and these are the figures in distribution.

    Raises:
        RouterError: where labels have no groups or prepared contexts and these are asked for, and for labels that
            cannot be trained on.
    """
    from router.train import train

    if by_group and labels.group is None:
        raise RouterError("the outcomes", "have no groups to leave out", "name their column by --group")
    trained = train(labels if by_group else replace(labels, group=None), seed=seed, folds=folds, progress=progress)
    count = len(labels.strategies)
    columns = list(range(count))
    if prepared:
        if trained.layout.prepared is None:
            raise RouterError("--prepared", "needs outcomes on prepared contexts, and there are none", "leave it out")
        columns = trained.layout.on_prepared
    spread = trained.spread[columns]
    tokens = np.exp(trained.held_out_log_tokens[:, columns] + 0.5 * spread**2) if labels.has_tokens else None
    return Expected(labels.questions, labels.strategies, trained.held_out[:, columns], tokens)
