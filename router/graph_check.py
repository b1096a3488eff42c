"""What an ONNX file holds, looked at before it is run: standard operators, nothing outside the file, finite weights.

ONNX Runtime opens more than a router may be: operators of other domains, functions, branches and loops, weights in
other files, weights that are no numbers. A file is a protobuf message (onnx/onnx.proto3), of which this reads as much
as that takes, without the package onnx, which a gateway need not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError

__all__ = ["check_graph"]

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_AGAIN = "export the router again with `nightshift train`"
_VARINT, _EIGHT_BYTES, _MESSAGE, _FOUR_BYTES = 0, 1, 2, 5
_FLOAT, _DOUBLE = 1, 11  # TensorProto.DataType
_NUMBERS = {_FLOAT: "<f4", _DOUBLE: "<f8"}

# Lists of an attribute stand number by number, each with its tag, hundreds of thousands in a forest.
_FLOATS = re.compile(rb"(?:\x3d.{4})++", re.DOTALL)
_INTS = re.compile(rb"(?:\x40[\x80-\xff]*+[\x00-\x7f])++")
_STRINGS = re.compile(rb"(?:\x4a(?:" + b"|".join(b"\\x%02x.{%d}" % (n, n) for n in range(32)) + rb"))++", re.DOTALL)
_ONE_FLOAT = np.dtype([("tag", "u1"), ("value", "<f4")])


class _Field(NamedTuple):
    number: int
    value: int
    """Of a varint; otherwise 0."""
    begin: int
    end: int


def check_graph(file: bytes) -> None:
    """Nothing, if a router may be what the file holds.

    Raises:
        RouterError: for a file that is no ONNX model, runs anything but standard operators without branches and loops,
            needs other files, or has weights that are not finite.
    """
    try:
        graphs = _model(file)
    except (IndexError, ValueError) as error:
        if isinstance(error, RouterError):
            raise
        graphs = 0
    if graphs != 1:
        raise RouterError("the file", "is no ONNX model, or was cut off", _AGAIN)


def _model(file: bytes) -> int:
    graphs = 0
    for field in _fields(file, 0, len(file)):
        if field.number == 7:
            graphs += 1
            _graph(file, field)
        elif field.number == 8:
            _domain(file, field, in_field=1)
        elif field.number in (20, 25):
            raise RouterError("the graph", "holds functions or training steps of its own", _AGAIN)
    return graphs


def _graph(file: bytes, graph: _Field) -> None:
    for field in _fields(file, graph.begin, graph.end):
        if field.number == 1:
            _domain(file, field, in_field=7)
            for part in _fields(file, field.begin, field.end):
                if part.number == 5:
                    _attribute(file, part)
        elif field.number == 5:
            _tensor(file, field)
        elif field.number == 15:
            raise RouterError("the graph", "holds sparse weights, which no router has", _AGAIN)


def _domain(file: bytes, holder: _Field, in_field: int) -> None:
    for field in _fields(file, holder.begin, holder.end):
        if field.number == in_field:
            domain = file[field.begin : field.end].decode("utf-8", "replace")
            if domain not in _DOMAINS:
                raise RouterError(domain, "is a domain of custom operators, which a router does not need", _AGAIN)


def _attribute(file: bytes, attribute: _Field) -> None:
    for field in _fields(file, attribute.begin, attribute.end, lists=True):
        if field.number == 7:
            _finite(np.frombuffer(file[field.begin : field.end], _ONE_FLOAT)["value"])
        elif field.number == 2:
            _finite(np.frombuffer(file[field.begin : field.end], "<f4"))
        elif field.number in (5, 10):
            _tensor(file, field)
        elif field.number in (6, 11):
            raise RouterError("the graph", "branches or loops, which a router does not need", _AGAIN)


def _tensor(file: bytes, tensor: _Field) -> None:
    parts = list(_fields(file, tensor.begin, tensor.end))
    if any(part.number == 13 or (part.number == 14 and part.value != 0) for part in parts):
        raise RouterError("the graph", "keeps its weights in another file", "export the router as a single file")
    kind = next((part.value for part in parts if part.number == 2), 0)
    for part in parts:
        if part.number in (4, 10) or (part.number == 9 and kind in _NUMBERS):
            numbers = _NUMBERS[{4: _FLOAT, 10: _DOUBLE}.get(part.number, kind)]
            _finite(np.frombuffer(file[part.begin : part.end], numbers))


def _finite(numbers: NDArray[Any]) -> None:
    bad = numbers[~np.isfinite(numbers)]
    if bad.size:
        raise RouterError(f"{bad.size} weights", f"are not numbers ({bad[0]})", "train the router again")


def _fields(file: bytes, begin: int, end: int, lists: bool = False) -> Iterator[_Field]:
    """Fields of a message; with `lists` those of an attribute, whose lists come as one field with all its tags."""
    while begin < end:
        forms = (_FLOATS, _INTS, _STRINGS) if lists else ()
        run = next(filter(None, (form.match(file, begin, end) for form in forms)), None)
        if run:
            yield _Field(file[begin] >> 3, 0, begin, run.end())
            begin = run.end()
            continue
        tag, begin = _varint(file, begin)
        value, stop = 0, begin
        if tag & 7 == _VARINT:
            value, stop = _varint(file, begin)
        elif tag & 7 == _MESSAGE:
            length, begin = _varint(file, begin)
            stop = begin + length
        elif tag & 7 in (_EIGHT_BYTES, _FOUR_BYTES):
            stop = begin + (8 if tag & 7 == _EIGHT_BYTES else 4)
        else:
            raise ValueError("no such wire type")
        if stop > end or tag < 8:
            raise ValueError("a field goes beyond its message")
        yield _Field(tag >> 3, value, begin, stop)
        begin = stop


def _varint(file: bytes, begin: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = file[begin]
        value |= (byte & 0x7F) << shift
        begin, shift = begin + 1, shift + 7
        if byte < 0x80:
            return value, begin
        if shift > 63:
            raise ValueError("a number is too long")
