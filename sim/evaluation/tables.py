"""The figures of an evaluation as rows of text, alike on the terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router.evaluation.resampling import Interval
from router.evaluation.verdict import says_gain
from sim import wording as words

__all__ = [
    "PAIR_COLUMNS",
    "RIVAL_COLUMNS",
    "SHORT_COLUMNS",
    "SPEND_COLUMNS",
    "STRATEGY_COLUMNS",
    "cost_text",
    "figure",
    "gain_columns",
    "gain_rows",
    "log_lines",
    "pair_rows",
    "saving_columns",
    "saving_rows",
    "share_of",
    "short_rows",
    "spend_blocks",
    "spend_rows",
    "strategy_rows",
    "title_of",
]

STRATEGY_COLUMNS = ("strategy", "right", "tokens", "cost", "AUC", "ECE", "by chance", "Brier", "log loss")
SHORT_COLUMNS = ("strategy", "right", "cost", "AUC", "ECE", "Brier")
PAIR_COLUMNS = ("score", "APGR", "CPT 50 %", "CPT 80 %")
RIVAL_COLUMNS = ("against", "made of", "right", "gain in points")
SPEND_COLUMNS = ("spend of", "cost", "router", *RIVAL_COLUMNS)

_RIVALS = ("best single", "mix of singles", "threshold on difficulty", "threshold on gain", "baseline")


def title_of(found: dict[str, Any]) -> str:
    """What was judged."""
    source = found["source"]
    judged = (
        source.get("router") or source.get("predictions") or f"trained anew, {source['folds']} folds, {source['refit']}"
    )
    against = f" on {source['outcomes']}" if "outcomes" in source else ""
    return words.printable(f"{judged}{against}")


def figure(value: Interval, places: int = 3) -> str:
    """A figure with its interval.

    >>> figure({"value": 0.6934, "low": 0.68, "high": 0.7}), figure({"value": None, "low": None, "high": None})
    ('0.693 (0.680 to 0.700)', '-')
    """
    if value["value"] is None:
        return "-"
    if value["low"] is None or value["high"] is None:
        return f"{value['value']:.{places}f}"
    return f"{value['value']:.{places}f} ({value['low']:.{places}f} to {value['high']:.{places}f})"


def share_of(value: Interval) -> str:
    """A share in per cent with its interval.

    >>> share_of({"value": 0.5, "low": 0.4, "high": None}), share_of({"value": None, "low": None, "high": None})
    ('50.0% (40.0% to -)', '-')
    """
    if value["value"] is None:
        return "-"
    between = (
        ""
        if value["low"] is None and value["high"] is None
        else f" ({_per_cent(value['low'])} to {_per_cent(value['high'])})"
    )
    return f"{_per_cent(value['value'])}{between}"


def _per_cent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def cost_text(value: float | None, unit: str) -> str:
    """What a question costs, in the unit of the table.

    >>> cost_text(0.00123, "USD"), cost_text(0.25, "calls of gpt-4")
    ('$0.00123', '25.0%')
    """
    return words.usd_fine(value) if unit == "USD" else _per_cent(value)


def strategy_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each strategy, under STRATEGY_COLUMNS."""
    unit = found["routing"]["unit"]
    for name, row in found["strategies"].items():
        yield (
            words.printable(name),
            share_of(row["accuracy"]),
            "-" if row["tokens"] is None else f"{row['tokens']:,.1f}",
            cost_text(row["usd"], unit),
            figure(row["auc"]),
            figure(row["ece"]),
            f"{row['ece_by_chance']:.3f}",
            figure(row["brier"]),
            figure(row["log_loss"]),
        )


def short_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The same for a narrow terminal, under SHORT_COLUMNS."""
    unit = found["routing"]["unit"]
    for name, row in found["strategies"].items():
        right, brier = _per_cent(row["accuracy"]["value"]), f"{row['brier']['value']:.3f}"
        yield words.printable(name), right, cost_text(row["usd"], unit), figure(row["auc"]), figure(row["ece"]), brier


def pair_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each score that questions may be sent on by, under PAIR_COLUMNS."""
    for name, row in (found["pair"] or {"scores": {}})["scores"].items():
        yield name, figure(row["apgr"]), share_of(row["cpt50"]), share_of(row["cpt80"])


def spend_blocks(found: dict[str, Any]) -> Iterator[tuple[str, str, str, list[tuple[str, ...]]]]:
    """At each spend its name, cost, what the router comes to, and a row for each rival; last the mean over budgets.

    Rows are of the rival, what it is made of, its right answers and the router's gain over it; last the oracle's.
    """
    routing = found["routing"]
    over = routing["over_budgets"]
    blocks = [(row["spend"], cost_text(row["usd"]["value"], routing["unit"]), row) for row in routing["at_spend"]]
    if over is not None:
        blocks.append(("all budgets", "-", over))
    for spend, cost, row in blocks:
        rows = [_rival_row(row, rival) for rival in _RIVALS if rival in row["rivals"]]
        oracle = ("oracle", "", _per_cent(row["oracle"]["value"]), f"{share_of(row['oracle_gain_share'])} of its gain")
        yield words.printable(spend), cost, share_of(row["router"]), [*rows, oracle]


def _rival_row(row: dict[str, Any], rival: str) -> tuple[str, ...]:
    made = row["rivals"][rival]
    gain = says_gain(row["gain_over"][rival]).replace(" points", "")
    return rival, words.printable(made["of"] or ""), _per_cent(made["accuracy"]["value"]), gain


def spend_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The same as one table, under SPEND_COLUMNS."""
    for *head, rows in spend_blocks(found):
        for place, row in enumerate(rows):
            yield (*(head if place == 0 else ("", "", "")), *row)


def gain_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each spend with the gains over all rivals side by side, under `gain_columns`."""
    rivals = _rivals_of(found)
    routing = found["routing"]
    over = routing["over_budgets"]
    for row in (*routing["at_spend"], *([] if over is None else [over])):
        gains = (row["gain_over"].get(rival) for rival in rivals)
        yield (
            words.printable(row.get("spend", "all budgets")),
            _per_cent(row["router"]["value"]),
            *("-" if gain is None else says_gain(gain).replace(" points", "") for gain in gains),
            share_of(row["oracle_gain_share"]),
        )


def gain_columns(found: dict[str, Any]) -> tuple[str, ...]:
    """Heads of these rows."""
    rivals = (
        rival.replace("threshold on", "threshold:").replace("mix of singles", "random mix")
        for rival in _rivals_of(found)
    )
    return "at spend", "router", *rivals, "of oracle's gain"


def _rivals_of(found: dict[str, Any]) -> list[str]:
    there = {rival for row in found["routing"]["at_spend"] for rival in row["rivals"]}
    return [rival for rival in _RIVALS if rival in there]


def saving_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What each way spends less to be right as often as the best fixed strategy, and nearly; under `saving_columns`."""
    same = found["routing"]["same_accuracy"]
    rows = (same, *same["nearly"])
    for name, way in same["ways"].items():
        made = f" ({words.printable(way['of'])})" if way["of"] else ""
        savings = (row["ways"][name]["saving"] for row in rows)
        yield f"{name}{made}", *("never" if saving["value"] is None else share_of(saving) for saving in savings)


def saving_columns(found: dict[str, Any]) -> tuple[str, ...]:
    """Heads of these rows: how much less accuracy is nearly as much."""
    nearly = found["routing"]["same_accuracy"]["nearly"]
    return "spends less to be right", "as often", *(f"{100.0 * row['less']:g} % less often" for row in nearly)


def log_lines(off_policy: dict[str, Any]) -> Iterator[str]:
    """What a log says of the policy."""
    for name in ("accuracy", "usd"):
        row = off_policy[name]
        if row is not None:
            form = share_of if name == "accuracy" else (lambda value: figure(value, 6))
            yield (
                f"{name}: doubly robust {form(row['doubly_robust'])}, self-normalised {form(row['self_normalised'])}, "
                f"IPS {form(row['ips'])}; the log itself {form(row['logged'])}"
            )
    sample = off_policy["accuracy"]
    weight = f"largest weight {sample['largest_weight']:.1f}"
    yield f"{sample['effective_rows']:,.0f} effective rows of {sample['rows']:,}, {weight}"
