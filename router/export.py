"""Write a trained router as one ONNX file: matrix products, one ensemble of trees a head, arithmetic.

Everything is float32, as the features are. Thresholds of trees are rounded down to float32, which leaves every float32
feature on the side where it was in training. The same router gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError
from router.learning.calibration import Sigmoids
from router.learning.forest import Forest
from router.learning.heads import Head
from router.train import Trained

__all__ = ["FORMAT", "export", "router_bytes"]

FORMAT = "nightshift-router-1"
"""The layout of inputs, outputs and metadata."""

_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8


def export(trained: Trained, path: Path, *, date: str) -> None:
    """Write the router to `path`, aside first, so that a file of that name is always whole.

    Raises:
        RouterError: for a path that cannot be written.
    """
    made = router_bytes(trained, date=date)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as aside:
            aside.write(made)
        os.chmod(aside.name, 0o644)
        os.replace(aside.name, path)
    except OSError as error:
        rule = f"cannot be written ({error.strerror or error})"
        raise RouterError(str(path), rule, "make room, or give another file") from None


def router_bytes(trained: Trained, *, date: str) -> bytes:
    """The router as the bytes of an ONNX file. `date` stands in its metadata."""
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    outputs = _build(graph, trained)
    wide = trained.spec.width
    strategies = len(trained.layout.strategies)
    shapes: dict[str, list[str | int | None]] = {
        name: ["n"] if name in _BY_REQUEST else ["n", strategies] for name in outputs
    }
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "router",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", wide])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
        ir_version=_IR_VERSION,
        producer_name="nightshift",
    )
    helper.set_model_props(model, metadata_of(trained, date=date))
    checker.check_model(model)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


_BY_REQUEST = ("predictability", "expected_questions")


def metadata_of(trained: Trained, *, date: str) -> dict[str, str]:
    """What the file says of itself."""
    layout = trained.layout
    documents: dict[str, Any] = {
        "features": trained.spec.document(),
        "strategies": list(layout.strategies),
        "prepared_strategies": [layout.strategies[place] for place in layout.prepared or ()],
        "labels": dict(trained.labels),
        "metrics": dict(trained.figures),
        "calibration": dict(trained.calibration),
        "reference": _rounded(trained.reference),
    }
    texts = {"format": FORMAT, "has_prepared": "true" if layout.prepared is not None else "false", "date": date}
    written = {name: json.dumps(document, allow_nan=False) for name, document in documents.items()}
    return {**texts, **written, "package": _package_version()}


def _package_version() -> str:
    try:
        return version("nightshift")
    except PackageNotFoundError:
        return "unknown"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


class _Graph:
    """Nodes and constants of a graph under construction, named in the order in which they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, kind: type[np.generic] = np.float32) -> str:
        """The name of a constant."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """The output of a new node."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def scaled(self, given: str, factor: Any, offset: Any, output: str | None = None) -> str:
        """given * factor + offset."""
        return self.add("Add", [self.add("Mul", [given, self.constant(factor)]), self.constant(offset)], output)

    def slice(self, given: str, first: int, end: int) -> str:
        """Columns from `first` to before `end`."""
        edges = [self.constant([edge], np.int64) for edge in (first, end, 1)]
        return self.add("Slice", [given, *edges])

    def columns(self, given: str, places: list[int], output: str) -> str:
        """Some columns in this order."""
        return self.add("Gather", [given, self.constant(places, np.int64)], output, axis=1)


def _build(graph: _Graph, trained: Trained) -> list[str]:
    """All nodes; gives back the outputs' names."""
    layout, first = trained.layout, list(range(len(trained.layout.strategies)))
    dense = len(trained.spec.names)
    chance = _sigmoids(graph, _head(graph, trained.correct.head, dense), trained.correct.sigmoids)
    amounts = trained.amounts
    amount = graph.scaled(_head(graph, amounts.head, dense), amounts.slope, amounts.offset)
    spread = graph.scaled(
        graph.columns(amount, list(range(layout.columns)), "tokens"), 0.0, trained.spread[: layout.columns], "spreads"
    )
    outputs = [
        graph.columns(chance, first, "p_correct"),
        graph.columns(amount, first, "log_tokens"),
        graph.columns(spread, first, "log_tokens_sd"),
    ]
    if layout.prepared is not None:
        on = layout.on_prepared
        outputs += [
            graph.columns(chance, on, "p_correct_prepared"),
            graph.columns(amount, on, "log_tokens_prepared"),
            graph.columns(spread, on, "log_tokens_prepared_sd"),
        ]
    if layout.has_logprob:
        outputs.append(_single(graph, amount, layout.logprob_column, "predictability"))
    elif layout.prepared is not None:
        with_notes = graph.columns(chance, list(range(len(first), layout.columns)), "with_notes")
        without = graph.columns(chance, list(layout.prepared), "without_notes")
        gain = graph.add("Sub", [with_notes, without])
        outputs.append(graph.add("ReduceMean", [gain], "predictability", axes=[1], keepdims=0))
    if layout.has_contexts:
        log_questions = _single(graph, amount, layout.questions_column, "log_questions")
        outputs.append(graph.add("Exp", [log_questions], "expected_questions"))
    return outputs


def _single(graph: _Graph, given: str, column: int, output: str) -> str:
    return graph.add("Gather", [given, graph.constant(column, np.int64)], output, axis=1)


def _head(graph: _Graph, head: Head, dense: int) -> str:
    """share * ridge + (1 - share) * forest."""
    parts = []
    if head.share > 0.0:
        parts.append(_ridge(graph, head, dense))
    if head.share < 1.0:
        parts.append(_trees(graph, head.forest, 1.0 - head.share))
    return graph.add("Add", parts) if len(parts) > 1 else parts[0]


def _sigmoids(graph: _Graph, score: str, sigmoids: Sigmoids) -> str:
    """The sigmoid of a polynomial, by Horner's rule."""
    above = graph.add("Sub", [score, graph.constant(sigmoids.low)])
    place = graph.add("Mul", [above, graph.constant(sigmoids.scale)])
    held = graph.add("Clip", [place, graph.constant(0.0), graph.constant(1.0)])
    raised = graph.scaled(held, sigmoids.powers[-1], sigmoids.powers[-2])
    for power in sigmoids.powers[-3::-1]:
        raised = graph.add("Add", [graph.add("Mul", [raised, held]), graph.constant(power)])
    return graph.add("Sigmoid", [raised])


def _ridge(graph: _Graph, head: Head, dense: int) -> str:
    scaling, wide = head.scaling, len(head.linear.weights)
    weights = head.share * head.linear.weights
    parts = []
    if dense:
        columns = graph.slice("features", 0, dense)
        centred = graph.add("Sub", [columns, graph.constant(scaling.middle)])
        spread = graph.add("Mul", [centred, graph.constant(scaling.scale)])
        held = graph.add("Clip", [spread, graph.constant(-scaling.reach), graph.constant(scaling.reach)])
        parts.append(graph.add("MatMul", [held, graph.constant(weights[:dense])]))
    if wide > dense:
        hashed = graph.slice("features", dense, wide)
        parts.append(graph.add("MatMul", [hashed, graph.constant(weights[dense:])]))
    total = graph.add("Add", parts) if len(parts) > 1 else parts[0]
    return graph.add("Add", [total, graph.constant(head.share * head.linear.offset)])


def _trees(graph: _Graph, forest: Forest, share: float) -> str:
    """The sum of the leaves along all directions, mixed into targets."""
    leaves = graph.add(
        "TreeEnsembleRegressor",
        ["features"],
        domain="ai.onnx.ml",
        n_targets=len(forest.mixing),
        aggregate_function="SUM",
        post_transform="NONE",
        **_tree_tables(forest),
    )
    mixed = graph.add("MatMul", [leaves, graph.constant(share * forest.mixing)])
    return graph.add("Add", [mixed, graph.constant(share * forest.offset)])


def _tree_tables(forest: Forest) -> dict[str, Any]:
    """The attributes of a TreeEnsembleRegressor for trees of scikit-learn."""
    tables: dict[str, list[Any]] = {name: [] for name in (*_NODES, *_TARGETS)}
    for number, fitted in enumerate(forest.trees):
        tree = fitted.tree_
        inner = tree.children_left >= 0
        nodes = len(inner)
        tables["nodes_treeids"] += [number] * nodes
        tables["nodes_nodeids"] += range(nodes)
        tables["nodes_featureids"] += np.where(inner, tree.feature, 0).tolist()
        tables["nodes_values"] += np.where(inner, floor_float32(tree.threshold), np.float32(0.0)).tolist()
        tables["nodes_modes"] += ["BRANCH_LEQ" if each else "LEAF" for each in inner]
        tables["nodes_truenodeids"] += np.where(inner, tree.children_left, 0).tolist()
        tables["nodes_falsenodeids"] += np.where(inner, tree.children_right, 0).tolist()
        leaves = np.flatnonzero(~inner)
        targets = len(forest.mixing)
        tables["target_treeids"] += [number] * (len(leaves) * targets)
        tables["target_nodeids"] += np.repeat(leaves, targets).tolist()
        tables["target_ids"] += np.tile(np.arange(targets), len(leaves)).tolist()
        values = forest.rate * tree.value[leaves, :, 0]
        tables["target_weights"] += values.astype(np.float32).ravel().tolist()
    return dict(tables)


_NODES = tuple(
    f"nodes_{part}" for part in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
)
_TARGETS = tuple(f"target_{part}" for part in ("treeids", "nodeids", "ids", "weights"))


def floor_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest float32 at most each value, so that x <= value and x <= floor agree for every float32 x."""
    near = values.astype(np.float32)
    above = near.astype(np.float64) > values
    return np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
