"""What is measured: a model on this machine, and how its files name it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sim.errors import CatalogueError, InputError
from sim.hardware import load_catalogue
from sim.hardware.setup import OWN_BACKEND
from sim.lab.measuring.settings import Asked, Limits, limits_for
from sim.lab.provenance import machine
from sim.paths import data_path

if TYPE_CHECKING:
    from sim.lab.decoder.decoder import Decoder
    from sim.lab.decoder.weights import DecoderConfig

__all__ = ["CPU", "Subject", "subject_of"]

CPU = "CPU"
"""What the catalogue calls processors that are no GPUs."""

_SHIPPED = "nightshift-lab"
_FILES = ("config.json", "weights.npz")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on this machine."""

    name: str
    config: DecoderConfig
    weights: Any
    """Arrays by name."""
    digest: str
    """Of shape and weights."""
    provider: Literal["cpu", "cuda"]
    precision: Literal["fp32", "fp16", "bf16"]
    gpu: str
    """Catalogue name; "CPU" without one."""
    threads: int | None
    limits: Limits

    def open(self, slots: int | None = None, capacity: int | None = None) -> Decoder:
        """A decoder with a slot more than rows, as the engine wants, unless told otherwise."""
        from sim.lab.decoder.decoder import Decoder

        return Decoder.open(
            self.config,
            self.weights,
            provider=self.provider,
            precision=self.precision,
            slots=slots or self.limits.max_num_seqs + 1,
            capacity=capacity or self.limits.capacity,
            threads=self.threads,
        )

    @property
    def setup(self) -> dict[str, str]:
        """What served, in the columns of files of measurements."""
        return {"model": self.name, "gpu": self.gpu, "precision": self.precision, "backend": OWN_BACKEND}

    @property
    def declared(self) -> dict[str, Any]:
        """The model in the columns of `data/models.csv`."""
        config = self.config
        return {
            "name": self.name,
            "layers": config.layers,
            "hidden": config.width,
            "heads": config.heads,
            "kv_heads": config.kv_heads,
            "head_dim": config.head_size,
            "ffn_intermediate": config.mlp_width,
            "vocab": config.vocab_size,
            "tied_embeddings": config.tied,
            "max_position": config.max_positions,
        }

    @property
    def stamp(self) -> dict[str, Any]:
        """All by which two measurements are of the same thing."""
        return {
            **self.setup,
            "digest": self.digest,
            "provider": self.provider,
            "threads": self.threads,
            "limits": asdict(self.limits),
        }


def subject_of(asked: Asked) -> Subject:
    """The model that is asked for, on the provider that is asked for.

    Raises:
        InputError: for a folder without weights, an unknown shape, a provider that is not here, and a GPU that the
            catalogue does not hold.
    """
    from sim.lab.decoder.sessions import choose_provider

    name, config, weights, digest = _model(asked)
    provider: Literal["cpu", "cuda"] = "cuda" if choose_provider(asked.provider) == "cuda" else "cpu"
    return Subject(
        name=name,
        config=config,
        weights=weights,
        digest=digest,
        provider=provider,
        precision=asked.precision,
        gpu=_gpu(asked, provider),
        threads=(asked.threads or _spare_threads()) if provider == "cpu" else None,
        limits=limits_for(asked, provider, config.max_positions),
    )


def _model(asked: Asked) -> tuple[str, DecoderConfig, Any, str]:
    """Name, shape and weights, and their digest."""
    if asked.shape:
        from sim.lab.decoder.shapes import random_weights, shape_of

        config = shape_of(asked.shape, layers=asked.layers)
        known = load_catalogue().model(asked.shape).name
        name = known if asked.layers is None else f"{known}-{asked.layers}-layers"
        return name, config, random_weights(config), _digest(repr(config).encode())
    from sim.lab.decoder.weights import read_weights

    folder = asked.model or data_path("lab")
    config, weights = read_weights(folder)
    whole = b"".join((folder / file).read_bytes() for file in _FILES)
    return _SHIPPED if asked.model is None else folder.resolve().name, config, weights, _digest(whole)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _spare_threads() -> int:
    """A core is left to everything else: a step that waits for a second thread waits for whatever holds it up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores - 1, 1)


def _gpu(asked: Asked, provider: str) -> str:
    """The catalogue's name of the hardware: what is said, else what the driver says."""
    catalogue = load_catalogue()
    if asked.gpu is not None:
        return catalogue.gpu(asked.gpu).name
    if provider == "cpu":
        return catalogue.gpu(CPU).name
    told = (machine(provider)["gpu"] or {}).get("name")
    try:
        return catalogue.gpu(str(told)).name
    except CatalogueError as error:
        raise InputError(error.value, error.rule, "name the nearest one with --gpu", where="the GPU's driver") from None
