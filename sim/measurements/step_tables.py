"""Step tables: the times of single steps, of decode rows, of prompts, or of both together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from sim.hardware import Catalogue
from sim.measurements.kinds import Assumed, StepTable
from sim.measurements.names import NAMES, RANKS, setups_on_ranks
from sim.measurements.plausible import least_step_s, too_fast, too_slow
from sim.measurements.table_file import Places, Sheet
from sim.measurements.words import in_words, words_of

__all__ = ["STEP_TIMES", "Steps", "merged", "read_steps"]

STEP_TIMES = ("step_s", "step_ms")
"""Names of the column by which a step table is known."""

_COLUMNS = {
    "decode_rows": ("decode_rows", "decode_batch", "batch_size"),
    "kv_tokens": ("kv_tokens", "total_kv_tokens"),
    "kv_tokens_per_row": ("kv_tokens_per_seq",),
    "prompt_tokens": ("prompt_tokens", "prefill_chunk_tokens", "prompt_tokens_in_step"),
    "cached_tokens": ("cached_tokens", "cached_kv_tokens"),
    "prompt_slices": ("prompt_slices",),
    **RANKS,
    **NAMES,
}
_KINDS_OF_STEP = {"step", "steps", "decode", "prefill", "mixed", "time", "times", "table"}


class Steps(NamedTuple):
    """The rows of a file as in `StepTable`, and a setup for each; files with the same `place` belong together."""

    rows: DataFrame
    setups: Series
    place: tuple[str, ...]
    """The folder, and the words of the file's name but for those that say what kind of steps it holds."""


def read_steps(sheet: Sheet, catalogue: Catalogue, assume: Assumed) -> Steps:
    """The steps of a file.

    What a row does not say of its setup is as assumed, else as the file's name says. Prompts without a column
    of cached tokens are the first of their request: nothing was cached. Those without a column of slices are of one
    request; n slices are of as many requests, equally long, each with the cached tokens.

    Raises:
        InputError: all faults of the file at once: missing columns, unknown names, values that are no
            numbers or out of range, and times that cannot be in the unit that their column names.
    """
    sheet.need_rows(2)
    places = _places(sheet)
    rows = _rows(sheet, places)
    setups = _setups(sheet, places, catalogue, assume)
    sound = rows.index.difference(sorted(sheet.faults.lines())).intersection(setups.index)
    _check_units(rows.loc[sound], setups.loc[sound], sheet, places, catalogue)
    sheet.faults.raise_if_any()
    words = (word for word in words_of(sheet.path) if word not in _KINDS_OF_STEP)
    return Steps(rows, setups, (str(sheet.path.parent), *words))


def merged(files: Iterable[Steps]) -> Iterator[StepTable]:
    """A table for each setup of the files that belong together, in order of their first row."""
    together: dict[tuple[object, ...], list[DataFrame]] = {}
    for file in files:
        for setup, rows in file.rows.groupby(file.setups, sort=False):
            together.setdefault((*file.place, setup), []).append(rows)
    for (*_, setup), parts in together.items():
        rows = pd.concat(parts, ignore_index=True)
        # A key of the stubs' groups is anything; ours are setups.
        yield StepTable(setup, ", ".join(rows["source"].unique()), rows)  # type: ignore[arg-type]


def _places(sheet: Sheet) -> Places:
    """The columns of the file, of which there must be those of decode rows or of prompts, and the time."""
    places = sheet.places({"step_s": STEP_TIMES}, _COLUMNS)
    if "decode_rows" in places and not {"kv_tokens", "kv_tokens_per_row"} & set(places):
        sheet.add_missing((*_COLUMNS["kv_tokens"], *_COLUMNS["kv_tokens_per_row"]), _COLUMNS)
    if "decode_rows" not in places and ("prompt_tokens" not in places or "kv_tokens" in places):
        sheet.add_missing(_COLUMNS["decode_rows"], _COLUMNS)
    of_prompts = {"cached_tokens", "prompt_slices"} & set(places)
    if "prompt_tokens" not in places and ("decode_rows" not in places or of_prompts):
        sheet.add_missing(_COLUMNS["prompt_tokens"], _COLUMNS)
    sheet.faults.raise_if_any()
    return places


def _rows(sheet: Sheet, places: Places) -> DataFrame:
    zero = Series(0.0, index=sheet.texts.index)
    read = {ours: sheet.not_negative(places[ours]) if ours in places else zero for ours in list(_COLUMNS)[:5]}
    rows, prompt = read["decode_rows"], read["prompt_tokens"]
    slices = sheet.not_negative(places["prompt_slices"]).clip(lower=1.0) if "prompt_slices" in places else zero + 1.0
    for name in {"decode_rows", "prompt_tokens"} & set(places):
        broken = read[name] % 1 > 0
        sheet.faults.add_each(sheet.texts.loc[broken, places[name]], "is no whole number", "correct the row")
    for line in rows.index[(rows == 0) & (prompt == 0)]:
        sheet.faults.add(int(line), "", "a step", "with neither decode rows nor prompt tokens", "leave it out")
    return DataFrame(
        {
            "decode_rows": rows.fillna(0).astype(np.int64),
            "kv_tokens": _kv_tokens(sheet, places, read),
            "prompt_tokens": prompt,
            "pairs": prompt * (read["cached_tokens"] + (prompt / slices + 1) / 2),
            "slices": slices.where(prompt > slices, 0.0),
            "step_s": sheet.seconds(places["step_s"]),
        }
    ).assign(source=sheet.path.name, line=rows.index)


def _kv_tokens(sheet: Sheet, places: Places, read: dict[str, Series]) -> Series:
    """KV tokens of all decode rows together; a fault where the file's own product of them differs."""
    product = read["decode_rows"] * read["kv_tokens_per_row"]
    if "kv_tokens" not in places:
        return product
    if "kv_tokens_per_row" in places:
        differs = (read["kv_tokens"] - product).abs() > 0.5 * read["decode_rows"]
        column = places["kv_tokens"]
        rule = "is not the KV tokens of a row times the rows"
        sheet.faults.add_each(sheet.texts.loc[differs, column], rule, "correct the row or leave it out")
    return read["kv_tokens"]


def _setups(sheet: Sheet, places: Places, catalogue: Catalogue, assume: Assumed) -> Series:
    """What ran each step, [n]."""
    said = in_words(sheet.path, catalogue)
    filled = replace(
        assume,
        model=assume.model or said.model,
        gpu=assume.gpu or said.gpu,
        tensor_parallel=assume.tensor_parallel or said.tensor_parallel,
    )
    return setups_on_ranks(sheet, places, catalogue, filled, needed=False)


def _check_units(rows: DataFrame, setups: Series, sheet: Sheet, places: Places, catalogue: Catalogue) -> None:
    """Note times that cannot be in the unit their column names; a long prompt may take any time."""
    least = {setup: least_step_s(setup, catalogue) for setup in setups.unique()}
    least_s, step_s = setups.map(least).to_numpy(np.float64), rows["step_s"].to_numpy()
    decodes = (rows["prompt_tokens"] == 0).to_numpy()
    sheet.add_unit_faults(places["step_s"], rows.index[too_fast(step_s, least_s)], "shorter")
    sheet.add_unit_faults(places["step_s"], rows.index[too_slow(step_s, least_s) & decodes], "longer")
