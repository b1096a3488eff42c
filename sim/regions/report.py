"""A map kept in a folder: a page, a table and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sim import wording as words
from sim.folders import write_file
from sim.pages import render_page
from sim.regions.grid import AXES, Point
from sim.regions.verdict import AXIS_NAMES, KIND_NAMES, says_point, says_value
from sim.regions.ways import Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["regions_frame", "regions_page", "save_regions"]

_TEMPLATE = Path(__file__).with_name("page.html")
_COLOURS: dict[Kind, str] = {"prepare": "c2", "think": "c0", "direct": "c4"}
_LETTERS = {"prepare": "P", "think": "T", "direct": "D"}


class _Cell(NamedTuple):
    """A cell of the map: who wins, whether that is sure, and what a look closer tells."""

    kind: str
    letter: str
    is_decided: bool
    loses: bool
    """Whether preparing contexts would lose money."""
    title: str
    lines: list[str]


class _Panel(NamedTuple):
    """A small map: its title, the heads of its columns, and its rows, each with its head."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[_Cell | None]]]


def save_regions(found: dict[str, Any], folder: Path) -> None:
    """Write `regions.json`, `regions.parquet` and `regions.html` into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    regions_frame(found).to_parquet(folder / "regions.parquet", index=False)
    write_file(folder / "regions.json", json.dumps(found, indent=2, allow_nan=False) + "\n")
    write_file(folder / "regions.html", regions_page(found))


def regions_frame(found: dict[str, Any]) -> pd.DataFrame:
    """One row per point and way: its score with the interval, what it costs and how good it is."""
    import pandas as pd

    rows = [
        {
            **{axis: point[axis] for axis in AXES},
            "way": name,
            "is_best": name == point["best"],
            "decided": point["decided"],
            **{f"score_{key}": value for key, value in way["score"].items()},
            **{key: value for key, value in way.items() if key != "score"},
        }
        for point in found["points"]
        for name, way in point["ways"].items()
    ]
    frame = pd.DataFrame(rows)
    numbers = [name for name in frame if name not in ("way", "is_best", "decided")]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def regions_page(found: dict[str, Any]) -> str:
    """The page; everything in it that comes from the scenario is escaped."""
    kinds = dict.fromkeys(way["kind"] for way in found["ways"])
    keys = [(KIND_NAMES[kind], _COLOURS[kind], _LETTERS[kind]) for kind in _COLOURS if kind in kinds]
    return render_page(
        _TEMPLATE,
        name=words.printable(str(found["scenario"])),
        verdict=found["verdict"],
        keys=keys,
        colours=_COLOURS,
        panels=list(_panels(found)),
        across=AXIS_NAMES["queries"],
        up=AXIS_NAMES["predictability"],
        ways=[(way["name"], KIND_NAMES[way["kind"]]) for way in found["ways"]],
        notes=_notes(found),
        columns=_COLUMNS,
        rows=list(_rows(found)),
    )


def _panels(found: dict[str, Any]) -> Iterator[_Panel]:
    """One for each load and price ratio."""
    points, axes = found["points"], found["axes"]
    at = {tuple(point[axis] for axis in AXES): point for point in points}
    queries, up, ratios, loads = (axes[axis] or [None] for axis in AXES)
    for load, ratio in product(loads, ratios):
        fixed = Point(None, None, ratio, load)
        rows: list[tuple[str, list[_Cell | None]]] = [
            (says_value("predictability", value), [_cell(at.get((n, value, ratio, load)), found) for n in queries])
            for value in reversed(up)
        ]
        title = says_point(fixed) or "the scenario as it is"
        yield _Panel(title[0].upper() + title[1:], [says_value("queries", n) for n in queries], rows)


def _cell(point: dict[str, Any] | None, found: dict[str, Any]) -> _Cell | None:
    if point is None:
        return None
    lead, per = point["lead"], found["per"]
    by = f"by {words.usd_fine(lead['mean'])} a {per}" if lead["mean"] is not None else "by an unknown margin"
    sure = f" (95 % interval {_between(lead)})" if lead["low"] is not None else ""
    doubt = "" if point["decided"] else "; chance may decide"
    ways = sorted(point["ways"].items(), key=lambda item: -_or_least(item[1]["score"]["mean"]))
    preparing = point["preparing"]
    worth = "" if preparing["mean"] is None else f"{words.usd_fine(preparing['mean'])} a {per}"
    lines = [
        f"{point['best']} is ahead of {point['runner_up']} {by}{sure}{doubt}.",
        *(f"{name}: {_told(way, found)}" for name, way in ways),
        f"Preparing is worth {worth}: it {_VERDICTS[preparing['verdict']]}." if worth else "",
    ]
    place = says_point(Point(*(point[axis] for axis in AXES)))
    loses = preparing["verdict"] == "loses"
    told = [line for line in lines if line]
    return _Cell(point["kind"], _LETTERS[point["kind"]], point["decided"], loses, place, told)


_VERDICTS = {"pays": "pays", "loses": "loses money", "undecided": "makes no sure difference"}


def _or_least(value: float | None) -> float:
    return float("-inf") if value is None else value


def _between(interval: dict[str, float | None]) -> str:
    return f"{words.usd_fine(interval['low'])} to {words.usd_fine(interval['high'])}"


def _told(way: dict[str, Any], found: dict[str, Any]) -> str:
    right = f"{words.share(way['accuracy'])} right"
    cost = f"{words.usd_fine(way['usd_per_question'])} a question"
    if found["usd_per_correct"] is None:
        return f"{right}, {cost}, {words.usd_fine(way['usd_per_correct'])} a right answer"
    return f"worth {words.usd_fine(way['score']['mean'])} net, {right}, {cost}"


def _notes(found: dict[str, Any]) -> list[str]:
    """How the map was made."""
    worth = found["usd_per_correct"]
    values = "; ".join(f"{words.usd_fine(usd)} ({stream})" for stream, usd in (worth or {}).items())
    score = (
        "The best way is the one with the lowest cost of a right answer: the scenario does not say what one is worth."
        if worth is None
        else f"The best way is the one with the highest net value of a question: right answers at {values}, less cost."
    )
    cost = (
        "Cost is what questions and preparations use, each second of a GPU at the price of its hour. Unused time is "
        "left out: on a fleet that is paid whether it works or not, only quality and delay would count."
        if found["cost"] == "use"
        else "Cost is the whole bill, used or not."
    )
    notes = [score, cost]
    if found["axes"]["price_ratio"]:
        notes.append(
            f"Peak prices are those of the scenario; at {found['off_peak']} local time they are divided by the ratio."
        )
    if found["axes"]["load"]:
        notes.append("Load is the share of the fleet that all questions would take in the way that takes most work.")
    runs = words.things(found["replications"], "replication")
    notes.append(
        f"Intervals are over {runs} in which all ways meet the same questions. In prepared ways every context is "
        "prepared from which any saving is expected, so that the map shows where that is a loss."
    )
    return notes


_COLUMNS = (
    "questions a context",
    "predictability",
    "price ratio",
    "load",
    "way",
    "score",
    "95 % interval",
    "right",
    "cost of a question",
    "cost of a right answer",
    "tokens",
    "found prepared",
)


def _rows(found: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The rows of the table, and whether each is the best of its point."""
    for point in found["points"]:
        place = tuple(says_value(axis, point[axis]) for axis in AXES)
        for name, way in point["ways"].items():
            figures = (
                words.usd_fine(way["score"]["mean"]),
                _between(way["score"]) if way["score"]["low"] is not None else "-",
                words.share(way["accuracy"]),
                words.usd_fine(way["usd_per_question"]),
                words.usd_fine(way["usd_per_correct"]),
                words.count(way["output_tokens"]),
                words.share(way["hit_rate"]),
            )
            yield (*place, name, *figures), name == point["best"]
