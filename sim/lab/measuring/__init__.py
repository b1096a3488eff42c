"""`nightshift measure`: step times, loops, outcomes and router latency of a model on this machine, into a folder."""

from sim.lab.measuring.run import measure
from sim.lab.measuring.settings import PARTS, Asked

__all__ = ["PARTS", "Asked", "measure"]
