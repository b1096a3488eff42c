"""What is not known, drawn anew for each replication: what is drawn, the world that follows, and what it does."""

from sim.uncertainty.doubts import Doubt, doubts_of, uncertainty_warnings
from sim.uncertainty.section import uncertainty_section
from sim.uncertainty.worlds import World, Worlds

__all__ = ["Doubt", "World", "Worlds", "doubts_of", "uncertainty_section", "uncertainty_warnings"]
