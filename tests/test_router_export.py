"""The exported file gives what was trained, to 1e-5 and with the same decisions, and the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from router.errors import RouterError
from router.export import FORMAT, export, floor_float32, router_bytes
from router.features import FeatureSpec
from router.rows import read_labels
from router.tables import parse_map
from router.train import Trained, features_of, train
from tests.made_outcomes import lab_like, text_log, written

ROWS = 10_000
MAP = "text=prompt,small:correct=small right,large:correct=large right"
Made = tuple[Trained, NDArray[np.float32]]


def of_texts(folder: Path) -> Made:
    labels = read_labels(written(text_log(), folder / "log.csv"), names=parse_map(MAP))
    trained = train(labels, hashed=128)
    return trained, features_of(labels, trained.spec)


def of_contexts(folder: Path) -> Made:
    labels = read_labels(written(lab_like(), folder / "lab.parquet"))
    trained = train(labels)
    return trained, features_of(labels, trained.spec)


@pytest.fixture(scope="module", params=[of_texts, of_contexts], ids=["texts", "contexts"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    build: Callable[[Path], Made] = request.param
    return build(tmp_path_factory.mktemp("made"))


def session_of(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def many_rows(trained: Trained, seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows as they come, rows changed a little, rows beyond all that was seen, and rows on the thresholds of trees."""
    draws = np.random.default_rng(0)
    rows = seen[draws.integers(len(seen), size=ROWS)].copy()
    rows[3000:6000] *= draws.normal(1.0, 0.2, rows[3000:6000].shape).astype(np.float32)
    rows[6000:7000] *= 50.0
    for place in range(7000, ROWS):
        tree = trained.correct.head.forest.trees[place % len(trained.correct.head.forest.trees)].tree_
        inner = np.flatnonzero(tree.children_left >= 0)
        for node in inner:
            near = np.float32(tree.threshold[node])
            side = (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf)))
            rows[place, tree.feature[node]] = side[place % 3]
    return rows


def test_ten_thousand_rows_get_what_the_training_library_gives(made: Made) -> None:
    trained, seen = made
    rows = many_rows(trained, seen)
    session = session_of(router_bytes(trained, date="2026-01-01"))
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"features": rows}), strict=True))
    expected = trained.predict(rows)
    assert names == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, atol=1e-5, rtol=1e-5, err_msg=name)
    for name in set(names) & {"p_correct", "p_correct_prepared"}:
        ours, theirs = expected[name].argmax(axis=1), found[name].argmax(axis=1)
        apart = np.abs(np.diff(np.sort(expected[name], axis=1)[:, -2:], axis=1))[:, 0] > 1e-6
        np.testing.assert_array_equal(ours[apart], theirs[apart])
        assert apart.mean() > 0.95


def test_a_row_gets_the_same_alone_as_in_a_batch(made: Made) -> None:
    trained, seen = made
    session = session_of(router_bytes(trained, date="2026-01-01"))
    whole = session.run(["p_correct"], {"features": seen[:300]})[0]
    alone = np.concatenate([session.run(["p_correct"], {"features": seen[row : row + 1]})[0] for row in range(40)])
    np.testing.assert_allclose(alone, whole[:40], atol=1e-6)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (router_bytes(of_contexts(tmp_path)[0], date="2026-01-01") for _ in range(2))
    assert first == second


def test_metadata_says_all_that_is_needed_to_compute_features_and_to_judge(made: Made) -> None:
    trained, seen = made
    session = session_of(router_bytes(trained, date="2026-01-01"))
    told = session.get_modelmeta().custom_metadata_map
    assert (told["format"], told["date"]) == (FORMAT, "2026-01-01")
    assert FeatureSpec.of_document(json.loads(told["features"])) == trained.spec
    assert tuple(json.loads(told["strategies"])) == trained.layout.strategies
    assert told["has_prepared"] == ("true" if trained.layout.prepared else "false")
    labels = json.loads(told["labels"])
    assert labels["questions"] == len(seen)
    assert len(labels["sha256"]) == 64
    figures = json.loads(told["metrics"])["by_strategy"][trained.layout.strategies[0]]
    assert {"auc", "ece", "brier", "auc_interval", "ece_interval", "brier_interval"} <= set(figures)
    reference = json.loads(told["reference"])
    assert list(reference["features"]) == list(trained.spec.names)
    for bins in (*reference["features"].values(), *reference["p_correct"].values()):
        assert len(bins["shares"]) == len(bins["edges"]) + 1
        assert sum(bins["shares"]) == pytest.approx(1.0, abs=1e-5)


def test_a_file_appears_whole_or_not_at_all(made: Made, tmp_path: Path) -> None:
    trained, _ = made
    out = tmp_path / "deep" / "router.onnx"
    export(trained, out, date="2026-01-01")
    assert out.read_bytes() == router_bytes(trained, date="2026-01-01")
    assert [path.name for path in out.parent.iterdir()] == ["router.onnx"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RouterError, match="cannot be written"):
        export(trained, blocked / "router.onnx", date="2026-01-01")


def test_thresholds_round_down_so_that_no_float32_changes_sides() -> None:
    draws = np.random.default_rng(1)
    thresholds = draws.normal(0.0, 100.0, 5000)
    floors = floor_float32(thresholds)
    assert (floors.astype(np.float64) <= thresholds).all()
    assert (np.nextafter(floors, np.float32(np.inf)).astype(np.float64) > thresholds).all()
