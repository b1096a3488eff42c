"""Small router files, put together by hand as the format has it, and spoiled on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from router.drift.bins import reference
from router.features import FeatureSpec

STRATEGIES = ("direct", "think")
NAMES = ("hard", "long")
FEATURES = FeatureSpec(NAMES, text=False).document()
OF_STRATEGIES = ("p_correct", "log_tokens", "log_tokens_sd")
PREPARED = ("p_correct_prepared", "log_tokens_prepared", "log_tokens_prepared_sd")
OF_CONTEXTS = ("predictability", "expected_questions")


def questions(n: int, seed: int = 0) -> np.ndarray:
    """Features of n questions: how hard, from 0 to 1, and how long, a count; [n, 2]."""
    draw = np.random.default_rng(seed)
    return np.stack([draw.random(n), draw.poisson(4.0, n)], axis=1).astype(np.float32)


def chances(features: np.ndarray) -> np.ndarray:
    """p_correct of the made router: direct answers fail at hard questions, thought helps; [n, 2]."""
    hard = features[:, 0].astype(np.float64)
    p = 1.0 / (1.0 + np.exp(-np.stack([3.0 - 6.0 * hard, 3.0 - 2.0 * hard], axis=1)))
    return p + 0.0


@dataclass
class Made:
    """A router: p = sigmoid of a line in `hard`, direct answers of e^3 tokens and thoughts of e^6, longer by a tree on
    `long`."""

    features: dict[str, Any] = field(default_factory=lambda: dict(FEATURES))
    strategies: tuple[str, ...] = STRATEGIES
    prepared: bool = False
    contexts: bool = False
    metadata: dict[str, str | None] = field(default_factory=dict)
    """Entries in place of the usual ones; None leaves one out."""
    spoil: Callable[[ModelProto], None] = lambda model: None
    """What is done to the graph before it is written."""

    @property
    def width(self) -> int:
        return len(self.features["names"]) + int(self.features["hashed"])

    @property
    def _hard_column(self) -> int:
        """Where texts are read, those with numbers are hard."""
        names = self.features["names"]
        return names.index("text:numbers") if "text:numbers" in names else 0

    def write(self, path: Path) -> Path:
        path.write_bytes(self.model().SerializeToString())
        return path

    def model(self) -> ModelProto:
        outputs = [*OF_STRATEGIES, *(PREPARED if self.prepared else ()), *(OF_CONTEXTS if self.contexts else ())]
        ports = [_port(name, None if name in OF_CONTEXTS else len(self.strategies)) for name in outputs]
        graph = helper.make_graph(
            self._nodes(outputs), "router", [_port("features", self.width)], ports, self._weights()
        )
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        entries = self._metadata() | self.metadata
        helper.set_model_props(model, {key: text for key, text in entries.items() if text is not None})
        self.spoil(model)
        return model

    def _nodes(self, outputs: list[str]) -> list[Any]:
        nodes = [
            helper.make_node("MatMul", ["features", "slopes"], ["line"]),
            helper.make_node("Add", ["line", "offsets"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["p_correct"]),
            _stump("features", "longer"),
            helper.make_node("Add", ["longer", "tokens"], ["log_tokens"]),
            helper.make_node("Mul", ["logit", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "spread"], ["log_tokens_sd"]),
        ]
        nodes += [helper.make_node("Identity", [name.replace("_prepared", "")], [name]) for name in PREPARED]
        nodes += [
            helper.make_node("ReduceSum", ["line", "last"], ["predictability"], keepdims=0),
            helper.make_node("ReduceSum", ["p_correct", "last"], ["expected_questions"], keepdims=0),
        ]
        return [node for node in nodes if set(node.output) & {*outputs, "line", "logit", "longer", "nothing"}]

    def _weights(self) -> list[Any]:
        ways = len(self.strategies)
        slopes = np.zeros((self.width, ways), np.float32)
        slopes[self._hard_column] = np.linspace(-6.0, -2.0, ways)
        arrays: dict[str, Any] = {
            "slopes": slopes,
            "offsets": np.full(ways, 3.0, np.float32),
            "tokens": np.linspace(3.0, 6.0, ways).astype(np.float32),
            "zero": np.zeros(ways, np.float32),
            "spread": np.full(ways, 0.5, np.float32),
            "last": np.array([1], np.int64),
        }
        return [numpy_helper.from_array(array, name) for name, array in arrays.items()]

    def _metadata(self) -> Mapping[str, str | None]:
        trained = questions(2_000)
        held_out = {name: {"auc": 0.8, "ece": 0.01, "brier": 0.15} for name in self.strategies}
        known = reference(trained, self.features["names"][:2], chances(trained), self.strategies)
        return {
            "format": "nightshift-router-1",
            "features": json.dumps(self.features),
            "strategies": json.dumps(self.strategies),
            "has_prepared": json.dumps(self.prepared),
            "labels": json.dumps({"source": "made", "rows": 4000, "questions": 2000}),
            "date": "2026-03-02",
            "metrics": json.dumps(held_out),
            "calibration": json.dumps({name: {"slope": 1.0, "offset": 0.0} for name in self.strategies}),
            "reference": json.dumps(known),
            "package": "0.1.0",
        }


def _port(name: str, width: int | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"] if width is None else ["n", width])


def _stump(given: str, answer: str) -> Any:
    """One tree: 0.0 up to four of feature 1, and 0.4 above."""
    return helper.make_node(
        "TreeEnsembleRegressor",
        [given],
        [answer],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_values=[4.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[0.0, 0.4],
    )
