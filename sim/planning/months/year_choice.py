"""Which reserved fleet to have in each month, so that commitments are kept and the mean of the bill is least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.planning.purchase.instance import Floats, Integers

__all__ = ["Choice", "chosen"]


class Choice(NamedTuple):
    """A fleet for each month and what is bought for it; M months, Q reserved supplies."""

    fleets: Integers
    """Index of the fleet of each month, [M]."""
    bought: Integers
    """Replicas whose commitment begins in each month, renewals too, [M, Q]."""


def chosen(usd: Floats, fleets: Integers, terms: Sequence[int], lead_months: int) -> Choice | None:
    """The fleets [M] of least summed `usd` [M, K] that purchases can give; None where none can.

    `fleets` [K, Q], the present one first: its commitments run out after their `terms` [Q] months. A purchase serves
    for a whole term, and the first that is decided now serves after `lead_months`; what runs out before is renewed.
    A small mixed integer program: one fleet a month, and the commitments that run in a month make up that fleet.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    from sim.planning.purchase.mix_solver import clean_stdout

    months, kinds = usd.shape[0], fleets.shape[1]
    count = usd.size + months * kinds
    goal = np.append(usd.ravel() / max(float(np.abs(usd).max()), 1.0), np.full(months * kinds, 1e-9))
    upper = np.append(np.ones(usd.size), np.tile(fleets.max(axis=0, initial=0), months)).astype(float)
    rows, values = _rows(usd.shape, fleets, terms)
    waiting = _too_early(terms, lead_months, months)
    upper[usd.size :][waiting.ravel()] = 0.0
    with clean_stdout():
        found = milp(
            goal,
            integrality=np.ones(count),
            bounds=Bounds(np.zeros(count), upper),
            constraints=LinearConstraint(rows, values, values),
            options={"mip_rel_gap": 1e-9, "node_limit": 20_000},
        )
    if found.x is None:
        return None
    solution = np.round(found.x)
    picks = solution[: usd.size].reshape(usd.shape).argmax(axis=1)
    return Choice(picks, solution[usd.size :].reshape(months, kinds).astype(np.int64))


def _rows(shape: tuple[int, ...], fleets: Integers, terms: Sequence[int]) -> tuple[Floats, Floats]:
    """One fleet a month; and bought in the last term + present ones that still last - fleet = 0."""
    months, choices = shape
    kinds = fleets.shape[1]
    rows = np.zeros((months * (1 + kinds), months * choices + months * kinds))
    values = np.zeros(rows.shape[0])
    for month in range(months):
        picks = slice(month * choices, (month + 1) * choices)
        rows[month, picks], values[month] = 1.0, 1.0
        for q in range(kinds):
            row = months + month * kinds + q
            rows[row, picks] = -fleets[:, q]
            begun = np.arange(max(month - terms[q] + 1, 0), month + 1)
            rows[row, months * choices + begun * kinds + q] = 1.0
            values[row] = -fleets[0, q] if month < terms[q] else 0.0
    return rows, values


def _too_early(terms: Sequence[int], lead_months: int, months: int) -> NDArray[np.bool_]:
    """Whether a purchase would have had to be decided before now, and renews nothing, [M, Q]."""
    month = np.arange(1, months + 1)[:, None]
    renews = ((month - 1) % np.asarray(terms, dtype=np.int64)[None, :] == 0) & (month > 1)
    early: NDArray[np.bool_] = (month < lead_months) & ~renews
    return early
