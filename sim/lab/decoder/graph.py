"""The ONNX graph of a Llama-shaped decoder that reads and writes a key-value cache in place.

Inputs, for B rows of S new tokens each, and outputs:

    tokens            int32 [B, S]
    last_positions    int32 [B]     position of each row's last new token
    total_tokens      int32 [1]     the longest row's tokens, the new ones included; in host memory on every device
    picks             int32 [K]     which of the B * S new tokens get logits, counted row by row
    past.I.key/value  cache [B, kv_heads, room, head_size], and present.I.key/value: the same memory
    logits            float32 [K, vocab_size]
    best              int64 [K]     the likeliest token: for vocabularies whose logits are too many to fetch

Nodes are those that ONNX Runtime has fused kernels for on CPU and on CUDA, as Microsoft's own language models use
them: GroupQueryAttention (rotary positions, cache and masking inside) and (Skip)SimplifiedLayerNormalization, which
is RMSNorm. Queries, keys and values come from one product. Only the picked tokens meet the output head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim.lab.decoder.weights import DecoderConfig, read_weights

__all__ = [
    "GRAPH_FILE",
    "LARGEST_INLINE_BYTES",
    "NumberType",
    "Numbers",
    "cache_names",
    "decoder_graph",
    "export_graph",
    "graph_notes",
    "write_graph",
]

NumberType = Literal["fp32", "fp16", "bf16"]
Array = NDArray[Any]

LARGEST_INLINE_BYTES = 1 << 26
"""Weights above this go into a file beside the graph, which holds at most 2 GiB and is copied thrice on its way."""

GRAPH_FILE = "model.onnx"
"""A model's graph beside its weights."""
WEIGHTS_SUFFIX = ".weights"
_ALIGNMENT = 4096
_CONTRIB = "com.microsoft"


@dataclass(frozen=True)
class Numbers:
    """Number types of the weights with the activations, and of the attention with its cache."""

    weights: NumberType = "fp32"
    cache: NumberType = "fp32"

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight."""
        return 4 if self.weights == "fp32" else 2


def cache_names(layer: int, side: Literal["past", "present"]) -> tuple[str, str]:
    """Names of a layer's keys and values among the inputs ("past") or the outputs ("present").

    >>> cache_names(2, "past")
    ('past.2.key', 'past.2.value')
    """
    return f"{side}.{layer}.key", f"{side}.{layer}.value"


def graph_notes(config: DecoderConfig, numbers: Numbers) -> dict[str, str]:
    """What a graph says of itself: its shape and number types."""
    return {"decoder": json.dumps({**asdict(config), **asdict(numbers)})}


def decoder_graph(
    config: DecoderConfig, arrays: Mapping[str, Array], numbers: Numbers, stored: NumberType | None = None
) -> bytes:
    """The graph with its weights inside, serialised; for weights of up to `LARGEST_INLINE_BYTES`.

    Weights that are the same in type `stored` are kept in it, and widened when the graph is loaded: a model that was
    saved in 16 bits takes half the room.
    """
    model, weights = _model(config, arrays, numbers)
    for weight in weights:
        kept = weight if stored is None or _loses(weight, stored) else _narrowed(model.graph, weight, stored)
        tensor = model.graph.initializer.add()
        _describe(tensor, kept)
        tensor.raw_data = kept.make().tobytes()
    return bytes(model.SerializeToString())


def _loses(weight: _Weight, stored: NumberType) -> bool:
    """Whether a weight is not the same in that type, or is in it already."""
    values = weight.make()
    return weight.type == stored or not np.array_equal(_converted(values, stored).astype(values.dtype), values)


def _narrowed(graph: Any, weight: _Weight, stored: NumberType) -> _Weight:
    """The weight in another type and under another name; a node at the graph's head makes it what it was."""
    from onnx import helper

    name = f"{weight.name}.{stored}"
    graph.node.insert(0, helper.make_node("Cast", [name], [weight.name], name=weight.name, to=_onnx_type(weight.type)))
    return replace(weight, name=name, type=stored, make=lambda: _converted(weight.make(), stored))


def write_graph(file: Path, config: DecoderConfig, arrays: Mapping[str, Array], numbers: Numbers) -> None:
    """Writes the graph into `file`, and weights above `LARGEST_INLINE_BYTES` beside it (`file` + ".weights").

    One weight at a time is in memory, and layers that share an array share its place in the file.
    """
    if config.parameters * numbers.weight_bytes <= LARGEST_INLINE_BYTES:
        file.write_bytes(decoder_graph(config, arrays, numbers))
        return
    model, weights = _model(config, arrays, numbers)
    beside = file.with_name(file.name + WEIGHTS_SUFFIX)
    places: dict[tuple[int, ...], tuple[int, int]] = {}
    with beside.open("wb") as stream:
        for weight in weights:
            if weight.sources not in places:
                places[weight.sources] = _append(stream, weight.make())
            _refer(model.graph.initializer.add(), weight, beside.name, *places[weight.sources])
    file.write_bytes(model.SerializeToString())


def export_graph(folder: Path) -> Path:
    """Writes the weights of a folder as `model.onnx` beside them, for single precision; the file's path.

    Raises:
        InputError: for a folder without weights.
    """
    config, arrays = read_weights(folder)
    file = folder / GRAPH_FILE
    file.write_bytes(decoder_graph(config, arrays, Numbers(), stored="fp16"))
    return file


@dataclass(frozen=True)
class _Weight:
    """A constant of the graph, made when it is written: name, shape, type, and the arrays it is made of."""

    name: str
    shape: tuple[int, ...]
    type: NumberType
    sources: tuple[int, ...]
    make: Callable[[], Array]


@dataclass
class _Graph:
    """Nodes and constants, gathered."""

    numbers: Numbers
    nodes: list[Any] = field(default_factory=list)
    weights: list[_Weight] = field(default_factory=list)
    whole_numbers: list[Any] = field(default_factory=list)

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Adds a node; the name of its first output."""
        from onnx import helper

        domain = _CONTRIB if kind in ("GroupQueryAttention", "SkipSimplifiedLayerNormalization") else ""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def vector(self, name: str, values: list[int]) -> str:
        """Adds a constant of whole numbers; its name."""
        from onnx import TensorProto, helper

        self.whole_numbers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def weight(self, name: str, *arrays: Array, transposed: bool = False, type: NumberType | None = None) -> str:
        """Adds a constant, the arrays one below the other, transposed if asked; its name."""
        kind = type or self.numbers.weights
        stacked = (sum(len(array) for array in arrays), *arrays[0].shape[1:])

        def make() -> Array:
            whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            return _converted(np.ascontiguousarray(whole.T if transposed else whole), kind)

        sources = (*(id(array) for array in arrays), int(transposed))
        self.weights.append(_Weight(name, stacked[::-1] if transposed else stacked, kind, sources, make))
        return name


def _model(config: DecoderConfig, arrays: Mapping[str, Array], numbers: Numbers) -> tuple[Any, list[_Weight]]:
    """The model without its weights, and the weights."""
    from onnx import helper

    graph = _Graph(numbers)
    _decoder(graph, config, arrays)
    body = helper.make_graph(graph.nodes, "decoder", _inputs(config, numbers), _outputs(config, numbers))
    body.initializer.extend(graph.whole_numbers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(_CONTRIB, 1)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=10, producer_name="nightshift")
    helper.set_model_props(model, graph_notes(config, numbers))
    return model, graph.weights


def _decoder(graph: _Graph, config: DecoderConfig, arrays: Mapping[str, Array]) -> None:
    _rotation(graph, config)
    embed = graph.weight("embed", arrays["embed"])
    stream, added = graph.node("Gather", [embed, "tokens"], ["embedded"]), ""
    for layer in range(config.layers):
        stream, added = _layer(graph, config, arrays, layer, stream, added)
    _head(graph, config, arrays, embed, stream, added)


def _rotation(graph: _Graph, config: DecoderConfig) -> None:
    """Cosines and sines, [max_positions, head_size / 2]."""
    powers = np.arange(0, config.head_size, 2) / config.head_size
    angles = np.outer(np.arange(config.max_positions), config.rope_theta**-powers)
    for name, table in (("cosines", np.cos(angles)), ("sines", np.sin(angles))):
        graph.weight(name, table, type=graph.numbers.cache)


def _layer(
    graph: _Graph, config: DecoderConfig, arrays: Mapping[str, Array], layer: int, stream: str, added: str
) -> tuple[str, str]:
    """One layer; the residual stream so far and what is still to be added to it, which the next norm does."""
    own = {name.split(".", 2)[2]: array for name, array in arrays.items() if name.startswith(f"layers.{layer}.")}
    name = f"layers.{layer}.{{}}".format

    def product(left: str, out: str, *parts: str) -> str:
        right = graph.weight(name(f"{out}.weight"), *(own[part] for part in parts), transposed=True)
        return graph.node("MatMul", [left, right], [name(out)])

    normed, stream = _norm(graph, config, name("attn_norm"), own["attn_norm"], stream, added)
    attended = _attention(graph, config, layer, product(normed, "qkv", "wq", "wk", "wv"))
    normed, stream = _norm(graph, config, name("mlp_norm"), own["mlp_norm"], stream, product(attended, "mixed", "wo"))
    gate = product(normed, "gate", "w_gate")
    gated = graph.node("Mul", [gate, graph.node("Sigmoid", [gate], [name("sigmoid")])], [name("silu")])
    inner = graph.node("Mul", [gated, product(normed, "up", "w_up")], [name("inner")])
    return stream, product(inner, "down", "w_down")


def _norm(graph: _Graph, config: DecoderConfig, name: str, scale: Array, stream: str, added: str) -> tuple[str, str]:
    """RMSNorm of the stream, with what is to be added; the normed stream, and the stream itself."""
    weight = graph.weight(f"{name}.weight", scale)
    if not added:
        inputs, options = [stream, weight], {"axis": -1, "stash_type": 1}
        return graph.node("SimplifiedLayerNormalization", inputs, [name], epsilon=config.norm_eps, **options), stream
    outputs = [name, "", "", f"{name}.stream"]
    graph.node("SkipSimplifiedLayerNormalization", [stream, added, weight], outputs, epsilon=config.norm_eps)
    return name, outputs[3]


def _attention(graph: _Graph, config: DecoderConfig, layer: int, qkv: str) -> str:
    inputs = ["", "", *cache_names(layer, "past"), "last_positions", "total_tokens", "cosines", "sines"]
    outputs = [f"layers.{layer}.attended", *cache_names(layer, "present")]
    options = {"num_heads": config.heads, "kv_num_heads": config.kv_heads, "do_rotary": 1, "rotary_interleaved": 0}
    attended = graph.node("GroupQueryAttention", [_cast(graph, qkv, graph.numbers.cache), *inputs], outputs, **options)
    return _cast(graph, attended, graph.numbers.weights, graph.numbers.cache)


def _cast(graph: _Graph, name: str, to: NumberType, given: NumberType | None = None) -> str:
    """The values as type `to`; untouched where they are (`given`, else the type of the weights) already."""
    if to == (given or graph.numbers.weights):
        return name
    return graph.node("Cast", [name], [f"{name}.{to}"], to=_onnx_type(to))


def _head(
    graph: _Graph, config: DecoderConfig, arrays: Mapping[str, Array], embed: str, stream: str, added: str
) -> None:
    normed, _ = _norm(graph, config, "final_norm", arrays["final_norm"], stream, added)
    rows = graph.node("Reshape", [normed, graph.vector("flat", [-1, config.width])], ["rows"])
    picked = graph.node("Gather", [rows, "picks"], ["picked"])
    head = embed if config.tied else graph.weight("head", arrays["head"])
    if graph.numbers.weights == "fp32":
        graph.node("Gemm", [picked, head], ["logits"], transB=1)
    else:
        narrow = graph.node("Gemm", [picked, head], ["narrow_logits"], transB=1)
        graph.node("Cast", [narrow], ["logits"], to=_onnx_type("fp32"))
    graph.node("ArgMax", ["logits"], ["best"], axis=-1, keepdims=0)


def _inputs(config: DecoderConfig, numbers: Numbers) -> list[Any]:
    from onnx import TensorProto, helper

    shapes: dict[str, list[str | int | None]] = {
        "tokens": ["B", "S"],
        "last_positions": ["B"],
        "total_tokens": [1],
        "picks": ["K"],
    }
    whole = [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name, shape in shapes.items()]
    return whole + list(_caches(config, numbers, "past"))


def _outputs(config: DecoderConfig, numbers: Numbers) -> list[Any]:
    from onnx import TensorProto, helper

    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["K", config.vocab_size])
    best = helper.make_tensor_value_info("best", TensorProto.INT64, ["K"])
    return [logits, best, *_caches(config, numbers, "present")]


def _caches(config: DecoderConfig, numbers: Numbers, side: Literal["past", "present"]) -> Iterator[Any]:
    from onnx import helper

    shape: list[str | int | None] = ["B", config.kv_heads, "C", config.head_size]
    for layer in range(config.layers):
        for name in cache_names(layer, side):
            yield helper.make_tensor_value_info(name, _onnx_type(numbers.cache), shape)


def _onnx_type(type: NumberType) -> int:
    from onnx import TensorProto

    types = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
    return int(types[type])


def _converted(array: Array, type: NumberType) -> Array:
    """The array in that type; bfloat16, which numpy lacks, as its 16 bits, rounded to even.

    >>> [hex(bits) for bits in _converted(np.array([1.0, 1.00390625, -2.0]), "bf16")]
    ['0x3f80', '0x3f80', '0xc000']
    """
    if type != "bf16":
        return array.astype(np.float32 if type == "fp32" else np.float16, copy=False)
    narrow = np.empty(array.shape, np.uint16)
    for row, values in zip(np.atleast_2d(narrow), np.atleast_2d(array), strict=True):  # by rows: half the memory
        bits = values.astype(np.float32).view(np.uint32)
        row[:] = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return narrow


def _describe(tensor: Any, weight: _Weight) -> None:
    tensor.name, tensor.data_type = weight.name, _onnx_type(weight.type)
    tensor.dims.extend(weight.shape)


def _append(stream: Any, array: Array) -> tuple[int, int]:
    """Writes the array at the next aligned place; offset and length."""
    offset = -(-stream.tell() // _ALIGNMENT) * _ALIGNMENT
    stream.seek(offset)
    array.tofile(stream)
    return offset, array.nbytes


def _refer(tensor: Any, weight: _Weight, file: str, offset: int, length: int) -> None:
    from onnx import TensorProto

    _describe(tensor, weight)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
