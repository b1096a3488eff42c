"""What has been measured of real serving: closed loops, step times, open loops, and what served."""

from __future__ import annotations

from dataclasses import dataclass

from pandas import DataFrame

from sim.errors import CatalogueError
from sim.hardware.precision import Precision
from sim.hardware.setup import Setup

__all__ = ["Assumed", "ClosedLoop", "Measurements", "OpenLoop", "Setup", "StepTable"]


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What is taken for granted where a file does not say it; model and GPU by catalogue name or alias."""

    model: str | None = None
    gpu: str | None = None
    weights: str | None = None
    kv: str | None = None
    tensor_parallel: int | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        Precision(self.weights or "bf16", self.kv or "bf16")
        if self.tensor_parallel is not None and self.tensor_parallel < 1:
            raise CatalogueError(self.tensor_parallel, "is no count of GPUs", "give at least 1")


@dataclass(frozen=True, eq=False)
class ClosedLoop:
    """Runs at a fixed number of requests in flight, with fixed (mean) lengths.

    Columns of `rows`, [n]: `setup` (place in `setups`), `prompt_tokens`, `output_tokens`, `concurrency`
    (requests in flight in one setup, all of its GPUs together), `ttft_s`, `tpot_s`, `source` (file name),
    `line` (in the file, from 1), `pattern`, `repeats` (runs of which the times are the median) and
    `max_step_tokens` (most tokens in a step; NaN where the file does not say). The pattern is "clients", each
    sending its next request when its last is answered, or "batch", `concurrency` requests sent at once and
    decoded in lockstep.
    """

    setups: tuple[Setup, ...]
    rows: DataFrame


@dataclass(frozen=True, eq=False)
class StepTable:
    """Times of single steps.

    Columns of `rows`, [n]: `decode_rows`, `kv_tokens` (resident, of all decode rows together),
    `prompt_tokens` (in the step), `pairs` (of a prompt token and a token it attends to,
    `prompt*(cached + (prompt + 1)/2)` for one slice), `slices` (of as many prompts, more than one token each),
    `step_s`, `source` (file name) and `line` (in the file, from 1).
    """

    setup: Setup
    source: str
    """Names of the files the rows come from."""
    rows: DataFrame


@dataclass(frozen=True, eq=False)
class OpenLoop:
    """Single requests that arrived at a server in their own time.

    Columns of `requests`, [n], in order of arrival: `arrival_s` (from the first), `prompt_tokens`,
    `output_tokens`, `ttft_s`, `tpot_s` (NaN for a single token), `e2e_s`, `waited_s` (before it was first
    scheduled; NaN where unknown).
    """

    setup: Setup
    source: str
    requests: DataFrame
    max_num_seqs: int
    """Most requests a replica runs at once."""
    max_num_batched_tokens: int
    """Most tokens in a step of a replica."""
    max_model_len: int | None
    kv_capacity_tokens: int | None
    """Of one replica, as the engine printed it; None where the files do not say."""
    load: float | None = None
    """Requests offered, as a share of the most that the server can do; None where the files do not say."""

    @property
    def saturated(self) -> bool:
        """True where more was offered than the server can do, by what the files say."""
        return self.load is not None and self.load >= 1.0


@dataclass(frozen=True, eq=False)
class Measurements:
    """Everything read from some files and folders."""

    closed_loop: ClosedLoop
    step_tables: tuple[StepTable, ...]
    open_loop: tuple[OpenLoop, ...]
    notes: tuple[str, ...]
    """What was left out or assumed, and why, for the reader."""
