"""A replay as a folder of measurements, which `nightshift validate` and `calibrate` read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.hardware import load_catalogue, split_precision

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Served", "measured_files"]


@dataclass(frozen=True)
class Served:
    """What the server was started with; model and GPU by catalogue name or alias."""

    gpu: str
    model: str
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_capacity_tokens: int | None = None
    """Tokens of the KV cache of a replica, as the server prints them; worked out where left out."""
    backend: str | None = None
    """Serving engine, such as vllm."""
    backend_version: str | None = None
    precision: str | None = None
    """Format of the weights, such as fp8; bf16 where left out."""
    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        catalogue = load_catalogue()
        catalogue.gpu(self.gpu)
        catalogue.model(split_precision(self.model)[0])

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Served | None:
        """The settings from options by the same names; None where none is given.

        Raises:
            InputError: where some are given and not all that are needed, or a name is unknown.
        """
        said = {name: value for name, value in given.items() if value is not None}
        missing = [name for name in _NEEDED if name not in said]
        if said and missing:
            options = ", ".join(f"--{_OPTIONS.get(name, name).replace('_', '-')}" for name in missing)
            rule = "are not all that measurements need to be read"
            raise InputError("the settings of the server", rule, f"add {options}, or leave all of them out")
        return cls(**said) if said else None

    def meta(self) -> dict[str, Any]:
        """The contents of `meta.json`."""
        engine = {
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "tensor_parallel_size": self.tensor_parallel,
            "quantization": self.precision,
        }
        own = {
            name: getattr(self, name) for name in ("model", "gpu", "backend", "backend_version", "kv_capacity_tokens")
        }
        return {**_stated(own), "engine_kwargs": _stated(engine)}


_NEEDED = tuple(field.name for field in fields(Served))[:4]
_OPTIONS = {"model": "served_model"}
"""Names of options, where they are not those of the settings."""


def measured_files(rows: pd.DataFrame, served: Served, how: Mapping[str, Any]) -> dict[str, str]:
    """The files of the folder, by name: requests that completed, and the settings, with `how` it was measured.

    Left out are answers whose first and last token came at once, as they tell no time per token.
    """
    done = rows[(rows["status"] == "completed") & (rows["output_tokens"] >= 1)]
    told = done[(done["output_tokens"] == 1) | (done["tpot_s"] > 0)]
    lines = [json.dumps(_request(row)) for row in told.itertuples(index=False)]
    left_out = len(rows) - len(told)
    meta = {**served.meta(), "how": {**how, "requests": len(told), "left_out": left_out}}
    return {
        "requests.jsonl": "\n".join(lines) + "\n",
        "meta.json": json.dumps(meta, indent=2, allow_nan=False) + "\n",
    }


def _request(row: Any) -> dict[str, Any]:
    # One token is done when it is there: its answer's end is its first piece.
    last_s = row.ttft_s if row.output_tokens == 1 else row.e2e_s
    return {
        "prompt_tokens": int(row.prompt_tokens),
        "output_tokens": int(row.output_tokens),
        "queued_ts": row.arrival_s,
        "first_token_ts": row.arrival_s + row.ttft_s,
        "last_token_ts": row.arrival_s + last_s,
    }


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
