"""One program, one goal, one answer: the solver called so that the same program always gives the same numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from sim.planning.purchase.instance import Floats
from sim.planning.purchase.mix_model import Model

__all__ = ["GAP", "Answer", "clean_stdout", "minimised", "with_row"]

GAP = 1e-6
"""Largest share of the goal by which an answer may be above the best one."""

_NODES_PER_S = 5_000
"""Branches looked at for each second that is allowed: a count, so that a slow machine gives the same answer."""

_PATIENCE = 20.0
"""The clock ends a search only after this many times what was allowed."""

_INFEASIBLE = 2

_STDOUT = 1


class Answer(NamedTuple):
    """What a solver found."""

    values: Floats | None
    """[V]; None where nothing was found."""
    bound: float
    """No values give less than this; infinite where none can be."""
    is_impossible: bool


def minimised(model: Model, goal: Floats, *, time_limit_s: float, is_relaxed: bool = False) -> Answer:
    """The values [V] of least `goal` [V] that keep all rows, by HiGHS; whole numbers may be broken where relaxed."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    if model.columns.size == 0:
        return _nothing_to_decide(model)
    scale = float(np.abs(goal).max()) / 1e3 or 1.0
    options = {  # Simplifying such small programs first costs more time than it saves.
        "time_limit": _PATIENCE * time_limit_s,
        "node_limit": max(int(_NODES_PER_S * time_limit_s), 1),
        "mip_rel_gap": GAP / 10.0,
        "presolve": False,
    }
    with clean_stdout():
        found = milp(
            goal / scale,
            integrality=np.zeros(goal.size) if is_relaxed else model.whole.astype(int),
            bounds=Bounds(model.lower, model.upper),
            constraints=LinearConstraint(model.matrix, model.low, model.high) if model.low.size else None,
            options=options,
        )
    if found.status == _INFEASIBLE:
        return Answer(None, float("inf"), True)
    dual = found.fun if found.mip_dual_bound is None else found.mip_dual_bound
    bound = float("-inf") if dual is None else float(dual) * scale
    return Answer(found.x, bound - GAP * abs(bound) if np.isfinite(bound) else bound, False)


def with_row(model: Model, values: Floats, low: float, high: float) -> Model:
    """The same program and one more row, `low` <= `values` [V] . columns <= `high`."""
    from scipy.sparse import csr_array, vstack

    matrix = vstack([model.matrix, csr_array(values[None, :])], format="csr")
    return model._replace(matrix=matrix, low=np.append(model.low, low), high=np.append(model.high, high))


@contextmanager
def clean_stdout() -> Iterator[None]:
    """HiGHS now and then writes a line meant for its own developers to the process's output: it goes nowhere."""
    try:
        kept, nowhere = os.dup(_STDOUT), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(nowhere, _STDOUT)
        yield
    finally:
        os.close(nowhere)
        os.dup2(kept, _STDOUT)
        os.close(kept)


def _nothing_to_decide(model: Model) -> Answer:
    keeps = bool(((model.low <= 0.0) & (model.high >= 0.0)).all())
    return Answer(np.zeros(0), 0.0, False) if keeps else Answer(None, float("inf"), True)
