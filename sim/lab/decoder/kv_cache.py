"""The memory of a decoder's keys and values: slots of `capacity` tokens each, bound to a session by address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.lab.decoder.graph import NumberType, cache_names
from sim.lab.decoder.sessions import load_session
from sim.lab.decoder.weights import DecoderConfig

__all__ = ["Cache", "CacheShape", "DeviceCache", "HostCache", "open_cache"]

_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16: numpy has no such type


@dataclass(frozen=True)
class CacheShape:
    """How much a cache holds, and in which numbers."""

    layers: int
    slots: int
    kv_heads: int
    capacity: int
    head_size: int
    type: NumberType

    @classmethod
    def of(cls, config: DecoderConfig, slots: int, capacity: int, type: NumberType) -> CacheShape:
        """A cache for that model."""
        return cls(config.layers, slots, config.kv_heads, capacity, config.head_size, type)

    @property
    def number_bytes(self) -> int:
        """Bytes of one number."""
        return 4 if self.type == "fp32" else 2

    @property
    def room(self) -> int:
        """Tokens of memory a slot has: the capacity, rounded up to an odd number of blocks of 16.

        Heads and slots that lie a power of two apart compete for the same lines of a processor's caches: steps of 8
        rows took 15-20 % longer with room for 512 tokens than for 400.
        """
        return (-(-self.capacity // 16) | 1) * 16

    @property
    def slot_numbers(self) -> int:
        """Numbers in one slot of one layer's keys."""
        return self.kv_heads * self.room * self.head_size

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a token takes, keys and values of all layers together."""
        return 2 * self.layers * self.kv_heads * self.head_size * self.number_bytes

    @property
    def bytes(self) -> int:
        """Bytes of the whole cache."""
        return self.bytes_per_token * self.slots * self.room

    def zeros(self) -> NDArray[Any]:
        """Keys and values of one layer, [2, slots, kv_heads, room, head_size]; 16-bit numbers as float16."""
        kind = np.float32 if self.type == "fp32" else np.float16
        return np.zeros((2, self.slots, self.kv_heads, self.room, self.head_size), kind)

    @property
    def element_type(self) -> Any:
        """The number type as a binding wants it."""
        return {"fp32": np.float32, "fp16": np.float16, "bf16": _BFLOAT16}[self.type]


class HostCache:
    """A cache in the machine's own memory, which numpy copies from slot to slot."""

    device = "cpu"

    def __init__(self, shape: CacheShape) -> None:
        self.shape = shape
        self._layers = [shape.zeros() for _ in range(shape.layers)]

    def bind(self, binding: Any, slot: int, rows: int) -> None:
        """Gives the slots from `slot` on to a binding, as the rows of its cache inputs and outputs."""
        _bind(binding, self.shape, self.device, [layer.ctypes.data for layer in self._layers], slot, rows)

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copies the first `tokens` positions of a slot into another."""
        for layer in self._layers:
            layer[:, target, :, :tokens] = layer[:, source, :, :tokens]


class DeviceCache:
    """A cache in a device's memory, which a session of the device's own copies from slot to slot.

    A copy moves whole slots: each is one piece of memory, while its first positions are not. At 3 TB/s a slot of
    4096 tokens of an 8B model takes 0.4 ms.
    """

    def __init__(self, shape: CacheShape, device: str, copier: Any) -> None:
        """`copier` is a session over `copying_graph(shape)`; device "cpu" rehearses "cuda"."""
        from onnxruntime import OrtValue

        self.shape, self.device, self._copier = shape, device, copier
        self._layers = [OrtValue.ortvalue_from_numpy(shape.zeros(), device, 0) for _ in range(shape.layers)]

    def bind(self, binding: Any, slot: int, rows: int) -> None:
        """Gives the slots from `slot` on to a binding, as the rows of its cache inputs and outputs."""
        _bind(binding, self.shape, self.device, [layer.data_ptr() for layer in self._layers], slot, rows)

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copies a slot into another: its first `tokens` positions, and whatever lies behind them."""
        if source == target:
            return
        binding = self._copier.io_binding()
        kind, numbers = _raw_type(self.shape), self.shape.slot_numbers
        for layer, memory in enumerate(self._layers):
            for part in range(2):
                begin, end = (_address(self.shape, memory.data_ptr(), part, slot) for slot in (source, target))
                binding.bind_input(f"from.{layer}.{part}", self.device, 0, kind, [numbers], begin)
                binding.bind_output(f"to.{layer}.{part}", self.device, 0, kind, [numbers], end)
        self._copier.run_with_iobinding(binding)


def copying_graph(shape: CacheShape) -> bytes:
    """A graph that copies one slot of every layer's keys and values (from.I.0, from.I.1) into another (to.I.0, ...)."""
    from onnx import TensorProto, helper

    kind = TensorProto.FLOAT if shape.type == "fp32" else TensorProto.FLOAT16
    names = [f"{layer}.{part}" for layer in range(shape.layers) for part in range(2)]
    nodes = [helper.make_node("Identity", [f"from.{name}"], [f"to.{name}"]) for name in names]
    inputs, outputs = (
        [helper.make_tensor_value_info(f"{side}.{name}", kind, [shape.slot_numbers]) for name in names]
        for side in ("from", "to")
    )
    body = helper.make_graph(nodes, "copy", inputs, outputs)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def _raw_type(shape: CacheShape) -> Any:
    """The type in which memory is copied: by size alone."""
    return np.float32 if shape.type == "fp32" else np.float16


def _address(shape: CacheShape, memory: int, part: int, slot: int) -> int:
    """Where a slot begins in a layer's memory; part 0 is keys, 1 values."""
    return memory + (part * shape.slots + slot) * shape.slot_numbers * shape.number_bytes


def _bind(binding: Any, shape: CacheShape, device: str, memories: list[int], slot: int, rows: int) -> None:
    size = [rows, shape.kv_heads, shape.room, shape.head_size]
    for past, present, address in _places(shape, memories, slot):
        binding.bind_input(past, device, 0, shape.element_type, size, address)
        binding.bind_output(present, device, 0, shape.element_type, size, address)


def _places(shape: CacheShape, memories: list[int], slot: int) -> Iterator[tuple[str, str, int]]:
    """Name as input, name as output, and address of each layer's keys and values."""
    for layer, memory in enumerate(memories):
        for part, names in enumerate(zip(cache_names(layer, "past"), cache_names(layer, "present"), strict=True)):
            yield *names, _address(shape, memory, part, slot)


Cache = HostCache | DeviceCache


def open_cache(shape: CacheShape, provider: str, options: Any) -> Cache:
    """The cache that goes with a provider, "cpu" or "cuda"; `options` are those of a session."""
    if provider == "cpu":
        return HostCache(shape)
    return DeviceCache(shape, provider, load_session(copying_graph(shape), provider, options))
