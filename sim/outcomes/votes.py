"""Samples of a vote drawn one by one, as the engine draws them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.outcomes.luck import ANSWER, uniforms
from sim.strategies import Plurality
from sim.workload.blocks import Floats, Integers

__all__ = ["drawn_votes"]

_MOST_CELLS = 1 << 24


def drawn_votes(key: Integers, p: Floats, samples: int, law: Plurality) -> tuple[NDArray[np.bool_], Floats]:
    """Whether the plurality of all samples is right, [n], and the share of given answers that it has, [n].

    Sample b of a request is right where its number is below p, else blank or one of the wrong answers, as
    `sim.engine.luck.answer` has it. Of equals the answer of the lowest branch counts.
    """
    kinds = law.wrong_answers + 1
    rows = max(_MOST_CELLS // (kinds * 2), 1)
    parts = [_drawn(key[low : low + rows], p[low : low + rows], samples, law) for low in range(0, key.size, rows)]
    if not parts:
        return np.zeros(0, np.bool_), np.zeros(0)
    right, agreement = zip(*parts, strict=True)
    return np.concatenate(right), np.concatenate(agreement)


def _drawn(key: Integers, p: Floats, samples: int, law: Plurality) -> tuple[NDArray[np.bool_], Floats]:
    row = np.arange(key.size)
    votes = np.zeros((key.size, law.wrong_answers + 1), np.int64)
    voter = np.full(votes.shape, samples, np.int64)
    given_share = 1.0 - law.blank_share
    for branch in range(samples):
        drawn = uniforms(key, ANSWER, branch=branch)
        rest = np.divide(drawn - p, 1.0 - p, out=np.zeros(key.size), where=p < 1.0)
        share = np.divide(rest, given_share, out=np.ones(key.size), where=given_share > 0.0)
        wrong = 1 + np.minimum(
            np.floor(law.wrong_answers * np.clip(share, 0.0, None) ** law.skew), law.wrong_answers - 1
        ).astype(np.int64)
        given = np.where(drawn < p, 0, wrong)
        counts = (drawn < p) | (rest < given_share)
        votes[row[counts], given[counts]] += 1
        voter[row[counts], given[counts]] = np.minimum(voter[row[counts], given[counts]], branch)
    winner = (votes * (samples + 1) - voter).argmax(axis=1)
    cast = votes.sum(axis=1)
    most = votes[row, winner]
    return (winner == 0) & (votes[:, 0] > 0), most / np.maximum(cast, 1)
