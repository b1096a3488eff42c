"""Closed-loop runs: fixed lengths at a fixed number of requests in flight, one run a row."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from pandas import DataFrame, Series

from sim.hardware import Catalogue
from sim.hardware.setup import OWN_BACKEND
from sim.measurements.kinds import Assumed
from sim.measurements.layout import MOST_GPUS, Recorded, copies, mend
from sim.measurements.names import NAMES, RANKS, needed_names, setups_named
from sim.measurements.plausible import (
    LONGEST_E2E_S,
    SHORTEST_OWN_TTFT_S,
    SHORTEST_TTFT_S,
    least_gpus,
    least_step_s,
    too_fast,
    too_slow,
)
from sim.measurements.runs import Runs, rows_named, without_repeats
from sim.measurements.table_file import Places, Sheet

__all__ = ["RUNS", "read_closed_loop"]

_VALUES = {
    "prompt_tokens": ("prompt_tokens", "isl"),
    "output_tokens": ("output_tokens", "osl"),
    "concurrency": ("concurrency",),
    "ttft_s": ("ttft_s", "ttft_ms"),
    "tpot_s": ("tpot_s", "tpot_ms"),
}
RUNS = tuple(name for names in list(_VALUES.values())[2:] for name in names)
"""Columns by which such a file is known."""

_LIMITS: dict[str, tuple[str, ...]] = {"batch": ("batch_size",), "max_step_tokens": ("max_num_batched_tokens",)}
_LAYOUT = {
    **RANKS,
    "pipeline": ("pp_size",),
    "data": ("attention_dp_size",),
    "expert_tensor": ("moe_tp_size",),
    "experts": ("moe_ep_size",),
}


def read_closed_loop(sheet: Sheet, catalogue: Catalogue, assume: Assumed) -> Runs:
    """The runs of a file; their concurrency is that of one deployment.

    Left out with a note: deployments in a pipeline or on more than 16 GPUs, and runs recorded more than once.

    Raises:
        InputError: all faults of the file at once: missing columns, unknown names, values that are no
            positive numbers, and times that cannot be in the unit that their column names.
    """
    sheet.need_rows(2)
    places = sheet.places(needed_names(assume) | _VALUES, NAMES | _LAYOUT | _LIMITS)
    rows = _values(sheet, places)
    layouts = _layouts(sheet, places, assume)
    rows["setup"] = setups_named(sheet, places, catalogue, assume)
    rows = rows.dropna().loc[lambda sound: ~sound.index.isin(sheet.faults.lines())]
    rows = _laid_out(rows, layouts, catalogue)
    _check_units(rows, sheet, places, catalogue)
    if "max_step_tokens" in places:
        rows = rows.assign(max_step_tokens=sheet.numbers(places["max_step_tokens"]).loc[rows.index])
    sheet.faults.raise_if_any()
    small, left_out = _small(rows, layouts, sheet.path.name)
    single, repeated = without_repeats(small)
    again = f"{sheet.path.name}: {rows_named(repeated)} left out, recording a run again"
    notes = (*sheet.notes, *left_out, *([again] if repeated else []))
    return Runs(single.drop(columns="batch"), notes)


def _values(sheet: Sheet, places: Places) -> DataFrame:
    counts = {ours: sheet.numbers(places[ours]) for ours in ("prompt_tokens", "output_tokens", "concurrency")}
    times = {ours: sheet.seconds(places[ours]) for ours in ("ttft_s", "tpot_s")}
    batch = sheet.numbers(places["batch"]) if "batch" in places else counts["concurrency"]
    rows = DataFrame({**counts, **times, "batch": batch})
    return rows.assign(source=sheet.path.name, line=rows.index, pattern="clients", repeats=1)


def _layouts(sheet: Sheet, places: Places, assume: Assumed) -> DataFrame:
    """The layout columns, [n] whole numbers of at least 1."""
    none = Series(1, index=sheet.texts.index)
    layouts = DataFrame({ours: sheet.ranks(places[ours]) if ours in places else none for ours in _LAYOUT})
    return layouts if "tensor" in places else layouts.assign(tensor=assume.tensor_parallel or 1)


def _laid_out(rows: DataFrame, layouts: DataFrame, catalogue: Catalogue) -> DataFrame:
    """The rows with their setups spread over GPUs, and with the concurrency of one deployment."""
    ranks = layouts.loc[rows.index, ["tensor", "data", "expert_tensor", "experts"]].itertuples(index=False)
    recorded = [Recorded(setup.backend, *row) for setup, row in zip(rows["setup"], ranks, strict=True)]
    needed = [least_gpus(setup, catalogue) for setup in rows["setup"]]
    layout = list(map(mend, recorded, needed))
    setups = [replace(setup, **asdict(split)) for setup, split in zip(rows["setup"], layout, strict=True)]
    share = list(map(copies, rows["concurrency"], rows["batch"], recorded, layout))
    return rows.assign(setup=setups, concurrency=rows["concurrency"] / share)


def _check_units(rows: DataFrame, sheet: Sheet, places: Places, catalogue: Catalogue) -> None:
    """Note the rows with times that cannot be in the unit their columns name."""
    least_s = rows["setup"].map(lambda setup: least_step_s(setup, catalogue)).to_numpy(np.float64)
    ttft_s, tpot_s = (rows[name].to_numpy() for name in ("ttft_s", "tpot_s"))
    sheet.add_unit_faults(places["tpot_s"], rows.index[too_fast(tpot_s, least_s)], "shorter")
    sheet.add_unit_faults(places["tpot_s"], rows.index[too_slow(tpot_s, least_s)], "longer")
    ours = rows["setup"].map(lambda setup: setup.backend == OWN_BACKEND).to_numpy(np.bool_)
    shortest_s = np.where(ours, SHORTEST_OWN_TTFT_S, SHORTEST_TTFT_S)
    sheet.add_unit_faults(places["ttft_s"], rows.index[ttft_s < shortest_s], "shorter")
    sheet.add_unit_faults(places["ttft_s"], rows.index[ttft_s > LONGEST_E2E_S], "longer")


def _small(rows: DataFrame, layouts: DataFrame, source: str) -> tuple[DataFrame, tuple[str, ...]]:
    """The rows of deployments that we can simulate, and how many are left out and why."""
    pipeline = layouts.loc[rows.index, "pipeline"] > 1
    large = ~pipeline & (rows["setup"].map(lambda setup: setup.gpus) > MOST_GPUS)
    notes = (
        (pipeline.sum(), "with the layers in a pipeline"),
        (large.sum(), f"on more than {MOST_GPUS} GPUs, which serve prefill and decode apart"),
    )
    return rows[~pipeline & ~large], tuple(
        f"{source}: {rows_named(count)} left out {why}" for count, why in notes if count
    )
