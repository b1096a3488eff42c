"""A stream served for real by a decoder that follows a script, on a clock that goes by step times, and simulated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.errors import InputError
from sim.lab.end_to_end.end_to_end import RealRun, end_to_end, run_for_real
from sim.lab.end_to_end.loaded import loaded_to
from sim.lab.end_to_end.stream import write_stream
from sim.lab.engine.clocks import StepWork, VirtualClock
from sim.lab.language import VOCABULARY_SIZE
from sim.lab.outcomes.outcomes import Exam, measure_outcomes
from sim.load import load_scenario
from sim.simulation import simulate
from sim.steptime.files import load_step_time
from tests.scripted_decoder import Pupil, ScriptedDecoder

EXAM = Exam(questions=80)
SECONDS = 30.0
STEP_TIMES = {
    "prefill": {"a_s": 0.002, "b_s_per_token": 5e-5, "c_s_per_token_pair": 1e-8},
    "decode": {"rows": [1, 8, 32], "base_s": [0.002, 0.004, 0.008], "kv_s": [1e-7, 1e-7, 1e-7]},
}
SCENARIO = """
name: lab
start: 2026-03-02T00:00:45
workload:
  - name: pupils
    arrivals: {kind: trace, path: stream.csv, format: nightshift}
    questions: {kind: table, path: outcomes.parquet}
    contexts: {lead: 10s}
fleet:
  - name: own
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 1
    offer:
      kind: reserved
      tariff:
        kind: windows
        usd_per_gpu_hour: 36.0
        windows: [{name: peak, hours: "00:01-00:02", usd_per_gpu_hour: 72.0}]
    step_time: {path: step-times.json}
    engine: {max_num_seqs: 16, max_num_batched_tokens: 256, kv_capacity_tokens: 6144, prefix_cache: false,
             sleep_slowdown: 0}
strategies:
  - {name: direct, kind: direct}
  - {name: think16, kind: think, budget_tokens: 16}
  - {name: think, kind: think, budget_tokens: 96}
  - {name: vote4, kind: vote, samples: 4, length_sigma: 0}
router: {policy: round-robin}
"""
VERIFY = "{kind: verify, name: verify4x2, solutions: 4, verifications: 2, length_ratio: 0.06, length_sigma: 0}"
SLEEP = "sleep={when: [always], effort: medium, min_saving: 0, tick: 2s}"


class Decoder(ScriptedDecoder):
    @dataclass
    class Config:
        vocab_size: int = VOCABULARY_SIZE

    config = Config()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario with its stream, its table and its step times."""
    folder = tmp_path_factory.mktemp("end-to-end")
    measure_outcomes(ScriptedDecoder(pupil(), slots=48), folder / "outcomes.parquet", exam=EXAM, width=12)
    write_stream(folder / "stream.csv", EXAM, requests_per_s=10.0, seconds=SECONDS)
    (folder / "step-times.json").write_text(json.dumps(STEP_TIMES))
    (folder / "lab.yaml").write_text(SCENARIO)
    return folder


def pupil() -> Pupil:
    known = Pupil()
    for number in EXAM.contexts:
        known.learn(EXAM.context(number)[0])
    return known


def clock(folder: Path) -> VirtualClock:
    """A step takes what the scenario's law says."""
    law = load_step_time(folder / "step-times.json").covering(16)

    def step_s(work: StepWork) -> float:
        return law.mixed_step_s(work.decode_rows, work.kv_tokens, work.prompt_tokens, work.pairs)

    return VirtualClock(step_s)


def served(folder: Path, overrides: Sequence[str] = ()) -> RealRun:
    scenario = load_scenario(folder / "lab.yaml", overrides)
    return run_for_real(Decoder(pupil(), slots=17), scenario, clock=clock(folder))


def simulated(folder: Path, overrides: Sequence[str] = ()) -> tuple[pd.DataFrame, dict[str, Any]]:
    results = simulate(load_scenario(folder / "lab.yaml", overrides), keep_requests=True)
    rows = pd.concat(list(results.requests())).sort_values("request_id", ignore_index=True)
    return rows, results.summary


def test_requests_take_and_cost_what_the_simulation_says(folder: Path) -> None:
    """Where step times are those of the law and lengths those of the table, nothing is left to chance."""
    run = served(folder)
    real, (told, summary) = run.frame(), simulated(folder)
    assert len(real) == len(told) > 150
    assert real["strategy"].tolist() == told["strategy"].tolist()
    for column in ("arrival_s", "ttft_s", "tpot_s", "e2e_s", "cost_usd", "output_tokens", "prompt_tokens"):
        mine, other = (frame[column].to_numpy(float) for frame in (real, told))
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12, err_msg=column)
    cost, books = summary["cost"], run.books
    assert sum(books.idle_usd.values()) == pytest.approx(cost["by_line"]["idle"], rel=1e-9)
    for window in ("base", "peak"):
        both = books.busy_usd()[window] + books.idle_usd[window]
        assert both == pytest.approx(cost["by_window"][window], rel=1e-9)


def test_every_second_is_paid_for_once(folder: Path) -> None:
    books = served(folder).books
    assert sum(books.busy_s.values()) + sum(books.idle_s.values()) == pytest.approx(books.end_s)
    assert books.busy_s["base"] + books.idle_s["base"] == pytest.approx(15.0)
    paid = sum(books.usd.values()) + sum(books.idle_usd.values())
    assert paid == pytest.approx(0.01 * 15.0 + 0.02 * (books.end_s - 15.0))


def test_answers_that_hang_on_no_chance_are_those_of_the_table(folder: Path) -> None:
    run, table = served(folder), pd.read_parquet(folder / "outcomes.parquet")
    bare = table[table["prepared"] == 0].set_index(["strategy", "question"])
    for request, row in zip(run.requests, run.frame().itertuples(), strict=True):
        question = request.question.context * EXAM.per_context + request.question.index
        measured = bare.loc[(row.strategy, question)]
        assert row.output_tokens == measured["tokens"]
        if row.strategy != "vote4":
            assert row.correct == bool(measured["correct"])


def test_checks_are_made_of_every_solution(folder: Path) -> None:
    run = served(folder, [f"strategies=[{VERIFY}]"])
    rows, table = run.frame(), pd.read_parquet(folder / "outcomes.parquet")
    jobs = pd.Series(run.served.jobs).value_counts()
    assert set(jobs) == {4 + 4 * 2}
    measured = table[(table["strategy"] == "verify4x2")]
    assert rows["correct"].mean() == pytest.approx(measured["correct"].mean(), abs=0.1)
    asked = measured.set_index("question")["tokens"]
    numbers = [request.question.context * 4 + request.question.index for request in run.requests]
    assert rows["output_tokens"].tolist() == asked.loc[numbers].tolist()


def test_notes_are_written_ahead_and_serve_later_questions(folder: Path) -> None:
    run = served(folder, [SLEEP])
    rows, (told, summary) = run.frame(), simulated(folder, [SLEEP])
    assert rows["prepared"].mean() == pytest.approx(told["prepared"].astype(float).mean(), abs=0.05)
    assert rows["prepared"].mean() > 0.5
    prepared = rows[rows["prepared"] & (rows["strategy"] == "direct")]
    assert prepared["correct"].all()
    for request in run.requests:
        notes = run.served.notes.get(request.context_id)
        found = request.number in run.served.prepared
        assert found == (notes is not None and notes.finish_s <= request.arrival_s)
    asleep = sum(run.books.busy_usd().values()) - rows["cost_usd"].sum()
    lines = summary["cost"]["by_line"]
    assert asleep == pytest.approx(lines["sleep_used"] + lines.get("sleep_wasted", 0.0), rel=0.2)


def test_the_comparison_is_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = end_to_end(
        Decoder(pupil(), slots=17),
        out,
        scenario=folder / "lab.yaml",
        clock=clock(folder),
        provenance={"machine": "none"},
    )
    kept = json.loads((out / "comparison.json").read_text())
    assert kept == {"machine": "none"} | json.loads(json.dumps(found))
    figures = {(figure["group"], figure["name"]): figure for figure in found["figures"]}
    assert figures["latency", "E2E mean, s"]["error"] == pytest.approx(0.0, abs=1e-9)
    assert figures["cost", "busy, USD"]["inside"]
    assert figures["accuracy", "vote4"]["low"] < 0.78 < figures["accuracy", "vote4"]["high"]
    rows = pd.read_parquet(out / "requests.parquet")
    assert found["requests"] == len(rows)
    assert set(rows["status"]) == {"completed"}
    assert "| cost | total, USD |" in (out / "comparison.md").read_text()


def test_a_stream_loads_the_machine_as_asked(folder: Path, tmp_path: Path) -> None:
    write_stream(tmp_path / "long.csv", EXAM, requests_per_s=1.0, seconds=150.0)
    scenario = load_scenario(folder / "lab.yaml", [f"workload.0.arrivals.path={tmp_path / 'long.csv'}"])
    loaded = loaded_to(scenario, 0.4, tmp_path / "stream.csv")
    assert simulate(loaded).summary["fleet"]["work_share"] == pytest.approx(0.4, rel=0.15)
    with pytest.raises(InputError, match="is no load"):
        loaded_to(scenario, 0.0, tmp_path / "stream.csv")


def test_a_stream_asks_every_question_of_its_contexts_as_the_day_goes(tmp_path: Path) -> None:
    file = tmp_path / "stream.csv"
    count = write_stream(file, EXAM, requests_per_s=20.0, seconds=200.0, day=(0.0, 1.0, 3.0))
    rows = pd.read_csv(file)
    assert len(rows) == count
    assert rows["arrival_s"].is_monotonic_increasing
    assert rows["arrival_s"].min() > 66.0
    parts = np.histogram(rows["arrival_s"], bins=[66.7, 133.3, 200.0])[0]
    assert parts[1] / parts[0] == pytest.approx(3.0, rel=0.2)
    whole = rows.groupby("context_id")["question_id"].apply(list)
    early = whole[rows.groupby("context_id")["arrival_s"].min() < 150.0]
    assert (early.apply(len) == 4).mean() > 0.95
    assert all(place == first + n for mine in early for first in [mine[0]] for n, place in enumerate(mine))
    context, questions = EXAM.context(int(rows["question_id"][0]) // 4)
    assert rows["prompt_tokens"][0] == len(context.tokens) + len(questions[0].tokens) + 3


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("strategies.0={name: s, kind: tree, width: 2, branch: 2, depth: 2}", "of kind tree cannot be run for real"),
        ("strategies.3.stop={agree: 3}", "cannot be stopped early for real"),
        ("fleet.0.replicas=2", "is not one server of GPUs"),
        ("fleet.0.engine.prefix_cache=true", "keeps contexts in its prefix cache"),
        ("workload.0.questions={kind: curves, class: arithmetic}", "asks no questions of a table"),
        ("sleep={when: [idle], min_saving: 0}", "decides by what the lab does not know"),
        (
            "workload.0.arrivals={kind: poisson, rps: 1}",
            "has requests without a question of the table; give a trace of question numbers",
        ),
    ],
)
def test_what_cannot_be_run_for_real_is_refused(folder: Path, override: str, told: str) -> None:
    more = ["horizon=10s", "workload.0.lengths={kind: constant, prompt_tokens: 9, output_tokens: 9}"]
    overrides = [override, *([*more, "workload.0.contexts=null"] if "poisson" in override else [])]
    with pytest.raises(InputError, match=told):
        served(folder, overrides)


def test_a_table_that_says_nothing_of_its_questions_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "bare.parquet"
    pd.read_parquet(folder / "outcomes.parquet").to_parquet(file)
    with pytest.raises(InputError, match="does not say which questions it holds"):
        served(folder, [f"workload.0.questions.path={file}"])
