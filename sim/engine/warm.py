"""The engine's first compile: before any thread runs, and told beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import event

from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec, StreamSpec
from sim.steptime import StepTime

__all__ = ["compile_engine"]


def compile_engine(announce: Callable[[], object]) -> None:
    """Have the engine's machine code at hand, from its cache or compiled now.

    `announce` is called once, before the compiler begins, and only if it has something to do: not where the code is
    in the cache, nor with `NUMBA_DISABLE_JIT=1`.
    """
    with event.install_listener("numba:compile", _First(announce)):
        plane = DataPlane([_POOL], [StreamSpec()], [[[[0]]]])
        plane.price(0, 0.0, 0, 0.0)
        plane.advance(0.0)
        plane.lose(0, 0.0, down=False)
        plane.finish(0.0)


_POOL = PoolSpec(
    replicas=1,
    step_time=StepTime(
        decode_base_s=np.array([[0.0, 1.0]]),
        decode_kv_s=np.zeros((1, 2)),
        kv_edges=np.array([np.inf]),
        linear_s=np.array([0.0, 1.0]),
        attention_s_per_pair=0.0,
    ),
    kv_capacity_tokens=16,
    usd_per_replica_hour=0.0,
    max_num_seqs=1,
)


# numba carries no types.
class _First(event.Listener):  # type: ignore[misc]
    """Listens to the compiler, which begins once for each function within another."""

    def __init__(self, announce: Callable[[], object]) -> None:
        self._announce: Callable[[], object] | None = announce

    def on_start(self, event: Any) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def on_end(self, event: Any) -> None:
        """Nothing is told at the end."""
