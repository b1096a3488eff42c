"""A trained router on the terminal: what it can tell apart, and whether routing pays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["format_training"]


def format_training(found: Mapping[str, Any]) -> Group:
    """What `train` gives back, as text and a table at most 80 columns wide."""
    labels = found["labels"]
    parts: list[Any] = [
        *_verdict(found["metrics"].get("routing")),
        f"{labels['questions']:,} questions of {labels['source']}, each held out once with its group"
        f" ({labels['groups']:,} groups in {labels['folds']} folds)",
        *([f"Tokens were {labels['tokens']}."] if labels["tokens"] != "measured" else []),
        "",
        _table(found["metrics"]["by_strategy"]),
        "",
        f"The router is in {found['file']}",
    ]
    return Group(*parts)


def _verdict(routing: Mapping[str, Any] | None) -> list[Text]:
    if routing is None:
        return []
    ranking = routing["ranking"]
    low, high = routing[f"apgr_{ranking}_interval"]
    found = f"APGR {routing[f'apgr_{ranking}']:.3f} ({low:.3f} to {high:.3f}) by predicted {ranking}, 0.5 by chance"
    text = f"Routing from {routing['weak']} to {routing['strong']} {routing['verdict']}: {found}"
    return [Text(text, style="bold")]


def _table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("strategy", "right", "AUC", "95 % interval", "ECE", "Brier"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for name, of in figures.items():
        low, high = of["auc_interval"]
        interval = f"{low:.3f} to {high:.3f}"
        right, error = f"{of['accuracy']:.1%}", f"{of['ece']:.4f}"
        table.add_row(Text(name), right, f"{of['auc']:.3f}", interval, error, f"{of['brier']:.4f}")
    return table
