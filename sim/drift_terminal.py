"""Drift of a router on the terminal: what to do, and the windows that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["format_drift"]

_MOST_ROWS = 40
_SAID = {"keep": "Nothing to do", "watch": "Watch it", "collect": "Collect outcomes", "retrain": "Train again"}


def format_drift(found: Mapping[str, Any]) -> Group:
    """What `drift` gives back, as a sentence and a table at most 80 columns wide."""
    advice, windows = found["advice"], found["windows"]
    since = f" (since {advice['since']})" if advice["since"] else ""
    headline = Text(f"{_SAID[advice['verdict']]}: {advice['reason']}{since}", style="bold")
    last = next((window for window in reversed(windows) if window["outcomes_by_strategy"]), None)
    parts: list[Any] = [headline, "", _windows(windows), *(["", _outcomes(last)] if last else [])]
    return Group(*parts)


def _windows(windows: Sequence[Mapping[str, Any]]) -> Table:
    left_out = max(len(windows) - _MOST_ROWS, 0)
    title = f"The last {_MOST_ROWS} of {len(windows)} windows" if left_out else None
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for name in ("window", "requests", "moved most", "PSI", "by chance", "alarm"):
        table.add_column(name, justify="right" if name in ("requests", "PSI", "by chance") else "left")
    for window in windows[left_out:]:
        most = window["inputs"][0] if window["inputs"] else None
        told = [
            *(["inputs"] if most and most["level"] == "major" else []),
            *(found["strategy"] for found in window["outcomes_by_strategy"] if found["off"]),
        ]
        table.add_row(
            window["window"],
            f"{window['requests']:,}",
            Text(most["column"] if most else "too few"),
            f"{most['psi']:.3f}" if most else "-",
            f"{most['by_chance']:.3f}" if most else "-",
            Text(", ".join(told)),
        )
    return table


def _outcomes(window: Mapping[str, Any]) -> Table:
    title = f"Answers in the window {window['window']}"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for name in ("strategy", "known", "right", "expected", "difference, 95 %", "ECE", "by chance", "then"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for found in window["outcomes_by_strategy"]:
        low, high = found["interval"]
        table.add_row(
            Text(found["strategy"]),
            f"{found['outcomes']:,}",
            f"{found['observed']:.1%}",
            f"{found['expected']:.1%}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            *(f"{found[name]:.3f}" for name in ("ece", "ece_by_chance", "ece_then")),
        )
    return table
