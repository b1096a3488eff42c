"""Whether routing pays, in words."""

from __future__ import annotations

from typing import Any

from router.evaluation.resampling import Interval

__all__ = ["says_gain", "verdict"]

LEAST_GAIN = 0.005
"""A gain that is surely smaller than half a point is taken for none."""


def verdict(found: dict[str, Any], least_gain: float = LEAST_GAIN) -> dict[str, Any]:
    """The verdict on what `evaluate` found: `kind` is pays, pays-not or cannot-tell; `text` says it in a sentence.

    With two strategies the gain is over their random mix, as a mean over all budgets between them: at either end there
    is nothing to choose. With more it is over the best fixed strategy at its own spend. It pays where the 95 % interval
    is above 0, does not where it ends below `least_gain`, and cannot be told else.
    """
    routing = found["routing"]
    over = routing["over_budgets"]
    if len(routing["singles"]) == 2 and over is not None:
        gain, versus = over["gain_over"]["mix of singles"], "a random mix at equal spend, over all budgets"
    else:
        at = _at_best(routing)
        gain, versus = at["gain_over"]["best single"], f"always {routing['best_single']} at equal spend"
    kind = _kind(gain, least_gain)
    beginning = {
        "pays": f"routing pays: {_points(gain)} over {versus}",
        "pays-not": f"routing does not pay here: {_points(gain)} over {versus}",
        "cannot-tell": f"cannot tell from {routing['questions']:,} questions: {_points(gain)} over {versus}",
    }
    sentences = [*_budgets(found, least_gain), *_thresholds(routing), *_dual(routing), *_difficulty(found)]
    return {"kind": kind, "text": beginning[kind], "gain": gain, "over": versus, "sentences": sentences}


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


_points = says_gain


def _budgets(found: dict[str, Any], least_gain: float) -> list[str]:
    over = found["routing"]["over_budgets"]
    if over is None or len(found["routing"]["singles"]) == 2:
        return []
    gain = over["gain_over"]["mix of singles"]
    words = {"pays": "it pays", "pays-not": "it does not pay", "cannot-tell": "one cannot tell"}[
        _kind(gain, least_gain)
    ]
    span = f"from always {over['from']} to always {over['to']}"
    return [f"Over all budgets {span} {words}: {_points(gain)} over the best random mix."]


def _thresholds(routing: dict[str, Any]) -> list[str]:
    """How the learned rule does against the best thresholds."""
    is_pair = len(routing["singles"]) == 2
    row = routing["over_budgets"] if is_pair and routing["over_budgets"] else _at_best(routing)
    return [
        f"Over the best {key} ({row['rivals'][key]['of']}) it gains {_points(row['gain_over'][key])}."
        for key in ("threshold on difficulty", "threshold on gain")
        if key in row["rivals"] and not (is_pair and key == "threshold on gain")
    ]


def _dual(routing: dict[str, Any]) -> list[str]:
    same = routing["same_accuracy"]
    saving = same["ways"]["router"]["saving"]
    if saving["value"] is None:
        return [f"It is never right as often as always {same['as']}, at any spend."]
    low = "less than nothing" if saving["low"] is None else f"{saving['low']:.0%}"
    high = "" if saving["high"] is None else f" ({low} to {saving['high']:.0%})"
    return [f"To be right as often as always {same['as']} it spends {saving['value']:.0%} less{high}."]


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
