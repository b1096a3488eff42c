"""Measured outcomes: what a table may hold, what is refused, and which question a request gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim.errors import InputError
from sim.outcomes.asked import Asked, Luck
from sim.outcomes.tables import OutcomeTable, OutcomeTableError, read_outcomes

ROWS = """\
question,context,strategy,correct,tokens
q1,a,direct,1,20
q2,a,direct,0,30
q3,b,direct,0,40
q1,a,think,1,200
q2,a,think,1,300
q3,b,think,0,400
"""


def table(folder: Path, text: str = ROWS, name: str = "outcomes.csv") -> OutcomeTable:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_outcomes(file)


def asked(rows: int, *, contexts: list[int] | None = None, questions: list[int] | None = None) -> Asked:
    key = np.random.default_rng(1).integers(0, 2**63 - 1, rows)
    nothing = np.full(rows, -1)
    luck = Luck(word=7, predictability=lambda context: np.zeros(context.size))
    given = nothing if contexts is None else np.array(contexts)
    return luck.asked(key, np.ones(rows, np.int64), given, nothing if questions is None else np.array(questions))


def test_outcomes_of_all_strategies_stand_question_by_question(tmp_path: Path) -> None:
    read = table(tmp_path)
    assert read.correct["direct"][0].tolist() == [1.0, 0.0, 0.0]
    assert read.tokens["think"][0].tolist() == [200.0, 300.0, 400.0]
    assert read.first.tolist() == [0, 2, 3]
    assert not read.has_prepared


def test_csv_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    read = table(tmp_path)
    frame = pd.read_csv(tmp_path / "outcomes.csv")
    frame.to_parquet(tmp_path / "outcomes.parquet")
    frame.to_json(tmp_path / "outcomes.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "outcomes.csv.gz", index=False)
    for name in ("outcomes.parquet", "outcomes.jsonl", "outcomes.csv.gz"):
        other = read_outcomes(tmp_path / name)
        for strategy in ("direct", "think"):
            assert np.array_equal(read.correct[strategy], other.correct[strategy])
            assert np.array_equal(read.tokens[strategy], other.tokens[strategy])


def test_several_trials_count_by_their_mean(tmp_path: Path) -> None:
    read = table(tmp_path, "question,strategy,correct,tokens\n7,direct,true,10\n7,direct,0,30\n")
    assert read.correct["direct"][0].tolist() == [0.5]
    assert read.tokens["direct"][0].tolist() == [20.0]


def test_outcomes_on_prepared_contexts_stand_beside(tmp_path: Path) -> None:
    text = "question,strategy,correct,tokens,prepared\n1,direct,0,30,0\n1,direct,1,10,1\n2,direct,1,50,0\n"
    read = table(tmp_path, text)
    assert read.correct["direct"].tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert read.tokens["direct"].tolist() == [[30.0, 50.0], [10.0, 50.0]]
    assert read.has_prepared


def test_prepared_rows_of_another_effort_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    rows = ["1,direct,0,30,0,,", "1,direct,1,10,1,low,20", "1,direct,0,12,1,High,60", "2,direct,1,50,0,,"]
    file.write_text("question,strategy,correct,tokens,prepared,effort,notes_tokens\n" + "\n".join(rows) + "\n")
    low, medium, high = (read_outcomes(file, effort) for effort in ("low", "medium", "high"))
    assert low.tokens["direct"][1].tolist() == [10.0, 50.0]
    assert high.correct["direct"][1].tolist() == [0.0, 1.0]
    assert (low.notes_tokens, medium.notes_tokens, high.notes_tokens) == (20.0, None, 60.0)
    assert not medium.has_prepared
    file.write_text(file.read_text().replace("High", "much"))
    with pytest.raises(OutcomeTableError, match="effort: much must be low, medium, high or empty"):
        read_outcomes(file)


def test_every_wrong_row_is_told_with_its_line(tmp_path: Path) -> None:
    text = "question,strategy,correct,tokens\n1,direct,2,30\n2,,1,0\n3,direct,x,10\n"
    with pytest.raises(OutcomeTableError) as refused:
        table(tmp_path, text)
    assert [line.partition("outcomes.csv")[2] for line in str(refused.value).splitlines()] == [
        ":2  correct: 2 must be 0, 1 or a share between; correct the row, or leave it out",
        ":3  strategy: an empty text is empty; correct the row, or leave it out",
        ":3  tokens: 0 must be at least 1; correct the row, or leave it out",
        ":4  correct: x must be 0, 1 or a share between; correct the row, or leave it out",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "question,strategy,tokens\n1,direct,3\n",
            "lacks the column correct; the file has: question, strategy, tokens",
        ),
        ("question,strategy,correct,tokens\n", "holds no rows"),
        (
            "question,strategy,correct,tokens\n1,direct,1,3\n2,think,1,3\n",
            "strategy 'direct' lacks 1 of 2 questions, such as 2",
        ),
        (
            "question,context,strategy,correct,tokens\n1,a,direct,1,3\n1,b,think,1,3\n",
            "1 is a question of several contexts",
        ),
    ],
)
def test_a_table_without_the_outcomes_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        table(tmp_path, text)
    assert told in str(refused.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        table(tmp_path, "not parquet", "outcomes.parquet")


def test_requests_draw_all_questions_evenly(tmp_path: Path) -> None:
    drawn = table(tmp_path).questions_of(asked(9_000))
    assert np.abs(np.bincount(drawn, minlength=3) / 3_000 - 1.0).max() < 0.06


def test_requests_on_one_context_ask_questions_of_one_context(tmp_path: Path) -> None:
    read = table(tmp_path)
    drawn = read.questions_of(asked(400, contexts=[n // 40 for n in range(400)]))
    owner = np.searchsorted(read.first, drawn, side="right").reshape(10, 40)
    assert np.all(owner == owner[:, :1])
    assert set(owner[:, 0].tolist()) == {1, 2}


def test_a_question_known_by_its_number_is_that_one(tmp_path: Path) -> None:
    read = table(tmp_path, "question,strategy,correct,tokens\n10,direct,1,5\n11,direct,0,6\n")
    assert read.questions_of(asked(3, questions=[11, 10, 11])).tolist() == [1, 0, 1]
