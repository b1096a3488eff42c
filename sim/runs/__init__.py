"""Scenarios, and settings of one, run side by side, here or on a cluster, and kept by what they follow from: `jobs`.

What each run came to: `figures`.
"""

from sim.runs.executor import Executor, executor_of
from sim.runs.jobs import Job, Run, Runner, run_all, run_job, scenarios_side_by_side, side_by_side
from sim.runs.outcome import Outcome, run_scenario
from sim.runs.store import Store

__all__ = [
    "Executor",
    "Job",
    "Outcome",
    "Run",
    "Runner",
    "Store",
    "executor_of",
    "run_all",
    "run_job",
    "run_scenario",
    "scenarios_side_by_side",
    "side_by_side",
]
