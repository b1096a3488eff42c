"""What requests would take if replicas worked on nothing but full batches: work, whatever time it took."""

from __future__ import annotations

from sim.steptime import StepTime

__all__ = ["full_batch_rows", "full_batch_s"]


def full_batch_s(
    law: StepTime,
    *,
    branches: int,
    prompt_tokens: int,
    output_tokens: int,
    attended_tokens: int,
    cached_tokens: int,
    rows: int,
    step_tokens: int,
    kv_capacity_tokens: int,
) -> float:
    """Seconds in which a replica does so many branches with so many tokens at its best.

    Branches of one request share its prompt: `prompt_tokens` has it once, as it is read and kept, `attended_tokens`
    once for each of them. Prompts are read in steps of `step_tokens`, but for what is found cached; of a prompt
    that is read whole each token attends to half of it. Each output token has its part of a decode step with as
    many of its kind as there are places (`rows`) or fit into the KV cache. A replica that has fewer of them at once
    takes longer, so its time says little of how much more it could do.
    """
    if branches == 0:
        return 0.0
    batch = full_batch_rows(branches, prompt_tokens, output_tokens, rows=rows, kv_capacity_tokens=kv_capacity_tokens)
    prompt, read_tokens = attended_tokens / branches, max(prompt_tokens - cached_tokens, 0)
    attends = prompt * (1.0 - read_tokens / max(prompt_tokens, 1) / 2)
    prompt_s = law.linear(step_tokens) / step_tokens + law.attention_s_per_pair * attends
    kv_tokens = max(prompt + output_tokens / branches / 2, 1.0)
    slices_s = law.slice_s * -(-read_tokens // step_tokens)
    return slices_s + read_tokens * prompt_s + output_tokens * law.decode_step_s(batch, batch * kv_tokens) / batch


def full_batch_rows(
    branches: int, prompt_tokens: int, output_tokens: int, *, rows: int, kv_capacity_tokens: int
) -> int:
    """Branches of this kind in a full batch: as many as there are places (`rows`), or as fit into the KV cache.

    One at least.
    """
    each = max((prompt_tokens + output_tokens / 2) / max(branches, 1), 1.0)
    return max(min(rows, int(kv_capacity_tokens / each)), 1)
