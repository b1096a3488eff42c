"""A language model that runs: its graph in ONNX Runtime, with a key-value cache of slots, on CPU or CUDA."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError, one_of
from sim.lab.graph import Numbers, NumberType, write_graph
from sim.lab.kv_cache import CacheShape, DeviceCache, HostCache, copying_graph
from sim.lab.weights import DecoderConfig

__all__ = ["Decoder", "Provider", "providers_here"]

Provider = Literal["auto", "cpu", "cuda"]
Floats = NDArray[np.float32]
Tokens = NDArray[np.int32]

_EXECUTION = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GIB = 1 << 30


class Decoder:
    """One model with a cache of `slots` rows of `capacity` tokens each.

    Nothing is ever cleared: lengths say what is valid, and feeding a token at an earlier position overwrites what
    was there. So a token can be tried at a position, and another then fed at the same one. One thread at a time.
    """

    def __init__(
        self, config: DecoderConfig, session: Any, cache: HostCache | DeviceCache, precision: NumberType
    ) -> None:
        """Put together by `open`."""
        self.config, self.precision = config, precision
        self._session, self._cache = session, cache
        self._rows: dict[tuple[int, int], _Rows] = {}

    @classmethod
    def open(
        cls,
        config: DecoderConfig,
        weights: Mapping[str, NDArray[Any]] | Path,
        *,
        provider: Provider = "auto",
        precision: NumberType = "fp32",
        slots: int,
        capacity: int,
        threads: int | None = None,
        spinning: bool = True,
    ) -> Decoder:
        """Builds the graph of these weights (arrays, or a graph's file) and loads it.

        Raises:
            InputError: for a provider or precision that is not here, and for more than the memory holds.
        """
        chosen = _provider(provider)
        numbers = _numbers(chosen, precision)
        shape = CacheShape.of(config, slots, capacity, numbers.cache)
        _check(config, shape, numbers, chosen)
        options = _options(threads, spinning)
        session = _session(config, weights, numbers, chosen, options)
        return cls(config, session, _cache(shape, chosen, options), precision)

    @property
    def slots(self) -> int:
        """Rows that fit."""
        return self._cache.shape.slots

    @property
    def capacity(self) -> int:
        """Tokens of a row that fit."""
        return self._cache.shape.capacity

    @property
    def provider(self) -> str:
        """Where it runs: "cpu" or "cuda"."""
        return "cuda" if _EXECUTION["cuda"] in self._session.get_providers() else "cpu"

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of cache that a token takes."""
        return self._cache.shape.bytes_per_token

    def decode(self, tokens: Tokens, lengths: Tokens) -> Floats:
        """Logits [n, vocab_size] after one token more in each of the slots 0..n-1.

        Row i reads `tokens[i]` at position `lengths[i]`, which is how many tokens it has in the cache.
        """
        rows = len(tokens)
        self._check_rows(0, rows, int(lengths.max()) + 1)
        return self._bound(0, rows).run(np.reshape(tokens, (rows, 1)), lengths, range(rows))

    def prefill(self, slot: int, tokens: Tokens, start: int, *, every_token: bool = False) -> Floats:
        """Logits [vocab_size] after the last of these tokens, fed to a slot from position `start` on.

        With `every_token` logits [q, vocab_size] after each of the q tokens.
        """
        count = len(tokens)
        self._check_rows(slot, 1, start + count)
        last = np.array([start + count - 1], np.int32)
        picks = range(count) if every_token else range(count - 1, count)
        logits = self._bound(slot, 1).run(np.reshape(tokens, (1, count)), last, picks)
        return logits if every_token else logits[0]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Makes the first `tokens` positions of slot `target` those of slot `source`."""
        self._check_rows(source, 1, tokens)
        self._check_rows(target, 1, tokens)
        self._cache.copy(source, target, tokens)

    def _bound(self, slot: int, rows: int) -> _Rows:
        bound = self._rows.get((slot, rows))
        if bound is None:
            bound = self._rows[slot, rows] = _Rows(self._session, self._cache, slot, rows)
        return bound

    def _check_rows(self, slot: int, rows: int, tokens: int) -> None:
        if not 0 <= slot <= slot + rows <= self.slots:
            raise InputError(slot + rows, f"is more than the decoder's {self.slots} slots", "open it with more slots")
        if not 0 < tokens <= self.capacity:
            rule = f"is not a number of tokens of a row that holds up to {self.capacity}"
            raise InputError(tokens, rule, "open the decoder with a larger capacity, or feed fewer tokens")


class _Rows:
    """Neighbouring slots bound to the session: its inputs and outputs stay in place from call to call."""

    def __init__(self, session: Any, cache: HostCache | DeviceCache, slot: int, rows: int) -> None:
        self._session, self._device = session, cache.device
        self._binding = session.io_binding()
        self._values: dict[str, Any] = {}
        self._picks = range(0)
        self._logits: Any = None
        self._total = np.zeros(1, np.int32)
        cache.bind(self._binding, slot, rows)

    def run(self, tokens: Tokens, last_positions: Tokens, picks: range) -> Floats:
        """Logits [picks, vocab_size] of the picked tokens of [rows, q]."""
        self._put("tokens", tokens)
        self._put("last_positions", last_positions)
        self._binding.bind_cpu_input("total_tokens", last_positions.max(keepdims=True) + np.int32(1))
        self._pick(picks)
        self._session.run_with_iobinding(self._binding)
        return np.array(self._logits.numpy())

    def _put(self, name: str, array: Tokens) -> None:
        """Gives an input its values; a new place only where its shape is new."""
        from onnxruntime import OrtValue

        value = self._values.get(name)
        if value is not None and tuple(value.shape()) == array.shape:
            value.update_inplace(np.ascontiguousarray(array, np.int32))
            return
        self._values[name] = OrtValue.ortvalue_from_numpy(np.array(array, np.int32), self._device, 0)
        self._binding.bind_ortvalue_input(name, self._values[name])

    def _pick(self, picks: range) -> None:
        from onnxruntime import OrtValue

        if picks == self._picks:
            return
        self._put("picks", np.array(picks, np.int32))
        if len(picks) != len(self._picks):
            width = next(out.shape[1] for out in self._session.get_outputs() if out.name == "logits")
            self._logits = OrtValue.ortvalue_from_shape_and_type([len(picks), width], np.float32, self._device, 0)
            self._binding.bind_ortvalue_output("logits", self._logits)
        self._picks = picks


def providers_here() -> list[str]:
    """Where models can run on this machine, the fastest first: "cuda" where there is such a device, and "cpu"."""
    return ["cuda", "cpu"] if _cuda_works() else ["cpu"]


def _cuda_works() -> bool:
    """Whether memory of a CUDA device can be had through ONNX Runtime; says nothing where there is no device."""
    import onnxruntime

    if _EXECUTION["cuda"] not in onnxruntime.get_available_providers() or not _cuda_devices():
        return False
    try:
        onnxruntime.preload_dlls()
        onnxruntime.OrtValue.ortvalue_from_shape_and_type([1], np.float32, "cuda", 0)
    except Exception:
        return False
    return True


def _cuda_devices() -> int:
    """Devices that the CUDA driver counts; 0 without a driver."""
    import ctypes
    import sys

    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    works = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if works else 0


def _provider(asked: Provider) -> str:
    here = providers_here()
    if asked == "auto":
        return here[0]
    if asked not in _EXECUTION:
        raise InputError(asked, "is not a provider", one_of(["auto", *_EXECUTION]), where="provider")
    if asked not in here:
        rule = "needs an NVIDIA GPU with its driver and ONNX Runtime's CUDA libraries, and none work here"
        remedy = "use cpu, or install them (`pip install onnxruntime-gpu[cuda,cudnn]`)"
        raise InputError(asked, rule, remedy, where="provider")
    return asked


def _numbers(provider: str, precision: NumberType) -> Numbers:
    """The types that a precision means there; attention on CUDA knows only 16-bit numbers."""
    if precision not in ("fp32", "fp16", "bf16"):
        raise InputError(precision, "is not a precision", one_of(["fp32", "fp16", "bf16"]), where="precision")
    if precision == "bf16" and provider == "cpu":
        raise InputError(precision, "does not run on the CPU", "use fp32 or fp16", where="precision")
    return Numbers("fp32", "fp16") if (provider, precision) == ("cuda", "fp32") else Numbers(precision, precision)


def _check(config: DecoderConfig, shape: CacheShape, numbers: Numbers, provider: str) -> None:
    if shape.slots < 1 or not 0 < shape.capacity <= config.max_positions:
        rule = f"are not slots and tokens for a model of {config.max_positions} positions"
        remedy = f"give at least one slot, and a capacity of 1 to {config.max_positions}"
        raise InputError(f"{shape.slots} x {shape.capacity}", rule, remedy)
    need = shape.bytes + config.parameters * (4 if numbers.weights == "fp32" else 2)
    here = _memory_bytes() if provider == "cpu" else None
    if here is not None and need > here:
        raise _too_large(shape, f"with the weights {need / _GIB:.1f} GiB and this machine has {here / _GIB:.1f}")


def _too_large(shape: CacheShape, why: str) -> InputError:
    size = f"a cache of {shape.slots} slots x {shape.capacity} tokens ({shape.bytes / _GIB:.1f} GiB)"
    return InputError(size, f"does not fit into memory: {why}", "use fewer slots, a smaller capacity or model")


def _memory_bytes() -> int | None:
    """The machine's memory; None where the system does not tell."""
    import os

    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _options(threads: int | None, spinning: bool) -> Any:
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return options


def _session(
    config: DecoderConfig,
    weights: Mapping[str, NDArray[Any]] | Path,
    numbers: Numbers,
    provider: str,
    options: Any,
) -> Any:
    if isinstance(weights, Path):
        return _load(weights, provider, options)
    with tempfile.TemporaryDirectory(prefix="nightshift-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "decoder.onnx")
        write_graph(file, config, weights, numbers)
        return _load(file, provider, options)


def _load(graph: Path | bytes, provider: str, options: Any) -> Any:
    from onnxruntime import InferenceSession

    settings = {"device_id": 0, "arena_extend_strategy": "kSameAsRequested", "use_tf32": 0}
    cuda = [(_EXECUTION["cuda"], settings)] if provider == "cuda" else []
    source = graph if isinstance(graph, bytes) else str(graph)
    return InferenceSession(source, options, providers=[*cuda, _EXECUTION["cpu"]])


def _cache(shape: CacheShape, provider: str, options: Any) -> HostCache | DeviceCache:
    if provider == "cpu":
        return HostCache(shape)
    return DeviceCache(shape, provider, _load(copying_graph(shape), provider, options))
