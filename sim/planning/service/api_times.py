"""How long calls of an API take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.engine.specs import ApiSpec, StreamSpec
from sim.planning.needs.stages import StageWork
from sim.planning.purchase.instance import Floats

__all__ = ["api_times_s"]

_LUCK: Floats = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])
"""Normal numbers at the middles of ten equal parts."""
_ROWS = 40


def api_times_s(spec: ApiSpec, stages: Sequence[StageWork], promised: StreamSpec) -> tuple[Floats, Floats, float]:
    """Times to the first token and to the last, [n] each, and the share of requests that keeps all objectives.

    A batch tier gives whole answers; what it does not give within its window counts as late.
    """
    some = slice(None, None, max(stages[0].output_tokens.size // _ROWS, 1))
    streams = spec.batch_window_s == 0.0
    first_s = spec.ttft_median_s * np.exp(spec.ttft_sigma * _LUCK)[:, np.newaxis, np.newaxis]
    token_s = np.exp(-spec.tokens_per_s_sigma * _LUCK)[:, np.newaxis] / spec.tokens_per_s_median * streams
    path, calls = np.zeros((2, stages[0].output_tokens[some].size))
    for stage in stages:
        path += stage.output_tokens[some] * stage.path_factor * stage.taken[some]
        calls += stage.taken[some]
    e2e_s = first_s * calls + token_s * np.maximum(path - 1.0, 0.0)
    ttft_s = np.broadcast_to(first_s, e2e_s.shape)
    latest_s = min(promised.e2e_slo_s, promised.timeout_s, np.inf if streams else spec.batch_window_s)
    kept = (ttft_s <= promised.ttft_slo_s) & (e2e_s <= latest_s) & (token_s <= promised.tpot_slo_s)
    return ttft_s.ravel(), e2e_s.ravel(), float(kept.mean())
