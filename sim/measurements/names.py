"""Names in files of measurements, as the catalogue has them, and what served a row by them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from pandas import DataFrame, Series

from sim.errors import InputError
from sim.hardware import Catalogue, Precision, split_precision
from sim.hardware.setup import OWN_BACKEND
from sim.measurements.faults import Faults
from sim.measurements.kinds import Assumed, Setup
from sim.measurements.table_file import Places, Sheet

__all__ = [
    "NAMES",
    "RANKS",
    "backend_name",
    "kv_format",
    "needed_names",
    "setups_named",
    "setups_on_ranks",
    "weights_named",
]

NAMES = {
    "model": ("model",),
    "gpu": ("gpu", "system", "hardware"),
    "weights": ("precision",),
    "backend": ("backend",),
    "backend_version": ("backend_version",),
}
"""Columns that name what served, by our name."""
RANKS = {"tensor": ("tensor_parallel", "tp_size")}
"""The column of tensor-parallel ranks."""

_MOST_STRANGERS = 0.1
_BACKENDS = {"trtllm": "tensorrt-llm", "tensorrtllm": "tensorrt-llm"}
_FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16"}


def setups_named(sheet: Sheet, places: Places, catalogue: Catalogue, assume: Assumed, *, needed: bool = True) -> Series:
    """What served each row, on one GPU; the index is its line. Rows with unknown names are left out.

    They are faults; but where names are `needed` and few rows have models or GPUs that the catalogue lacks, these
    are only noted, so that the others can be used. A blank model or GPU is unknown where it is needed, else None.

    The weights have the row's precision, else that of the model's name, else the assumed one, else bf16.
    """
    texts = {ours: _texts(sheet, places, ours, assume) for ours in NAMES}
    finders: dict[str, Callable[[str], object]] = {
        "model": lambda text: _checkpoint(text, catalogue) if text or needed else (None, None),
        "gpu": lambda text: _card(text, catalogue) if text or needed else (None, ""),
        "weights": lambda text: text and weights_named(text),
        "backend": backend_name,
        "backend_version": str,
    }
    strange = Faults(sheet.path)
    to = {"model": strange, "gpu": strange}
    named = DataFrame({ours: _found(texts[ours], find, to.get(ours, sheet.faults)) for ours, find in finders.items()})
    _tell_strangers(sheet, strange, named[["model", "gpu"]].isna().any(axis=1), only_note=needed)
    named = named.dropna()
    known: dict[tuple[object, ...], Setup] = {}
    for row in named.itertuples(index=False, name=None):
        if row not in known:
            known[row] = _setup(*row, assume=assume)
    return Series([known[row] for row in named.itertuples(index=False, name=None)], index=named.index, dtype=object)


def _tell_strangers(sheet: Sheet, strange: Faults, left_out: Series, *, only_note: bool) -> None:
    """Names that the catalogue lacks: a note where that will do and they leave out few rows, else faults."""
    if not only_note or left_out.mean() > _MOST_STRANGERS:
        sheet.faults.take_over(strange)
        return
    told = "; ".join(strange.told())
    if told:
        sheet.notes.append(f"{sheet.path.name}: {left_out.sum()} of {len(left_out)} rows left out: {told}")


def _texts(sheet: Sheet, places: Places, ours: str, assume: Assumed) -> Series:
    """The texts of a column, blank ones as assumed; weights stay blank, as a model's name may state them."""
    default = "" if ours == "weights" else getattr(assume, ours, None) or ""
    if ours not in places:
        return Series(default, index=sheet.texts.index, name=ours, dtype=object)
    texts = sheet.texts[places[ours]].astype(object)
    return texts.where(texts != "", default)


def _found(texts: Series, find: Callable[[str], object], faults: Faults) -> Series:
    """What `find` makes of each text; one that it does not know is missing, and a fault of the first line with it."""
    known: dict[str, object] = {}
    for line, text in texts.drop_duplicates().items():
        try:
            known[text] = find(text)
        except InputError as error:
            faults.add(int(str(line)), str(texts.name), error.value, error.rule, error.remedy)
    return Series([known.get(text) for text in texts], index=texts.index, dtype=object)


def _checkpoint(text: str, catalogue: Catalogue) -> tuple[str, str | None]:
    """The catalogue's name of a checkpoint's model, and the weight format that its name states."""
    bare, weights = split_precision(text)
    return catalogue.model(bare).name, weights


def _card(text: str, catalogue: Catalogue) -> tuple[str, str]:
    """The catalogue's name of a GPU, and its generation."""
    gpu = catalogue.gpu(text)
    return gpu.name, gpu.architecture


def _setup(
    checkpoint: tuple[str | None, str | None],
    gpu: tuple[str | None, str],
    stated: str,
    backend: str,
    version: str,
    *,
    assume: Assumed,
) -> Setup:
    (model, of_name), (card, generation) = checkpoint, gpu
    weights = stated or of_name or assume.weights or "bf16"
    kv = assume.kv or kv_format(backend, weights, generation)
    return Setup(model=model, gpu=card, weights=weights, kv=kv, backend=backend, backend_version=version)


def setups_on_ranks(
    sheet: Sheet, places: Places, catalogue: Catalogue, assume: Assumed, *, needed: bool = True
) -> Series:
    """The same, each on as many tensor-parallel ranks as its row says, else as assumed, else one."""
    setups = setups_named(sheet, places, catalogue, assume, needed=needed)
    if "tensor" not in places:
        sizes = [assume.tensor_parallel or 1] * len(setups)
    else:
        sizes = sheet.ranks(places["tensor"]).loc[setups.index].tolist()
    spread = [replace(setup, tensor_parallel=size) for setup, size in zip(setups, sizes, strict=True)]
    return Series(spread, index=setups.index, dtype=object)


def needed_names(assume: Assumed) -> dict[str, tuple[str, ...]]:
    """The columns of model and GPU, so far as these are not assumed."""
    return {ours: NAMES[ours] for ours in ("model", "gpu") if not getattr(assume, ours)}


def weights_named(text: str) -> str:
    """The weight format that a file calls so: nvfp4 and mxfp4 are fp4, awq and gptq int4, bfloat16 bf16.

    Raises:
        CatalogueError: where there is none.
    """
    word = text.strip().casefold()
    return Precision(weights=_FORMATS.get(word) or split_precision(f"x-{word}")[1] or text).weights


def kv_format(backend: str, weights: str, generation: str) -> str:
    """The format of the KV cache where a file does not say.

    TensorRT-LLM keeps it in fp8 for fp8 and fp4 checkpoints, which carry the scales for it. So do servers of such
    checkpoints on Blackwell GPUs: public runs there keep more requests in flight than a 16-bit cache would hold, and
    do not wait. Our own engine keeps it in the format of the weights, all others in 16 bits whatever the weights.
    """
    if backend == OWN_BACKEND:
        return weights
    narrow = backend == "tensorrt-llm" or generation == "Blackwell"
    return "fp8" if narrow and weights in ("fp8", "fp4") else "bf16"


def backend_name(text: str) -> str:
    """A backend as we call it: `TRT-LLM` and `trtllm` are tensorrt-llm, others stay but for letter case."""
    word = text.strip().casefold()
    return _BACKENDS.get(re.sub(r"[^a-z]", "", word), word)
