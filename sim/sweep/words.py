"""A sweep in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sim import wording as words
from sim.sweep.figures import form_of, is_share, listed

__all__ = ["form_apart", "told_counts", "told_effect", "told_notes", "told_settings"]

_MOST_NAMED = 3
"""Keys told for each figure."""


def told_notes(found: dict[str, Any]) -> list[str]:
    """What moves each figure most, and what the figures are worth."""
    notes = [sentence for figure in found["figures"] for sentence in _of_figure(found, figure)]
    return [*_refused(found), *notes, *_worth(found)]


def told_counts(found: dict[str, Any]) -> str:
    """How many points were done, and how many of them had been before.

    >>> counts = {"points": 6, "answered": 5, "refused": 1, "failed": 0, "missing": 0}
    >>> told_counts({"counts": counts, "speed": {"from_store": 4, "run": 2, "wall_s": 1.25}, "replications": 5})
    '6 points of 5 replications: 2 run in 1.2 s, 4 from the store; 1 refused'
    """
    counts, speed = found["counts"], found["speed"]
    parts = [
        f"{words.things(found['replications'], 'replication')}: {words.count(speed['run'])} run in "
        f"{speed['wall_s']:,.1f} s, {words.count(speed['from_store'])} from the store",
        *(f"{words.count(counts[name])} {name}" for name in ("refused", "failed", "missing") if counts[name]),
    ]
    return f"{words.things(counts['points'], 'point')} of " + "; ".join(parts)


def told_settings(settings: dict[str, Any]) -> str:
    """A point in a line.

    >>> told_settings({"fleet.0.replicas": 2, "sleep.effort": "low"}), told_settings({})
    ('fleet.0.replicas=2, sleep.effort=low', 'as it is')
    """
    return ", ".join(f"{key}={words.printable(str(value))}" for key, value in settings.items()) or "as it is"


def told_effect(effect: dict[str, Any], figure: str) -> str:
    """From what to what a key moves a figure, such as "from $2.00 at 1 to $4.00 at 2, $2.00 apart"."""
    form, levels = form_of(figure), effect["levels"]
    ends = [levels[effect[name]] for name in ("least", "most")]
    if all(level["place"] is not None for level in ends):
        ends.sort(key=lambda level: int(level["place"]))
    (first, second) = ((form(level["mean"]), words.printable(level["label"])) for level in ends)
    return f"from {first[0]} at {first[1]} to {second[0]} at {second[1]}{_apart(effect['swing'], form_apart(figure))}"


def form_apart(figure: str) -> Callable[[float | None], str]:
    """How the difference of two values of a figure is written.

    >>> form_apart("slo.attainment")(0.051), form_apart("cost.total_usd")(0.5)
    ('5.1 points', '$0.500')
    """
    return _points if is_share(figure) else form_of(figure)


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100.0 * value:.1f} points"


def _apart(swing: dict[str, Any], form: Callable[[float | None], str]) -> str:
    interval = words.range_of([swing["low"], swing["high"]], form) if swing["low"] is not None else ""
    return f", {form(swing['mean'])} apart" + (f" ({interval})" if interval else "")


def _of_figure(found: dict[str, Any], figure: dict[str, str]) -> Iterator[str]:
    effects, label = found["effects"][figure["name"]], figure["label"]
    moved = [effect for effect in effects if effect["certain"] or _is_single(found, effect)]
    if not effects:
        return
    if not moved:
        what = "Nothing that is varied moves" if not any(each["swing"]["mean"] for each in effects) else "Chance moves"
        more = "" if what.startswith("Nothing") else " as much as anything that is varied does"
        yield f"{what} the {label}{more}."
        return
    first, *others = moved
    also = [f"{_name(each)} ({told_effect(each, figure['name'])})" for each in others[: _MOST_NAMED - 1]]
    rest = f"; then {listed(also)}" if also else ""
    most = "most" if len(effects) > 1 else ""
    yield f"{_name(first)} moves the {label}{' ' + most if most else ''}: {told_effect(first, figure['name'])}{rest}."
    unsure = [_name(each) for each in effects if each not in moved]
    if unsure:
        yield f"Beyond chance the {label} does not hang on {listed(unsure)}."


def _is_single(found: dict[str, Any], effect: dict[str, Any]) -> bool:
    """Of one replication nobody knows what is chance."""
    return effect["swing"]["low"] is None and bool(effect["swing"]["mean"])


def _name(effect: dict[str, Any]) -> str:
    return words.printable(str(effect["axis"]))


def _refused(found: dict[str, Any]) -> Iterator[str]:
    counts = found["counts"]
    for name, what in (("refused", "cannot be run"), ("failed", "failed")):
        if counts[name]:
            why = next(
                point["refused"]
                for point in found["points"]
                if point["refused"] and point["failed"] == (name == "failed")
            )
            yield f"{words.things(counts[name], 'point')} of {words.count(counts['points'])} {what}: {_flat(why)}."
    if found["interrupted"]:
        done = counts["points"] - counts["missing"]
        yield f"Interrupted after {words.count(done)} of {words.things(counts['points'], 'point')}."


def _flat(text: str) -> str:
    return words.printable(" ".join(text.split())).rstrip(".")


def _worth(found: dict[str, Any]) -> Iterator[str]:
    effects = [effect for each in found["effects"].values() for effect in each]
    if not effects:
        return
    combinations = max(effect["combinations"] for effect in effects)
    if len(found["axes"]) > 1 and all(effect["basis"] == "as it is" for effect in effects):
        yield "Each key is moved alone, with the others as in the scenario."
    elif len(found["axes"]) > 1:
        yield f"Each key is moved with the mean taken over {words.count(combinations)} combinations of the others."
    if found["replications"] > 1:
        yield (
            f"All points meet the same requests with the same luck: differences are taken in each of "
            f"{words.things(found['replications'], 'replication')}, and intervals of 95 % are over those."
        )
    else:
        yield "With one replication nothing is known of chance; --replications 5 gives intervals."
