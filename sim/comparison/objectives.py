"""Why more or fewer requests meet their objectives: what became of the others, by stream and cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.comparison.paired import spread_of
from sim.tally import COUNTS, Tally

__all__ = ["CAUSES", "attainment_waterfall", "missed_shares"]

CAUSES = {
    "rejected": "refused",
    "timed_out": "gave up waiting",
    "failed": "lost with a server",
    "unfinished": "in flight at the end",
    "ttft": "first token late",
    "tpot": "tokens too slow",
    "e2e": "answer late",
}
"""What keeps a request from meeting its objectives. Each has one cause: of answers that miss several objectives the
first in this order, as a late first token may be all that makes the answer late."""


def missed_shares(tally: Tally, streams: Mapping[str, int]) -> dict[tuple[str, str], float]:
    """By stream and cause the requests that miss their objectives, as a share of all those that were measured.

    They sum to one less the attainment. `streams` are places in the tally by name.
    """
    counts = {name: dict(zip(COUNTS, tally.streams[place].tolist(), strict=True)) for name, place in streams.items()}
    offered = sum(count["measured_offered"] for count in counts.values())
    if not offered:
        return {(name, cause): float("nan") for name in streams for cause in CAUSES}
    return {(name, cause): lost / offered for name, count in counts.items() for cause, lost in _by_cause(count).items()}


def _by_cause(count: Mapping[str, int]) -> dict[str, int]:
    late = {cause: count[f"missed_{cause}"] for cause in ("ttft", "tpot", "e2e")}
    refused = {cause: count[f"measured_{cause}"] for cause in ("rejected", "timed_out")}
    failed = count["measured_ended"] - count["measured_met"] - sum(late.values()) - sum(refused.values())
    return {**refused, "failed": failed, "unfinished": count["measured_offered"] - count["measured_ended"], **late}


def attainment_waterfall(
    a: Sequence[dict[tuple[str, str], float]], b: Sequence[dict[tuple[str, str], float]]
) -> list[dict[str, Any]]:
    """Bars from A's attainment to B's, as shares of all requests: what a cause takes less of is a gain.

    Both are shares by stream and cause, one mapping a replication. Bars that are nothing in every replication are left
    out.
    """
    return [
        {
            "stream": stream,
            "cause": cause,
            "a": float(np.mean([run[stream, cause] for run in a])),
            "b": float(np.mean([run[stream, cause] for run in b])),
            "difference": spread_of(
                [one[stream, cause] - other[stream, cause] for one, other in zip(a, b, strict=True)]
            ),
        }
        for stream, cause in a[0]
        if any(run[stream, cause] for run in (*a, *b))
    ]
