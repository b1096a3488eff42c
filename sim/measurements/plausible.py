"""Whether a time can be what its column says it is: the check that finds seconds among milliseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.hardware import Catalogue
from sim.measurements.kinds import Setup

__all__ = [
    "LONGEST_E2E_S",
    "SHORTEST_OWN_TTFT_S",
    "SHORTEST_TTFT_S",
    "least_gpus",
    "least_step_s",
    "too_fast",
    "too_slow",
]

Floats = NDArray[np.float64]

SHORTEST_TTFT_S = 1e-3
"""No engine takes in a request, reads its prompt and gives back a token in less."""
SHORTEST_OWN_TTFT_S = 1e-5
"""But our own engine, in the process that loads it, with a model of a few million parameters."""
LONGEST_E2E_S = 3600.0
"""Nobody measures a server that keeps each request for more than an hour."""

_TOKENS_A_STEP = 8.0
_SLOWEST_S = 1.0
_SLOWEST_FACTOR = 500.0


def least_step_s(setup: Setup, catalogue: Catalogue) -> float:
    """Seconds in which all GPUs of a setup read the weights one token needs; 0 where model or GPU is unknown."""
    if setup.model is None or setup.gpu is None:
        return 0.0
    read = catalogue.model(setup.model).weight_bytes_read(np.array([1.0]), setup.precision)
    return float(read[0]) / (catalogue.gpu(setup.gpu).bandwidth_gb_s * 1e9 * setup.gpus)


def too_fast(step_s: Floats, least_s: Floats) -> NDArray[np.bool_]:
    """Where a token takes less than an eighth of reading its weights: speculation yields fewer tokens a step."""
    return step_s < least_s / _TOKENS_A_STEP


def too_slow(step_s: Floats, least_s: Floats) -> NDArray[np.bool_]:
    """Where a token takes more than a second and 500 times as long as reading its weights.

    The fullest memory and the longest prompts between two tokens make it tens of times as long; a time in
    milliseconds taken for seconds a thousand times and more. Where the weights are not known (`least_s` is 0)
    nothing is too slow.
    """
    return (least_s > 0) & (step_s > np.maximum(_SLOWEST_S, _SLOWEST_FACTOR * least_s))


def least_gpus(setup: Setup, catalogue: Catalogue) -> int:
    """GPUs that are needed to hold the weights; 1 where model or GPU is unknown."""
    if setup.model is None or setup.gpu is None:
        return 1
    weights = catalogue.model(setup.model).weight_bytes(setup.precision)
    return int(np.ceil(weights / (catalogue.gpu(setup.gpu).memory_gb * 1e9)))
