"""Scenarios, and settings of one, simulated side by side: `jobs`; what each run came to: `figures`."""

from sim.runs.jobs import Job, Kept, Outcome, Runner, run_job, run_scenario, scenarios_side_by_side, side_by_side

__all__ = ["Job", "Kept", "Outcome", "Runner", "run_job", "run_scenario", "scenarios_side_by_side", "side_by_side"]
