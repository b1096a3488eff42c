"""What a table of outcomes shows, from rows whose figures are known beforehand."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.cli import run
from sim.errors import InputError
from sim.lab.outcomes.estimates import gain, mean, share, wilson
from sim.lab.outcomes.judged import judged, outcome_table
from sim.lab.outcomes.judgement import Judged, Section, as_markdown

CONTEXTS, QUESTIONS = 200, 4
STEPS = np.tile([1, 2, 3, 4], CONTEXTS)
RIGHT = {"direct": [0.9, 0.7, 0.4, 0.25], "think16": [0.95, 0.9, 0.6, 0.4], "think": [1.0, 0.95, 0.9, 0.85]}
RIGHT |= {"vote2": [0.9, 0.8, 0.6, 0.4], "vote4": [0.95, 0.9, 0.8, 0.6], "vote8": [0.95, 0.95, 0.85, 0.65]}
RIGHT |= {"verify4x2": [0.95, 0.9, 0.85, 0.8]}
TOKENS = {"direct": 2, "think16": 15, "think": 30, "vote2": 60, "vote4": 120, "vote8": 240, "verify4x2": 400}
NOTES = {"low": 20.0, "medium": 40.0, "high": 60.0}


def rows(strategy: str, effort: str = "", gain: tuple[float, float] = (0.0, 0.0)) -> pd.DataFrame:
    """Right by even steps of chance, so that shares are as said; notes add to predictable and other questions."""
    question = np.arange(CONTEXTS * QUESTIONS)
    predictable = (question // 4 + question) % 2
    chance = np.array(RIGHT[strategy])[STEPS - 1] + np.where(predictable == 1, *gain)
    even = (question // 8 * 0.6180339887 + STEPS * 0.1) % 1.0
    return pd.DataFrame(
        {
            "question": question,
            "context": question // QUESTIONS,
            "strategy": strategy,
            "prepared": int(effort != ""),
            "effort": effort,
            "correct": (even < chance).astype(int),
            "tokens": TOKENS[strategy],
            "path_tokens": TOKENS[strategy],
            "prompt_tokens": 60,
            "notes_tokens": NOTES.get(effort, 0.0),
            "temperature": 0.0,
            "predictable": predictable,
            "steps": STEPS,
            "question_logprob": np.where(predictable == 1, -1.0, -6.0) - question * 1e-6,
            "verifier_auc": 0.9 if strategy.startswith("verify") else np.nan,
        }
    )


def table(**changes: Any) -> pd.DataFrame:
    bare = [rows(strategy) for strategy in RIGHT]
    prepared = [rows("direct", effort, (0.5, 0.05)) for effort in NOTES] + [rows("think", effort) for effort in NOTES]
    return pd.concat([*bare, *prepared], ignore_index=True).assign(**changes)


def section(found: Judged, title: str) -> Section:
    return next(section for section in found.sections if section.title == title)


def test_a_share_has_wilsons_interval_where_contexts_are_no_matter() -> None:
    frame = pd.DataFrame({"context": range(100), "correct": [1, 0] * 50})
    found = share(frame)
    assert found is not None
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 100))


def test_questions_that_go_together_count_once() -> None:
    """Four questions of a context that are all right or all wrong tell as much as one."""
    frame = pd.DataFrame({"context": np.arange(400) // 4, "correct": (np.arange(400) // 4) % 2})
    found = share(frame)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson(0.5, 100))
    assert found.n == 400


def test_a_share_of_all_or_none_has_an_interval() -> None:
    found = share(pd.DataFrame({"context": range(50), "correct": 1}))
    assert found is not None
    assert found.value == found.high == 1.0
    assert 0.9 < found.low < 1.0


def test_a_gain_is_paired_by_question() -> None:
    before = pd.DataFrame({"question": range(100), "context": range(100), "correct": [0, 1] * 50})
    after = before.assign(correct=[1, 1] * 50)
    found = gain(after.sample(frac=1.0, random_state=1), before)
    assert found is not None
    assert found.value == 0.5
    half = 1.96 * 0.5 / sqrt(100)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert gain(after, before[before["question"] > 200]) is None


def test_an_interval_covers_what_is_true() -> None:
    """Of 400 samples of contexts with a luck of their own, about 95 % have the true mean in their interval."""
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        luck = np.repeat(random.beta(2.0, 3.0, 60), 4)
        frame = pd.DataFrame({"context": np.arange(240) // 4, "correct": random.random(240) < luck})
        found = mean(frame.assign(correct=frame["correct"].astype(float)), "correct")
        wide = share(frame.astype(int))
        assert found is not None
        assert wide is not None
        inside += (found.low <= 0.4 <= found.high) + (wide.low <= 0.4 <= wide.high)
    assert 0.92 < inside / 800 < 0.98


def test_sections_hold_the_figures_of_the_rows() -> None:
    found = judged(table())
    assert (found.questions, found.contexts) == (800, 200)
    by_strategy = {row[0]: row for row in section(found, "By strategy").rows}
    assert list(by_strategy) == ["direct", "think16", "think", "vote2", "vote4", "vote8", "verify4x2"]
    assert by_strategy["direct"][2].value == pytest.approx(np.mean(RIGHT["direct"]), abs=0.02)
    assert by_strategy["vote8"][3] == 240.0
    steps = section(found, "By difficulty")
    assert [row[0] for row in steps.rows] == ["1", "2", "3", "4"]
    column = steps.header.index("direct")
    assert [row[column].value for row in steps.rows] == pytest.approx(RIGHT["direct"], abs=0.02)
    (checks,) = section(found, "The verifier").rows
    assert checks[1].value == pytest.approx(0.9)


def test_what_preparing_costs_falls_with_its_questions() -> None:
    found = section(judged(table()), "What preparing costs a question")
    rows_of = {(row[0], row[2]): dict(zip(found.header, row, strict=True)) for row in found.rows}
    low = rows_of["think", "low"]
    assert low["prepared"] == "think"
    assert low["break-even"] is None
    cheap = rows_of["think16", "medium"]
    assert cheap["prepared"] == "direct"
    assert [cheap[f"C({n})"] for n in (1, 2, 4, 10)] == [42.0, 22.0, 12.0, 6.0]
    assert cheap["break-even"] == pytest.approx(40.0 / 13.0)


def test_claims_are_held_against_the_rows() -> None:
    holds = {finding.claim: finding.holds for finding in judged(table()).findings}
    assert holds["direct answers get worse with every step, and by degrees"]
    assert holds["the longer the thought, the more is right"]
    assert holds["votes rise with their samples, then flatten"]
    assert holds["notes of high effort help direct answers to predictable questions most"]
    assert not holds["notes of low effort cost less than think with 10 questions a context"]
    assert holds["checks tell right solutions of a question from wrong ones with AUC above 0.8"]


def test_claims_that_fail_are_told() -> None:
    flat = table(correct=0, verifier_auc=0.5)
    assert not any(finding.holds for finding in judged(flat).findings if "cost less" not in finding.claim)


def test_the_command_prints_markdown_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "outcomes.parquet"
    table().to_parquet(file)
    assert run(["lab", "table", str(file)]) == 0
    told = capsys.readouterr().out
    assert told == as_markdown(outcome_table(file))
    assert "| direct | 0.00 | 5" in told
    assert run(["lab", "table", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sections"][0]["rows"][0][2]["n"] == 800


def test_a_file_that_the_lab_did_not_make_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.parquet"
    table().drop(columns="steps").to_parquet(file)
    with pytest.raises(InputError, match="lacks the column steps"):
        outcome_table(file)
    table().iloc[:0].to_parquet(file)
    with pytest.raises(InputError, match="holds no rows"):
        outcome_table(file)
    with pytest.raises(InputError, match="cannot be read"):
        outcome_table(tmp_path / "none.parquet")
