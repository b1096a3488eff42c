"""Step times as the engine runs on them: plain tables, and the laws that read them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

__all__ = ["StepTime"]

Floats = NDArray[np.float64]

_SCALARS = ("attention_s_per_pair", "slice_s", "front_end_s", "front_end_steps")


@dataclass(frozen=True, eq=False)
class StepTime:
    """What a step of a replica takes, in seconds.

    A decode step of `b` rows with `K` KV tokens resident takes `f[s, b] + k[s, b]*K`. A step with `q` prompt
    tokens besides takes `f[s, b] + k[s, b]*K + (g[b+q] - g[b]) + c*W`, where W counts the pairs of a prompt
    token and a token it attends to: `sum of q_i*(already_i + (q_i+1)/2)` over the prompt slices. So a pure
    prefill takes `g[q] + c*W`. An engine that reads each slice in a call of its own takes `slice_s` more for each of
    more than one token; one token alone is read like those of the decode rows.

    Outside its steps a server takes requests in, hands tokens from process to process and streams them: a client sees
    a request `front_end_s + front_end_steps * TPOT` later than its steps say, its first token and its last alike, TPOT
    being that request's own mean time per output token (0 for one token). The replica is not held up by it.

    Raises:
        InputError: for a table of a wrong shape, or with a negative or not finite entry.
    """

    decode_base_s: Floats
    """f [S, B+1]: seconds of a decode step of b rows, b = 0..B; 0 for no rows."""
    decode_kv_s: Floats
    """k [S, B+1]: seconds per resident KV token, of all rows together."""
    kv_edges: Floats
    """[S]: segment s holds while KV tokens are at most kv_edges[s]; rising, the last is infinite."""
    linear_s: Floats
    """g [T+1]: seconds of linear layers and overhead for t = 0..T tokens; it goes on with the last slope."""
    attention_s_per_pair: float
    """c: seconds per pair of a prompt token and a token it attends to."""
    front_end_s: float = 0.0
    """Seconds by which a client sees every request later than its steps say."""
    front_end_steps: float = 0.0
    """And its own mean times per output token besides."""
    slice_s: float = 0.0
    """Seconds for each slice of a prompt, however long; 0 where the slices of a step are computed as one."""

    def __post_init__(self) -> None:
        for name in ("decode_base_s", "decode_kv_s", "kv_edges", "linear_s"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        broken = next((rule for rule, holds in _rules(self).items() if not holds), None)
        if broken:
            raise InputError(
                "step times", broken, "correct the table, or leave it out to take the catalogue's roofline"
            )

    @property
    def max_rows(self) -> int:
        """B: the most rows that the decode tables hold."""
        return int(self.decode_base_s.shape[1]) - 1

    def covering(self, rows: int) -> StepTime:
        """These step times for at least `rows` rows: f goes on with its last slope if it rises, k stays."""
        more = rows - self.max_rows
        if more <= 0:
            return self
        last, before = self.decode_base_s[:, -1:], self.decode_base_s[:, -2:-1]
        slope = np.maximum(last - before, 0.0) if self.max_rows > 1 else np.zeros_like(last)
        further = last + slope * np.arange(1, more + 1)
        same = np.repeat(self.decode_kv_s[:, -1:], more, axis=1)
        return replace(
            self,
            decode_base_s=np.hstack([self.decode_base_s, further]),
            decode_kv_s=np.hstack([self.decode_kv_s, same]),
        )

    def decode_step_s(self, rows: int, kv_tokens: float) -> float:
        """Seconds of a decode step of `rows` rows with `kv_tokens` KV tokens resident."""
        segment = np.searchsorted(self.kv_edges, kv_tokens)
        return float(self.decode_base_s[segment, rows] + self.decode_kv_s[segment, rows] * kv_tokens)

    def mixed_step_s(
        self, rows: int, kv_tokens: float, prompt_tokens: int, pairs: float, slices: int | None = None
    ) -> float:
        """Seconds of a step of `rows` decode rows and `prompt_tokens` prompt tokens making `pairs` pairs.

        The prompt tokens are of so many slices; of one where that is not told.
        """
        linear = self.linear(rows + prompt_tokens) - self.linear(rows)
        each = self.slice_s * (int(prompt_tokens > 1) if slices is None else slices)
        return self.decode_step_s(rows, kv_tokens) + linear + self.attention_s_per_pair * pairs + each

    def linear(self, tokens: int) -> float:
        """g: seconds of the linear layers for `tokens` tokens, on with the last slope beyond the table."""
        last = len(self.linear_s) - 1
        if tokens <= last:
            return float(self.linear_s[tokens])
        return float(self.linear_s[last] + (tokens - last) * (self.linear_s[last] - self.linear_s[last - 1]))


def _rules(step_time: StepTime) -> dict[str, bool]:
    """What step times must obey, and whether they do."""
    f, k, edges, g = step_time.decode_base_s, step_time.decode_kv_s, step_time.kv_edges, step_time.linear_s
    scalars = np.array([getattr(step_time, name) for name in _SCALARS])
    shaped = f.ndim == 2 and f.shape == k.shape and f.shape[1] >= 2 and edges.shape == f.shape[:1]
    return {
        "must have decode tables of one shape, segments by rows, at least one row": shaped,
        "must have one rising KV edge a segment, the last infinite": shaped and _rising_to_infinity(edges),
        "must have linear times from 0 tokens to at least 1": g.ndim == 1 and len(g) >= 2,
        "must have linear times that do not fall with more tokens": bool((g[1:] >= g[:-1]).all()),
        "must be finite and not negative": all(_sound(values) for values in (f, k, g, scalars)),
        "must take no time for no rows and no tokens": shaped and not f[:, 0].any() and not g[:1].any(),
        "must take some time for a prompt token": bool((g[1:2] > 0).all()),
        "must take some time for a row": shaped and bool((f[:, 1:] + k[:, 1:] > 0).all()),
    }


def _rising_to_infinity(edges: Floats) -> bool:
    return bool(len(edges) and edges[-1] == np.inf and edges[0] > 0 and _rises(edges))


def _rises(values: Floats) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _sound(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all())
