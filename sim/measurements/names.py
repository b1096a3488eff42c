"""Names in files of measurements, as the catalogue has them, and what served a row by them."""

from __future__ import annotations

import re
from collections.abc import Callable

from pandas import DataFrame, Series

from sim.errors import InputError
from sim.hardware import Catalogue, Precision, split_precision
from sim.measurements.faults import Faults
from sim.measurements.kinds import Assumed, Setup
from sim.measurements.table_file import Places, Sheet

__all__ = ["NAMES", "backend_name", "kv_format", "setups_named", "weights_named"]

NAMES = {
    "model": ("model",),
    "gpu": ("gpu", "system", "hardware"),
    "weights": ("precision",),
    "backend": ("backend",),
    "backend_version": ("backend_version",),
}
"""Columns that name what served, by our name."""

_BACKENDS = {"trtllm": "tensorrt-llm", "tensorrtllm": "tensorrt-llm"}
_FORMATS = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}


def setups_named(sheet: Sheet, places: Places, catalogue: Catalogue, assume: Assumed) -> Series:
    """What served each row, on one GPU; the index is its line. Rows with unknown names are faults and left out.

    The weights have the row's precision, else that of the model's name, else the assumed one, else bf16.
    """
    texts = {ours: _texts(sheet, places, ours, assume) for ours in NAMES}
    models = texts["model"].map(_found(texts["model"], lambda text: _checkpoint(text, catalogue), sheet.faults))
    gpus = texts["gpu"].map(_found(texts["gpu"], lambda text: catalogue.gpu(text).name, sheet.faults))
    stated = texts["weights"].map(_found(texts["weights"], lambda text: text and weights_named(text), sheet.faults))
    backends = texts["backend"].map(backend_name)
    named = DataFrame([models, gpus, stated, backends, texts["backend_version"]]).T.dropna()
    known: dict[tuple[object, ...], Setup] = {}
    for row in named.itertuples(index=False, name=None):
        if row not in known:
            known[row] = _setup(*row, assume=assume)
    return Series([known[row] for row in named.itertuples(index=False, name=None)], index=named.index, dtype=object)


def _texts(sheet: Sheet, places: Places, ours: str, assume: Assumed) -> Series:
    """The texts of a column, blank ones as assumed; weights stay blank, as a model's name may state them."""
    default = "" if ours == "weights" else getattr(assume, ours, None) or ""
    if ours not in places:
        return Series(default, index=sheet.texts.index, name=ours, dtype=object)
    texts = sheet.texts[places[ours]].astype(object)
    return texts.where(texts != "", default)


def _found(texts: Series, find: Callable[[str], object], faults: Faults) -> dict[str, object]:
    """What `find` makes of each distinct text; one that it does not know is a fault of the first line with it."""
    known: dict[str, object] = {}
    for line, text in texts.drop_duplicates().items():
        try:
            known[text] = find(text)
        except InputError as error:
            faults.add(int(str(line)), str(texts.name), error.value, error.rule, error.remedy)
    return known


def _checkpoint(text: str, catalogue: Catalogue) -> tuple[str, str | None]:
    """The catalogue's name of a checkpoint's model, and the weight format that its name states."""
    bare, weights = split_precision(text)
    return catalogue.model(bare).name, weights


def _setup(
    checkpoint: tuple[str, str | None], gpu: str, stated: str, backend: str, version: str, *, assume: Assumed
) -> Setup:
    model, of_name = checkpoint
    weights = stated or of_name or assume.weights or "bf16"
    kv = assume.kv or kv_format(backend, weights)
    return Setup(model=model, gpu=gpu, weights=weights, kv=kv, backend=backend, backend_version=version)


def weights_named(text: str) -> str:
    """The weight format that a file calls so: nvfp4 and mxfp4 are fp4, awq and gptq int4, bfloat16 bf16.

    Raises:
        CatalogueError: where there is none.
    """
    word = text.strip().casefold()
    return Precision(weights=_FORMATS.get(word) or split_precision(f"x-{word}")[1] or text).weights


def kv_format(backend: str, weights: str) -> str:
    """The format of the KV cache where a file does not say.

    TensorRT-LLM keeps it in fp8 for fp8 and fp4 checkpoints, which carry the scales for it; all others keep
    it in 16 bits whatever the weights.
    """
    return "fp8" if backend == "tensorrt-llm" and weights in ("fp8", "fp4") else "bf16"


def backend_name(text: str) -> str:
    """A backend as we call it: `TRT-LLM` and `trtllm` are tensorrt-llm, others stay but for letter case."""
    word = text.strip().casefold()
    return _BACKENDS.get(re.sub(r"[^a-z]", "", word), word)
