"""A router's file and routers trained anew, judged on outcomes that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.evaluation import Settings
from router.evaluation.run import Asked
from sim import commands

QUESTIONS = 400


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies on contexts of four questions: the cheap one is right where `steps` are few."""
    generator = np.random.default_rng(0)
    context = np.arange(QUESTIONS) // 4
    steps = generator.integers(1, 9, QUESTIONS)
    pieces = [
        pd.DataFrame(
            {
                "question": np.arange(QUESTIONS),
                "context": context,
                "course": context % 6,
                "length": steps,
                "strategy": name,
                "correct": (generator.random(QUESTIONS) < chance).astype(int),
                "tokens": tokens,
            }
        )
        for name, chance, tokens in (
            ("direct", np.where(steps <= 4, 0.9, 0.1), np.full(QUESTIONS, 2)),
            ("think", np.full(QUESTIONS, 0.9), 10 + 5 * steps),
        )
    ]
    path = tmp_path_factory.mktemp("outcomes") / "outcomes.csv"
    pd.concat(pieces).to_csv(path, index=False)
    return path


def judged(**asked: Any) -> dict[str, Any]:
    return commands.evaluate(Asked(settings=Settings(draws=100), features=("length",), **asked))


def test_a_router_trained_anew_pays_in_distribution_and_on_unseen_groups(outcomes: Path) -> None:
    found = judged(refit=True, outcomes=outcomes, group="course")

    assert found["source"]["refit"] == "in-distribution"
    assert found["unseen_groups"]["source"]["refit"] == "unseen groups"
    for view, groups in ((found, QUESTIONS // 4), (found["unseen_groups"], 6)):
        assert view["verdict"]["kind"] == "pays"
        assert view["groups"] == groups
        # Nothing tells questions apart but the cheap strategy's chance, which is one of two.
        assert view["strategies"]["direct"]["auc"]["value"] > 0.85
        assert view["strategies"]["think"]["auc"]["low"] < 0.55
        over = view["routing"]["over_budgets"]
        assert over["gain_over"]["mix of singles"]["low"] > 0.05


def test_only_what_was_held_out_is_judged(outcomes: Path, tmp_path: Path) -> None:
    file = tmp_path / "router.onnx"
    commands.train(outcomes, file, features=["length"], hold_out=0.4)

    found = judged(router=file, outcomes=outcomes)

    assert 0.3 < found["questions"] / QUESTIONS < 0.5
    assert found["questions"] % 4 == 0
    assert any("trained on the rest of this file" in note for note in found["notes"])
    assert found["verdict"]["kind"] == "pays"


def test_a_router_judged_on_its_own_rows_is_told_so(outcomes: Path, tmp_path: Path) -> None:
    file = tmp_path / "router.onnx"
    commands.train(outcomes, file, features=["length"])

    found = judged(router=file, outcomes=outcomes)

    assert found["questions"] == QUESTIONS
    assert any("trained on these very rows" in note for note in found["notes"])


def test_prompts_are_paid_where_they_have_a_price(outcomes: Path, tmp_path: Path) -> None:
    from router.evaluation import TokenPrices

    rows = pd.read_csv(outcomes)
    priced = tmp_path / "priced.csv"
    rows.assign(prompt_tokens=100).to_csv(priced, index=False)

    found = judged(refit=True, outcomes=priced, prices=TokenPrices(usd_per_1m_prompt={"direct": 2.0}))

    singles = found["routing"]["singles"]
    assert singles["direct"]["usd"]["value"] == pytest.approx((2.0 + 2.0 * 100) / 1e6)
    assert singles["think"]["usd"]["value"] == pytest.approx(rows.query("strategy == 'think'")["tokens"].mean() / 1e6)
