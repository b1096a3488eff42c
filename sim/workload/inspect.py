"""What a trace holds: how many requests, how fast, how bursty, how long."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sim.workload.blocks import Floats, Integers
from sim.workload.inspect_contexts import ContextFigures
from sim.workload.traces import TraceReader
from sim.workload.traces.formats import format_named

__all__ = ["QUANTILES", "format_inspection", "inspect_trace"]

QUANTILES = {
    "p1": 0.01,
    "p5": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
}
_DISPERSION_WINDOW_S = 60.0


def inspect_trace(path: Path | str, format: str | None = None, on_bad_row: str = "refuse") -> dict[str, Any]:
    """Figures of a trace, read once in constant memory (but for distinct lengths, contexts and their gaps).

    Returns:
        `file`, `format`, `rows`, `skipped` (bad rows), `first_s`, `span_s` (first to last request),
        `mean_rps` (rows - 1 over the span),
        `peak_rps`: `over_1_s`, `over_60_s` (most requests in a window of that width, over the width; windows
        follow each other from the first request on),
        `interarrival_cv` (standard deviation of the gaps over their mean; 1 for Poisson),
        `dispersion_60_s` (variance over mean of the requests in whole 60 s windows; 1 for Poisson),
        `prompt_tokens`, `output_tokens`: `mean`, `p1` to `p99`, `max`, `total`,
        `contexts` (distinct ones), `requests_per_context` and `idle_gap_s` (from one request on a context to the
        next): `mean`, `p50`, `p90`, `p99`, `max`, `prefix_share` (share of all prompt tokens that the context
        may have brought before).
        Times are those of the file: where contexts have a clock each, as if all began at 0.
        Figures that the trace is too short for are None.

    Raises:
        TraceError: for a file that cannot be read as a trace.
    """
    reader = TraceReader(path, format, on_bad_row)
    gaps, prompts, outputs = _Gaps(), _Lengths(), _Lengths()
    seconds, minutes = _Windows(1.0), _Windows(_DISPERSION_WINDOW_S)
    contexts = ContextFigures()
    for rows in reader.rows():
        for times in (gaps, seconds, minutes):
            times.add(rows.arrival_s)
        prompts.add(rows.prompt_tokens)
        outputs.add(rows.output_tokens)
        contexts.add(rows)
    return {
        "file": str(path),
        "format": reader.format.name,
        "rows": gaps.requests,
        "skipped": reader.skipped,
        "first_s": gaps.first_s,
        "span_s": gaps.span_s,
        "mean_rps": (gaps.requests - 1) / gaps.span_s if gaps.span_s else None,
        "peak_rps": {"over_1_s": seconds.peak_rps(), "over_60_s": minutes.peak_rps()},
        "interarrival_cv": gaps.variation(),
        "dispersion_60_s": minutes.dispersion(),
        "prompt_tokens": prompts.figures(),
        "output_tokens": outputs.figures(),
        **contexts.figures(),
    }


def format_inspection(inspection: dict[str, Any]) -> str:
    """The figures as text, for a terminal."""
    shown = {name: _shown(value) for name, value in {**inspection, **inspection["peak_rps"]}.items()}
    skipped, in_sessions = inspection["skipped"], format_named(inspection["format"]).in_sessions
    lines = [
        f"{inspection['file']} ({inspection['format']}{', as if all sessions began at 0' if in_sessions else ''})",
        f"  requests      {inspection['rows']:,}" + (f"  ({skipped:,} bad rows skipped)" if skipped else ""),
        f"  span          {shown['span_s']} s, from {shown['first_s']} s",
        f"  rate          {shown['mean_rps']} requests/s",
        f"  peak          {shown['over_1_s']} requests/s over 1 s, {shown['over_60_s']} over 60 s",
        f"  burstiness    {shown['interarrival_cv']} (variation of the gaps; Poisson 1)",
        f"  dispersion    {shown['dispersion_60_s']} (variance over mean of a minute's requests; Poisson 1)",
        *_context_lines(inspection),
        "",
        *_length_table(inspection),
    ]
    return "\n".join(lines)


def _context_lines(inspection: dict[str, Any]) -> list[str]:
    lines = [f"  contexts      {inspection['contexts']:,}"]
    for title, key in (("    requests   ", "requests_per_context"), ("    idle gaps  ", "idle_gap_s")):
        figures = inspection[key]
        if figures is not None and inspection["contexts"]:
            unit = " s" if key.endswith("_s") else ""
            shown = ", ".join(f"{name} {_shown(value)}{unit}" for name, value in figures.items())
            lines.append(f"{title} {shown}")
    if inspection["prefix_share"] is not None:
        lines.append(f"    prefix      {inspection['prefix_share']:.1%} of prompt tokens may be shared")
    return lines


def _length_table(inspection: dict[str, Any]) -> list[str]:
    columns = ["mean", *QUANTILES, "max", "total"]
    widths = [15 if column == "total" else 9 for column in columns]
    header = "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
    rows = [f"  {'tokens':<14}{header}"]
    for part in ("prompt", "output"):
        figures = inspection[f"{part}_tokens"]
        cells = (f"{figures[column]:>{width},.0f}" for column, width in zip(columns, widths, strict=True))
        rows.append(f"  {part:<14}{''.join(cells)}")
    return rows


def _shown(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


class _Gaps:
    """First and last request, and the moments of the gaps between."""

    def __init__(self) -> None:
        self.requests, self.first_s, self._last_s = 0, 0.0, 0.0
        self._squares = 0.0

    def add(self, arrival_s: Floats) -> None:
        if not self.requests:
            self.first_s = self._last_s = float(arrival_s[0])
        self._squares += float(np.sum(np.square(np.diff(arrival_s, prepend=self._last_s))))
        self.requests += arrival_s.size
        self._last_s = float(arrival_s[-1])

    @property
    def span_s(self) -> float:
        return self._last_s - self.first_s

    def variation(self) -> float | None:
        gaps = self.requests - 1
        if gaps < 2 or not self.span_s:
            return None
        mean = self.span_s / gaps
        return math.sqrt(max(self._squares / gaps - mean**2, 0.0)) / mean


class _Windows:
    """Requests in successive windows of one width, counted from the first request."""

    def __init__(self, width_s: float) -> None:
        self._width_s = width_s
        self._first_s: float | None = None
        self._window, self._count = 0.0, 0
        self._sum, self._squares, self._peak = 0, 0, 0

    def add(self, arrival_s: Floats) -> None:
        if self._first_s is None:
            self._first_s = float(arrival_s[0])
        numbers = np.floor((arrival_s - self._first_s) / self._width_s)
        windows, counts = np.unique(numbers, return_counts=True)
        if windows[0] == self._window:
            counts[0] += self._count
        else:
            self._close(np.array([self._count]))
        self._close(counts[:-1])
        self._window, self._count = float(windows[-1]), int(counts[-1])

    def _close(self, counts: Integers) -> None:
        self._sum += int(counts.sum())
        self._squares += int(np.square(counts).sum())
        self._peak = max(self._peak, int(counts.max(initial=0)))

    def peak_rps(self) -> float:
        return max(self._peak, self._count) / self._width_s

    def dispersion(self) -> float | None:
        """Over the windows before the last one, which may not be whole."""
        if self._window < 2:
            return None
        mean = self._sum / self._window
        return (self._squares / self._window - mean**2) / mean


class _Lengths:
    """Token counts by length."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, tokens: Integers) -> None:
        lengths, counts = np.unique(tokens, return_counts=True)
        self._counts.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))

    def figures(self) -> dict[str, float | int]:
        lengths = np.array(sorted(self._counts), np.int64)
        counts = np.array([self._counts[length] for length in lengths.tolist()], np.int64)
        total, rows = sum(length * count for length, count in self._counts.items()), int(counts.sum())
        quantiles = {name: _quantile(lengths, np.cumsum(counts), share) for name, share in QUANTILES.items()}
        return {"mean": total / rows, **quantiles, "max": int(lengths[-1]), "total": total}


def _quantile(lengths: Integers, up_to: Integers, share: float) -> float:
    """A quantile of all rows, linear between neighbours; `up_to` counts the rows up to each length."""
    place = share * (int(up_to[-1]) - 1)
    below, above = lengths[np.searchsorted(up_to, [math.floor(place), math.ceil(place)], side="right")]
    return float(below + (above - below) * (place - math.floor(place)))
