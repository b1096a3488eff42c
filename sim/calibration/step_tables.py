"""Step times fitted to a table of measured steps.

Steps of decode rows alone give `f[B]` and `k[B]`, batch size by batch size. What steps with prompts take beyond that,
alone or beside decode rows, then gives `g` and `c` together:

    step - f[b] - k[b]*KV  =  g[b+q] - g[b] + c*W + s*slices

where what each slice takes, s, is 0 unless some steps were measured with the prompts of several requests.

All residuals are logarithms of predicted over measured time, so that a long step counts no more than a short one, under
a loss that grows linearly for what is far off. `g` is made of steps that are not negative, so it cannot fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from sim.errors import InputError
from sim.measurements.kinds import StepTable
from sim.steptime import StepTime
from sim.validation.steps import COUNTS, POINT, kind_of_step, predicted_steps_s, with_slices

__all__ = ["TableFit", "fit_step_table"]

Floats = NDArray[np.float64]

_FOLDS = 5
_TYPICAL_ERROR = 0.02
"""Relative residuals much beyond this count linearly, not squared."""
_LEANING = 0.05
"""Weight, against a measured step's 1, of g's leaning on f."""


@dataclass(frozen=True)
class TableFit:
    """Step times fitted to a table, and the mean of |predicted / measured - 1| over its steps."""

    step_time: StepTime
    mean_abs_error: float
    held_out_error: float
    """Of steps predicted by fits to the other four fifths of the table."""
    points: int
    """Distinct steps; those measured more than once count once, with their median time."""
    error_of: Mapping[str, float]
    """By kind of step: "decode", "mixed", "prefill", as far as there are any."""
    held_out_error_of: Mapping[str, float]


def fit_step_table(table: StepTable) -> TableFit:
    """Step times for 1 to the most decode rows measured, and for prompt tokens on from there with the last slope.

    Between measured batch sizes and token counts they are interpolated. The law is that of `StepTime`.

    Raises:
        InputError: where the steps cannot tell f from k (no batch size at two KV sizes), or g (steps with fewer
            than two numbers of prompt tokens).
    """
    steps = _distinct(table.rows)
    _check_identified(steps, table.source)
    step_time = _fitted(steps)
    errors = np.abs(predicted_steps_s(step_time, steps) / steps.step_s.to_numpy() - 1.0)
    held_out = _held_out_errors(steps)
    return TableFit(
        step_time=step_time,
        mean_abs_error=float(errors.mean()),
        held_out_error=float(held_out.mean()),
        points=len(steps),
        error_of=_by_kind(errors, steps),
        held_out_error_of=_by_kind(held_out, steps),
    )


def _distinct(rows: DataFrame) -> DataFrame:
    return with_slices(rows).astype(COUNTS).groupby(POINT)[["step_s"]].median().reset_index()


def _check_identified(steps: DataFrame, source: str) -> None:
    decode, prompts = steps[steps.prompt_tokens == 0], steps[steps.prompt_tokens > 0]
    needs = {
        "has no steps of decode rows alone": (
            len(decode) > 0,
            "add some, at several batch sizes and two or more KV sizes each",
        ),
        "has no batch size with decode steps at two KV sizes, so what a KV token costs cannot be told": (
            bool((decode.groupby("decode_rows").kv_tokens.nunique() > 1).any()),
            "add decode steps of the same batch size with more KV tokens",
        ),
        "has no steps with prompt tokens": (
            len(prompts) > 0,
            "add prefill steps, of a few prompt tokens to as many as a step may hold",
        ),
        "has steps of one number of prompt tokens only, so what a token adds cannot be told": (
            prompts.prompt_tokens.nunique() > 1,
            "add prefill steps of more and of fewer prompt tokens",
        ),
    }
    for rule, (holds, remedy) in needs.items():
        if not holds:
            raise InputError(source, rule, remedy)


def _fitted(steps: DataFrame) -> StepTime:
    decode, prompts = steps[steps.prompt_tokens == 0], steps[steps.prompt_tokens > 0]
    base_s, kv_s = _decode_tables(decode)
    linear_s, pair_s, slice_s = _prompt_tables(prompts, base_s, kv_s, decode.decode_rows.unique())
    return StepTime(base_s[np.newaxis], kv_s[np.newaxis], np.array([np.inf]), linear_s, pair_s, slice_s=slice_s)


def _decode_tables(decode: DataFrame) -> tuple[Floats, Floats]:
    """f and k, [B+1] each, from decode steps; a batch size at one KV size takes its k from its neighbours."""
    sizes = [int(rows) for rows in np.unique(decode.decode_rows)]
    batches = {rows: decode[decode.decode_rows == rows] for rows in sizes}
    lines = {rows: _line(mine) for rows, mine in batches.items() if mine.kv_tokens.nunique() > 1}
    every_row = np.arange(sizes[-1] + 1)
    kv_s = _between(every_row, {rows: slope for rows, (_, slope) in lines.items()} or {0: 0.0})
    bases = {rows: _at_one_kv_size(mine, kv_s[rows]) for rows, mine in batches.items()}
    base_s = _between(every_row, bases | {rows: base for rows, (base, _) in lines.items()})
    base_s[0] = kv_s[0] = 0.0
    return base_s, kv_s


def _between(at: NDArray[np.int64], values: Mapping[int, float]) -> Floats:
    """Values by place, rising, interpolated at other places."""
    return np.asarray(np.interp(at, list(values), list(values.values())), np.float64)


def _line(steps: DataFrame) -> tuple[float, float]:
    """f and k of decode steps of one batch size."""
    design = np.column_stack([np.ones(len(steps)), steps.kv_tokens])
    base_s, kv_s = _robust_fit(design, steps.step_s.to_numpy()).tolist()
    return base_s, kv_s


def _at_one_kv_size(steps: DataFrame, kv_s: float) -> float:
    return max(float((steps.step_s - kv_s * steps.kv_tokens).median()), 0.0)


def _prompt_tables(prompts: DataFrame, base_s: Floats, kv_s: Floats, batches: Floats) -> tuple[Floats, float, float]:
    """g [T+1], c and s from steps with prompts, given the decode tables.

    Where g is hardly measured it leans on f: a decode step's linear layers are those of as many prompt tokens.
    """
    knots = _token_counts(prompts, batches)
    rows, tokens = prompts.decode_rows.to_numpy(), (prompts.decode_rows + prompts.prompt_tokens).to_numpy()
    decode_s = _on(base_s, rows) + _on(kv_s, rows) * prompts.kv_tokens.to_numpy()
    added = _rises(tokens, knots) - np.where(rows[:, np.newaxis] > 0, _rises(rows, knots), 0.0)
    leaning = knots[_on(base_s, knots) * (knots < len(base_s)) > 0.0]
    design = np.vstack([added, _rises(leaning, knots)])
    counted = [prompts.pairs, prompts.slices] if prompts.slices.max() > 1 else [prompts.pairs]
    found = _robust_fit(
        np.column_stack([design, *(np.concatenate([column, np.zeros(len(leaning))]) for column in counted)]),
        np.concatenate([prompts.step_s, base_s[leaning]]),
        known_s=np.concatenate([decode_s, np.zeros(len(leaning))]),
        weights=np.repeat([1.0, _LEANING], [len(prompts), len(leaning)]),
    )
    rises, (pair_s, *each_s) = found[: len(knots)], found[len(knots) :].tolist()
    linear_s = np.interp(np.arange(knots[-1] + 1), knots, np.cumsum(rises))
    linear_s[0] = 0.0
    return linear_s, pair_s, sum(each_s)


def _token_counts(prompts: DataFrame, batches: Floats) -> NDArray[np.int64]:
    """[K] token counts at which g is fitted: those of prefill steps, and of the rows that decode beside prompts.

    The totals of mixed steps count only beyond these: between the sizes of prefill steps they would say twice,
    and differently, what a token adds. Where all prompts are fresh, g is a straight line over the upper three
    quarters, as what bends upwards there is attention.
    """
    pure, mixed = prompts[prompts.decode_rows == 0], prompts[prompts.decode_rows > 0]
    alone = pure.prompt_tokens.to_numpy()
    totals = (mixed.decode_rows + mixed.prompt_tokens).to_numpy()
    further = totals[totals > alone.max(initial=0)]
    least = np.minimum(batches.min(), alone.min(initial=batches.min()))
    knots = np.unique(np.concatenate([[least], alone, mixed.decode_rows, further])).astype(np.int64)
    return knots if _tells_attention(prompts) else knots[(knots <= knots[-1] / 4) | (knots == knots[-1])]


def _tells_attention(prompts: DataFrame) -> bool:
    """True if prompts of one size were measured with more and with fewer tokens before them."""
    return bool((prompts.groupby(["decode_rows", "kv_tokens", "prompt_tokens", "slices"]).pairs.nunique() > 1).any())


def _rises(tokens: NDArray[np.int64], knots: NDArray[np.int64]) -> Floats:
    """[n, K] how much of g's rise up to each knot `tokens` contain: g[t] is this times the rises."""
    hats = [np.interp(tokens, knots, row) for row in np.eye(len(knots))]
    return np.asarray(np.column_stack(hats)[:, ::-1].cumsum(axis=1)[:, ::-1])


def _on(table: Floats, rows: NDArray[np.int64]) -> Floats:
    """The table at `rows`, on with its last entry."""
    return np.asarray(table[np.minimum(rows, len(table) - 1)])


def _robust_fit(
    design: Floats, measured_s: Floats, known_s: Floats | float = 0.0, weights: Floats | float = 1.0
) -> Floats:
    """Coefficients, none negative, for which known + design @ coefficients is nearest to measured in logarithms.

    Shapes: design [n, m], measured, known and weights [n]. Starts from the least squares of relative errors.
    """
    from scipy.optimize import least_squares, lsq_linear

    relative = design * np.broadcast_to(weights / measured_s, len(design))[:, np.newaxis]
    scale = 1.0 / np.maximum(np.abs(relative).max(axis=0), 1e-300)
    start = lsq_linear(relative * scale, weights * (1.0 - known_s / measured_s), (0.0, np.inf)).x
    scaled = design * scale

    def predicted_s(x: Floats) -> Floats:
        return np.asarray(np.maximum(known_s + scaled @ x, 1e-3 * measured_s))

    def residuals(x: Floats) -> Floats:
        return np.asarray(weights * np.log(predicted_s(x) / measured_s))

    def slopes(x: Floats) -> Floats:
        return np.asarray(scaled * np.broadcast_to(weights / predicted_s(x), len(scaled))[:, np.newaxis])

    inside = np.maximum(start, 1e-6)
    bounds = (0.0, np.inf)
    found = least_squares(residuals, inside, slopes, bounds, loss="soft_l1", f_scale=_TYPICAL_ERROR)
    return np.asarray(found.x * scale, np.float64)


def _held_out_errors(steps: DataFrame) -> Floats:
    """[n] |predicted / measured - 1| of each step by a fit without its fold; folds take turns within each kind."""
    errors = np.zeros(len(steps))
    fold = np.zeros(len(steps), np.int64)
    order = np.random.default_rng(0).permutation(len(steps))
    fold[order[np.argsort(kind_of_step(steps)[order], kind="stable")]] = np.arange(len(steps)) % _FOLDS
    for out in np.unique(fold):
        mine = steps[fold == out]
        law = _fitted(steps[fold != out])
        errors[fold == out] = np.abs(predicted_steps_s(law, mine) / mine.step_s.to_numpy() - 1.0)
    return errors


def _by_kind(errors: Floats, steps: DataFrame) -> dict[str, float]:
    kinds = kind_of_step(steps)
    return {str(kind): float(errors[kinds == kind].mean()) for kind in np.unique(kinds)}
