"""What a run has added up by some moment, and the figures that follow from it.

A tally is additive: the difference of two is the tally of the time between them. So the same figures can be
worked out for a whole replication and for any part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.stats import histogram_quantiles

__all__ = [
    "ANSWERS",
    "COUNTS",
    "LATENCIES",
    "QUANTILES",
    "REJECTIONS",
    "Tally",
    "batch_figures",
    "figures",
    "own_streams",
    "plane_usd",
    "quality_figures",
    "take_tally",
]

LATENCIES = {"ttft_s": st.TTFT, "tpot_s": st.TPOT, "e2e_s": st.E2E}
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Tally:
    """Sums since the start. S streams of the scenario, A strategies, P pools, K counts.

    Preparing contexts is no request of anybody: it is in the money and in the time of replicas, and nowhere else.
    """

    seconds: NDArray[np.float64]
    """Time since the start [1], and of it after the warm-up [1]: shape [2]."""
    histogram: NDArray[np.int64]
    """Latencies of measured requests, [S, 3, bins]."""
    latency_sum_s: NDArray[np.float64]
    """[S, 3]."""
    latency_count: NDArray[np.int64]
    """[S, 3]."""
    streams: NDArray[np.int64]
    """The counts named in COUNTS, [S, K]."""
    answers: NDArray[np.float64]
    """Of completed requests what ANSWERS names, [S, A, 5]."""
    prompt_tokens: NDArray[np.int64]
    """Prompt tokens that the fleet was given and those of them that it found cached, [2]."""
    pool_s: NDArray[np.float64]
    """Replica seconds busy, and paid for but unused, [P, 2]."""
    usd: NDArray[np.float64]
    """Dollars of all lines of the bill, [1]."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Tally) -> Tally:
        return Tally(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def of_stream(self, stream: int) -> Tally:
        """The tally of one stream's requests; money and replicas are those of all."""
        mine = slice(stream, stream + 1)
        return replace(
            self,
            histogram=self.histogram[mine],
            latency_sum_s=self.latency_sum_s[mine],
            latency_count=self.latency_count[mine],
            streams=self.streams[mine],
            answers=self.answers[mine],
        )


ANSWERS = ("requests", "output_tokens", "known", "correct", "p_correct")
"""Sums over answers: their number, tokens, how many may be right or wrong, how many are right, their chances to be."""

COUNTS = (
    "offered",
    "completed",
    "too_long",
    "no_replica",
    "queue_full",
    "rate_limited",
    "timed_out",
    "failed",
    "attempts",
    "retried",
    "prompt_tokens",
    "output_tokens",
    "measured_offered",
    "measured_ended",
    "measured_met",
    "measured_rejected",
    "measured_timed_out",
    "missed_ttft",
    "missed_tpot",
    "missed_e2e",
    "asked",
    "hits",
    "stale",
    "expired",
    "late",
    "saved_tokens",
)
"""Of a stream's requests; `missed_` counts those that completed too late, by the first objective they missed.

From `asked` on of those that come with a context, by what they find prepared of it.
"""

REJECTIONS = ("too_long", "no_replica", "queue_full", "rate_limited")
"""Counts of requests that were refused, by reason."""


def take_tally(plane: DataPlane, now_s: float, warm_up_s: float, other_usd: float) -> Tally:
    """The tally at `now_s`, which the plane has reached; brings its books up to then.

    `other_usd` is the cost up to then of what the plane does not count.
    """
    plane.settle(now_s)
    s, own = plane.state, slice(own_streams(plane.state))
    return Tally(
        seconds=np.array([now_s, max(now_s - warm_up_s, 0.0)]),
        histogram=s.histogram[own].copy(),
        latency_sum_s=s.latency_sum_s[own].copy(),
        latency_count=s.latency_count[own].copy(),
        streams=np.stack([s.streams[name][own] for name in COUNTS], axis=1),
        answers=_answers(s)[own],
        prompt_tokens=np.array([s.pools[name].sum() for name in ("prompt_tokens", "cached_tokens")]),
        pool_s=np.stack([s.work_s.sum(axis=1), s.unused_s.sum(axis=(1, 2))], axis=1),
        usd=np.array([plane_usd(s) + other_usd]),
    )


def _answers(s: st.State) -> NDArray[np.float64]:
    sums = (s.ended_requests, s.ended_output_tokens, s.ended_known, s.ended_correct, s.ended_p)
    return np.stack([table.sum(axis=(0, 3)).astype(np.float64) for table in sums], axis=2)


def own_streams(s: st.State) -> int:
    """How many streams are the scenario's own: that of sleep-time jobs comes after them."""
    last = int(s.run[0].sleep_stream)
    return int(s.streams.size) if last == st.NONE else last


def plane_usd(s: st.State) -> float:
    """What replicas' time and APIs' tokens have cost up to the last settlement."""
    return float(s.work_usd.sum() + s.unused_usd.sum() + (s.billed_tokens * s.rates_usd).sum())


def figures(tally: Tally, gpus: NDArray[np.int64]) -> dict[str, float]:
    """The headline figures by their dotted names in the summary; NaN where nothing is there to measure.

    Money and counts cover all of the time; latencies, attainment and goodput only what arrived after the warm-up.
    `gpus` is the number of GPUs of a replica, by pool [P].
    """
    count = _counts(tally)
    usd = float(tally.usd[0])
    seconds, measured_s = tally.seconds.tolist()
    busy_s, paid_s = float(gpus @ tally.pool_s[:, 0]), float(gpus @ tally.pool_s.sum(axis=1))
    quality = quality_figures(tally.answers.sum(axis=(0, 1)))
    prompt_tokens, cached_tokens = tally.prompt_tokens.tolist()
    return {
        **latency_figures(
            tally.histogram.sum(axis=0), tally.latency_sum_s.sum(axis=0), tally.latency_count.sum(axis=0)
        ),
        "slo.attainment": _ratio(count["measured_met"], count["measured_offered"]),
        "slo.goodput_rps": _ratio(count["measured_met"], measured_s),
        "quality.accuracy": quality["accuracy"],
        "quality.expected_accuracy": quality["expected_accuracy"],
        "cost.total_usd": usd,
        "cost.usd_per_hour": _ratio(usd * 3600.0, seconds),
        "cost.usd_per_1k_requests": _ratio(usd * 1e3, count["completed"]),
        "cost.usd_per_1m_output_tokens": _ratio(usd * 1e6, count["output_tokens"]),
        "cost.usd_per_correct": _ratio(usd, quality["correct"]),
        "fleet.busy_share": _ratio(busy_s, paid_s),
        "fleet.prefix_hit_share": _ratio(cached_tokens, prompt_tokens),
        "fleet.gpu_hours": paid_s / 3600.0,
    }


def quality_figures(answers: NDArray[np.float64]) -> dict[str, float]:
    """Share of right answers, mean chance to be right, and counts, from the sums that ANSWERS names [5].

    Both are of the answers whose quality is modelled, and NaN where there are none.
    """
    sums = dict(zip(ANSWERS, answers.tolist(), strict=True))
    known = sums["known"]
    return {
        "accuracy": _ratio(sums["correct"], known),
        "expected_accuracy": _ratio(sums["p_correct"], known),
        "known": known,
        "correct": sums["correct"],
    }


def batch_figures(tally: Tally, gpus: NDArray[np.int64], run_s: float) -> dict[str, float]:
    """The figures of a part of a run that took `run_s` seconds, as if all of it had gone like this part.

    Attainment counts the requests that ended in the part: those that arrived in it may end in the next.
    """
    count = _counts(tally)
    part = figures(tally, gpus) | {"slo.attainment": _ratio(count["measured_met"], count["measured_ended"])}
    whole = _ratio(run_s, float(tally.seconds[0]))
    return part | {name: part[name] * whole for name in _SUMS}


_SUMS = ("cost.total_usd", "fleet.gpu_hours")
"""Figures that grow with the length of the run."""


def _counts(tally: Tally) -> dict[str, int]:
    return dict(zip(COUNTS, tally.streams.sum(axis=0).tolist(), strict=True))


def latency_figures(
    histogram: NDArray[np.int64], sums_s: NDArray[np.float64], counts: NDArray[np.int64]
) -> dict[str, float]:
    """Mean and quantiles of each latency, from its histogram [3, bins], sum [3] and count [3]."""
    found = {}
    for name, row in LATENCIES.items():
        found[f"latency.{name}.mean"] = _ratio(float(sums_s[row]), int(counts[row]))
        values = histogram_quantiles(histogram[row], list(QUANTILES.values()))
        found |= {f"latency.{name}.{label}": value for label, value in zip(QUANTILES, values, strict=True)}
    return found


def _ratio(above: float, below: float) -> float:
    return above / below if below else float("nan")
