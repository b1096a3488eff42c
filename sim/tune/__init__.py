"""Search for settings of a scenario inside the simulator, by several objectives at once: begin at `tuned`."""

from sim.tune.objectives import OBJECTIVES
from sim.tune.plan import Plan
from sim.tune.report import save_tuning
from sim.tune.space import Choices, Dimension, Range, parse_vary
from sim.tune.tuning import tuned

__all__ = ["OBJECTIVES", "Choices", "Dimension", "Plan", "Range", "parse_vary", "save_tuning", "tuned"]
