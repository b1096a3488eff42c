"""Two scenarios on the same streams: what differs, by how much, how surely, and why."""

from __future__ import annotations

from sim.comparison.comparison import compared
from sim.comparison.report import comparison_page, save_comparison
from sim.comparison.sides import Asked

__all__ = ["Asked", "compared", "comparison_page", "save_comparison"]
