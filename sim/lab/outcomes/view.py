"""Rows of a table of outcomes by strategy and effort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EFFORTS", "View", "of_kind", "step_ranges"]

EFFORTS = ("low", "medium", "high")


class View:
    """Rows by strategy and effort."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        groups = rows.groupby(["strategy", "effort"])
        self._groups = {(str(strategy), str(effort)): found for (strategy, effort), found in groups}
        self.strategies = sorted({strategy for strategy, _ in self._groups}, key=strategy_order)

    def of(self, strategy: str, effort: str = "") -> pd.DataFrame:
        """Rows of a strategy on bare contexts, or on those prepared with an effort; none where it was not tried."""
        found = self._groups.get((strategy, effort))
        return self.rows.iloc[:0] if found is None else found

    def known(self, names: Sequence[str]) -> list[str]:
        """Those of them that are there."""
        return [name for name in names if name in self.strategies]

    def chains(self) -> list[str]:
        """Direct answers and thoughts, shortest first."""
        return [name for name in self.strategies if name == "direct" or name.startswith("think")]

    def votes(self) -> list[str]:
        """Votes at temperature 1, smallest first."""
        return [name for name in self.strategies if name.startswith("vote") and name[4:].isdecimal()]


def strategy_order(strategy: str) -> tuple[int, int, str]:
    """Direct, think by budget (without one last), votes by size, verification."""
    kinds = ("direct", "think", "vote", "verify")
    kind = next((place for place, name in enumerate(kinds) if strategy.startswith(name)), len(kinds))
    digits = "".join(letter if letter.isdecimal() else " " for letter in strategy).split()
    sizes = [int(number) for number in digits] or ([10**6] if strategy == "think" else [0])
    return kind, sizes[0] * 1000 + (sizes[1] if len(sizes) > 1 and strategy.startswith("verify") else 0), strategy


def step_ranges(view: View) -> list[tuple[int, int]]:
    """One step each, as long as there are at least 2 % of the questions; the rest together."""
    counts = view.of(view.strategies[0]).drop_duplicates("question")["steps"].value_counts().sort_index()
    ranges: list[tuple[int, int]] = []
    last = int(counts.index.max())
    for steps in counts.index:
        if counts[counts.index >= steps].sum() < 0.04 * counts.sum() or steps == last:
            return [*ranges, (int(steps), last)]
        ranges.append((int(steps), int(steps)))
    return ranges


def of_kind(rows: pd.DataFrame, predictable: int) -> pd.DataFrame:
    """Of questions that are predictable (1) or not (0)."""
    return rows[rows["predictable"] == predictable]
