"""Which effects a fit learns: the levels of setups, how far apart their groups lie, and the matrix of memberships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sim.steptime.effects import FRONT, GPU_PARTS, PARTS, TIME

__all__ = ["LEVELS", "Design", "Level", "design"]

Floats = NDArray[np.float64]

_MAIN = (TIME, "memory", "prefill_compute", "layer_overhead_us", "expert_layer_overhead_us")
_OWN = (TIME, "memory", "kv_memory", "prefill_compute", "layer_overhead_us")
_ALL = (*GPU_PARTS, TIME)
_CACHE = {"kv_memory": 0.05}
"""How fast a KV cache is read differs little between GPUs and engines."""


@dataclass(frozen=True)
class Level:
    """A way to group setups: the parts its groups differ in, and the spread of their logs.

    An effect is drawn to zero as if its log were normal with this spread: a level of small spread speaks only
    where many runs agree.
    """

    parts: tuple[str, ...]
    spread: float
    front_spread: float
    """Spread of the front end's parts."""
    own: Mapping[str, float] = field(default_factory=dict)
    """Spreads of single parts that have another."""

    def spread_of(self, part: str) -> float:
        """Spread of the log of a part; 0 where the level has no effect on it."""
        if part in self.own:
            return self.own[part]
        if part in FRONT:
            return self.front_spread
        return self.spread if part in self.parts else 0.0


LEVELS: Mapping[str, Level] = {
    "all": Level(GPU_PARTS, 0.3, 1.0, {"kv_memory": 0.15}),
    "generation": Level(GPU_PARTS, 0.3, 0.3, _CACHE),
    "gpu": Level(_ALL, 0.1, 0.1, _CACHE),
    "backend": Level(_ALL, 0.2, 1.0, _CACHE),
    "backend+weights": Level(("layer_overhead_us", "expert_layer_overhead_us", "kv_memory"), 0.4, 0.0),
    "generation+backend": Level((*_MAIN, "compute", "all_reduce_latency_us"), 0.2, 0.6),
    "gpu+backend": Level((TIME,), 0.1, 0.1),
    "kind": Level(("layer_overhead_us", "expert_layer_overhead_us"), 0.4, 1.0),
    "model": Level((TIME,), 0.05, 0.2),
    "backend+model+weights": Level(_MAIN, 0.2, 0.3),
    "backend+gpus": Level((), 0.0, 0.4),
    "backend+ranks": Level((), 0.0, 0.8),
    "pair": Level((TIME, "memory", "prefill_compute", "layer_overhead_us"), 0.15, 0.2),
    "setup": Level(_OWN, 0.5, 0.6),
}
"""Spreads were chosen by leaving out one pair of GPU and model after another.

Servers of quantised weights spend more a layer (activations are quantised there) and often hold their cache in 8 bits
where the measurement does not say so: both belong to an engine's weight formats, not to the engine.
"""


@dataclass(frozen=True, eq=False)
class Design:
    """The effects of a fit: which of them [m] add up in each run [n], by part; their spreads [m] and names."""

    matrices: Mapping[str, sparse.csr_matrix]
    spreads: Floats
    names: tuple[tuple[str, str, str], ...]
    """Level, group and part of each effect."""

    def logs(self, effects: Floats) -> dict[str, Floats]:
        """The log of every part in each run [n]."""
        return {part: matrix @ effects for part, matrix in self.matrices.items()}


def design(groups: Sequence[Mapping[str, str]], levels: Mapping[str, Level] = LEVELS) -> Design:
    """The effects for runs [n] in these groups."""
    names: list[tuple[str, str, str]] = []
    spreads: list[float] = []
    memberships: dict[str, list[NDArray[np.int64]]] = {part: [] for part in PARTS}
    for level_name, level in levels.items():
        members, codes = np.unique([group[level_name] for group in groups], return_inverse=True)
        for part in (part for part in PARTS if level.spread_of(part) > 0.0):
            memberships[part].append(codes + len(names))
            names += [(level_name, str(member), part) for member in members]
            spreads += [level.spread_of(part)] * len(members)
    matrices = {part: _indicator(columns, len(groups), len(names)) for part, columns in memberships.items()}
    return Design(matrices, np.array(spreads), tuple(names))


def _indicator(columns: list[NDArray[np.int64]], runs: int, effects: int) -> sparse.csr_matrix:
    """Ones at the effects of each run."""
    if not columns:
        return sparse.csr_matrix((runs, effects))
    entries = (np.ones(runs * len(columns)), (np.tile(np.arange(runs), len(columns)), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=(runs, effects))
