"""Measurements of real serving: closed loops, prompt and token times, step tables and open loops."""

from sim.measurements.declared import declared_models, drift_notes, is_measured_folder
from sim.measurements.gather import read_measurements
from sim.measurements.kinds import Assumed, ClosedLoop, Measurements, OpenLoop, Setup, StepTable

__all__ = [
    "Assumed",
    "ClosedLoop",
    "Measurements",
    "OpenLoop",
    "Setup",
    "StepTable",
    "declared_models",
    "drift_notes",
    "is_measured_folder",
    "read_measurements",
]
