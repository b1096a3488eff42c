"""How long steps take, and how many fit into a time: the closed forms that let whole spans be skipped.

A decode step of `rows` requests takes base + per_kv * KV, where KV counts the tokens the rows attend to, the
one being written included. While the batch stays the same KV grows by `rows` a step, so n steps that begin
with `kv` tokens take

    n * base + per_kv * (n * kv + rows * n * (n - 1) / 2).
"""

from __future__ import annotations

from math import ceil, sqrt

from sim.engine.jit import inlined
from sim.engine.state import Floats, State

__all__ = ["law_segment", "linear_s", "parts_s", "span_s", "steps_to_reach"]


@inlined
def span_s(base_s: float, per_kv_s: float, kv: int, rows: int, n: int) -> float:
    """Seconds that n decode steps take, the first of which sees `kv` tokens."""
    return n * (base_s + per_kv_s * (kv + 0.5 * rows * (n - 1)))


@inlined
def steps_to_reach(start_s: float, time_s: float, base_s: float, per_kv_s: float, kv: int, rows: int, most: int) -> int:
    """Least n <= most for which the step boundary start_s + span_s(n) is not before time_s; at least 1.

    With a = per_kv * rows / 2 and b = base + per_kv * kv - a the span is a n^2 + b n, whose root is taken in
    the form that loses no digits; the last line or two settle what rounding left open.
    """
    wanted_s = time_s - start_s
    a = 0.5 * per_kv_s * rows
    b = base_s + per_kv_s * kv - a
    n = int(min(ceil(2.0 * wanted_s / (b + sqrt(b * b + 4.0 * a * wanted_s))), most))
    n = max(n, 1)
    while n > 1 and start_s + span_s(base_s, per_kv_s, kv, rows, n - 1) >= time_s:
        n -= 1
    while n < most and start_s + span_s(base_s, per_kv_s, kv, rows, n) < time_s:
        n += 1
    return n


@inlined
def law_segment(kv_edge: Floats, pool: int, kv: float) -> int:
    """Segment of the pool's decode law that holds at `kv` tokens."""
    segment = 0
    while kv > kv_edge[pool, segment]:
        segment += 1
    return segment


@inlined
def linear_s(s: State, pool: int, tokens: int) -> float:
    """Seconds of the linear layers for `tokens` tokens in one step; beyond the table the last slope goes on."""
    last = s.linear_s.shape[1] - 1
    if tokens <= last:
        return s.linear_s[pool, tokens]
    return s.linear_s[pool, last] + (tokens - last) * s.linear_slope_s[pool]


@inlined
def parts_s(
    s: State, pool: int, rows: int, kv: int, prompt_tokens: int, pairs: float, slices: int
) -> tuple[float, float]:
    """Seconds of a step with `rows` decode rows and `prompt_tokens` in `slices`: the rows' part, the prompts' part.

    The rows pay for the decode step they would have had alone; the prompts pay for what they add: the linear
    layers' time beyond that of the rows' tokens, attention over `pairs` (token, attended token) pairs, and what each
    slice takes.
    """
    rows_s = 0.0
    if rows > 0:
        segment = law_segment(s.kv_edge, pool, kv)
        rows_s = s.base_s[pool, segment, rows] + s.per_kv_s[pool, segment, rows] * kv
    prompts_s = linear_s(s, pool, rows + prompt_tokens) - linear_s(s, pool, rows)
    return rows_s, prompts_s + s.pools[pool].attention_s_per_pair * pairs + s.pools[pool].slice_s * slices
