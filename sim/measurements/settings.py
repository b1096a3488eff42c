"""Settings of a server as it was run: meta.json beside its requests, and config.json where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sim.errors import InputError
from sim.hardware import Catalogue, normalised, split_precision
from sim.measurements.kinds import Assumed, Setup
from sim.measurements.names import backend_name, kv_format, weights_named
from sim.measurements.table_file import read_text
from sim.measurements.words import in_words

__all__ = ["Settings", "read_settings"]

_BLOCK_TOKENS = 16
_AUTO = (None, "", "auto")


class Settings(NamedTuple):
    """What served, and the limits of each replica, as in `OpenLoop`."""

    setup: Setup
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int | None
    kv_capacity_tokens: int | None
    load: float | None = None


def read_settings(folder: Path, catalogue: Catalogue, assume: Assumed) -> Settings:
    """The settings in a folder.

    The GPU is that of meta.json, else the first of config.json, else the assumed one, else that of the
    folder's name. The KV capacity is that of a replica.

    Raises:
        InputError: for a file that is missing or no JSON, or a setting that is missing, wrong or unknown.
    """
    meta = _Stated(folder / "meta.json", _json_object(folder / "meta.json"))
    engine = meta.part("engine_kwargs")
    blocks = meta.count("num_gpu_blocks", engine.count("num_gpu_blocks"))
    tokens_of_blocks = blocks * (engine.count("block_size") or _BLOCK_TOKENS) if blocks else None
    return Settings(
        setup=_setup(meta, engine, folder, catalogue, assume),
        max_num_seqs=engine.needed_count("max_num_seqs"),
        max_num_batched_tokens=engine.needed_count("max_num_batched_tokens"),
        max_model_len=engine.count("max_model_len"),
        kv_capacity_tokens=meta.count("kv_capacity_tokens", tokens_of_blocks),
        load=meta.share("load"),
    )


@dataclass(frozen=True)
class _Stated:
    """The settings of a JSON file, or of an object in it."""

    path: Path
    values: Mapping[str, Any]

    def part(self, name: str) -> _Stated:
        values = self.values.get(name)
        if not isinstance(values, dict):
            raise self.wrong(values, f"stands for {name}", "give the engine's settings as an object")
        return _Stated(self.path, values)

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value in _AUTO:
            return None
        if not isinstance(value, str):
            raise self.wrong(value, f"in {name} is not a text", "correct it")
        return value

    def count(self, name: str, default: int | None = None) -> int | None:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(value, f"in {name} is not a whole number of at least 1", "correct it")
        return value

    def share(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1e6:
            raise self.wrong(value, f"in {name} is not a number above 0", "correct it")
        return float(value)

    def needed_count(self, name: str) -> int:
        value = self.count(name)
        if value is None:
            raise self.wrong(name, "is missing from engine_kwargs", "add what the server was started with")
        return value

    def wrong(self, value: object, rule: str, remedy: str) -> InputError:
        return InputError(value, rule, remedy, where=str(self.path))


def _setup(meta: _Stated, engine: _Stated, folder: Path, catalogue: Catalogue, assume: Assumed) -> Setup:
    checkpoint = meta.text("model") or engine.text("model") or assume.model
    if checkpoint is None:
        raise meta.wrong("model", "is missing", "add the checkpoint's name, or say which model it is")
    bare, of_name = split_precision(checkpoint)
    model = catalogue.model(bare)
    version = meta.text("vllm_version")
    backend = "vllm" if version else backend_name(meta.text("backend") or assume.backend or "")
    quantised = engine.text("quantization") or of_name or assume.weights or engine.text("dtype") or "bf16"
    weights = weights_named(quantised)
    tensor, data = engine.count("tensor_parallel_size", 1) or 1, engine.count("data_parallel_size", 1) or 1
    spread = bool(engine.values.get("enable_expert_parallel")) and model.experts > 0
    gpu = _gpu(meta, folder, catalogue, assume)
    unsaid = kv_format(backend, weights, catalogue.gpu(gpu).architecture)
    return Setup(
        model=model.name,
        gpu=gpu,
        weights=weights,
        kv=_kv(engine.text("kv_cache_dtype")) or assume.kv or unsaid,
        tensor_parallel=tensor,
        data_parallel=data,
        expert_parallel=tensor * data if spread else 1,
        backend=backend,
        backend_version=version or meta.text("backend_version") or "",
    )


def _kv(text: str | None) -> str | None:
    """The format of the KV cache; engines tell variants of fp8 apart, such as fp8_e4m3."""
    return None if text is None else "fp8" if text.casefold().startswith("fp8") else weights_named(text)


def _gpu(meta: _Stated, folder: Path, catalogue: Catalogue, assume: Assumed) -> str:
    stated = meta.text("gpu")
    if stated is not None:
        return catalogue.gpu(stated).name
    configured = _configured_gpu(folder / "config.json", catalogue)
    if configured is not None:
        return configured
    said = assume.gpu or in_words(folder, catalogue).gpu
    if said is None:
        raise InputError(folder.name, "does not say its GPU", "add `gpu` to meta.json", where=str(meta.path))
    return catalogue.gpu(said).name


def _configured_gpu(path: Path, catalogue: Catalogue) -> str | None:
    """The first GPU of a config.json; of several kinds of that name the one whose memory is nearest in bandwidth."""
    if not path.is_file():
        return None
    found = next(_hardware(_json_object(path)), None)
    if found is None:
        return None
    name, bandwidth_gb_s = str(found["hardware"]), _bandwidth(found)
    kinds = [gpu for alias, gpu in catalogue.gpu_aliases.items() if alias.startswith(normalised(name))]
    if bandwidth_gb_s is None or not kinds:
        return catalogue.gpu(name).name
    return min(kinds, key=lambda gpu: abs(catalogue.gpus[gpu].bandwidth_gb_s - bandwidth_gb_s))


def _hardware(value: object) -> Iterator[Mapping[str, Any]]:
    """All objects in a JSON value that have a `hardware` key, in order."""
    if isinstance(value, dict):
        if "hardware" in value:
            yield value
        yield from (found for inner in value.values() for found in _hardware(inner))
    elif isinstance(value, list):
        yield from (found for inner in value for found in _hardware(inner))


def _bandwidth(entry: Mapping[str, Any]) -> float | None:
    memory = entry.get("npu_mem")
    bandwidth = memory.get("mem_bw") if isinstance(memory, dict) else None
    return float(bandwidth) if isinstance(bandwidth, (int, float)) and bandwidth > 0 else None


def _json_object(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(path.name, f"is no JSON ({error.msg})", "correct it", where=f"{path}:{error.lineno}") from None
    except RecursionError:
        raise InputError(path.name, "is nested too deeply", "correct it", where=str(path)) from None
    if not isinstance(value, dict):
        raise InputError(path.name, "is no JSON object", "correct it", where=str(path))
    return value
