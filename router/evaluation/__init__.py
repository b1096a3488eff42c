"""Evaluation: how good a router's chances are, what routing by them is worth at equal spend, and a verdict in words.

Figures are exact functions of a table of questions and strategies (`table.Judged`); intervals are drawn over groups of
questions (`resampling.Draws`), so that every comparison is paired.
"""

from router.evaluation.off_policy import Log, off_policy
from router.evaluation.pricing import TokenPrices, costs
from router.evaluation.report import Settings, evaluated
from router.evaluation.table import Judged, coded

__all__ = ["Judged", "Log", "Settings", "TokenPrices", "coded", "costs", "evaluated", "off_policy"]
