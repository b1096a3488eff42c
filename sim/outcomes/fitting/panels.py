"""Panels of accuracy by test-time tokens, without and with preparation, and the gain by predictability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sim.outcomes.fitting.documents import Document, Points, class_of, sleep_of
from sim.outcomes.fitting.numerics import Quality, best, unit
from sim.outcomes.fitting.tokens import (
    by_bin,
    fit_prepared,
    fit_thinking,
    left_out,
    prepared_errors,
    thinking_errors,
    told_of,
)
from sim.outcomes.thinking import Prepared, Thinking
from sim.workload.blocks import Floats

__all__ = ["SOURCE", "Panel", "fit_panel", "panel_of"]

SOURCE = "Lin, Snell et al. 2025, Sleep-time Compute, arXiv:2504.13171"
_BINS_WEIGHT = 0.6
"""Of the gains by predictability in the fit. They were measured apart: their mean is not the gain of the panel."""
_STEEPEST = 0.7
_TOKENS = {"low": 4000.0, "medium": 8000.0, "high": 16000.0}
"""Output tokens of a draft for hard mathematics: assumed."""


class Panel(NamedTuple):
    """Accuracy by mean test-time tokens."""

    about: str
    figure: str
    bare: Points
    prepared: Points

    @property
    def full_tokens(self) -> float:
        """Largest budget without preparation."""
        return self.bare[-1][0]


def panel_of(figures: Mapping[str, Any], key: str, task: str, model: str) -> Panel:
    """The panel of a figure for a model."""
    bare, prepared = (
        sorted((float(b), float(rate)) for b, rate in figures[key][f"{model} {series}"])
        for series in ("test-only", "sleep")
    )
    return Panel(f"{task} answered by {model}", f"figure {key.removeprefix('fig')[0]}", bare, prepared)


def fit_panel(votes: Document, panel: Panel, *, bins: Sequence[float] = (), weights: Sequence[float] = ()) -> Document:
    """The class of a panel; how predictability counts follows from the gains by `bins`, or is given as `weights`."""
    thinking = fit_thinking(panel.bare)
    fits = [
        Quality(f"{panel.figure}, without preparation: {told_of(panel.bare)}", thinking_errors(thinking, panel.bare))
    ]
    law, exponents = _fit_bins(thinking, panel, np.array(bins)) if bins else _given(thinking, panel, weights)
    errors = prepared_errors(thinking, law, panel.prepared, exponents)
    what = f"{panel.figure}, prepared: m(b); checked by leaving out each point in turn"
    fits.append(Quality(what, errors, left_out(thinking, panel.prepared, panel.full_tokens, exponents)))
    if bins:
        fits.append(Quality("figure 10, gain by predictability", _gained(thinking, law, panel, exponents) - bins))
    status = "fitted" if bins else "assumed"
    sleep = sleep_of(law, exponents.tolist(), _TOKENS, status="fitted", weights_status=status)
    source = f"{SOURCE}, {panel.figure}{' and figure 10' if bins else ''}"
    return class_of(votes, panel.about, source, thinking, sleep, fits, panel.bare)


def _given(thinking: Thinking, panel: Panel, weights: Sequence[float]) -> tuple[Prepared, Floats]:
    exponents = np.array(weights)
    return fit_prepared(thinking, panel.prepared, panel.full_tokens, exponents), exponents


def _fit_bins(thinking: Thinking, panel: Panel, bins: Floats) -> tuple[Prepared, Floats]:
    """m(b) and its exponents by bin of predictability, with mean 1, from the prepared points and the bins' gains."""

    def law(raw: Floats) -> tuple[Prepared, Floats]:
        exponents = np.exp(raw[2:])
        prepared = Prepared(float(np.exp(raw[0])), _STEEPEST * unit(raw[1]), panel.full_tokens)
        return prepared, exponents / exponents.mean()

    def errors(raw: Floats) -> Floats:
        prepared, exponents = law(raw)
        points = prepared_errors(thinking, prepared, panel.prepared, exponents)
        return np.concatenate((points, _BINS_WEIGHT * (_gained(thinking, prepared, panel, exponents) - bins)))

    even = [0.0] * bins.size
    return law(best(errors, [[0.0, 0.0, *even], [-0.4, 1.0, *even]]))


def _gained(thinking: Thinking, law: Prepared, panel: Panel, exponents: Floats) -> Floats:
    """Gain in accuracy at the lowest budget, by predictability, [bins]."""
    lowest = panel.bare[0][0]
    found: Floats = by_bin(thinking, law, lowest, exponents) - thinking.accuracy(lowest)
    return found
