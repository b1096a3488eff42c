"""The server that runs on each replica: its settings, its number formats, its step times."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Share

__all__ = ["Engine", "Precision", "StepTimeFile"]


class Precision(Part):
    """Number formats a replica holds its weights and its KV cache in."""

    weights: Literal["bf16", "fp16", "fp32", "fp8", "int8", "fp4", "int4"] = "bf16"
    """Format of the weights."""
    kv: Literal["bf16", "fp16", "fp32", "fp8", "int8"] = "bf16"
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
    prefix_cache: bool = True
    """Whether a replica keeps the KV cache of contexts while there is room, and does not read them again."""
    sleep_slowdown: Annotated[Amount, Field(le=10)] = 0.02
    """Share by which work of priority sleep may lengthen a step that others are in; with 0 it pauses meanwhile. At 50,
    70 and 90 % load of a Llama-3.1-8B on H100s the p99 TTFT of the others grew by 2 to 4 % with 0.02 and by 6 to 13 %
    with 0.05, for sleep work of 1 and 5 % of what the GPUs can do."""
    sleep_step_tokens: Annotated[Count, Field(le=1_048_576)] = 512
    """Most tokens in a step of sleep work alone: what a request that arrives meanwhile waits for at most."""

    @model_validator(mode="after")
    def _a_token_for_each_row(self) -> Engine:
        refuse_all(_batch_refusals(self))
        return self


class StepTimeFile(Part):
    """Measured or calibrated step times, in place of the catalogue's roofline."""

    path: Path
    """JSON file with step times, relative to the scenario."""


def _batch_refusals(engine: Engine) -> list[Refusal]:
    if engine.max_num_batched_tokens >= engine.max_num_seqs:
        return []
    rule = f"must be at least max_num_seqs ({engine.max_num_seqs})"
    remedy = "raise it, or lower max_num_seqs: each request in a batch takes a token a step"
    return [Refusal(("max_num_batched_tokens",), engine.max_num_batched_tokens, rule, remedy)]
