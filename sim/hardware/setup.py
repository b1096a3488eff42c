"""What serves: a model on GPUs, in which formats, spread how, by which engine."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from sim.hardware.precision import Precision

__all__ = ["OWN_BACKEND", "Setup"]

OWN_BACKEND = "nightshift"
"""The backend of what our own engine served, by `nightshift measure`."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What served: a model on GPUs, its number formats and its layout. Hashable, so rows group by it.

    Raises:
        CatalogueError: for a number format that is not known.
    """

    model: str | None
    """Catalogue name; None where a step table does not say."""
    gpu: str | None
    """Catalogue name; None where a step table does not say."""
    weights: str = "bf16"
    kv: str = "bf16"
    tensor_parallel: int = 1
    """Ranks that share the attention of each layer."""
    data_parallel: int = 1
    """Attention replicas that share their experts."""
    expert_parallel: int = 1
    """GPUs over which the experts are spread; 1 where every GPU holds a slice of every expert."""
    backend: str = ""
    """vllm, sglang, tensorrt-llm, nightshift (our own), or nothing where it is not known."""
    backend_version: str = ""

    def __post_init__(self) -> None:
        Precision(self.weights, self.kv)

    @property
    def gpus(self) -> int:
        """GPUs of the deployment."""
        return self.tensor_parallel * self.data_parallel

    @property
    def key(self) -> tuple[str | int, ...]:
        """What setups are put in order by: their fields, an unknown name as an empty one."""
        return tuple("" if value is None else value for value in astuple(self))

    @property
    def precision(self) -> Precision:
        """The number formats of weights and KV cache."""
        return Precision(self.weights, self.kv)
