"""Fitted classes as their files have them, and what in them is assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.outcomes.fitting.numerics import Quality
from sim.outcomes.thinking import Prepared, Thinking

__all__ = ["EFFORT_GAINS", "Document", "Points", "class_of", "rounded", "sleep_of"]

Points = list[tuple[float, float]]
"""Tokens or samples, and accuracy."""
Document = dict[str, Any]

EFFORT_GAINS = {"low": 0.9, "medium": 1.0, "high": 1.1}
"""Factor of effort on the log of what a prepared context is worth: assumed."""
_DRAFTS_SCALE = 1.5
"""Drafts help up to about five, says the paper: by then 93 % of it is there."""


def class_of(
    votes: Document, about: str, source: str, thinking: Thinking, sleep: Document, fits: Sequence[Quality], bare: Points
) -> Document:
    """A class whose votes, verifier and spread of difficulty are taken from that of the votes."""
    return {
        "about": about,
        "source": source,
        "difficulty": {**votes["difficulty"], "status": "assumed"},
        "think": _think(thinking),
        "votes": {**votes["votes"], "status": "assumed"},
        "verifier": {**votes["verifier"], "status": "assumed"},
        "sleep": sleep,
        "correlation": {"rho": 0.0, "status": "assumed"},
        "fits": [fit.document() for fit in fits],
        "valid": {"budget_tokens": [bare[0][0], bare[-1][0]]},
    }


def _think(thinking: Thinking) -> Document:
    """Without what is not used."""
    used = {name: getattr(thinking, name) for name in ("ceiling", "floor", "half_tokens", "steepness")}
    harm = {"peak_tokens": thinking.peak_tokens, "decline": thinking.decline, "status": "fitted"}
    points = [list(point) for point in thinking.points]
    return ({"ceiling": thinking.ceiling, "points": points} if points else used) | harm


def sleep_of(
    law: Prepared,
    weights: Sequence[float],
    tokens: Mapping[str, float],
    *,
    status: str = "assumed",
    weights_status: str = "assumed",
    tokens_status: str = "assumed",
) -> Document:
    """What a prepared context is worth; what drafts bring is set when all classes are there."""
    return {
        **vars(law),
        "weights": list(weights),
        "weights_status": weights_status,
        "tokens": dict(tokens),
        "tokens_status": tokens_status,
        "gains": {"effort": dict(EFFORT_GAINS), "drafts": 0.0, "drafts_scale": _DRAFTS_SCALE, "status": "assumed"},
        "status": status,
    }


def rounded(value: Any) -> Any:
    """Five digits of every number."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return 0.0 if abs(value) < 1e-6 else float(f"{value:.5g}")
