"""The supply side of a scenario: pools of GPUs, how they are bought, how their engines are set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.demand import Weekday
from sim.scenario.offers import Offer, OnDemand, Reserved
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Count, Hours, Share, Whole, parse_hours

__all__ = [
    "Engine",
    "GpuPool",
    "Offer",
    "OnDemand",
    "Precision",
    "Reserved",
    "ScheduleWindow",
    "StepTimeFile",
]

_MOST_REPLICAS = 100_000
_Replicas = Annotated[Count, Field(le=_MOST_REPLICAS)]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Precision(Part):
    """Number formats a replica holds its weights and its KV cache in."""

    weights: Literal["bf16", "fp16", "fp8", "int8", "fp4", "int4"] = "bf16"
    """Format of the weights."""
    kv: Literal["bf16", "fp16", "fp8", "int8"] = "bf16"
    """Format of the KV cache."""


class Engine(Part):
    """Settings of the server that runs on each replica, of every rank of a data-parallel one; named as in vLLM."""

    backend: Literal["vllm", "sglang", "tensorrt-llm"] = "vllm"
    """Serving engine: picks the calibration of the step times; the scheduler is set apart."""
    scheduler: Literal["chunked", "prefill-first"] = "chunked"
    """Decodes plus a slice of prompt in every step, or whole prompts before decodes."""
    max_num_seqs: Annotated[Count, Field(le=65_536)] = 256
    """Most requests in a batch."""
    max_num_batched_tokens: Annotated[Count, Field(le=1_048_576)] = 8192
    """Most tokens in a step."""
    memory_utilisation: Annotated[Share, Field(gt=0)] = 0.9
    """Share of GPU memory the engine may use for weights and KV cache."""
    max_model_len: Count | None = None
    """Most tokens of prompt and output together, longer requests are rejected; the model's own limit without it."""
    kv_capacity_tokens: Annotated[Count, Field(ge=16)] | None = None
    """KV capacity of a replica (of each rank) in tokens, used as it is; derived from memory and weights without it."""

    @model_validator(mode="after")
    def _a_token_for_each_row(self) -> Engine:
        refuse_all(_batch_refusals(self))
        return self


class StepTimeFile(Part):
    """Measured or calibrated step times, in place of the catalogue's roofline."""

    path: Path
    """JSON file with step times, relative to the scenario."""


class ScheduleWindow(Part):
    """How many replicas accept work in a daily window of local time."""

    hours: Hours
    """Window such as 08:00-20:00; over midnight it belongs to the day on which it starts."""
    days: Annotated[list[Weekday], Field(min_length=1)] = Field(default=list(WEEKDAYS))
    """Local weekdays; every day where left out."""
    replicas: Annotated[Whole, Field(le=_MOST_REPLICAS)]
    """Replicas that accept work inside the window; the first window that holds an instant counts."""

    @property
    def start_s(self) -> int:
        """Start in seconds after local midnight."""
        return parse_hours(self.hours)[0]

    @property
    def end_s(self) -> int:
        """End in seconds after local midnight; on the next day where not above `start_s`."""
        return parse_hours(self.hours)[1]


class GpuPool(Part):
    """Replicas of one model on one type of GPU, bought one way."""

    name: str = Field(min_length=1)
    """Name of the pool, unique in the scenario."""
    kind: Literal["gpu"] = "gpu"
    """A pool of GPUs of one's own."""
    gpu: str = Field(min_length=1)
    """GPU type, a name in the catalogue such as H100-SXM."""
    model: str = Field(min_length=1)
    """Model it serves, a name in the catalogue such as Llama-3.1-8B, or of an inline model."""
    tensor_parallel: Annotated[Count, Field(le=1024)] = 1
    """GPUs that share each layer's attention: one replica, or one rank of a data-parallel one."""
    data_parallel: Annotated[Count, Field(le=1024)] = 1
    """Attention replicas that share their experts: ranks of one server. Each rank schedules for itself."""
    expert_parallel: Count | None = None
    """GPUs the experts are spread over. Without it every GPU of a rank holds a slice of each expert, but in a
    data-parallel server they are spread over all of its GPUs."""
    replicas: _Replicas
    """Servers that are paid for, one at least; each has tensor_parallel x data_parallel GPUs."""
    offer: Offer
    """How the GPUs are bought."""
    engine: Engine = Field(default_factory=Engine)
    """Settings of the server on each replica."""
    step_time: StepTimeFile | None = None
    """Step times from a file; a roofline of the GPU without it."""
    precision: Precision | None = None
    """Number formats; bf16 weights and KV cache without it."""
    schedule: list[ScheduleWindow] = Field(default=[])
    """Windows in which another number of replicas accepts work; all of them do outside the windows."""

    @model_validator(mode="after")
    def _parts_fit(self) -> GpuPool:
        refuse_all([*_layout_refusals(self), *_schedule_refusals(self)])
        return self

    @property
    def ranks(self) -> int:
        """What schedules for itself, of all replicas together: what the engine serves on."""
        return self.replicas * self.data_parallel

    @property
    def gpus_per_replica(self) -> int:
        """GPUs of one server."""
        return self.tensor_parallel * self.data_parallel


def _batch_refusals(engine: Engine) -> list[Refusal]:
    if engine.max_num_batched_tokens >= engine.max_num_seqs:
        return []
    rule = f"must be at least max_num_seqs ({engine.max_num_seqs})"
    remedy = "raise it, or lower max_num_seqs: each request in a batch takes a token a step"
    return [Refusal(("max_num_batched_tokens",), engine.max_num_batched_tokens, rule, remedy)]


def _layout_refusals(pool: GpuPool) -> Iterator[Refusal]:
    gpus, spread = pool.gpus_per_replica, pool.expert_parallel
    if pool.ranks > _MOST_REPLICAS:
        rule = f"makes {pool.ranks} ranks of {pool.replicas} replicas, of which there may be {_MOST_REPLICAS}"
        yield Refusal(("data_parallel",), pool.data_parallel, rule, "lower it, or the replicas")
    if spread is not None and gpus % spread:
        rule = f"must divide the {gpus} GPUs of a replica (tensor_parallel x data_parallel)"
        yield Refusal(("expert_parallel",), spread, rule, "give a divisor, or leave it out")


def _schedule_refusals(pool: GpuPool) -> list[Refusal]:
    rule = f"must be at most the pool's replicas ({pool.replicas})"
    return [
        Refusal(("schedule", index, "replicas"), window.replicas, rule, "lower it, or raise the pool's replicas")
        for index, window in enumerate(pool.schedule)
        if window.replicas > pool.replicas
    ]
