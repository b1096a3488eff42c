"""Who is held out together: folds in which neither a context, nor a text, nor a group is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError
from router.labels import Labels

__all__ = ["blocks_of", "folds_of", "is_held_out", "without_held_out"]

Integers = NDArray[np.int64]


def blocks_of(labels: Labels) -> Integers:
    """Block of each question, [Q]: those that share a context, a text or a group, in any chain, are one."""
    ties = [labels.context, *([labels.group] if labels.group is not None else [])]
    if labels.text is not None and labels.has_contexts:
        ties.append(_codes(labels.text))
    parent = np.arange(len(labels))
    while True:
        joined = parent
        for tie in ties:
            least = np.full(int(tie.max()) + 1, len(labels))
            np.minimum.at(least, tie, joined)
            joined = least[tie]
        if np.array_equal(joined, parent):
            return np.unique(parent, return_inverse=True)[1].astype(np.int64)
        parent = joined


def folds_of(blocks: Integers, folds: int, seed: int) -> Integers:
    """The fold of each question, [Q]: blocks in random order, each to the fold with the fewest questions so far.

    Large blocks come first, so that a few large groups make folds of like sizes.

    Raises:
        RouterError: for fewer than 2 folds, and for fewer blocks than folds.
    """
    if folds < 2:
        raise RouterError(folds, "must be at least 2", "give more folds", "--folds")
    sizes = np.bincount(blocks)
    if len(sizes) < folds:
        rule = f"are fewer groups of questions than the {folds} folds"
        raise RouterError(len(sizes), rule, f"give --folds {max(len(sizes), 2)} or rows of more contexts", "--folds")
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,))).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, held = np.zeros(len(sizes), np.int64), np.zeros(folds, np.int64)
    for block in order:
        fold[block] = np.argmin(held)
        held[fold[block]] += sizes[block]
    return fold[blocks]


def is_held_out(names: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each name (a context, or a question without one) is among those held out, [names].

    It follows from the name and the seed alone, so that whoever has the rows can tell: the first 8 bytes of
    SHA-256("seed:name"), as a share of all they can be, lie below `share`.

    >>> is_held_out(["12", "13"], 1.0, 0).tolist()
    [True, True]
    """
    return np.array([_share_of(f"{seed}:{name}") < share for name in names], bool)


def without_held_out(labels: Labels, share: float, seed: int) -> Labels:
    """The labels without those whose context (or question, without contexts) is held out; `source` says how many were.

    Raises:
        RouterError: where nothing is left.
    """
    if share <= 0.0:
        return labels
    out = is_held_out(labels.context_names, share, seed)
    if out.all():
        raise RouterError(share, "holds out all questions", "give a smaller share", "--hold-out")
    rule = {"share": share, "seed": seed, "questions": int(out.sum())}
    return labels.only(np.flatnonzero(~out), {**labels.source, "held_out": rule})


def _share_of(word: str) -> float:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") / 2.0**64


def _codes(values: Sequence[str]) -> Integers:
    return np.unique(np.array(values, object), return_inverse=True)[1].astype(np.int64)
