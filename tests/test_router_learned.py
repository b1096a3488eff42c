"""A router's file is believed in nothing: it is opened and scored as the format says, or refused in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from router.errors import RouterError
from router.learned import LearnedRouter
from tests.made_router import FEATURES, Made, chances, questions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "router.onnx"


def test_scores_are_what_the_graph_says(path: Path) -> None:
    router = LearnedRouter.load(Made().write(path), provider="cpu")
    asked = questions(1_000)
    scores = router.score(asked)

    assert router.strategies == ("direct", "think")
    assert scores.p_correct == pytest.approx(chances(asked), abs=1e-6)
    longer = np.where(asked[:, 1] > 4, 0.4, 0.0)
    assert scores.log_tokens == pytest.approx(np.stack([3.0 + longer, 6.0 + longer], axis=1), abs=1e-6)
    assert np.unique(scores.log_tokens_sd).tolist() == [0.5]
    assert (scores.prepared, scores.predictability, scores.expected_questions) == (None, None, None)


def test_what_is_known_of_prepared_contexts_comes_along(path: Path) -> None:
    scores = LearnedRouter.load(Made(prepared=True, contexts=True).write(path), provider="cpu").score(questions(10))

    assert scores.prepared is not None
    assert scores.prepared.p_correct.tolist() == scores.p_correct.tolist()
    assert scores.predictability is not None
    assert scores.expected_questions == pytest.approx(scores.p_correct.sum(axis=1), rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 8_192, 50_001])
def test_the_size_of_a_block_changes_no_score(n: int, path: Path) -> None:
    router = LearnedRouter.load(Made(contexts=True).write(path), provider="cpu")
    asked = questions(n)
    scores = router.score(asked)

    assert scores.p_correct.shape == scores.log_tokens.shape == (n, 2)
    np.testing.assert_allclose(scores.p_correct, chances(asked), atol=1e-6)


def weight(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def with_weight(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[ModelProto], None]:
    def spoil(model: ModelProto) -> None:
        old = weight(model, name)
        old.CopyFrom(numpy_helper.from_array(np.asarray(change(numpy_helper.to_array(old).copy())), name))

    return spoil


def with_nan(values: np.ndarray) -> np.ndarray:
    values.flat[-1] = np.nan
    return values


def nan_in_a_leaf(model: ModelProto) -> None:
    (tree,) = (node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    next(part for part in tree.attribute if part.name == "target_weights").floats[1] = np.nan


def drop_output(model: ModelProto) -> None:
    del model.graph.output[1]


def rename_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("line", TensorProto.FLOAT, ["n", 2]))


def outside(model: ModelProto) -> None:
    tensor = weight(model, "slopes")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def custom(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[2].op_type = "Gelu"
    model.graph.node[2].domain = "com.microsoft"


def with_function(model: ModelProto) -> None:
    opsets = [helper.make_opsetid("", 18)]
    body = [helper.make_node("Sigmoid", ["x"], ["y"])]
    model.functions.append(helper.make_function("", "Squash", ["x"], ["y"], body, opsets))


def branching(model: ModelProto) -> None:
    port = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Identity", ["logit"], ["b"])], "branch", [], [port])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    node = helper.make_node("If", ["yes"], ["branched"], then_branch=graph, else_branch=graph)
    model.graph.node.insert(2, node)


def unknown_operator(model: ModelProto) -> None:
    model.graph.node[2].op_type = "Sigmoidal"


def over_the_batch(model: ModelProto) -> None:
    """The chance of a question follows from all questions."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    model.graph.node.insert(1, helper.make_node("ReduceMean", ["line", "first"], ["mean"], keepdims=1))
    model.graph.node[2].input[0] = "mean_and_line"
    model.graph.node.insert(2, helper.make_node("Add", ["line", "mean"], ["mean_and_line"]))


def not_squashed(model: ModelProto) -> None:
    model.graph.node[2].op_type = "Identity"


def wider_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    with_weight("slopes", lambda slopes: np.vstack([slopes, slopes[:1]]))(model)


def other_input(model: ModelProto) -> None:
    model.graph.input[0].name = "rows"
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = "rows" if name == "features" else name


def in_double(model: ModelProto) -> None:
    model.graph.output[0].name = "p_double"
    model.graph.node.append(helper.make_node("Cast", ["p_correct"], ["p_double"], to=TensorProto.DOUBLE))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.node[-1].output[0], model.graph.node[2].output[0] = "p_correct", "p_float"
    model.graph.node[-1].input[0], model.graph.output[0].name = "p_float", "p_correct"


def with_features(**changed: Any) -> Made:
    return Made(metadata={"features": json.dumps(FEATURES | changed)})


NOT_FINITE = "are not numbers"
TAMPERED: dict[str, tuple[Made, str]] = {
    "another format": (
        Made(metadata={"format": "nightshift-router-9"}),
        "nightshift-router-9 is no format of a router",
    ),
    "another feature version": (with_features(version="0"), "0 is no feature version that this package computes"),
    "other features": (with_features(numbers=["long", "hard"]), "are not the features of this version in their order"),
    "metadata that is no JSON": (Made(metadata={"labels": "{"}), "labels={ is not a JSON object"),
    "a list for an object": (Made(metadata={"metrics": "[]"}), "metrics=[] is not a JSON object"),
    "no date": (Made(metadata={"date": "soon"}), "date=soon is no date"),
    "a strategy twice": (Made(strategies=("direct", "direct")), "is no list of different names"),
    "fewer strategies": (Made(metadata={"strategies": '["direct"]'}), "p_correct ['n', 2] is not of shape [n, 1]"),
    "other strategies": (Made(metadata={"strategies": '["direct", "vote"]'}), "vote is a strategy without bins"),
    "no bins": (
        Made(metadata={"reference": '{"questions": 5, "features": {}}'}),
        "lacks questions, features or p_correct",
    ),
    "a prepared output too many": (
        Made(prepared=True, metadata={"has_prepared": "false"}),
        "is no output of this router",
    ),
    "prepared outputs missing": (Made(metadata={"has_prepared": "true"}), "log_tokens_prepared is missing"),
    "an output missing": (Made(spoil=drop_output), "log_tokens is missing from the outputs"),
    "an output that nobody knows": (Made(spoil=rename_output), "line is no output of this router's format"),
    "an output in double": (Made(spoil=in_double), "p_correct of type tensor(double) is not of type float32"),
    "another width": (Made(spoil=wider_input), "features ['n', 3] is not of shape [n, 2]"),
    "another input": (Made(spoil=other_input), "['rows'] are not the inputs of a router: features"),
    "NaN among weights": (Made(spoil=with_weight("offsets", with_nan)), NOT_FINITE),
    "infinite weights": (Made(spoil=with_weight("tokens", lambda old: old * np.inf)), NOT_FINITE),
    "NaN in a leaf": (Made(spoil=nan_in_a_leaf), NOT_FINITE),
    "impossible chances": (Made(spoil=not_squashed), "is not between 0 and 1"),
    "impossible lengths": (Made(spoil=with_weight("tokens", lambda old: old + 90)), "is not between -5 and 30"),
    "a negative spread": (
        Made(spoil=with_weight("spread", lambda old: -old)),
        "log_tokens_sd=-0.5 is not between 0 and 10",
    ),
    "rows that look at each other": (Made(spoil=over_the_batch), "depends on the questions beside it"),
    "weights outside": (Made(spoil=outside), "keeps its weights in another file"),
    "operators of others": (Made(spoil=custom), "com.microsoft is a domain of custom operators"),
    "functions": (Made(spoil=with_function), "holds functions or training steps of its own"),
    "branches": (Made(spoil=branching), "branches or loops"),
    "operators unknown": (Made(spoil=unknown_operator), "cannot be opened by ONNX Runtime"),
}


@pytest.mark.parametrize(("made", "told"), TAMPERED.values(), ids=TAMPERED)
def test_what_is_not_a_router_is_refused(made: Made, told: str, path: Path) -> None:
    with pytest.raises(RouterError, match=re.escape(told)) as caught:
        LearnedRouter.load(made.write(path), provider="cpu")

    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", sorted(Made()._metadata()))
def test_missing_metadata_is_refused(key: str, path: Path) -> None:
    with pytest.raises(RouterError, match=key):
        LearnedRouter.load(Made(metadata={key: None}).write(path), provider="cpu")


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = Made(prepared=True).write(path).read_bytes()
    for size in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:size])
        with pytest.raises(RouterError):
            LearnedRouter.load(path, provider="cpu")


def test_bytes_changed_by_chance_are_refused_or_do_no_harm(path: Path) -> None:
    """Whatever one changed byte makes of the file: an error of ours, or scores that can be."""
    whole = np.frombuffer(Made().write(path).read_bytes(), np.uint8)
    generator, refused = np.random.default_rng(7), 0
    for place in generator.integers(0, whole.size, 300):
        changed = whole.copy()
        changed[place] ^= np.uint8(generator.integers(1, 256))
        path.write_bytes(changed.tobytes())
        try:
            scores = LearnedRouter.load(path, provider="cpu").score(questions(5))
        except RouterError:
            refused += 1
        else:
            assert ((scores.p_correct >= 0) & (scores.p_correct <= 1)).all()

    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04\x95pickle", b'{"format": "nightshift-router-1"}'])
def test_other_files_are_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(RouterError, match="is no ONNX model"):
        LearnedRouter.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(RouterError, match="cannot be read"):
            LearnedRouter.load(missing)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros((3, 5)), "is not the shape of this router's features"),
        (np.zeros(2), "is not the shape of this router's features"),
        ([[0.0, np.nan]], "hold what is no number"),
        ([[0.0, np.inf]], "hold what is no number"),
    ],
)
def test_features_that_cannot_be_are_refused(rows: Any, told: str, path: Path) -> None:
    with pytest.raises(RouterError, match=re.escape(told)):
        LearnedRouter.load(Made().write(path), provider="cpu").score(rows)


def test_what_the_router_cannot_mean_is_an_error_at_run_time_too(path: Path) -> None:
    """In training `hard` lay between 0 and 1; far beyond, infinity less infinity is no number."""

    def spoil(model: ModelProto) -> None:
        model.graph.node.insert(1, helper.make_node("Sub", ["line", "line_of"], ["flat"]))
        model.graph.node.insert(1, helper.make_node("MatMul", ["features", "slopes"], ["line_of"]))
        model.graph.node[3].input[0] = "flat"

    router = LearnedRouter.load(Made(spoil=spoil).write(path), provider="cpu")
    assert np.isfinite(router.score(questions(3)).p_correct).all()
    with pytest.raises(RouterError, match="p_correct=nan is not between 0 and 1; train the router again"):
        router.score([[3e38, 0.0]])


def test_a_gpu_is_asked_for_in_vain_where_there_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.provider.cuda_works", lambda: False)
    Made().write(path)

    assert LearnedRouter.load(path, provider="auto").device == "cpu"
    with pytest.raises(RouterError, match="cuda needs an NVIDIA GPU"):
        LearnedRouter.load(path, provider="cuda")
    with pytest.raises(RouterError, match="tpu is no provider; use one of: auto, cpu, cuda"):
        LearnedRouter.load(path, provider="tpu")  # type: ignore[arg-type]


def test_bound_memory_gives_the_same_scores(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU gets by IO binding, tried on the CPU, where ONNX Runtime binds too."""
    router = LearnedRouter.load(Made(contexts=True).write(path), provider="cpu")
    plain = router._run(questions(30_000))
    monkeypatch.setattr(router, "_run_block", router._run_bound)

    for name, values in router._run(questions(30_000)).items():
        np.testing.assert_array_equal(values, plain[name])


def test_scores_on_a_gpu_are_those_of_the_cpu(path: Path) -> None:
    from router.provider import device_for

    if device_for("auto") == "cpu":
        pytest.skip("no CUDA device here")
    Made(prepared=True, contexts=True).write(path)
    on_gpu, on_cpu = (LearnedRouter.load(path, provider=name).score(questions(100_000)) for name in ("cuda", "cpu"))

    assert on_gpu.p_correct == pytest.approx(on_cpu.p_correct, abs=1e-5)
    assert on_gpu.log_tokens == pytest.approx(on_cpu.log_tokens, abs=1e-5)


def test_the_last_of_many_weights_is_looked_at(path: Path) -> None:
    """Lists of a forest stand number by number in the file, and are read in runs."""

    def spoil(model: ModelProto) -> None:
        (tree,) = (node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
        for part in tree.attribute:
            for numbers in (part.floats, part.ints, part.strings):
                numbers.extend(list(numbers) * 50_000)
        next(part for part in tree.attribute if part.name == "nodes_values").floats[-1] = np.nan

    with pytest.raises(RouterError, match="1 weights are not numbers"):
        LearnedRouter.load(Made(spoil=spoil).write(path), provider="cpu")
