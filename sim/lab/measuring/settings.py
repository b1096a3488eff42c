"""What `nightshift measure` is asked to do, and the sizes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sim.errors import InputError, did_you_mean

__all__ = ["PARTS", "Asked", "Limits", "Times", "limits_for", "times_for"]

PARTS = ("steps", "loops", "router", "outcomes", "end-to-end", "router-day")
"""All parts, in the order in which they are measured."""

_USUAL_PARTS = PARTS[:-1]
"""Those that are measured where none is named: routers know no model but the one that they were trained on."""

_SHAPE_PARTS = ("steps", "loops")
"""Those of a public model's shape: random weights answer nothing."""
_NEED_ANSWERS = frozenset({"outcomes", "end-to-end", "router-day"})
_DEFAULT_SEQS = {"cpu": 32, "cuda": 64}
_MOST_CAPACITY = 2048


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the caller wants.

    Raises:
        InputError: for settings that contradict each other.
    """

    out: Path
    model: Path | None = None
    """A folder of weights; the shipped model where neither this nor a shape is given."""
    shape: str | None = None
    """A public model by name: random weights in its shape."""
    layers: int | None = None
    """Only so many layers of the shape."""
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    threads: int | None = None
    """Of ONNX Runtime on a CPU; one less than there are cores where not given, so that steps are not held up."""
    gpu: str | None = None
    """The GPU's name in the catalogue, where the driver's own is not in it."""
    max_num_seqs: int | None = None
    parts: tuple[str, ...] | None = None
    scenario: str = "lab-day"
    """What is run end to end: a scenario's name or file."""
    router: Path | None = None
    """A router to be timed beside the made-up ones, and to be asked in the part router-day."""
    questions: int | None = None
    """At least so many are asked for the outcomes."""
    seed: int = 0
    quick: bool = False
    """Seconds instead of minutes: to see that all works. The figures are worth little."""

    def __post_init__(self) -> None:
        fault = next((fault for fault in _faults(self) if fault is not None), None)
        if fault:
            raise InputError(*fault)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The parts to measure, in their order."""
        default = _SHAPE_PARTS if self.shape else _USUAL_PARTS
        return default if self.parts is None else tuple(part for part in PARTS if part in self.parts)


def _faults(asked: Asked) -> list[tuple[object, str, str] | None]:
    unknown = next((part for part in asked.parts or () if part not in PARTS), None)
    answers = asked.shape and next((part for part in asked.parts or () if part in _NEED_ANSWERS), None)
    return [
        (unknown, "is no part of a measurement", did_you_mean(unknown, PARTS)) if unknown is not None else None,
        ("no part", "is to be measured", f"name some of: {', '.join(PARTS)}") if asked.parts == () else None,
        ("--model and --shape", "name two things to measure", "leave one of them out")
        if asked.model and asked.shape
        else None,
        (asked.layers, "layers are of a shape", "add --shape, or leave --layers out")
        if asked.layers is not None and not asked.shape
        else None,
        (answers, "needs a model that answers, and a shape has random weights", "leave it out, or give --model")
        if answers
        else None,
        (asked.questions, "is no number of questions", "give at least 1")
        if asked.questions is not None and asked.questions < 1
        else None,
        (asked.router, "does not exist", "check the path of the router") if _is_missing(asked.router) else None,
        (asked.seed, "is no seed", "give a whole number, zero or more") if asked.seed < 0 else None,
        (asked.threads, "is no number of threads", "give at least 1")
        if asked.threads is not None and asked.threads < 1
        else None,
        (asked.max_num_seqs, "is no number of rows", "give at least 1")
        if asked.max_num_seqs is not None and asked.max_num_seqs < 1
        else None,
    ]


def _is_missing(file: Path | None) -> bool:
    return file is not None and not file.is_file()


@dataclass(frozen=True)
class Limits:
    """What the engine may do, and how long requests are, in tokens."""

    max_num_seqs: int
    max_num_batched_tokens: int
    capacity: int
    """Most tokens of a row."""

    @property
    def kv_capacity_tokens(self) -> int:
        """Room for all rows at their longest, so that memory never decides."""
        return self.max_num_seqs * (-(-self.capacity // 16) * 16)

    @property
    def prompt_range(self) -> tuple[int, int]:
        """Shortest and longest prompts of a load."""
        return max(self.capacity // 8, 1), self.capacity // 2

    @property
    def output_median(self) -> int:
        return max(self.capacity // 10, 2)

    @property
    def output_range(self) -> tuple[int, int]:
        """Shortest and longest outputs of a load."""
        return 2, max(self.capacity * 2 // 5, 3)


def limits_for(asked: Asked, provider: str, max_positions: int) -> Limits:
    """Limits for a model of so many positions: 32 rows on a CPU, 64 on a GPU, half a row's tokens in a step."""
    if asked.quick:
        capacity = min(max_positions, 128)
        return Limits(asked.max_num_seqs or 4, max(capacity // 2, 8), capacity)
    capacity = min(max_positions, _MOST_CAPACITY)
    return Limits(asked.max_num_seqs or _DEFAULT_SEQS[provider], max(capacity // 2, 16), capacity)


@dataclass(frozen=True)
class Times:
    """How long parts may take, in seconds, and how much of each is done at least."""

    grid_s: float
    fewest_rounds: int
    most_rounds: int
    grid_beside_s: float
    """For each time that the loops are run."""
    loop_s: float
    """Of one open loop."""
    repeats: int
    """How often each open loop is run."""
    fewest_requests: int
    most_requests: int
    closed_rounds: int
    """Requests of each client of a closed loop."""
    router_s: float
    """Of one batch size."""


def times_for(asked: Asked) -> Times:
    """Minutes, or seconds where it is to be quick."""
    if asked.quick:
        return Times(1.0, 2, 2, 0.5, 0.3, 1, 12, 20, 2, 0.01)
    return Times(30.0, 3, 30, 10.0, 12.0, 5, 300, 1500, 10, 0.6)
