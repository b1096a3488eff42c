"""Files and folders to measurements: which kind each file is of, and what there is in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from sim.errors import InputError, nearest
from sim.hardware import Catalogue, split_precision
from sim.lab.provenance import FOLDER_FILE
from sim.measurements.closed_loop import RUNS, read_closed_loop
from sim.measurements.kinds import Assumed, ClosedLoop, Measurements, StepTable
from sim.measurements.open_loop import is_open_loop, read_open_loop
from sim.measurements.prompt_and_token import PROMPT_AND_TOKEN, read_prompt_and_token
from sim.measurements.runs import Runs
from sim.measurements.step_tables import STEP_TIMES, Steps, merged, read_steps
from sim.measurements.table_file import Sheet, read_header, read_sheet

__all__ = ["read_measurements"]

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
    "max_step_tokens",
]

_COMPARISON = "comparison.json"

_READERS: Mapping[tuple[str, ...], Callable[[Sheet, Catalogue, Assumed], Runs | Steps]] = {
    RUNS: read_closed_loop,
    PROMPT_AND_TOKEN: read_prompt_and_token,
    STEP_TIMES: read_steps,
}
"""What reads a CSV file that has any of these columns."""


def read_measurements(paths: Sequence[Path], catalogue: Catalogue, *, assume: Assumed | None = None) -> Measurements:
    """Everything measured in these files and folders; `assume` fills what they do not say.

    A path is a CSV file, whose kind its columns tell; a folder with requests.jsonl and meta.json, which is an
    open-loop run; or a folder that holds such files and folders, in which others are passed over with a note, and so
    are those beside a `comparison.json` in a folder of its own: they belong to what is compared there.

    Raises:
        InputError: for a path that holds no measurements, a file that cannot be used, with all of its faults
            at once, and an assumed model or GPU that the catalogue lacks.
    """
    known = _known(assume or Assumed(), catalogue)
    sources: dict[Path, Path] = {}
    notes: list[str] = []
    for path in map(Path, paths):
        found, passed_over = _sources(path)
        sources |= {source.resolve(): source for source in found}
        notes += [f"{path.resolve().name}: passed over {', '.join(passed_over)}"] * bool(passed_over)
    open_loop = tuple(read_open_loop(source, catalogue, known) for source in sources.values() if source.is_dir())
    tables = [_read(source, catalogue, known) for source in sources.values() if not source.is_dir()]
    runs = [table for table in tables if isinstance(table, Runs)]
    steps = tuple(merged(table for table in tables if isinstance(table, Steps)))
    notes += [note for part in runs for note in part.notes]
    notes += [note for table in steps for note in _unsaid(table)]
    return Measurements(_closed_loop(runs), steps, open_loop, tuple(notes))


def _known(assume: Assumed, catalogue: Catalogue) -> Assumed:
    """The same, with model and GPU by the names of the catalogue; a precision in the model's name is the weights'."""
    bare, weights = split_precision(assume.model or "")
    return replace(
        assume,
        model=catalogue.model(bare).name if assume.model else None,
        gpu=catalogue.gpu(assume.gpu).name if assume.gpu else None,
        weights=assume.weights or weights,
    )


def _sources(path: Path) -> tuple[list[Path], list[str]]:
    """The files and open-loop folders of a path, and the names of what is passed over in it."""
    if path.name in ("requests.jsonl", "meta.json"):
        path = path.parent
    if not path.is_dir():
        return [path], []
    if is_open_loop(path):
        return [path], []
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    runs = {file.parent: None for file in files if is_open_loop(file.parent)}
    others = (file for file in files if not file.name.endswith(FOLDER_FILE))
    loose = [file for file in others if not any(folder in file.parents for folder in runs)]
    tables = [
        file for file in loose if file.suffix.casefold() == ".csv" and _reader(file) and not _is_apart(file, path)
    ]
    if not tables and not runs:
        remedy = "name a CSV file of measurements, or a folder with requests.jsonl and meta.json"
        raise InputError(path, "holds no measurements", remedy)
    return [*tables, *runs], [str(file.relative_to(path)) for file in loose if file not in tables]


def _is_apart(file: Path, folder: Path) -> bool:
    """Whether a file lies beside a comparison in a folder further in: what was measured for that alone."""
    return file.parent != folder and (file.parent / _COMPARISON).is_file()


def _reader(path: Path) -> Callable[[Sheet, Catalogue, Assumed], Runs | Steps] | None:
    """What reads a CSV file, by the columns it names; None for a file of another kind."""
    header = set(read_header(path))
    return next((reader for columns, reader in _READERS.items() if header & set(columns)), None)


def _read(path: Path, catalogue: Catalogue, assume: Assumed) -> Runs | Steps:
    reader = _reader(path)
    if reader is None:
        kinds = "; or ".join(" or ".join(columns) for columns in _READERS)
        header = read_header(path)
        near = next((name for columns in _READERS for name in columns if nearest(name, header)), None)
        remedy = f"did you mean '{near}'?" if near else f"give a column of times: {kinds}"
        if path.suffix == ".json":
            remedy = "points of published figures are read with --papers"
        raise InputError(", ".join(header), "are not the columns of a measurement", remedy, where=f"{path}:1")
    return reader(read_sheet(path), catalogue, assume)


def _closed_loop(runs: Sequence[Runs]) -> ClosedLoop:
    """The runs of all files, with each setup once."""
    rows = pd.concat([part.rows for part in runs], ignore_index=True) if runs else DataFrame(columns=_COLUMNS)
    places, setups = pd.factorize(rows["setup"])
    return ClosedLoop(tuple(setups), rows.assign(setup=places).reindex(columns=_COLUMNS))


def _unsaid(table: StepTable) -> Iterator[str]:
    """What a step table does not say of its setup."""
    unknown = [name for name in ("model", "gpu") if getattr(table.setup, name) is None]
    if unknown:
        yield f"{table.source}: the {' and the '.join(unknown)} of these steps is not known"
