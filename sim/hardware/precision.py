"""Number formats of a replica's weights and KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.errors import CatalogueError, one_of

if TYPE_CHECKING:
    from sim.scenario import GpuPool

__all__ = ["Precision", "pool_precision"]

# Bytes a parameter with its scales: int4 in groups of 128 (scale, zero point), fp4 in blocks of 16 (NVFP4).
_WEIGHT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0, "int8": 1.0, "int4": 0.52, "fp4": 0.5625}
_KV_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0, "fp8": 1.0, "int8": 1.0}


@dataclass(frozen=True)
class Precision:
    """Number formats of a replica's weights and KV cache.

    Raises:
        CatalogueError: for a format that is not known.
    """

    weights: str = "bf16"
    kv: str = "bf16"

    def __post_init__(self) -> None:
        if self.weights not in _WEIGHT_BYTES:
            raise CatalogueError(self.weights, "is not a weight format", one_of(_WEIGHT_BYTES))
        if self.kv not in _KV_BYTES:
            raise CatalogueError(self.kv, "is not a KV cache format", one_of(_KV_BYTES))

    @property
    def weight_bytes(self) -> float:
        """Bytes of one quantised parameter, its share of the scales included."""
        return _WEIGHT_BYTES[self.weights]

    @property
    def kv_bytes(self) -> float:
        """Bytes of one element of the KV cache."""
        return _KV_BYTES[self.kv]


def pool_precision(pool: GpuPool) -> Precision:
    """The number formats of a pool's weights and KV cache; bf16 where it does not say."""
    stated = pool.precision
    return Precision() if stated is None else Precision(weights=stated.weights, kv=stated.kv)
