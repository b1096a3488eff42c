"""Efficiencies learned across setups: common to all, to a GPU generation, an engine, a model, down to one setup.

The log of each part of an efficiency is a sum of effects, one from every level that a setup belongs to. A setup
that was measured has small corrections of its own; a pair of GPU and model nobody measured is predicted from the
levels that it shares with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np

from sim.hardware import Catalogue
from sim.hardware.gpu import Efficiency
from sim.hardware.model import Model
from sim.hardware.setup import Setup

__all__ = ["FRONT", "GPU_PARTS", "LEVELS", "PARTS", "TIME", "Effects", "attained", "groups_of"]

TIME = "time"
"""A factor on all GPU time of a setup: its shares are divided by it, its overheads multiplied."""
FRONT = ("front_end_ms", "front_end_steps", "front_end_layer_us")
_SHARES = ("compute", "prefill_compute", "expert_compute", "memory", "kv_memory", "attention_compute", "link")
_OVERHEADS = (
    *("all_reduce_latency_us", "step_overhead_ms", "layer_overhead_us"),
    *("expert_layer_overhead_us", "row_overhead_us"),
)
GPU_PARTS = (*_SHARES, *_OVERHEADS)
"""Parts of an efficiency that make the time of the GPU."""
PARTS = (*GPU_PARTS, *FRONT, TIME)
"""All that is learned: parts of an efficiency by field name, and the factor on time."""

LEVELS = (
    *("all", "generation", "gpu", "backend", "generation+backend", "gpu+backend", "kind", "model"),
    *("backend+weights", "backend+model+weights", "backend+gpus", "backend+ranks", "pair", "setup"),
)
"""Levels at which setups are grouped: the keys of `groups_of`."""

_NOT_SHAPE = ("name", "params_b_declared", "active_params_b_declared", "max_position")


@dataclass(frozen=True)
class Effects:
    """What was learned: the efficiency that all setups start from, and logs to add, by level, group and part."""

    start: Efficiency
    by_level: Mapping[str, Mapping[str, Mapping[str, float]]]

    def efficiency(self, setup: Setup, catalogue: Catalogue) -> Efficiency:
        """The efficiency of a setup; a group that nobody measured has no effect.

        Raises:
            CatalogueError: for a GPU or model that the catalogue does not hold.
        """
        groups = groups_of(setup, catalogue)
        logs: dict[str, Any] = dict.fromkeys(PARTS, 0.0)
        for level, members in self.by_level.items():
            for part, effect in members.get(groups[level], {}).items():
                logs[part] += effect
        whole = attained(self.start, logs)
        numbers: dict[str, Any] = {part: float(getattr(whole, part)) for part in (*GPU_PARTS, *FRONT)}
        return replace(whole, **numbers)

    def knows(self, level: str, group: str) -> bool:
        """True where a group was measured."""
        return group in self.by_level.get(level, {})


def attained(start: Efficiency, logs: Mapping[str, Any]) -> Efficiency:
    """An efficiency moved by logs of its parts: numbers, or arrays [n] for n setups at once."""
    parts: dict[str, Any] = {part: getattr(start, part) * np.exp(logs[part]) for part in (*GPU_PARTS, *FRONT)}
    slower = np.exp(logs[TIME])
    parts |= {part: parts[part] / slower for part in _SHARES}
    parts |= {part: parts[part] * slower for part in _OVERHEADS}
    return replace(start, **parts)


def groups_of(setup: Setup, catalogue: Catalogue) -> dict[str, str]:
    """The group of a setup at every level.

    Raises:
        CatalogueError: for a GPU or model that the catalogue does not hold.
    """
    gpu, model = catalogue.gpu(str(setup.gpu)), catalogue.model(str(setup.model))
    generation, shape, backend = gpu.architecture, _shape_name(catalogue, model), setup.backend or "unknown"
    ranks = "attention by data" if setup.data_parallel > 1 else "one rank"
    layout = f"TP{setup.tensor_parallel} DP{setup.data_parallel} EP{setup.expert_parallel}"
    return {
        "all": "all",
        "generation": generation,
        "gpu": gpu.name,
        "backend": backend,
        "generation+backend": f"{generation} {backend}",
        "gpu+backend": f"{gpu.name} {backend}",
        "kind": _kind(model),
        "model": shape,
        "backend+weights": f"{backend} {setup.weights}",
        "backend+model+weights": f"{backend} {shape} {setup.weights}",
        "backend+gpus": f"{backend} {setup.gpus}",
        "backend+ranks": f"{backend} {ranks}",
        "pair": f"{gpu.name} {shape}",
        "setup": f"{backend} {gpu.name} {shape} {setup.weights} {layout}",
    }


def _kind(model: Model) -> str:
    if model.attention == "MLA":
        return "latent attention"
    if model.linear_layers:
        return "recurrent layers"
    return "experts" if model.experts else "dense"


def _shape_name(catalogue: Catalogue, model: Model) -> str:
    """One name for all models of a shape, such as a base model and what was trained from it."""
    same = (other.name for other in catalogue.models.values() if _shape(other) == _shape(model))
    return min(same, default=model.name)


@cache
def _shape(model: Model) -> tuple[object, ...]:
    return tuple(getattr(model, field.name) for field in fields(model) if field.name not in _NOT_SHAPE)
