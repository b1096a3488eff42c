"""Reads measurements of real serving: closed loops, prompt and token times, step tables and open loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from sim.hardware import Catalogue
from sim.measurements.closed_loop import Runs, read_closed_loop
from sim.measurements.kinds import Assumed, ClosedLoop, Measurements, OpenLoop, Setup, StepTable
from sim.measurements.table_file import read_sheet

__all__ = ["Assumed", "ClosedLoop", "Measurements", "OpenLoop", "Setup", "StepTable", "read_measurements"]

_COLUMNS = [
    "setup",
    "prompt_tokens",
    "output_tokens",
    "concurrency",
    "ttft_s",
    "tpot_s",
    "source",
    "line",
    "pattern",
    "repeats",
]


def read_measurements(paths: Sequence[Path], catalogue: Catalogue, *, assume: Assumed | None = None) -> Measurements:
    """Everything measured in these files and folders.

    Raises:
        InputError: for a file that cannot be used, with all of its faults.
    """
    runs = [read_closed_loop(read_sheet(path), catalogue, assume or Assumed()) for path in paths]
    notes = tuple(note for part in runs for note in part.notes)
    return Measurements(_closed_loop(runs), (), (), notes)


def _closed_loop(runs: Sequence[Runs]) -> ClosedLoop:
    """The runs of all files, with each setup once."""
    rows = pd.concat([part.rows for part in runs], ignore_index=True) if runs else DataFrame(columns=_COLUMNS)
    places, setups = pd.factorize(rows["setup"])
    return ClosedLoop(tuple(setups), rows.assign(setup=places)[_COLUMNS])
