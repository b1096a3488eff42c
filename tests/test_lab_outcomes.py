"""Outcomes measured with a decoder that follows a script: every figure is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import comb, log, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim.errors import EngineError, InputError
from sim.lab.language import END, chain, notes
from sim.lab.outcomes.answering import told_apart, voted
from sim.lab.outcomes.completions import Ask, Completions, Replies, Work
from sim.lab.outcomes.features import FEATURES
from sim.lab.outcomes.outcomes import COLUMNS, METADATA, Exam, decoder_size, measure_outcomes
from sim.lab.outcomes.text_rows import Draw
from sim.load import load_scenario
from sim.outcomes.tables import read_outcomes
from sim.simulation import simulate
from tests.scripted_decoder import Pupil, ScriptedDecoder, Tokens

EXAM = Exam(questions=120)
FEW = replace(EXAM, questions=12)


def measured(
    out: Path, exam: Exam = EXAM, *, width: int = 12, pupil: Pupil | None = None, slots: int = 0, per_part: int = 50
) -> pd.DataFrame:
    pupil = pupil or Pupil()
    for number in exam.contexts:
        pupil.learn(exam.context(number)[0])
    decoder = ScriptedDecoder(pupil, slots=slots or decoder_size(width)[0])
    measure_outcomes(decoder, out, exam=exam, width=width, contexts_per_part=per_part)
    return pd.read_parquet(out)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return measured(tmp_path_factory.mktemp("outcomes") / "outcomes.parquet")


def bare(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    return table[(table["strategy"] == strategy) & (table["prepared"] == 0)].set_index("question")


def assert_share(rows: pd.DataFrame, expected: float) -> None:
    """Within four standard errors."""
    error = sqrt(expected * (1.0 - expected) / len(rows))
    assert rows["correct"].mean() == pytest.approx(expected, abs=4.0 * error + 1e-9)


def test_a_likeliest_answer_is_right_where_its_chance_is_above_a_half(table: pd.DataFrame) -> None:
    assert bare(table, "direct")["correct"].mean() == 0.0
    assert bare(table, "think")["correct"].mean() == 1.0
    assert set(bare(table, "direct")["tokens"]) == {2}


def test_drawn_answers_are_right_as_often_as_their_chance(table: pd.DataFrame) -> None:
    assert_share(bare(table, "direct-drawn"), 0.3)
    assert_share(bare(table, "vote1"), 0.7)
    cool = 0.7 ** (1 / 0.6) / (0.7 ** (1 / 0.6) + 0.3 ** (1 / 0.6))
    assert_share(bare(table, "vote1-cool"), cool)


def test_votes_are_right_as_often_as_a_majority_is(table: pd.DataFrame) -> None:
    """There is one wrong answer: of equals the first counts, which is right half of the time."""
    for size in (2, 4, 8):
        half = comb(size, size // 2) * (0.7 * 0.3) ** (size // 2)
        more = sum(comb(size, n) * 0.7**n * 0.3 ** (size - n) for n in range(size // 2 + 1, size + 1))
        assert_share(bare(table, f"vote{size}"), more + half / 2)


def test_votes_are_nested(table: pd.DataFrame) -> None:
    one, two, four = (bare(table, f"vote{size}") for size in (1, 2, 4))
    assert (two["answer"] == one["answer"]).all()
    sure = two["agreement"] == 1.0
    assert (four["agreement"][sure] >= 0.5).all()
    assert (four["tokens"] == 4 * one["tokens"]).all()
    assert (four["path_tokens"] == one["tokens"]).all()


def test_a_chain_cut_short_has_to_answer(table: pd.DataFrame) -> None:
    whole = bare(table, "think")
    for budget in (8, 16, 32, 64):
        cut = bare(table, f"think{budget}")
        # The answer's mark, the number and the end come last.
        enough = whole["tokens"] - 3 < budget
        assert cut["correct"][enough].eq(1).all()
        assert cut["correct"][whole["tokens"] - 3 > budget].eq(0).all()
        assert (cut["tokens"][enough] == whole["tokens"][enough]).all()
        assert (cut["tokens"][~enough] == budget + 3).all()


def test_verified_solutions_are_right_as_often_as_the_verifier_lets_them(table: pd.DataFrame) -> None:
    """With good verdicts at 0.9 on right and 0.2 on wrong solutions, one check each, of four solutions."""
    good = 0.7 * 0.9 + 0.3 * 0.2
    right_of_good, right_of_bad = 0.7 * 0.9 / good, 0.7 * 0.1 / (1.0 - good)
    expected = (1.0 - (1.0 - good) ** 4) * right_of_good + (1.0 - good) ** 4 * right_of_bad
    assert_share(bare(table, "verify4x1"), expected)
    rows = bare(table, "verify4x2")
    assert (rows["tokens"] == bare(table, "vote4")["tokens"] + 4 * 2 * 2).all()
    assert (rows["path_tokens"] == bare(table, "vote1")["path_tokens"] + 2).all()


def test_a_verifier_is_judged_within_a_question(table: pd.DataFrame) -> None:
    """One verdict of either kind tells right from wrong with chance 0.9 x 0.8 + (0.9 x 0.2 + 0.1 x 0.8) / 2."""
    told = bare(table, "verify4x1")["verifier_auc"].dropna()
    assert told.mean() == pytest.approx(0.85, abs=4.0 * 0.36 / sqrt(len(told)))
    assert bare(table, "verify4x4")["verifier_auc"].mean() > told.mean()


def test_notes_are_written_once_and_read_by_all_questions(table: pd.DataFrame) -> None:
    for effort in ("low", "medium", "high"):
        rows = table[table["effort"] == effort]
        for number in (0, 7):
            context, questions = EXAM.context(number)
            section = notes(context, effort)
            mine = rows[(rows["context"] == number) & (rows["strategy"] == "think")]
            # Its mark was asked for, its end was written.
            assert mine["notes_tokens"].eq(len(section) - 1).all()
            assert mine["tokens"].tolist() == [len(chain(context, question, section)) for question in questions]
            assert (mine["prompt_tokens"] - mine["context_tokens"] - mine["question_tokens"]).eq(len(section) + 1).all()
        assert rows["correct"][~rows["strategy"].str.startswith("think")].eq(1).all()


def test_a_question_is_scored_by_its_own_words(table: pd.DataFrame) -> None:
    single = table[table["question_words"] == 1]
    assert single["question_logprob"].to_numpy() == pytest.approx(-log(16), abs=1e-3)
    assert single["question_logprob_noted"].isna().eq(single["prepared"] == 0).all()


def test_the_table_has_what_is_known_before_and_after(table: pd.DataFrame) -> None:
    assert tuple(table.columns) == COLUMNS
    assert not table[list(FEATURES)].isna().any().any()
    assert table["question"].nunique() == 120
    assert (table["question"] // 4 == table["context"]).all()
    assert not table.duplicated(["question", "strategy", "effort", "trial"]).any()


def test_neither_width_nor_room_nor_parts_change_the_table(table: pd.DataFrame, tmp_path: Path) -> None:
    few = table[table["question"] < FEW.questions].reset_index(drop=True)
    tight = measured(tmp_path / "tight.parquet", FEW, width=5, slots=8, per_part=1)
    pd.testing.assert_frame_equal(tight, few)


def test_another_seed_draws_others(table: pd.DataFrame, tmp_path: Path) -> None:
    other = measured(tmp_path / "other.parquet", replace(FEW, seed=1))
    mine = bare(table[table["question"] < FEW.questions], "vote1")
    assert (bare(other, "think")["tokens"] == bare(table, "think")["tokens"][: FEW.questions]).all()
    assert (bare(other, "vote1")["correct"] != mine["correct"]).any()


def test_a_run_that_was_cut_off_goes_on(table: pd.DataFrame, tmp_path: Path) -> None:
    pupil, out = Pupil(), tmp_path / "outcomes.parquet"
    for number in FEW.contexts:
        pupil.learn(FEW.context(number)[0])

    def run(progress: Callable[[int, int], None] | None) -> int:
        decoder = ScriptedDecoder(pupil, slots=48)
        measure_outcomes(decoder, out, exam=FEW, width=12, contexts_per_part=1, progress=progress)
        return decoder.calls

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert not out.exists()
    rest = run(None)
    expected = table[table["question"] < FEW.questions].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out), expected)
    assert rest < run(None)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_parts_of_another_exam_are_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "outcomes.parquet"

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    decoder = ScriptedDecoder(lambda tokens: {END: 1.0}, slots=48)
    with pytest.raises(KeyboardInterrupt):
        measure_outcomes(decoder, out, exam=FEW, width=12, contexts_per_part=1, progress=stop)
    with pytest.raises(InputError, match="holds parts of another exam or model; delete it"):
        measure_outcomes(decoder, out, questions=8, width=12, contexts_per_part=1)


def test_a_model_that_never_answers_is_never_right(tmp_path: Path) -> None:
    decoder = ScriptedDecoder(lambda tokens: {END: 1.0}, slots=48)
    out = tmp_path / "outcomes.parquet"
    measure_outcomes(decoder, out, exam=FEW, width=12, provenance={"machine": "none"})
    table = pd.read_parquet(out)
    assert table["correct"].eq(0).all()
    assert table["answer"].eq(-1).all()
    assert bare(table, "verify4x2")["tokens"].eq(4).all()
    import pyarrow.parquet as pq

    assert b'"machine": "none"' in pq.read_schema(out).metadata[METADATA]


def test_a_vote_counts_only_answers() -> None:
    assert voted([None, 4, 7, 7]) == (7, 0.5)
    assert voted([4, 7]) == (4, 0.5)
    assert voted([None, None]) == (None, 0.0)
    assert np.isnan(told_apart([], [1]))


def test_asks_that_do_not_fit_are_refused() -> None:
    def work() -> Work[None]:
        yield [Ask((1, 2, 3), max_tokens=6, stop=frozenset())]

    decoder = ScriptedDecoder(lambda tokens: {END: 1.0}, slots=4, capacity=8)
    with pytest.raises(EngineError, match="do not fit into 8"):
        list(Completions(decoder, 2).run([work()]))
    with pytest.raises(EngineError, match="into 4 slots"):
        Completions(decoder, 3)


def test_works_share_what_they_have_read() -> None:
    """Three texts of one prompt and one of its continuation: the prompt is read once."""

    def script(tokens: Tokens) -> dict[int, float]:
        return {len(tokens) % 7: 1.0}

    def work() -> Work[list[Replies]]:
        first = yield [Ask((1, 2, 3, 4), 3, frozenset(), [Draw()] * 3, keep=True)]
        second = yield [Ask((1, 2, 3, 4, *first[0].texts[0].tokens, 9), 2, frozenset())]
        return [*first, *second]

    writer = Completions(ScriptedDecoder(script, slots=16), 4)
    ((_, (first, second)),) = writer.run([work()])
    assert [text.tokens for text in first.texts] == [(4, 5, 6)] * 3
    assert second.texts[0].tokens == (1, 2)
    assert writer.kept.read_tokens == 3 + 1
    assert writer.written_tokens == 3 * 3 + 2


SCENARIO = """
name: lab
start: 2026-03-02T00:00:00
horizon: 20m
workload:
  - name: pupils
    arrivals: {kind: poisson, rps: 2.0}
    lengths: {kind: constant, prompt_tokens: 70, output_tokens: 30}
    contexts: {queries: 4, think_time: 10s, tokens: 60, lead: 2m}
    questions: {kind: table, path: outcomes.parquet}
fleet:
  - {name: own, gpu: H100-SXM, model: Llama-3.1-8B, replicas: 1, offer: {kind: reserved, usd_per_gpu_hour: 2.0}}
strategies:
  - {name: direct, kind: direct}
  - {name: think16, kind: think, budget_tokens: 16}
  - {name: vote4, kind: vote, samples: 4}
  - {name: verify4x2, kind: verify, solutions: 4, verifications: 2}
router: {policy: round-robin}
sleep: {when: [always], effort: high, min_saving: 0, tick: 10s}
"""


def test_a_scenario_runs_on_the_table(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "outcomes.parquet")
    (tmp_path / "lab.yaml").write_text(SCENARIO)
    summary = simulate(load_scenario(tmp_path / "lab.yaml")).summary
    tokens = table[table["effort"] == "high"].groupby("context")["notes_tokens"].first().mean()
    assert summary["sleep"]["job_tokens"] / summary["sleep"]["prepared"] == pytest.approx(round(tokens))
    assert summary["strategies"]["direct"]["accuracy"] > 0.5


def test_prepared_outcomes_are_those_of_the_effort(table: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.parquet"
    table.to_parquet(file)
    for effort in ("low", "high"):
        rows = table[(table["effort"] == effort) & (table["strategy"] == "think")]
        read = read_outcomes(file, effort)
        assert read.tokens["think"][1].mean() == pytest.approx(rows["tokens"].mean())
        assert read.notes_tokens == pytest.approx(rows.groupby("context")["notes_tokens"].first().mean())
