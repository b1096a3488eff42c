"""Rows of outcomes: every layout says the same, and rows that contradict are refused with value, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from router.errors import RouterError
from router.rows import Labels, read_labels
from router.splits import blocks_of, folds_of, is_held_out, without_held_out
from router.tables import parse_map
from tests.made_outcomes import lab_like, text_log, written

MAP = parse_map("text=prompt,small:correct=small right,large:correct=large right")


def long_log(rows: pd.DataFrame) -> pd.DataFrame:
    """The same log with a row for each question and model."""
    pieces = [
        pd.DataFrame(
            {
                "question": [f"q{place}" for place in range(len(rows))],
                "text": rows["prompt"],
                "strategy": model,
                "correct": rows[f"{model} right"].astype(float),
                "tokens": rows[f"{model}:tokens"],
            }
        )
        for model in ("small", "large")
    ]
    return pd.concat(pieces)


def test_a_column_a_strategy_and_a_row_a_strategy_say_the_same(tmp_path: Path) -> None:
    log = text_log(60)
    wide = read_labels(written(log, tmp_path / "wide.csv"), names=MAP)
    for name in ("long.csv", "long.jsonl", "long.parquet"):
        long = read_labels(written(long_log(log).reset_index(drop=True), tmp_path / name))
        assert (long.strategies, long.text) == (wide.strategies, wide.text)
        np.testing.assert_allclose(long.bare.correct, wide.bare.correct)
        np.testing.assert_allclose(long.bare.log_tokens, wide.bare.log_tokens)
    np.testing.assert_array_equal(wide.bare.correct[:, 0], log["small right"])
    np.testing.assert_allclose(np.exp(wide.bare.log_tokens[:, 1]), log["large:tokens"])


def test_what_a_mapping_takes_as_an_outcome_is_never_a_feature(tmp_path: Path) -> None:
    log = text_log(60).drop(columns="prompt").assign(size=range(60))
    path = written(log, tmp_path / "log.csv")
    labels = read_labels(path, names=parse_map("small:correct=small right,large:correct=large right"))
    assert tuple(labels.numbers) == ("size",)


def test_of_a_table_only_what_a_router_can_see_becomes_a_feature(tmp_path: Path) -> None:
    path = written(lab_like(30), tmp_path / "lab.parquet")
    assert tuple(read_labels(path).numbers) == ("length", "facts")
    asked = read_labels(path, features=["facts", "question_logprob"], signals=["confidence:direct"])
    assert tuple(asked.numbers) == ("facts", "question_logprob", "confidence:direct")
    with pytest.raises(RouterError, match="answer is known only after the answer"):
        read_labels(path, features=["answer"])


def test_signals_are_those_of_the_strategy_that_answered_without_notes(tmp_path: Path) -> None:
    rows = lab_like(10)
    labels = read_labels(written(rows, tmp_path / "lab.parquet"), signals=["confidence:direct"])
    bare = rows[(rows["strategy"] == "direct") & (rows["prepared"] == 0)]
    np.testing.assert_allclose(labels.numbers["confidence:direct"], bare["confidence"])


def test_prepared_rows_count_by_their_effort(tmp_path: Path) -> None:
    rows = lab_like(30)
    path = written(rows, tmp_path / "lab.parquet")
    medium, high = read_labels(path), read_labels(path, effort="high")
    assert medium.prepared is not None
    assert high.prepared is not None
    assert not np.isnan(medium.prepared.correct).any()
    assert np.isnan(high.prepared.correct).all(axis=0).tolist() == [True, False]
    of_high = rows[(rows["effort"] == "high")]
    np.testing.assert_array_equal(high.prepared.correct[:, 1], of_high["correct"])
    with pytest.raises(RouterError, match="low is an effort without rows"):
        read_labels(path, effort="low")


def test_blanks_are_left_out_and_characters_count_a_quarter(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("text,a:correct,a:chars,b:correct,b:chars\none,1,40,,\ntwo,0,8,1,400\n")
    labels = read_labels(path)
    np.testing.assert_array_equal(labels.bare.correct, [[1.0, np.nan], [0.0, 1.0]])
    np.testing.assert_allclose(np.exp(labels.bare.log_tokens), [[10.0, np.nan], [2.0, 100.0]])


def test_trials_of_a_question_count_by_their_mean(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,strategy,correct,tokens,size\n1,a,1,10,3\n1,a,0,40,3\n2,a,yes,5,4\n")
    labels = read_labels(path)
    assert labels.bare.correct.tolist() == [[0.5], [1.0]]
    np.testing.assert_allclose(np.exp(labels.bare.log_tokens), [[20.0], [5.0]])


def test_texts_come_from_a_second_file_with_their_options_lettered(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text("id,a:correct\n7,1\n8,0\n")
    asked = tmp_path / "asked.jsonl"
    asked.write_text(
        '{"id": 8, "question": "Up?", "options": ["no", "yes"]}\n{"id": 7, "question": "Down?", "options": ["x"]}\n'
    )
    names = parse_map("question=id,text=question+options")
    assert read_labels(outcomes, names=names, texts_path=asked).text == ("Down?\nA. x", "Up?\nA. no\nB. yes")
    outcomes.write_text("id,a:correct\n7,1\n9,0\n")
    with pytest.raises(RouterError, match=r"9 is a question that asked\.jsonl lacks"):
        read_labels(outcomes, names=names, texts_path=asked)


HEAD = "question,context,strategy,correct,tokens,prepared,effort,text,size"
GOOD = ["1,c1,a,1,10,0,,one,3", "1,c1,b,0,20,0,,one,3", "2,c1,a,0,12,0,,two,4", "2,c1,b,1,25,0,,two,4"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,c2,a,1,10,0,,one,3", "c2 is another context of question 1 than c1; give each question one context"),
        ("1,c1,a,1,10,0,,uno,3", "uno is another text of question 1 than one"),
        ("1,c1,a,1.5,10,0,,one,3", "1.5 must be 0, 1 or a share between"),
        ("1,c1,a,maybe,10,0,,one,3", "maybe must be 0, 1 or a share between"),
        ("1,c1,a,1,-4,0,,one,3", "-4 must be a number above 0"),
        ("1,c1,a,1,nan,0,,one,3", "nan must be a number above 0"),
        ("1,c1,a,1,10,2,,one,3", "2 must be 0 or 1"),
        ("1,c1,a,1,10,1,huge,one,3", "huge must be low, medium, high or empty"),
        (",c1,a,1,10,0,,one,3", "is empty"),
        ("1,c1,,1,10,0,,one,3", "is empty"),
        ("3,c1,a,1,10,0,,,3", "an empty text says nothing of a question"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEAD, *GOOD, row]) + "\n")
    with pytest.raises(RouterError) as refused:
        read_labels(path)
    assert said in str(refused.value)
    assert "rows.csv:6" in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"features": ["size"], "text": "3,c1,a,1,10,0,,three,nan"}, "nan must be a finite number"),
        ({"features": ["size"], "text": "3,c1,a,1,10,0,,three,"}, "must be a finite number"),
        ({"features": ["sise"]}, "sise is no column"),
        ({"signals": ["confidence"]}, "confidence is no signal"),
        ({"signals": ["agreement:a"]}, "agreement is no column"),
        ({"strategies": ["c"]}, "c is no strategy of the rows"),
        ({"strategies": ["a", "a"]}, "a is named twice"),
        ({"group": "subject"}, "subject is no column"),
        ({"effort": "huge"}, "huge is no effort"),
        ({"names": {"text": "prompt"}}, "prompt is no column of rows.csv"),
    ],
)
def test_an_option_that_does_not_fit_the_file_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    path = tmp_path / "rows.csv"
    more = [options.pop("text")] if "text" in options else []
    path.write_text("\n".join([HEAD, *GOOD, *more]) + "\n")
    with pytest.raises(RouterError, match=said):
        read_labels(path, **options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,strategy,correct,tokens\n1,a,1,10\n", "neither a text nor numeric features"),
        ("question,strategy,correct\n1,a,1\n", "has no column tokens"),
        ("question,strategy,correct,tokens\n", "holds no rows"),
        ("text,a:correct,a:correct\nx,1,0\n", "a:correct is the name of two columns"),
        ("text,a:correct,strategy\nx,1,b\n", "strategy is a column, and so is a:correct"),
        ("question,strategy,correct,tokens,prepared,size\n1,a,1,10,1,2\n", "are of prepared contexts"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(RouterError, match=said):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt", "is no pair"),
        ("txt=prompt", "txt is no column that outcomes have"),
        ("a:right=x", "a:right is no column"),
        ("a:correct=x,a:correct=y", "a:correct is named twice, as x and as y"),
    ],
)
def test_a_mapping_that_names_what_is_not_there_is_refused(text: str, said: str) -> None:
    with pytest.raises(RouterError, match=said):
        parse_map(text)


def test_neither_context_nor_text_nor_group_is_on_both_sides(tmp_path: Path) -> None:
    rows = lab_like(60).assign(text="asked " + (lab_like(60)["question"] % 170).astype(str))
    rows["subject"] = rows["context"] // 7
    labels = read_labels(written(rows, tmp_path / "lab.parquet"), group="subject")
    fold = folds_of(blocks_of(labels), 3, seed=1)
    for shared in (labels.context, labels.group, np.unique(labels.text or (), return_inverse=True)[1]):
        assert shared is not None
        for number in range(int(shared.max()) + 1):
            assert len(set(fold[shared == number])) == 1
    assert len(set(fold)) <= 3


def test_folds_are_of_like_sizes_and_follow_from_the_seed(tmp_path: Path) -> None:
    labels = read_labels(written(lab_like(50), tmp_path / "lab.parquet"))
    blocks = blocks_of(labels)
    fold = folds_of(blocks, 5, seed=3)
    assert np.bincount(fold).tolist() == [30] * 5
    np.testing.assert_array_equal(fold, folds_of(blocks, 5, seed=3))
    assert (fold != folds_of(blocks, 5, seed=4)).any()
    with pytest.raises(RouterError, match="50 are fewer groups of questions than the 51 folds"):
        folds_of(blocks, 51, seed=0)


def test_whole_contexts_are_held_out_by_their_names(tmp_path: Path) -> None:
    labels = read_labels(written(lab_like(100), tmp_path / "lab.parquet"))
    left = without_held_out(labels, 0.3, seed=5)
    out = is_held_out(labels.context_names, 0.3, 5)
    assert set(left.context_names) == set(np.array(labels.context_names)[~out])
    assert 0.15 < out.mean() < 0.45
    assert isinstance(left, Labels)
    assert left.source["held_out"] == {"share": 0.3, "seed": 5, "questions": int(out.sum())}
    np.testing.assert_array_equal(left.bare.correct, labels.bare.correct[~out])
    with pytest.raises(RouterError, match="holds out all questions"):
        without_held_out(labels, 1.0, seed=5)
