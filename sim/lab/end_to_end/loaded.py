"""A scenario with as many requests as load this machine to a given share."""

from __future__ import annotations

from pathlib import Path

from sim.errors import InputError
from sim.lab.end_to_end.live_router import held_out_contexts
from sim.lab.end_to_end.stream import write_stream
from sim.lab.outcomes.outcomes import Exam
from sim.scenario import Scenario, TableQuestions, TraceArrivals
from sim.scenario.choices import is_routed
from sim.workload.replay import Replay

__all__ = ["loaded_to", "seconds_of"]

_TRIAL_RPS = 5.0


def loaded_to(scenario: Scenario, load: float, file: Path) -> Scenario:
    """The scenario with a trace made anew, written to `file`, of the length of its own.

    `load` is the share of what the pool could do in full batches, by a simulation of a trial stream, to which work is
    proportional; where the router looks at load, nearly. Its questions are then on contexts that it was not trained on.

    Raises:
        InputError: for a load that is none, or a scenario whose stream is no trace.
    """
    from sim.simulation import simulate

    if not 0.0 < load <= 2.0:
        raise InputError(load, "is no load", "give a share of what the pool can do, such as 0.5")
    seconds = seconds_of(scenario)
    trial = _with_stream(scenario, file, _TRIAL_RPS, seconds)
    share = simulate(trial).summary["fleet"]["work_share"]
    return _with_stream(scenario, file, _TRIAL_RPS * load / share, seconds)


def seconds_of(scenario: Scenario) -> float:
    """Length of a scenario: its horizon, or that of its trace."""
    arrivals = scenario.workload[0].arrivals
    if scenario.horizon is not None:
        return scenario.horizon
    if not isinstance(arrivals, TraceArrivals):
        raise InputError(f"stream '{scenario.workload[0].name}'", "is no trace", "give it arrivals of kind trace")
    return max(float(rows.arrival_s[-1]) for rows in Replay.of(arrivals).rows(None, None, None))


def _with_stream(scenario: Scenario, file: Path, requests_per_s: float, seconds: float) -> Scenario:
    stream = scenario.workload[0]
    questions = stream.questions
    assert isinstance(questions, TableQuestions)
    exam = Exam.of_file(questions.path)
    contexts = held_out_contexts(scenario, exam) if is_routed(scenario, stream) else None
    write_stream(file, exam, requests_per_s=requests_per_s, seconds=seconds, seed=scenario.seed, contexts=contexts)
    arrivals = TraceArrivals(path=file, format="nightshift")
    return scenario.model_copy(update={"workload": [stream.model_copy(update={"arrivals": arrivals})]})
