"""What `nightshift evaluate` shows: a table on the terminal, and a page."""

from sim.evaluation.report import evaluation_page, save_evaluation

__all__ = ["evaluation_page", "save_evaluation"]
