"""What a router's file expects of the questions of a file of outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from router.errors import RouterError
from router.evaluation.sources import Expected

if TYPE_CHECKING:
    from router.learned import LearnedRouter
    from router.rows import Labels

__all__ = ["expected_by", "labels_for"]


def labels_for(
    router: LearnedRouter,
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    texts_path: Path | None = None,
    group: str | None = None,
    effort: str = "medium",
    strategies: Sequence[str] | None = None,
) -> Labels:
    """The outcomes of a file, with the features that the router asks for.

    Raises:
        RouterError: for a file that cannot be read, or lacks what the router needs.
    """
    from router.rows import read_labels

    numbers = router.features.spec.numbers
    return read_labels(
        path,
        names=names,
        texts_path=texts_path,
        group=group,
        features=[name for name in numbers if ":" not in name],
        signals=[name for name in numbers if ":" in name],
        strategies=strategies,
        effort=effort,
    )


def expected_by(router: LearnedRouter, labels: Labels, *, prepared: bool = False) -> Expected:
    """What the router expects of questions, without preparation or on prepared contexts.

    Raises:
        RouterError: where it was not trained on prepared contexts, and these are asked for.
    """
    scores = router.score(router.features.of(labels.text, labels.numbers))
    if prepared:
        if scores.prepared is None:
            remedy = "train it on rows with prepared 1, or leave --prepared out"
            raise RouterError("the router", "knows nothing of prepared contexts", remedy)
        scores = scores.prepared
    return Expected(labels.questions, router.strategies, scores.p_correct, scores.tokens())
