"""How long a router takes to score a batch of requests on ONNX Runtime, by the size of the batch.

Two graphs are made up in the size that routers have, a small network and a forest, 64 features in and 8 strategies out;
a router's own file can be timed beside them. What is timed is a call from arrays in memory to arrays in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.lab.decoder.sessions import load_session, session_options
from sim.streams import RandomStreams

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["BATCHES", "FEATURES", "STRATEGIES", "forest", "measure_router", "network"]

BATCHES = (1, 8, 64, 512, 4096)
FEATURES, STRATEGIES = 64, 8

_HIDDEN = (64, 32)
_TREES, _DEPTH = 100, 6
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 9
_FEWEST_CALLS, _WARM_CALLS = 20, 5
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


def measure_router(
    provider: str,
    seconds_each: float,
    *,
    threads: int | None = None,
    own: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> DataFrame:
    """A row for each graph and batch: `graph`, `batch`, `provider`, `calls`, `median_us`, `p99_us`, `us_per_request`.

    Each is called for `seconds_each`, and 20 times at least.

    Raises:
        InputError: for a router's file that ONNX Runtime cannot load, or whose inputs are no numbers by request.
    """
    from pandas import DataFrame

    rows = []
    for name, session in _sessions(provider, threads, own):
        for batch in BATCHES:
            times_s = _timed(session, _inputs(session, batch, own), seconds_each)
            median_s, p99_s = np.quantile(times_s, [0.5, 0.99]).tolist()
            rows.append(
                {
                    "graph": name,
                    "batch": batch,
                    "provider": provider,
                    "calls": len(times_s),
                    "median_us": round(median_s * 1e6, 2),
                    "p99_us": round(p99_s * 1e6, 2),
                    "us_per_request": round(median_s * 1e6 / batch, 4),
                }
            )
        progress(f"router: {name}, {rows[-len(BATCHES)]['median_us']:.0f} us for one request")
    return DataFrame(rows)


def _sessions(provider: str, threads: int | None, own: Path | None) -> Iterator[tuple[str, Any]]:
    options = session_options(threads)
    yield "network", load_session(network(), provider, options)
    yield "forest", load_session(forest(), provider, options)
    if own is not None:
        try:
            yield own.name, load_session(own, provider, options)
        # What ONNX Runtime raises has no common root of its own.
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise InputError(own, f"cannot be loaded ({reason})", "give an ONNX file", where="--router") from None


def _inputs(session: Any, batch: int, own: Path | None) -> Mapping[str, NDArray[Any]]:
    """Random numbers for each input, whose first dimension is the requests."""
    draws = RandomStreams(0, 0).generator("lab/measure/router")
    made: dict[str, NDArray[Any]] = {}
    for each in session.get_inputs():
        if each.type not in _TYPES or not each.shape:
            rule = f"has an input {each.name} of {each.type}, which is no column of numbers by request"
            raise InputError(own or each.name, rule, "give a router that takes numbers alone", where="--router")
        rest = [size if isinstance(size, int) else 1 for size in each.shape[1:]]
        made[each.name] = draws.random((batch, *rest)).astype(_TYPES[each.type])
    return made


def _timed(session: Any, inputs: Mapping[str, NDArray[Any]], seconds: float) -> NDArray[np.float64]:
    for _ in range(_WARM_CALLS):
        session.run(None, inputs)
    times_s = list[float]()
    until_s = time.perf_counter() + seconds
    while len(times_s) < _FEWEST_CALLS or time.perf_counter() < until_s:
        begin_s = time.perf_counter()
        session.run(None, inputs)
        times_s.append(time.perf_counter() - begin_s)
    return np.array(times_s)


def network() -> bytes:
    """A graph of two hidden layers: p_correct [n, 8] of features [n, 64]."""
    from onnx import TensorProto, helper, numpy_helper

    draws = RandomStreams(0, 0).generator("lab/measure/network")
    sizes, nodes, weights, last = (FEATURES, *_HIDDEN, STRATEGIES), [], [], "features"
    for layer, (wide, narrow) in enumerate(pairwise(sizes)):
        matrix = (draws.standard_normal((wide, narrow)) / np.sqrt(wide)).astype(np.float32)
        weights += [
            numpy_helper.from_array(matrix, f"w{layer}"),
            numpy_helper.from_array(np.zeros(narrow, np.float32), f"b{layer}"),
        ]
        ends = layer == len(_HIDDEN)
        nodes += [
            helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]),
            helper.make_node("Sigmoid" if ends else "Relu", [f"h{layer}"], ["p_correct" if ends else f"a{layer}"]),
        ]
        last = f"a{layer}"
    return _model(nodes, weights, [helper.make_opsetid("", _OPSET)], TensorProto.FLOAT)


def forest() -> bytes:
    """A graph of 100 trees six deep: p_correct [n, 8] of features [n, 64]."""
    from onnx import TensorProto, helper

    draws = RandomStreams(0, 0).generator("lab/measure/forest")
    inner, leaves = (1 << _DEPTH) - 1, 1 << _DEPTH
    nodes = np.arange(inner + leaves)
    is_inner = nodes < inner
    every: dict[str, NDArray[Any] | list[str]] = {
        "nodes_treeids": np.repeat(np.arange(_TREES), inner + leaves),
        "nodes_nodeids": np.tile(nodes, _TREES),
        "nodes_featureids": draws.integers(0, FEATURES, _TREES * len(nodes)),
        "nodes_values": draws.random(_TREES * len(nodes)).astype(np.float32),
        "nodes_modes": ["BRANCH_LEQ" if branches else "LEAF" for branches in np.tile(is_inner, _TREES)],
        "nodes_truenodeids": np.tile(np.where(is_inner, 2 * nodes + 1, 0), _TREES),
        "nodes_falsenodeids": np.tile(np.where(is_inner, 2 * nodes + 2, 0), _TREES),
        "target_treeids": np.repeat(np.arange(_TREES), leaves * STRATEGIES),
        "target_nodeids": np.tile(np.repeat(np.arange(inner, inner + leaves), STRATEGIES), _TREES),
        "target_ids": np.tile(np.arange(STRATEGIES), _TREES * leaves),
        "target_weights": (draws.random(_TREES * leaves * STRATEGIES) / _TREES).astype(np.float32),
    }
    plain: dict[str, Any] = {
        name: value if isinstance(value, list) else value.tolist() for name, value in every.items()
    }
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["p_correct"],
        domain="ai.onnx.ml",
        n_targets=STRATEGIES,
        aggregate_function="SUM",
        post_transform="NONE",
        **plain,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    return _model([node], [], opsets, TensorProto.FLOAT)


def _model(nodes: list[Any], weights: list[Any], opsets: list[Any], kind: int) -> bytes:
    from onnx import helper

    graph = helper.make_graph(
        nodes,
        "router",
        [helper.make_tensor_value_info("features", kind, ["n", FEATURES])],
        [helper.make_tensor_value_info("p_correct", kind, ["n", STRATEGIES])],
        weights,
    )
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return made
