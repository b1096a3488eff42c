"""Open and closed loops through the engine in this process, in the layouts that `nightshift validate` reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.lab.engine.clocks import undisturbed
from sim.lab.engine.engine import Engine
from sim.lab.engine.jobs import EngineSettings
from sim.lab.engine.loops import run_closed_loop, run_open_loop
from sim.lab.engine.model import Model
from sim.lab.engine.records import JobRecord
from sim.lab.measuring.grid import reference_point
from sim.lab.measuring.load import (
    closed_lengths,
    jobs_of,
    keeps_logprobs,
    open_lengths,
    poisson_arrivals,
    stated_lengths,
)
from sim.lab.measuring.polling import PollingClock
from sim.lab.measuring.settings import Limits, Times
from sim.lab.measuring.steps import NewClock, Stepper

__all__ = ["LOADS", "Loops", "OpenRun", "request_lines", "typical"]

LOADS = (0.30, 0.60, 0.85, 1.10)
"""Of what the engine can do at most."""

_REFERENCES = 15
_SATURATIONS = 3
"""Closed loops of which the fastest tells the most that the engine can do."""
_RAMP = 0.15
"""Share of the requests at either end of a loop that do not count for its throughput."""
_DIGITS = 7


@dataclass(frozen=True)
class OpenRun:
    """An open loop: its load, its arrivals a second, its records, and the reference step before and after."""

    load: float
    requests_per_s: float
    records: Sequence[JobRecord]
    reference_s: tuple[float, float]
    core_share: float = 1.0
    """Of the loop's time, the share for which it had a core."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"open-loop-{self.load * 100:.0f}"

    @property
    def mean_e2e_s(self) -> float:
        return _mean_e2e_s(self.records)

    def figures(self) -> dict[str, Any]:
        """Means and p99 in seconds, and the reference step."""
        figures: dict[str, Any] = {"load": self.load, "requests": len(self.records)}
        figures["requests_per_s"] = _short(self.requests_per_s)
        for quantity in ("ttft_s", "tpot_s", "e2e_s"):
            values = np.array([getattr(record, quantity) for record in self.records])
            values = values[np.isfinite(values)]
            figures[quantity] = {"mean": _short(values.mean()), "p99": _short(np.quantile(values, 0.99))}
        figures["core_share"] = round(self.core_share, 4)
        return figures | {"reference_s": [_short(value) for value in self.reference_s]}


@dataclass(eq=False)
class Loops:
    """Loads on one model. A loop comes out alike whenever it is run again, but for the machine."""

    model: Model
    limits: Limits
    times: Times
    seed: int = 0
    clock: NewClock = PollingClock
    progress: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self._stepper = Stepper(self.model, self.limits, self.clock)
        for _ in range(3):
            self._stepper.visit(reference_point(self.limits))

    def saturation(self) -> float:
        """Requests a second that are finished while all rows are taken: the most that the engine can do."""
        count = max(self.limits.max_num_seqs * self.times.closed_rounds, 4)
        self._closed(self.limits.max_num_seqs, count // 2, open_lengths, "warm")
        runs = (self._closed(self.limits.max_num_seqs, count, open_lengths, "saturation") for _ in range(_SATURATIONS))
        return max(map(throughput_per_s, runs))

    def open(self, load: float, most_per_s: float) -> OpenRun:
        """Poisson arrivals at a share of the most that the engine can do."""
        rate, name = load * most_per_s, f"open-{load:.2f}"
        count = int(np.clip(rate * self.times.loop_s, self.times.fewest_requests, self.times.most_requests))
        jobs = list(jobs_of(open_lengths(self.limits, count, self.seed, name), self._vocabulary, self.seed, name))
        arrivals_s = poisson_arrivals(count, rate, self.seed, name)
        before = self.reference_s()
        began_s, worked_s = time.perf_counter(), time.thread_time()
        records = run_open_loop(self._engine(), jobs, arrivals_s)
        share = (time.thread_time() - worked_s) / (time.perf_counter() - began_s)
        run = OpenRun(load, rate, records, (before, self.reference_s()), share)
        self.progress(f"loops: {run.name}, {count} requests at {rate:.3g} a second, E2E {run.mean_e2e_s:.3g} s")
        return run

    def closed(self, concurrency: int) -> dict[str, float]:
        """Means of a closed loop, as a row of a file of closed loops; references beside it, in seconds."""
        count = max(concurrency, 2) * self.times.closed_rounds
        prompt, output = stated_lengths(self.limits)
        before = self.reference_s()
        records = self._closed(concurrency, count, closed_lengths, f"closed-{concurrency}")
        self.progress(f"loops: closed loop of {concurrency}, {count} requests, E2E {_mean_e2e_s(records):.3g} s")
        return {
            "prompt_tokens": prompt,
            "output_tokens": output,
            "concurrency": concurrency,
            "max_num_batched_tokens": self.limits.max_num_batched_tokens,
            "ttft_ms": _short(1e3 * float(np.mean([record.ttft_s for record in records]))),
            "tpot_ms": _short(1e3 * float(np.nanmean([record.tpot_s for record in records]))),
            "requests": len(records),
            "requests_per_s": _short(throughput_per_s(records)),
            "reference_before_ms": _short(1e3 * before),
            "reference_after_ms": _short(1e3 * self.reference_s()),
        }

    def concurrencies(self) -> list[int]:
        """Powers of two, and the most that the engine runs."""
        most = self.limits.max_num_seqs
        return sorted({1 << power for power in range(0, most.bit_length(), 2) if 1 << power < most} | {most})

    def reference_s(self) -> float:
        """Seconds of the reference step now."""
        point = reference_point(self.limits)
        with undisturbed():
            return float(np.median([self._stepper.visit(point).seconds for _ in range(_REFERENCES)]))

    def _closed(self, concurrency: int, count: int, lengths: Any, name: str) -> list[JobRecord]:
        drawn = lengths(self.limits, count, self.seed, name)
        return run_closed_loop(self._engine(), list(jobs_of(drawn, self._vocabulary, self.seed, name)), concurrency)

    @property
    def _vocabulary(self) -> int:
        return self.model.config.vocab_size

    def _engine(self) -> Engine:
        limits = self.limits
        settings = EngineSettings(
            limits.max_num_seqs,
            limits.max_num_batched_tokens,
            limits.kv_capacity_tokens,
            logprobs=keeps_logprobs(self._vocabulary),
        )
        return Engine(self.model, settings, self.clock())


def typical(runs: Sequence[OpenRun]) -> OpenRun:
    """Of several runs of one loop that of the median mean E2E (of an even number, the upper median)."""
    return sorted(runs, key=lambda run: run.mean_e2e_s)[len(runs) // 2]


def throughput_per_s(records: Iterable[JobRecord]) -> float:
    """Requests finished a second, without those at the beginning and at the end."""
    ends = np.sort([record.finish_s for record in records])
    first, last = int(_RAMP * len(ends)), len(ends) - 1 - int(_RAMP * len(ends))
    return float((last - first) / (ends[last] - ends[first]))


def request_lines(records: Sequence[JobRecord]) -> str:
    """Requests as lines of JSON, in order of arrival: tokens, and instants in seconds from the start of the loop."""
    ordered = sorted(records, key=lambda record: record.arrival_s)
    return "".join(json.dumps(_request(record)) + "\n" for record in ordered)


def _request(record: JobRecord) -> dict[str, Any]:
    return {
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
        "queued_ts": round(record.arrival_s, _DIGITS),
        "scheduled_ts": round(record.scheduled_s, _DIGITS),
        "first_token_ts": round(record.first_token_s, _DIGITS),
        "last_token_ts": round(record.finish_s, _DIGITS),
    }


def _mean_e2e_s(records: Sequence[JobRecord]) -> float:
    return float(np.mean([record.e2e_s for record in records]))


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")
