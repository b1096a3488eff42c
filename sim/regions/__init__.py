"""Where preparing contexts pays, where thinking longer does, and where a direct answer does: a map over a grid."""

from sim.regions.grid import AXES, Grid, Point
from sim.regions.judge import Judged
from sim.regions.mapping import Plan, judged_points, made_map
from sim.regions.report import save_regions
from sim.regions.ways import Way, ways_of

__all__ = ["AXES", "Grid", "Judged", "Plan", "Point", "Way", "judged_points", "made_map", "save_regions", "ways_of"]
