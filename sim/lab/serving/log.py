"""What a server keeps of its work, in the layouts that `nightshift calibrate` and `nightshift validate` read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.folders import write_files
from sim.lab.engine.records import JobRecord, StepRecord
from sim.lab.provenance import FOLDER_FILE, FOLDER_FORMAT, KEY, sidecar_of

if TYPE_CHECKING:
    from sim.lab.engine.engine import Engine

__all__ = ["meta_text", "requests_text", "steps_text", "write_log"]

_DIGITS = 7
_STEP_COLUMNS = ("begin_s", "step_s", "decode_rows", "kv_tokens", "prompt_tokens", "cached_tokens", "prompt_slices")


SERVED = "served"
"""The folder of the requests within that of the log."""


def write_log(
    folder: Path, engine: Engine, setup: Mapping[str, str], declared: Mapping[str, Any], origin: Mapping[str, Any]
) -> None:
    """Write `steps.csv`, and `served/` with `requests.jsonl` and `meta.json`, into a folder; earlier ones go.

    `setup` says what served, in the columns of files of measurements; `declared` is the model in those of
    `data/models.csv`, as it need not be in the catalogue, and stands in the folder's `provenance.json`.

    Raises:
        InputError: where they cannot be written.
    """
    steps = Path("steps.csv")
    document = {"format": FOLDER_FORMAT, "model": dict(declared), "setup": dict(setup), KEY: dict(origin)}
    requests = {"requests.jsonl": requests_text(engine.finished), "meta.json": meta_text(engine, setup, origin)}
    write_files(folder / SERVED, requests)
    texts = {
        steps.name: steps_text(engine.steps, setup),
        sidecar_of(steps).name: _json(origin),
        FOLDER_FILE: _json(document),
    }
    write_files(folder, texts)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def steps_text(steps: Sequence[StepRecord], setup: Mapping[str, str]) -> str:
    """Every step as a row of CSV. Slices are told as if they were equally long, with as many pairs of tokens."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_STEP_COLUMNS, *setup])
    for step in steps:
        times = round(step.begin_s, _DIGITS), round(step.seconds, 9)
        rows = step.decode_rows, step.kv_tokens, step.prompt_tokens, round(_cached(step), 6), step.slices
        writer.writerow([*times, *rows, *setup.values()])
    return file.getvalue()


def _cached(step: StepRecord) -> float:
    """Tokens read before each of the slices, were they alike: pairs = prompt * (cached + (prompt / slices + 1) / 2)."""
    if not step.prompt_tokens:
        return 0.0
    return max(step.pairs / step.prompt_tokens - (step.prompt_tokens / step.slices + 1) / 2, 0.0)


def requests_text(records: Iterable[JobRecord]) -> str:
    """Every request that was answered as a line of JSON, in order of arrival; instants in seconds."""
    answered = [record for record in records if record.status == "completed"]
    answered.sort(key=lambda record: record.arrival_s)
    return "".join(json.dumps(_request(record)) + "\n" for record in answered)


def _request(record: JobRecord) -> dict[str, Any]:
    return {
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "output_tokens": record.output_tokens,
        "queued_ts": round(record.arrival_s, _DIGITS),
        "scheduled_ts": round(record.scheduled_s, _DIGITS),
        "first_token_ts": round(record.first_token_s, _DIGITS),
        "last_token_ts": round(record.finish_s, _DIGITS),
        "preemptions": record.preemptions,
    }


def meta_text(engine: Engine, setup: Mapping[str, str], origin: Mapping[str, Any]) -> str:
    """The server's settings as JSON."""
    settings = engine.settings
    meta = {
        **{name: setup[name] for name in ("model", "gpu", "backend")},
        "kv_capacity_tokens": settings.kv_capacity_tokens,
        "engine_kwargs": {
            "max_num_seqs": settings.max_num_seqs,
            "max_num_batched_tokens": settings.max_num_batched_tokens,
            "max_model_len": engine.decoder.capacity + 1,
            "scheduler": settings.scheduler,
            "dtype": setup["precision"],
        },
        "cancelled": sum(record.status == "cancelled" for record in engine.finished),
        "busy_s": round(math.fsum(step.seconds for step in engine.steps), _DIGITS),
        KEY: dict(origin),
    }
    return _json(meta)
