"""Training: what there is to learn is learned, what is not is said, and the same seed gives the same router."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.errors import RouterError
from router.learning.calibration import fit_sigmoid, sigmoid
from router.learning.metrics import apgr, auc, calibration_error
from router.learning.ridge import fit_ridge
from router.rows import Labels, read_labels
from router.tables import parse_map
from router.train import Trained, train
from sim.cli import run
from tests.made_outcomes import lab_like, text_log, written

MAP = "text=prompt,small:correct=small right,large:correct=large right"


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    return read_labels(written(text_log(), tmp_path_factory.mktemp("log") / "log.csv"), names=parse_map(MAP))


@pytest.fixture(scope="module")
def of_contexts(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    return read_labels(written(lab_like(), tmp_path_factory.mktemp("lab") / "lab.parquet"))


@pytest.fixture(scope="module")
def texts_router(of_texts: Labels) -> Trained:
    return train(of_texts, hashed=256)


@pytest.fixture(scope="module")
def contexts_router(of_contexts: Labels) -> Trained:
    return train(of_contexts)


def test_who_is_right_is_learned_from_texts(texts_router: Trained) -> None:
    small, large = (texts_router.figures["by_strategy"][name] for name in ("small", "large"))
    assert small["auc_interval"][0] > 0.5
    assert large["auc"] > 0.65
    assert max(small["ece"], large["ece"]) < 0.06
    assert small["auc_interval"][0] < small["auc"] < small["auc_interval"][1]
    routing = texts_router.figures["routing"]
    assert (routing["weak"], routing["strong"], routing["verdict"]) == ("small", "large", "pays")
    assert routing["apgr_gain"] > 0.7


def test_tokens_are_learned_with_their_spread(contexts_router: Trained, of_contexts: Labels) -> None:
    features = np.stack([np.array([30.0, 30.0]), np.array([1.0, 7.0])], axis=1).astype(np.float32)
    found = contexts_router.predict(features)
    few, many = np.exp(found["log_tokens"][:, 1])
    assert few == pytest.approx(30 * np.exp(0.1), rel=0.1)
    assert many == pytest.approx(30 * np.exp(0.7), rel=0.1)
    assert found["log_tokens_sd"][0] == pytest.approx([0.1, 0.1], abs=0.02)


def test_contexts_foretell_their_questions_and_how_many_there_are(contexts_router: Trained) -> None:
    features = np.stack([np.array([30.0, 30.0]), np.array([1.0, 7.0])], axis=1).astype(np.float32)
    found = contexts_router.predict(features)
    assert found["predictability"] == pytest.approx([-1.2, -2.4], abs=0.1)
    assert found["expected_questions"] == pytest.approx([3.0, 3.0])
    assert (found["p_correct_prepared"] > found["p_correct"]).mean() > 0.7


def test_without_log_probabilities_predictability_is_the_gain_of_preparing(of_contexts: Labels) -> None:
    router = train(replace(of_contexts, question_logprob=None))
    found = router.predict(np.array([[30.0, 4.0]], np.float32))
    assert found["predictability"] == pytest.approx((found["p_correct_prepared"] - found["p_correct"]).mean(axis=1))


def test_a_strategy_not_tried_on_prepared_contexts_is_as_without(tmp_path: Path) -> None:
    labels = read_labels(written(lab_like(), tmp_path / "lab.parquet"), effort="high")
    router = train(labels)
    found = router.predict(np.array([[30.0, 4.0]], np.float32))
    assert found["p_correct_prepared"][0, 0] == found["p_correct"][0, 0]
    assert found["p_correct_prepared"][0, 1] != found["p_correct"][0, 1]


def test_outcomes_that_nothing_foretells_get_their_mean_and_the_verdict_that_routing_does_not_pay(
    tmp_path: Path,
) -> None:
    draws = np.random.default_rng(5)
    log = text_log(400, seed=5)
    log["small right"], log["large right"] = draws.random(400) < 0.5, draws.random(400) < 0.8
    router = train(read_labels(written(log, tmp_path / "log.csv"), names=parse_map(MAP)), hashed=256)
    assert router.figures["routing"]["verdict"] == "does not pay"
    assert np.ptp(router.held_out[:, 0]) < 0.5
    assert router.held_out.mean(axis=0) == pytest.approx([0.5, 0.8], abs=0.05)


def test_held_out_figures_are_of_models_that_have_not_seen_the_group(tmp_path: Path) -> None:
    """Each group has a word and a luck of its own: known groups are foretold, new ones are not."""
    draws = np.random.default_rng(2)
    log = text_log(600, seed=2).drop(columns="large right")
    group = np.arange(600) % 20
    log["prompt"] = [f"about topic{number} {place}" for place, number in enumerate(group)]
    log["subject"] = group
    log["small right"] = draws.random(600) < np.where(group % 2 == 0, 0.9, 0.1)
    path, names = written(log, tmp_path / "log.csv"), parse_map("text=prompt,small:correct=small right")
    known = train(read_labels(path, names=names, strategies=["small"]), hashed=1024)
    new = train(read_labels(path, names=names, strategies=["small"], group="subject"), hashed=1024)
    assert known.figures["by_strategy"]["small"]["auc"] > 0.8
    assert new.figures["by_strategy"]["small"]["auc"] < 0.65
    assert new.labels["groups"] == 20


def test_strategies_that_miss_some_questions_are_learned_from_the_others(of_texts: Labels) -> None:
    correct = of_texts.bare.correct.copy()
    correct[::3, 0] = np.nan
    router = train(replace(of_texts, bare=replace(of_texts.bare, correct=correct)), hashed=256)
    assert router.figures["by_strategy"]["small"]["questions"] == 400
    assert router.figures["by_strategy"]["small"]["auc"] > 0.6


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"always": 1.0}, {}, "small is right in all 600 rows"),
        ({"always": 0.0}, {}, "small is wrong in all 600 rows"),
        ({"always": np.nan}, {}, "small has no outcomes"),
        ({"once": 1.0}, {}, "one kind only once a fold is held out"),
        ({}, {"folds": 601}, "fewer groups of questions than the 601 folds"),
        ({}, {"hashed": 100}, "must be a power of two"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    of_texts: Labels, change: dict[str, float], options: dict[str, Any], said: str
) -> None:
    correct = of_texts.bare.correct.copy()
    if "always" in change:
        correct[:, 0] = change["always"]
    if "once" in change:
        correct[:, 0] = 0.0
        correct[0, 0] = 1.0
    with pytest.raises(RouterError, match=said):
        train(replace(of_texts, bare=replace(of_texts.bare, correct=correct)), **options)


def test_too_few_questions_are_refused(of_texts: Labels) -> None:
    with pytest.raises(RouterError, match="19 are fewer questions"):
        train(of_texts.only(np.arange(19), {}))


def test_one_decomposition_gives_what_scikit_learn_fits() -> None:
    """Two roads, on more rows than columns and on fewer."""
    from sklearn.linear_model import Ridge

    draws = np.random.default_rng(0)
    for shape in ((80, 30), (30, 80)):
        columns, targets = draws.standard_normal(shape), draws.random((shape[0], 3))
        ours = fit_ridge(columns, targets, [7.0])[7.0]
        theirs = Ridge(alpha=7.0).fit(columns, targets)
        np.testing.assert_allclose(ours.of(columns), theirs.predict(columns), atol=1e-9)


def test_targets_that_are_missing_pull_nowhere() -> None:
    draws = np.random.default_rng(1)
    columns = draws.standard_normal((400, 5))
    targets = np.stack([columns[:, 0], columns[:, 0]], axis=1)
    targets[:250, 1] = np.nan
    fitted = fit_ridge(columns, targets, [5.0])[5.0]
    assert fitted.weights[0] == pytest.approx([1.0, 1.0], abs=0.08)


def test_the_sigmoid_is_the_likeliest_and_never_falls() -> None:
    draws = np.random.default_rng(3)
    score = draws.random(20_000)
    truth = sigmoid(6.0 * score - 3.0)
    low, scale, powers = fit_sigmoid(score, (draws.random(20_000) < truth).astype(float))
    grid = np.linspace(0.0, 1.0, 50)
    chance = sigmoid(np.polynomial.polynomial.polyval((grid - low) * scale, powers))
    np.testing.assert_allclose(chance, sigmoid(6.0 * grid - 3.0), atol=0.03)
    _, _, falling = fit_sigmoid(score, (draws.random(20_000) < 1.0 - truth).astype(float))
    assert falling[1:].tolist() == [0.0, 0.0, 0.0]


def test_measures_are_what_scikit_learn_and_plain_counting_say() -> None:
    from sklearn.metrics import roc_auc_score

    draws = np.random.default_rng(4)
    chance = draws.random(500).round(2)
    right = (draws.random(500) < chance).astype(float)
    assert auc(chance, right) == pytest.approx(roc_auc_score(right, chance))
    bins = [(chance >= low / 15) & (chance < (low + 1) / 15 + (low == 14)) for low in range(15)]
    plain = sum(abs(chance[held].sum() - right[held].sum()) for held in bins) / 500
    assert calibration_error(chance, right) == pytest.approx(plain)
    weak, strong = right, np.ones(500)
    assert apgr(1.0 - weak, weak, strong) == pytest.approx(1.0 - 0.5 * (1.0 - right.mean()))
    assert apgr(np.zeros(500), weak, strong) == 0.5


def test_the_command_writes_a_router_and_tells_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = written(text_log(), tmp_path / "log.csv"), tmp_path / "router.onnx"
    command = ["train", str(log), "--out", str(out), "--map", MAP, "--group", "subject", "--hashed", "64"]
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["strategies"] == ["small", "large"]
    assert told["labels"]["groups"] == 12
    assert told["file"] == str(out)
    first = out.read_bytes()
    assert run(command) == 0
    assert out.read_bytes() == first
    printed = capsys.readouterr().out
    assert "small" in printed
    assert "APGR" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "router.bin"], "router.bin is not the name of an ONNX file"),
        (["--out", "r.onnx", "--map", "text=prompt,small:correct=nothing"], "nothing is no column of log.csv"),
        (["--out", "r.onnx", "--map", MAP, "--group", "topic"], "topic is no column of log.csv"),
        (["--out", "r.onnx", "--map", MAP, "--folds", "9999"], "fewer groups of questions than the 9999 folds"),
    ],
)
def test_the_command_refuses_with_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    log = written(text_log(40), tmp_path / "log.csv")
    assert run(["train", str(log), *options]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.long
def test_public_labels_reach_the_figures(shared: Path) -> None:
    mmlu = shared / "labels" / "mmlu-two-models.csv.gz"
    names = parse_map("text=prompt,mixtral:correct=mixtral_8x7b_correct,gpt4:correct=gpt4_correct")
    known = train(read_labels(mmlu, names=names)).figures
    new = train(read_labels(mmlu, names=names, group="subject")).figures
    assert known["routing"]["apgr_gain"] >= 0.69
    assert new["routing"]["apgr_gain"] >= 0.63
    assert np.mean([of["ece"] for of in known["by_strategy"].values()]) <= 0.014
    assert max(of["ece"] for of in new["by_strategy"].values()) <= 0.044
