"""A sweep as JSON holds it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, isfinite
from typing import Any

from sim.stats import Estimate, estimate
from sim.sweep.effects import Effect, effects_of
from sim.sweep.figures import is_share, label_of, told_figures
from sim.sweep.space import Axis, value_of
from sim.sweep.sweep import Answer, Sweep
from sim.sweep.words import told_notes

__all__ = ["document_of"]


def document_of(sweep: Sweep) -> dict[str, Any]:
    """What was asked, what came of every point, and which key moves which figure how far."""
    names = told_figures(sweep)
    effects = {name: [_effect(sweep, effect) for effect in effects_of(sweep, name)] for name in names}
    found: dict[str, Any] = {
        "scenario": sweep.scenario,
        "seed": sweep.seed,
        "replications": sweep.replications,
        "overrides": list(sweep.plan.overrides),
        "design": sweep.plan.design,
        "axes": [_axis(*each) for each in zip(sweep.axes, sweep.base, sweep.standing, strict=True)],
        "figures": [{"name": name, "label": label_of(name)} for name in names],
        "counts": _counts(sweep),
        "interrupted": sweep.is_interrupted,
        "effects": effects,
        "points": [_point(answer, names) for answer in sweep.answers],
        "speed": {"from_store": sweep.kept, "run": sweep.fresh, "wall_s": sweep.wall_s},
    }
    return found | {"notes": told_notes(found)}


def _axis(axis: Axis, base: int | None, standing: float | None) -> dict[str, Any]:
    return {
        "name": axis.name,
        "values": [option.label if axis.is_list else _plain(option.label) for option in axis.options],
        "as_it_is": base,
        "standing": standing,
        "is_number": axis.numbers() is not None,
    }


def _plain(text: str) -> Any:
    """A number, a truth or a text; anything else as it is written."""
    value = value_of(text)
    return value if isinstance(value, int | float | str | bool) else text


def _counts(sweep: Sweep) -> dict[str, int]:
    refused = sum(answer.refused is not None for answer in sweep.answers)
    failed = sum(answer.is_failed for answer in sweep.answers)
    return {
        "points": sweep.points,
        "answered": len(sweep.answers) - refused,
        "refused": refused - failed,
        "failed": failed,
        "missing": sweep.points - len(sweep.answers),
    }


def _point(answer: Answer, names: Sequence[str]) -> dict[str, Any]:
    return {
        "point": answer.point.number,
        "places": list(answer.point.places),
        "settings": {key: _plain(text) for key, text in answer.point.settings.items()},
        "key": answer.key,
        "refused": answer.refused,
        "failed": answer.is_failed,
        "figures": {name: _clipped(name, estimate(answer.series(name).tolist())) for name in names},
    }


def _effect(sweep: Sweep, effect: Effect) -> dict[str, Any]:
    name = sweep.axes[effect.axis].name
    return {
        "axis": name,
        "basis": effect.basis,
        "combinations": effect.combinations,
        "least": effect.least,
        "most": effect.most,
        "swing": _spelled(effect.swing),
        "certain": effect.is_certain,
        "levels": [{"label": level.label, "place": level.place, **_spelled(level.mean)} for level in effect.levels],
    }


def _clipped(name: str, told: Estimate) -> dict[str, float | None]:
    """A share and its interval lie between 0 and 1."""
    spelled = _spelled(told)
    if not is_share(name):
        return spelled
    return {key: None if value is None else min(max(value, 0.0), 1.0) for key, value in spelled.items()}


def _spelled(told: Estimate) -> dict[str, float | None]:
    if isclose(told.low, told.high, rel_tol=1e-12):
        # No more than rounding: the figure does not depend on chance.
        told = Estimate(told.mean, told.mean, told.mean)
    return {key: value if isfinite(value) else None for key, value in told._asdict().items()}
