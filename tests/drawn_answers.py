"""Answers of samples drawn one by one, as the engine draws them: a second road to the chance of a right answer."""

from __future__ import annotations

import numpy as np

from sim.outcomes.luck import ANSWER, uniforms
from sim.strategies import Plurality
from sim.workload.blocks import Floats, Integers

__all__ = ["BLANK", "RIGHT", "answers", "plurality_is_right"]

RIGHT, BLANK = 0, -1


def answers(key: Integers, p: Floats, samples: int, law: Plurality) -> Integers:
    """What each sample answers, [n, samples]: RIGHT, BLANK or the number of a wrong answer from 1 on."""
    drawn = np.stack([uniforms(key, ANSWER, branch=branch) for branch in range(samples)], axis=1)
    rest = np.clip((drawn - p[:, None]) / (1.0 - p[:, None]), 0.0, 1.0)
    given = 1.0 - law.blank_share
    wrong = 1 + np.minimum(law.wrong_answers * np.minimum(rest / given, 1.0) ** law.skew, law.wrong_answers - 1)
    found = np.where(rest >= given, BLANK, wrong.astype(np.int64))
    return np.where(drawn < p[:, None], RIGHT, found)


def plurality_is_right(given: Integers, law: Plurality) -> Integers:
    """Whether the answer given most often is right, the one given first among equals, [n]."""
    samples = given.shape[1]
    number = np.arange(law.wrong_answers + 1)
    is_it = given[:, :, None] == number
    count, first = is_it.sum(axis=1), np.where(is_it.any(axis=1), is_it.argmax(axis=1), samples)
    winner = (count * (samples + 1) - first).argmax(axis=1)
    return ((winner == RIGHT) & (count[:, RIGHT] > 0)).astype(np.int64)
