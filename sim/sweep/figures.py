"""Which figures a sweep tells of, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sim import wording as words
from sim.sweep.sweep import Sweep

__all__ = ["form_of", "is_share", "label_of", "listed", "told_figures"]

_USUAL = (
    "cost.total_usd",
    "cost.usd_per_1k_requests",
    "slo.attainment",
    "quality.accuracy",
    "latency.e2e_s.p99",
)
"""Told where nothing else is asked for, as far as there are any."""
_LABELS = {
    "cost.total_usd": "cost",
    "cost.usd_per_1k_requests": "cost of 1,000 requests",
    "cost.used_usd_per_1k_requests": "cost of 1,000 requests, unused time left out",
    "cost.usd_per_1m_output_tokens": "cost of 1M output tokens",
    "cost.usd_per_correct": "cost of a right answer",
    "slo.attainment": "share of objectives met",
    "quality.accuracy": "share of right answers",
    "fleet.busy_share": "share of time that GPUs are busy",
}
_PARTS = {
    "ttft_s": "time to the first token",
    "tpot_s": "time of a token",
    "e2e_s": "time of an answer",
}
_SHARES = ("attainment", "accuracy", "share", "rate")


def told_figures(sweep: Sweep) -> list[str]:
    """Names of the figures to tell of."""
    if sweep.plan.figures:
        return list(sweep.plan.figures)
    return [name for name in _USUAL if _is_known(sweep, name)]


def _is_known(sweep: Sweep, name: str) -> bool:
    """Whether some point has anything of it."""
    return any(bool(np.isfinite(answer.series(name)).any()) for answer in sweep.answers)


def label_of(name: str) -> str:
    """What a figure is called.

    >>> label_of("latency.e2e_s.p99"), label_of("slo.attainment"), label_of("requests.offered")
    ('time of an answer (p99)', 'share of objectives met', 'requests.offered')
    """
    parts = name.split(".")
    if parts[0] == "latency" and len(parts) == 3 and parts[1] in _PARTS:
        return f"{_PARTS[parts[1]]} ({parts[2]})"
    return _LABELS.get(name, name)


def form_of(name: str) -> Callable[[float | None], str]:
    """How its values are written.

    >>> form_of("slo.attainment")(0.5), form_of("cost.total_usd")(12.0), form_of("latency.ttft_s.p99")(0.2)
    ('50.0%', '$12.00', '200.0 ms')
    """
    parts = name.split(".")
    if "usd" in name:
        return words.usd_fine
    if is_share(name):
        return words.share
    return words.seconds if any(part.endswith("_s") for part in parts) else _number


def is_share(name: str) -> bool:
    """Whether a figure lies between 0 and 1."""
    return name.endswith(_SHARES)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
