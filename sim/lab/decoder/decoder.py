"""A language model that runs: its graph in ONNX Runtime, with a key-value cache of slots, on CPU or CUDA.

Why not onnxruntime-genai (0.18 was tried), which runs such graphs too: none of its loops takes a scheduler of ours.
Its `Generator` holds one batch of at most 32 rows, whose prompts come at once and are padded to the longest: a row
cannot join, and tokens cannot be appended to a batch of several rows. Its `Engine` takes requests at any time, but on
the CPU it batches statically: a request that came after step 3 of another's 8 got its first token at step 9. It
batches continuously only over the PagedAttention operator, which exists for CUDA in 16 bits alone, and by rules of
its own, of which no more than limits can be set; which rows and tokens a step holds is what the simulator is held to.
It runs the same kernels: a step of one row of a 1.8 M parameter model took 0.15-0.16 ms there, 0.16-0.18 ms here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError, one_of
from sim.lab.decoder.graph import LARGEST_INLINE_BYTES, Numbers, NumberType, decoder_graph, graph_notes, write_graph
from sim.lab.decoder.kv_cache import Cache, CacheShape, open_cache
from sim.lab.decoder.sessions import Provider, choose_provider, load_session, providers_here, session_options
from sim.lab.decoder.weights import DecoderConfig

__all__ = ["Decoder", "providers_here"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int32]

_GIB = 1 << 30


class Decoder:
    """One model with a cache of `slots` rows of `capacity` tokens each.

    Nothing is ever cleared: lengths say what is valid, and feeding a token at an earlier position overwrites what
    was there. So a token can be tried at a position, and another then fed at the same one. For one thread at a time.

    Precision is that of weights, activations and cache, with one exception: attention on CUDA knows only 16-bit
    numbers, so with fp32 there it is computed, and the cache kept, in fp16 (bf16 does not run on the CPU, and fp16
    there is for rehearsal: most of it is computed in fp32).
    """

    def __init__(self, config: DecoderConfig, session: Any, cache: Cache, precision: NumberType) -> None:
        """Put together by `open`: a session over the decoder's graph, and a cache on the same device."""
        self.config, self.precision = config, precision
        self._session, self._cache = session, cache
        self._bindings: dict[tuple[int, int], _Rows] = {}

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
        """Loads a model: arrays as `read_weights` gives them, or a file that `write_graph` wrote in these numbers.

        `threads` and `spinning` are those of `session_options`, and matter on the CPU.

        Raises:
            InputError: for a provider or precision that is not here, and for more than the memory holds.
        """
        chosen = choose_provider(provider)
        numbers = numbers_of(chosen, precision)
        shape = CacheShape.of(config, slots, capacity, numbers.cache)
        _check_room(config, shape, numbers, chosen)
        options = session_options(threads, spinning)
        with _out_of_memory_told(shape):
            session = _session(config, weights, numbers, chosen, options)
            return cls(config, session, open_cache(shape, chosen, options), precision)

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
        """Where it runs, "cpu" or "cuda"."""
        return self._cache.device

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of cache that a token takes."""
        return self._cache.shape.bytes_per_token

    def decode(self, tokens: Tokens, lengths: Tokens) -> Floats:
        """Logits [n, vocab_size] after one token more in each of the slots 0..n-1.

        Row i reads `tokens[i]` at position `lengths[i]`, which is how many tokens it has in the cache.
        """
        return self._decoded(tokens, lengths).logits()

    def decode_best(self, tokens: Tokens, lengths: Tokens) -> Tokens:
        """The likeliest next token of each row, [n], found on the device: for vocabularies too large to fetch.

        The logits of 64 rows of a vocabulary of 128,000 are 33 MB, which take longer to fetch than a GPU takes to
        compute them.
        """
        return self._decoded(tokens, lengths).best()

    def prefill(self, slot: int, tokens: Tokens, start: int, *, every_token: bool = False) -> Floats:
        """Logits [vocab_size] after the last of these tokens, fed to a slot from position `start` on.

        With `every_token` logits [q, vocab_size] after each of the q tokens.
        """
        count = len(tokens)
        self._check_rows(slot, 1, start, start + count)
        last = np.array([start + count - 1], np.int32)
        picks = range(count) if every_token else range(count - 1, count)
        rows = self._rows(slot, 1)
        rows.run(np.reshape(tokens, (1, count)), last, picks)
        return rows.logits() if every_token else rows.logits()[0]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Makes the first `tokens` positions of slot `target` those of slot `source`."""
        self._check_rows(source, 1, 0, tokens)
        self._check_rows(target, 1, 0, tokens)
        self._cache.copy(source, target, tokens)

    def _decoded(self, tokens: Tokens, lengths: Tokens) -> _Rows:
        count = len(tokens)
        self._check_rows(0, count, int(lengths.min()), int(lengths.max()) + 1)
        rows = self._rows(0, count)
        rows.run(np.reshape(tokens, (count, 1)), lengths, range(count))
        return rows

    def _rows(self, slot: int, count: int) -> _Rows:
        rows = self._bindings.get((slot, count))
        if rows is None:
            rows = self._bindings[slot, count] = _Rows(self._session, self._cache, slot, count)
        return rows

    def _check_rows(self, slot: int, rows: int, first: int, end: int) -> None:
        if not 0 <= slot < slot + rows <= self.slots:
            rule = f"are not slots of a decoder with {self.slots}"
            raise InputError(f"{slot} to {slot + rows - 1}", rule, "open it with more slots")
        if not 0 <= first < end <= self.capacity:
            rule = f"are not positions of a row of {self.capacity}"
            raise InputError(f"{first} to {end - 1}", rule, "open the decoder with a larger capacity")


class _Rows:
    """Neighbouring slots bound to the session; inputs and outputs stay in place from call to call."""

    def __init__(self, session: Any, cache: Cache, slot: int, count: int) -> None:
        self._session, self._device = session, cache.device
        self._binding = session.io_binding()
        self._inputs: dict[str, Any] = {}
        self._picks = range(0)
        self._logits: Any = None
        self._best: Any = None
        cache.bind(self._binding, slot, count)

    def run(self, tokens: Tokens, last_positions: Tokens, picks: range) -> None:
        """Feeds tokens [rows, q]; what is picked of them, counted row by row, gets logits."""
        self._put("tokens", tokens)
        self._put("last_positions", last_positions)
        self._binding.bind_cpu_input("total_tokens", np.array([last_positions.max() + 1], np.int32))
        if picks != self._picks:
            self._pick(picks)
        self._session.run_with_iobinding(self._binding)

    def logits(self) -> Floats:
        """Those of the picked tokens, [picks, vocab_size]."""
        return self._fetched(self._logits)

    def best(self) -> Tokens:
        """The likeliest token after each of the picked ones, [picks]."""
        return self._fetched(self._best).astype(np.int32)

    def _fetched(self, value: Any) -> NDArray[Any]:
        """An output's numbers, for the caller to keep; on the CPU `numpy()` is the place itself."""
        fetched: NDArray[Any] = value.numpy()
        return fetched.copy() if self._device == "cpu" else fetched

    def _put(self, name: str, array: Tokens) -> None:
        """Gives an input its numbers: in place, or in a new place where its shape is new."""
        from onnxruntime import OrtValue

        value = self._inputs.get(name)
        if value is not None and tuple(value.shape()) == array.shape:
            value.update_inplace(np.ascontiguousarray(array, np.int32))
            return
        self._inputs[name] = OrtValue.ortvalue_from_numpy(np.array(array, np.int32), self._device, 0)
        self._binding.bind_ortvalue_input(name, self._inputs[name])

    def _pick(self, picks: range) -> None:
        from onnxruntime import OrtValue

        self._put("picks", np.array(picks, np.int32))
        if len(picks) != len(self._picks):
            _, vocabulary = self._session.get_outputs()[0].shape
            new = OrtValue.ortvalue_from_shape_and_type
            self._logits = new([len(picks), vocabulary], np.float32, self._device, 0)
            self._best = new([len(picks)], np.int64, self._device, 0)
            self._binding.bind_ortvalue_output("logits", self._logits)
            self._binding.bind_ortvalue_output("best", self._best)
        self._picks = picks


def numbers_of(provider: str, precision: NumberType) -> Numbers:
    """The number types that a precision means on "cpu" or "cuda".

    Raises:
        InputError: for a precision that does not run there.
    """
    if precision not in ("fp32", "fp16", "bf16"):
        raise InputError(precision, "is not a precision", one_of(["fp32", "fp16", "bf16"]), where="precision")
    if precision == "bf16" and provider == "cpu":
        raise InputError(precision, "does not run on the CPU", "use fp32", where="precision")
    return Numbers("fp32", "fp16") if (provider, precision) == ("cuda", "fp32") else Numbers(precision, precision)


def _session(
    config: DecoderConfig, weights: Mapping[str, NDArray[Any]] | Path, numbers: Numbers, provider: str, options: Any
) -> Any:
    if isinstance(weights, Path):
        session = load_session(weights, provider, options)
        _check_graph(weights, graph_notes(config, numbers), session.get_modelmeta().custom_metadata_map)
        return session
    if config.parameters * numbers.weight_bytes <= LARGEST_INLINE_BYTES:
        return load_session(decoder_graph(config, weights, numbers), provider, options)
    with tempfile.TemporaryDirectory(prefix="nightshift-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "decoder.onnx")
        write_graph(file, config, weights, numbers)
        return load_session(file, provider, options)


def _check_graph(file: Path, wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    if found != wanted:
        rule = "is a graph of another shape or other numbers than asked for"
        raise InputError(file, rule, "open it with the configuration and precision it was written in")


def _check_room(config: DecoderConfig, shape: CacheShape, numbers: Numbers, provider: str) -> None:
    if config.head_size % 16:
        rule = "is a head size that ONNX Runtime's attention does not turn"
        raise InputError(config.head_size, rule, "use a model whose heads are a multiple of 16")
    if shape.slots < 1 or not 0 < shape.capacity <= config.max_positions:
        rule = f"are not slots and tokens for a model of {config.max_positions} positions"
        remedy = f"give at least one slot, and a capacity of 1 to {config.max_positions}"
        raise InputError(f"{shape.slots} x {shape.capacity}", rule, remedy)
    need, room = shape.bytes + config.parameters * numbers.weight_bytes, _machine_memory_bytes()
    if provider == "cpu" and room is not None and need > room:
        raise _too_large(shape, f"with the weights {need / _GIB:.1f} GiB, where the machine has {room / _GIB:.1f}")


@contextmanager
def _out_of_memory_told(shape: CacheShape) -> Iterator[None]:
    """Tells of what does not fit by its size; ONNX Runtime has no exception of its own for it."""
    try:
        yield
    except Exception as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in text and "allocate memory" not in text:
            raise
        raise _too_large(shape, "beside the weights there is not so much left") from error


def _too_large(shape: CacheShape, why: str) -> InputError:
    size = f"a cache of {shape.slots} slots x {shape.capacity} tokens ({shape.bytes / _GIB:.1f} GiB)"
    return InputError(size, f"does not fit into memory: {why}", "use fewer slots, a smaller capacity or model")


def _machine_memory_bytes() -> int | None:
    """None where the system does not tell."""
    import os

    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
