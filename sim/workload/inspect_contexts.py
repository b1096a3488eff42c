"""What a trace tells about contexts: how many, how often asked, how long idle, how much shared."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.workload.blocks import NOTHING, Floats, Integers
from sim.workload.traces import TraceRows

__all__ = ["ContextFigures"]

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class ContextFigures:
    """Figures of contexts, gathered row by row; memory grows with contexts and, 8 bytes each, with their requests."""

    def __init__(self) -> None:
        self._latest_s: dict[int, float] = {}
        self._requests: dict[int, int] = {}
        self._gaps: list[Floats] = []
        self._prompt_tokens = self._prefix_tokens = 0

    def add(self, rows: TraceRows) -> None:
        """Take in the next rows."""
        self._prompt_tokens += int(rows.prompt_tokens.sum())
        self._prefix_tokens += int(rows.prefix_tokens.sum())
        asked = np.flatnonzero(rows.context_id != NOTHING)
        asked = asked[np.argsort(rows.context_id[asked], kind="stable")]
        if asked.size:
            self._add(rows.context_id[asked], rows.arrival_s[asked])

    def _add(self, context: Integers, arrival_s: Floats) -> None:
        """Requests in order of context, then time."""
        names, first, counts = np.unique(context, return_index=True, return_counts=True)
        before_s = np.concatenate(([0.0], arrival_s[:-1]))
        before_s[first] = [self._latest_s.get(name, np.nan) for name in names.tolist()]
        gaps = arrival_s - before_s
        self._gaps.append(gaps[~np.isnan(gaps)])
        self._latest_s.update(zip(names.tolist(), arrival_s[first + counts - 1].tolist(), strict=True))
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            self._requests[name] = self._requests.get(name, 0) + count

    def figures(self) -> dict[str, Any]:
        """Distinct contexts, and of requests a context, idle gaps and shared prefix what is known of them."""
        return {
            "contexts": len(self._requests),
            "requests_per_context": _spread(np.array(list(self._requests.values()), np.float64)),
            "idle_gap_s": _spread(np.concatenate([np.empty(0), *self._gaps])),
            "prefix_share": self._prefix_tokens / self._prompt_tokens if self._prefix_tokens else None,
        }


def _spread(values: Floats) -> dict[str, float] | None:
    if not values.size:
        return None
    quantiles = np.quantile(values, list(_SHARES.values())).tolist()
    return {"mean": float(values.mean()), **dict(zip(_SHARES, quantiles, strict=True)), "max": float(values.max())}
