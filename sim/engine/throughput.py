"""What requests would take if replicas worked on nothing but full batches: work, whatever time it took."""

from __future__ import annotations

from sim.steptime import StepTime

__all__ = ["full_batch_rows", "full_batch_s"]


def full_batch_s(
    law: StepTime,
    *,
    requests: int,
    prompt_tokens: int,
    output_tokens: int,
    rows: int,
    step_tokens: int,
    kv_capacity_tokens: int,
) -> float:
    """Seconds in which a replica answers so many requests with so many tokens at its best.

    Prompts are read in steps of `step_tokens`, each token attending to half of its prompt; each output token has its
    part of a decode step with as many of its kind as there are places (`rows`) or fit into the KV cache. A replica
    that has fewer requests at once takes longer for them, so its time says little of how much more it could do.
    """
    if requests == 0:
        return 0.0
    context = max((prompt_tokens + output_tokens / 2) / requests, 1.0)
    batch = full_batch_rows(context, rows=rows, kv_capacity_tokens=kv_capacity_tokens)
    prompt_s = law.linear(step_tokens) / step_tokens + law.attention_s_per_pair * prompt_tokens / requests / 2
    return prompt_tokens * prompt_s + output_tokens * law.decode_step_s(batch, batch * context) / batch


def full_batch_rows(context_tokens: float, *, rows: int, kv_capacity_tokens: int) -> int:
    """Requests in a full batch: as many as there are places (`rows`), or as fit into the KV cache; one at least."""
    return max(min(rows, int(kv_capacity_tokens / context_tokens)), 1)
