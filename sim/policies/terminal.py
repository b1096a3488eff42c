"""A comparison of policies on the terminal: the verdict, then figures at equal spending, then single strategies."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sim import wording as words
from sim.policies.verdict import dollars, points

__all__ = ["format_policies"]


def format_policies(found: dict[str, Any]) -> Group:
    """The verdict in sentences, and two tables, at most 100 columns wide."""
    title = Text(f"{words.printable(found['scenario'])}: what routing is worth", style="bold")
    lines = [Text(f"- {sentence}") for sentence in found["verdict"]]
    spent = words.usd_fine(found["at_equal_spending"]["usd_per_1k_requests"]["mean"])
    equal = Text(f"Every policy at {spent} for 1,000 questions", style="italic")
    single = Text(f"Single strategies, and '{found['first']}' at the spending of each", style="italic")
    runs = words.things(found["replications"], "replication")
    note = (
        f"{runs} on the same requests; in brackets 95 % intervals of differences; what counts as spent: {found['cost']}"
    )
    return Group(
        title, "", *lines, "", equal, _equal_table(found), "", single, _single_table(found), "", Text(note, style="dim")
    )


def _equal_table(found: dict[str, Any]) -> Table:
    table = _table("policy", "right", "late", "right, against the mix", "worth of 1,000, against the mix")
    for name, policy in found["at_equal_spending"]["policies"].items():
        against = policy["against_mix"]
        right, late = (words.share(policy[metric]["mean"]) for metric in ("accuracy", "late"))
        table.add_row(name, right, late, points(against["accuracy"]), dollars(against["worth_usd"]))
    return table


def _single_table(found: dict[str, Any]) -> Table:
    table = _table("strategy", "1,000 questions", "right", "late", "routed, right", "routed, worth of 1,000")
    for name, trial in found["single"].items():
        against = found["against_single"][name][found["first"]]
        spent, right, late = words.usd_fine(trial["usd_per_1k_requests"]), words.share(trial["accuracy"]), trial["late"]
        told = points(against["accuracy"]), dollars(against["worth_usd"])
        table.add_row(words.printable(name), spent, right, words.share(late), *told)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table
