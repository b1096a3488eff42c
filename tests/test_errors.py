"""Errors say the value, the rule and the remedy on one line; bad input stands apart from our own faults."""

from __future__ import annotations

import copy

import pytest

from sim.errors import (
    CatalogueError,
    EngineError,
    Fault,
    InputError,
    NightshiftError,
    ScenarioError,
    TraceError,
    did_you_mean,
)


def test_an_input_error_reads_as_one_sentence() -> None:
    error = TraceError("-3", "is negative", "mend the row, or set on_bad_row: skip", where="trace.csv:7")

    assert str(error) == "trace.csv:7  -3 is negative; mend the row, or set on_bad_row: skip"


def test_a_suggestion_follows_a_comma_as_in_the_readme() -> None:
    fault = Fault("peak.yaml:5", "fleet.0.replicsa", "replicsa", "unknown key", "did you mean 'replicas'?")

    assert str(fault) == "peak.yaml:5  fleet.0.replicsa: unknown key, did you mean 'replicas'?"


def test_a_scenario_error_tells_every_fault_on_a_line_of_its_own() -> None:
    faults = [Fault(f"a.yaml:{line}", "seed", line, "is wrong", "mend it") for line in (1, 2)]

    assert str(ScenarioError(faults)).splitlines() == [
        "a.yaml:1  seed: 1 is wrong; mend it",
        "a.yaml:2  seed: 2 is wrong; mend it",
    ]


@pytest.mark.parametrize("leaf", [ScenarioError, TraceError, CatalogueError])
def test_what_comes_from_outside_is_an_input_error(leaf: type[Exception]) -> None:
    assert issubclass(leaf, InputError)


def test_our_own_faults_are_not_input_errors() -> None:
    assert issubclass(EngineError, NightshiftError)
    assert not issubclass(EngineError, InputError)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        ("", "an empty text"),
        ("two\nlines", "two lines"),
        ("x" * 200, "x" * 77 + "..."),
    ],
)
def test_values_are_shown_on_one_short_line_as_yaml_writes_them(value: object, shown: str) -> None:
    assert str(InputError(value, "is wrong", "mend it")) == f"{shown} is wrong; mend it"


def test_a_number_too_long_to_print_is_described() -> None:
    assert str(InputError(16**9000, "is wrong", "mend it")).startswith("a number of too many digits")


def test_errors_stay_whole_when_they_are_taken_apart_and_rebuilt() -> None:
    faulty = ScenarioError([Fault("a.yaml:1", "seed", -1, "is wrong", "mend it")])
    bad_row = TraceError("x", "is wrong", "mend it", where="t.csv:2")

    assert [str(copy.copy(error)) for error in (faulty, bad_row)] == [str(faulty), str(bad_row)]


def test_a_suggestion_ignores_case_and_falls_back_to_all_names() -> None:
    assert did_you_mean("HORIZN", ["horizon", "seed"]) == "did you mean 'horizon'?"
    assert did_you_mean("qqq", ["horizon", "seed"]) == "use one of: horizon, seed"
