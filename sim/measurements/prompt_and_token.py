"""Prompt and token times: batches sent at once to an idle server, in files that name no units.

Such files say neither whether their times are seconds or milliseconds, nor whether `token_time` is that of
each token after the first or of all of them together. Both follow from the numbers: prompt and token times
add up to `e2e_time`, and a decode step takes some ten times as long as reading the weights, never thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pandas import DataFrame

from sim.errors import InputError
from sim.hardware import Catalogue
from sim.measurements.kinds import Assumed
from sim.measurements.names import NAMES, RANKS, needed_names, setups_on_ranks
from sim.measurements.plausible import LONGEST_E2E_S, least_step_s, too_fast, too_slow
from sim.measurements.runs import Runs, rows_named
from sim.measurements.table_file import Places, Sheet

__all__ = ["PROMPT_AND_TOKEN", "read_prompt_and_token"]

PROMPT_AND_TOKEN = ("prompt_time", "token_time", "e2e_time")
"""Columns by which such a file is known."""

_VALUES: Mapping[str, tuple[str, ...]] = {
    "prompt_tokens": ("prompt_size",),
    "output_tokens": ("token_size",),
    "concurrency": ("batch_size",),
    **{name: (name,) for name in PROMPT_AND_TOKEN},
}
_ADDS_UP = 0.1
_TWO_STEPS = 1.5
_ENDED_EARLY = 0.97
_SECONDS_BELOW = 150.0
"""Times a step's reading of weights between a decode step in seconds, and one in milliseconds taken for seconds."""


def read_prompt_and_token(sheet: Sheet, catalogue: Catalogue, assume: Assumed) -> Runs:
    """The batches of a file; where one was run several times, the median of each time.

    Left out with a note: batches of one token a row, which have no decode step.

    Raises:
        InputError: all faults of the file at once: missing columns, unknown names, values that are no
            positive numbers, rows that do not add up or stand in other units than the rest.
    """
    sheet.need_rows(2)
    places = sheet.places({**needed_names(assume), **_VALUES}, {**NAMES, **RANKS})
    rows = _values(sheet, places, catalogue, assume)
    decoded = rows[rows["output_tokens"] > 1]
    if decoded.empty:
        sheet.faults.raise_if_any()
        remedy = "give batches of at least 2 tokens a row"
        raise InputError(sheet.path.name, "holds no batch with a decode step", remedy, where=str(sheet.path))
    timed = _in_seconds(_each_token(decoded, sheet), sheet, catalogue)
    sheet.faults.raise_if_any()
    return Runs(_medians(timed, sheet.path.name), (*sheet.notes, *_notes(rows, timed, sheet.path.name)))


def _values(sheet: Sheet, places: Places, catalogue: Catalogue, assume: Assumed) -> DataFrame:
    """The numbers of each sound row, its line and its setup."""
    rows = DataFrame({ours: sheet.numbers(places[ours]) for ours in _VALUES}).assign(line=sheet.texts.index)
    rows["setup"] = setups_on_ranks(sheet, places, catalogue, assume)
    return rows.dropna().loc[lambda sound: ~sound.index.isin(sheet.faults.lines())]


def _each_token(rows: DataFrame, sheet: Sheet) -> DataFrame:
    """The rows with `step`, the time of each token after the first, in the file's unit; others are faults.

    Where the time of each token is given, answers may have ended before their `token_size`: their
    `output_tokens` become those for which there was time, and they are `early`.
    """
    prompt, token, e2e = (rows[name] for name in PROMPT_AND_TOKEN)
    steps = rows["output_tokens"] - 1
    fitting = (e2e - prompt) / token
    is_whole = (prompt + token - e2e).abs() <= _ADDS_UP * e2e
    is_each = (prompt + token * steps >= (1 - _ADDS_UP) * e2e) & (fitting >= np.minimum(_TWO_STEPS, steps / 1.1))
    means_whole = is_whole.sum() > is_each.sum()
    meant, other, told = (is_whole, is_each, "the whole decode") if means_whole else (is_each, is_whole, "each token")
    texts = sheet.texts["token_time"]
    mixed = f"is not that of {told}, as in the other rows: mixed units"
    sheet.faults.add_each(texts.loc[rows.index[~meant & other]], mixed, "give all rows alike")
    unlike = "and prompt_time do not add up to e2e_time, taken for the whole decode or for each token"
    sheet.faults.add_each(texts.loc[rows.index[~meant & ~other]], unlike, "correct the row or leave it out")
    if means_whole:
        return rows.assign(step=token / steps, early=False)
    early = meant & (fitting < _ENDED_EARLY * steps)
    answered = np.maximum(fitting.round(), 1.0) + 1
    return rows.assign(step=token, early=early, output_tokens=rows["output_tokens"].mask(early, answered))


def _in_seconds(rows: DataFrame, sheet: Sheet, catalogue: Catalogue) -> DataFrame:
    """The rows with `ttft_s` and `tpot_s`; those that cannot be in the unit of the most are faults."""
    least_s = rows["setup"].map(lambda setup: least_step_s(setup, catalogue)).to_numpy(np.float64)
    in_seconds = np.median(rows["step"] / least_s) < _SECONDS_BELOW
    scale, unit = (1.0, "seconds") if in_seconds else (1e-3, "milliseconds")
    timed = rows.assign(ttft_s=rows["prompt_time"] * scale, tpot_s=rows["step"] * scale)
    step_s = timed["tpot_s"].to_numpy()
    long = too_slow(step_s, least_s) | (rows["e2e_time"] * scale > LONGEST_E2E_S).to_numpy()
    for wrong, than in ((too_fast(step_s, least_s), "shorter"), (long, "longer")):
        rule = f"is {than} than any can be in {unit}, the unit of the other rows: mixed units"
        sheet.faults.add_each(sheet.texts.loc[rows.index[wrong], "token_time"], rule, "give all rows in one unit")
    return timed


def _notes(rows: DataFrame, timed: DataFrame, source: str) -> Iterator[str]:
    single, early = len(rows) - len(timed), int(timed["early"].sum())
    if single:
        yield f"{source}: {rows_named(single)} left out without a decode step"
    if early:
        yield f"{source}: {rows_named(early)} ended before token_size; counted with the tokens there was time for"


def _medians(rows: DataFrame, source: str) -> DataFrame:
    """One row for each batch, as in `ClosedLoop`, with its first line and how often it was run."""
    alike = rows.groupby(["setup", "prompt_tokens", "output_tokens", "concurrency"], sort=False)
    batches = alike.agg(
        ttft_s=("ttft_s", "median"), tpot_s=("tpot_s", "median"), line=("line", "first"), repeats=("line", "size")
    )
    return batches.reset_index().assign(source=source, pattern="batch")
