"""Electric power of a GPU with its share of the server around it, where nobody has measured it."""

from __future__ import annotations

from typing import NamedTuple

from sim.hardware.gpu import Gpu

__all__ = ["Draw", "busy_w", "idle_w"]

_BUSY_SHARE = 0.85
"""Of the TDP, server included: assumed. Decoding is bound by memory and draws about 60-70 % of the TDP; processors,
fans and power supplies add a quarter to a third of that."""
_IDLE_SHARE = 0.25
"""Of the TDP, server included: assumed. A GPU with a model in its memory draws 10-20 % of its TDP while it waits."""


class Draw(NamedTuple):
    """Watts of one replica at its site's meter."""

    busy_w: float
    idle_w: float


def busy_w(gpu: Gpu) -> float:
    """Watts while it works."""
    return _BUSY_SHARE * gpu.tdp_w


def idle_w(gpu: Gpu) -> float:
    """Watts while it is switched on and does not."""
    return _IDLE_SHARE * gpu.tdp_w
