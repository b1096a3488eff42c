"""Whether routing pays, in words."""

from __future__ import annotations

from typing import Any

from router.evaluation.resampling import Interval

__all__ = ["says_gain", "verdict"]

LEAST_GAIN = 0.005
"""A gain that is surely smaller than half a point is taken for none."""


def verdict(found: dict[str, Any], least_gain: float = LEAST_GAIN) -> dict[str, Any]:
    """The verdict on what `evaluate` found: `text` says it in a sentence, `kind` in a word.

    Two gains are looked at: over always the best fixed strategy, at its spend; and over the best random mixes of fixed
    strategies, as a mean over all budgets up to that. With two strategies only the second says anything, as at its end
    there is nothing left to choose. A gain pays where its 95 % interval is above 0, does not where that ends below
    `least_gain`, and cannot be told else. `kind` is `pays` where the first does, `pays-below` where only the second
    does, `pays-not` where neither does, and `cannot-tell`.
    """
    routing = found["routing"]
    over = routing["over_budgets"]
    best = routing["best_single"]
    mean = None if over is None else over["gain_over"]["mix of singles"]
    first = None if len(routing["singles"]) == 2 and mean is not None else _at_best(routing)["gain_over"]["best single"]
    kinds = [None if gain is None else _kind(gain, least_gain) for gain in (first, mean)]
    budgets = (
        "" if over is None else f"the best random mixes, over all budgets from always {over['from']} to always {best}"
    )
    single = f"always {best} at equal spend"
    if kinds[0] == "pays" and first is not None:
        kind, text, gain = "pays", f"routing pays: {says_gain(first)} over {single}", first
    elif kinds[1] == "pays" and mean is not None and first is None:
        kind, text, gain = "pays", f"routing pays: {says_gain(mean)} over random mixes, over all budgets", mean
    elif kinds[1] == "pays" and mean is not None and first is not None:
        told = f"routing pays below the spend of always {best}: {says_gain(mean)} over {budgets}"
        kind, text, gain = "pays-below", f"{told}; at that spend {_says_kind(kinds[0])}, {says_gain(first)}", mean
    else:
        gain, versus = (first, single) if first is not None else (mean, "random mixes, over all budgets")
        assert gain is not None
        is_sure = all(one in (None, "pays-not") for one in kinds)
        kind = "pays-not" if is_sure else "cannot-tell"
        start = "routing does not pay here" if is_sure else f"cannot tell from {routing['questions']:,} questions"
        text = f"{start}: {says_gain(gain)} over {versus}"
        if first is not None and mean is not None:
            text += f"; {says_gain(mean)} over {budgets}"
        if over is None:
            text += ", which is both the cheapest and the best"
    sentences = [
        *(_budgets(mean, budgets) if kind == "pays" and first is not None and mean is not None else ()),
        *_thresholds(routing),
        *(_dual(routing) if over is not None else ()),
        *_difficulty(found),
    ]
    return {"kind": kind, "text": text, "gain": gain, "sentences": sentences}


def _says_kind(kind: str | None) -> str:
    return "it does not" if kind == "pays-not" else "one cannot tell"


def _at_best(routing: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        row for row in routing["at_spend"] if row["spend"] == f"always {routing['best_single']}"
    )
    return found


def _kind(gain: Interval, least_gain: float) -> str:
    low, high = gain["low"], gain["high"]
    if low is None or high is None:
        return "cannot-tell"
    if low > 0.0:
        return "pays"
    return "pays-not" if high < least_gain else "cannot-tell"


def says_gain(gain: Interval) -> str:
    """A gain in points with its interval.

    >>> says_gain({"value": 0.0213, "low": 0.011, "high": 0.032})
    '+2.1 points (+1.1 to +3.2)'
    >>> says_gain({"value": None, "low": None, "high": None})
    'unknown'
    """
    if gain["value"] is None:
        return "unknown"
    between = (
        "" if gain["low"] is None or gain["high"] is None else f" ({_point(gain['low'])} to {_point(gain['high'])})"
    )
    return f"{_point(gain['value'])} points{between}"


def _point(value: float) -> str:
    # What rounds to nothing has no sign.
    return f"{100.0 * value + 0.0:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _budgets(mean: Interval, budgets: str) -> list[str]:
    return [f"It is {says_gain(mean)} over {budgets}."]


def _thresholds(routing: dict[str, Any]) -> list[str]:
    """How the learned rule does against the best thresholds."""
    over = routing["over_budgets"]
    row, where = (over, "over all budgets") if over is not None else (_at_best(routing), "at equal spend")
    is_pair = len(routing["singles"]) == 2
    return [
        f"Over the best {key} ({row['rivals'][key]['of']}) it gains {says_gain(row['gain_over'][key])}, {where}."
        for key in ("threshold on difficulty", "threshold on gain")
        if key in row["rivals"] and not (is_pair and key == "threshold on gain")
    ]


def _dual(routing: dict[str, Any]) -> list[str]:
    """Savings at equal accuracy, and at nearly equal accuracy."""
    same = routing["same_accuracy"]
    found = []
    for row in (same, *same["nearly"]):
        points = f"{100.0 * row['less']:g} point{'s' if row['less'] != 0.01 else ''}"
        goal = f"right as often as always {same['as']}" if row["less"] == 0.0 else f"within {points} of that"
        saving = row["ways"]["router"]["saving"]
        if saving["value"] is None:
            found.append(f"It is never {goal}, at any spend.")
            continue
        between = "" if saving["high"] is None else f" ({_end(saving['low'])} to {_end(saving['high'])})"
        found.append(f"To be {goal} it spends {_end(saving['value'])}{between}.")
    return found


def _end(saving: float | None) -> str:
    """A saving in words; none where it may be that no spend is enough."""
    if saving is None:
        return "perhaps never enough"
    return f"{abs(saving):.0%} {'less' if saving >= 0.0 else 'more'}"


def _difficulty(found: dict[str, Any]) -> list[str]:
    """What knowing how hard questions truly are would be worth for the pair."""
    true = found["pair"] and found["pair"]["scores"].get("true difficulty")
    if not true or true["apgr"]["low"] is None:
        return []
    apgr = true["apgr"]
    how = "does no better than chance" if apgr["low"] <= 0.5 else "does better than chance"
    told = f"APGR {apgr['value']:.3f} ({apgr['low']:.3f} to {apgr['high']:.3f})"
    advice = "; route on predicted gain, not on difficulty" if apgr["low"] <= 0.5 else ""
    return [f"Thresholding even the true difficulty, how many of the other strategies fail, {how}: {told}{advice}."]
