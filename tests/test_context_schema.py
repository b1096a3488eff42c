"""Contexts, questions and sleep-time work, as a scenario describes them."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sim.errors import ScenarioError
from sim.load import dump_scenario, load_scenario
from sim.scenario import (
    ConstantCount,
    ConstantTime,
    CurveQuestions,
    Daily,
    GeometricCount,
    LognormalTime,
    Queries,
    Stream,
    TableQuestions,
    Times,
    Tokens,
    TraceArrivals,
)
from tests.conftest import SMALL_SCENARIO
from tests.small import chat, pool, scenario

CONTEXTS = {
    "queries": {"kind": "geometric", "mean": 4},
    "think_time": {"kind": "lognormal", "median": "120s", "sigma": 1.5},
    "tokens": 6000,
}
API = {"name": "night", "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"}


def complaint(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        scenario(**changes)
    return str(caught.value)


def trace(trace_format: str, **contexts: Any) -> dict[str, Any]:
    """A stream that replays a file, with what is said of its contexts."""
    arrivals = {"kind": "trace", "path": "t.csv", "format": trace_format}
    return {"name": "t", "arrivals": arrivals, "contexts": contexts}


def test_the_contexts_of_the_contract() -> None:
    contexts = Stream.model_validate(chat(contexts=CONTEXTS)).contexts

    assert contexts is not None
    assert contexts.queries == GeometricCount(mean=4)
    assert contexts.think_time == LognormalTime(median=120.0, sigma=1.5)
    assert (contexts.tokens, contexts.lead) == (ConstantCount(value=6000), ConstantTime(value=0.0))
    assert (contexts.changes_every, contexts.conversation, contexts.predictability) == (None, False, None)


@pytest.mark.parametrize(
    ("union", "value", "mean"),
    [
        (Queries, 3, 3.0),
        (Queries, {"kind": "geometric", "mean": 2.5}, 2.5),
        (Tokens, {"kind": "lognormal", "median": 100, "sigma": 1}, 100 * exp(0.5)),
        (Times, "2m", 120.0),
        (Times, 0, 0.0),
        (Times, {"kind": "lognormal", "median": "1m", "sigma": 0.5}, 60 * exp(0.125)),
    ],
)
def test_a_distribution_knows_its_mean_and_a_bare_value_is_constant(union: Any, value: Any, mean: float) -> None:
    assert TypeAdapter(union).validate_python(value).mean == pytest.approx(mean)


@pytest.mark.parametrize("absent", CONTEXTS)
def test_contexts_of_generated_arrivals_are_told_whole(absent: str) -> None:
    some = {key: value for key, value in CONTEXTS.items() if key != absent}

    assert f"contexts.{absent}: {absent} is missing; add the " in complaint(workload=[chat(contexts=some)])


def test_a_trace_brings_its_contexts_and_the_scenario_adds_to_them() -> None:
    contexts = Stream.model_validate(trace("agentic", lead="5m", predictability=0.3)).contexts

    assert contexts is not None
    assert contexts.lead.mean == 300.0
    assert "contexts.queries: queries cannot be given with a trace, which holds its own" in complaint(
        workload=[trace("mooncake", queries=3)]
    )


def test_sessions_without_a_clock_begin_by_a_law() -> None:
    arrivals = {"kind": "trace", "path": "t.csv", "format": "agentic", "starts": {"kind": "daily", "mean_rps": 0.01}}

    assert TraceArrivals.model_validate(arrivals).starts == Daily(mean_rps=0.01)
    assert "starts cannot be given with a trace of format azure, whose rows say when they come" in complaint(
        workload=[{"name": "t", "arrivals": arrivals | {"format": "azure"}}]
    )


def test_what_has_no_contexts_cannot_be_given_any() -> None:
    closed = {"kind": "closed", "concurrency": 3}

    assert "format azure, which has none; leave it out, or use one of mooncake, nightshift, agentic" in complaint(
        workload=[trace("azure", lead="5m")]
    )
    assert "contexts cannot be given with closed arrivals" in complaint(
        workload=[chat(arrivals=closed, contexts=CONTEXTS)]
    )


def test_questions_have_curves_or_a_table() -> None:
    by_curve = Stream.model_validate(chat(questions={"kind": "curves", "class": "arithmetic"}))
    by_table = Stream.model_validate(chat(questions={"kind": "table", "path": "rows.csv"}, usd_per_correct=0.01))

    assert by_curve.questions == CurveQuestions(class_name="arithmetic")
    assert by_table.questions == TableQuestions(path=Path("rows.csv"))
    assert (by_curve.usd_per_correct, by_table.usd_per_correct) == (None, 0.01)


def test_sleep_needs_something_to_prepare_and_somewhere_to_do_it() -> None:
    talk = [chat(contexts=CONTEXTS)]

    assert scenario(workload=talk, sleep={}).sleep == scenario(workload=talk, sleep={"effort": "medium"}).sleep
    assert "sleep has no contexts to prepare; add `contexts` to a stream" in complaint(sleep={})
    assert "sleep.pools.0: h20 is no pool of the fleet; use one of: h100" in complaint(
        workload=talk, sleep={"pools": ["h20"]}
    )
    assert "pools is missing, and the fleet has no GPUs; add it, such as [night]" in complaint(
        workload=talk, sleep={}, fleet=[API]
    )
    assert scenario(workload=talk, sleep={"pools": ["night"]}, fleet=[pool(), API]).sleep is not None


def test_the_defaults_of_sleep_are_those_of_the_contract() -> None:
    sleep = scenario(workload=[chat(contexts=CONTEXTS)], sleep={}).sleep

    assert sleep is not None
    assert (sleep.when, sleep.effort, sleep.expires, sleep.drafts) == (["off-peak", "idle"], "medium", 86_400.0, 1)
    assert (sleep.tick, sleep.idle_below, sleep.max_jobs, sleep.min_saving) == (60.0, 0.5, 64, 1.0)
    assert (sleep.forecast.questions, sleep.forecast.error, sleep.budget_usd_per_day) == ("mean", 0.0, None)


QUESTIONS = (
    "    contexts: {queries: 3, think_time: 2m, tokens: 6000}\n    questions: {kind: curves, class: arithmetic}\n"
)
STRATEGIES = """\
strategies:
  - {name: direct, model: meta-llama/llama-3.1-8b, class: math-llama-3.1-8b}
  - {name: check, kind: verify, solutions: 2, verifications: 2, verifier_model: llama-3.1-8b}
sleep: {effort: low}
"""


def test_a_file_says_class_and_catalogue_names_and_survives_a_round_trip(scenario_file: Callable[[str], Path]) -> None:
    text = SMALL_SCENARIO.replace("fleet:\n", f"{QUESTIONS}fleet:\n") + STRATEGIES
    loaded = load_scenario(scenario_file(text))

    assert [getattr(each, "model", None) for each in loaded.strategies] == ["Llama-3.1-8B", None]
    assert "class: arithmetic" in dump_scenario(loaded)
    assert load_scenario(scenario_file(dump_scenario(loaded))) == loaded


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("class: arithmetic", "clas: arithmetic", "questions.clas: unknown key, did you mean 'class'?"),
        (", class: arithmetic", "", "questions.class: is missing; add it: Name of a class of questions"),
        ("queries: 3", "queries: none", "contexts.queries: none is not a whole number; give a whole number"),
        ("think_time: 2m", "think_time: soon", "contexts.think_time: soon is not a duration; give seconds"),
        ("tokens: 6000", "tokens: {median: 6000}", "contexts.tokens.kind: is missing; use one of: constant, lognormal"),
        (
            "queries: 3",
            "queries: {kind: poisson}",
            "queries.kind: poisson is not a known kind; use one of: constant, geo",
        ),
        ("kind: curves, class: arithmetic", "kind: table, path: gone.csv", "questions.path: gone.csv is not a file"),
        ("solutions: 2", "solutoins: 2", "strategies.1.solutoins: unknown key, did you mean 'solutions'?"),
        (
            "kind: verify",
            "kind: verfy",
            "strategies.1.kind: verfy is not a known kind; use one of: direct, think, vote",
        ),
        (
            "verifier_model: llama-3.1-8b",
            "verifier_model: llama-3.1-8c",
            "strategies.1.verifier_model: llama-3.1-8c is",
        ),
        ("effort: low", "effort: lowest", "sleep.effort: lowest is not accepted, did you mean 'low'?"),
    ],
)
def test_a_slip_is_told_in_our_words(old: str, new: str, told: str, scenario_file: Callable[[str], Path]) -> None:
    text = SMALL_SCENARIO.replace("fleet:\n", f"{QUESTIONS}fleet:\n") + STRATEGIES
    assert old in text
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(text.replace(old, new)))
    (fault,) = str(caught.value).splitlines()

    assert told in fault


def test_nothing_else_is_called_sleep_where_there_is_sleep_time_work() -> None:
    """Its stream and its strategy are called that in results."""
    streams = [chat(name="sleep", contexts=CONTEXTS)]

    assert scenario(workload=streams, strategies=[{"name": "sleep"}]).sleep is None
    told = complaint(workload=streams, strategies=[{"name": "sleep"}], sleep={})
    assert "workload.0.name: sleep is what sleep-time work is called in results; choose another name" in told
    assert "strategies.0.name: sleep is what sleep-time work is called in results; choose another name" in told
