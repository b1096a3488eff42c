"""What is not known, drawn anew for each replication: what is drawn, the world that follows, and what it does."""

from sim.uncertainty.doubts import Doubt, uncertainty_warnings
from sim.uncertainty.section import uncertainty_section
from sim.uncertainty.worlds import World, Worlds

__all__ = ["Doubt", "World", "Worlds", "uncertainty_section", "uncertainty_warnings"]
