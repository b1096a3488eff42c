"""The charts of the bill: by line and tariff window, by pool, by stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim import wording as words
from sim.ledger import LINES
from sim.prices.clock import FLAT
from sim.report.chart import Chart, Figure, Key, Layout, Table, base_layout, category_axis, label_of, rounded
from sim.report.names import line_name, window_name
from sim.report.source import Source
from sim.report.windows import window_colours

__all__ = ["cost_charts", "token_table"]

_WORKING = ("busy", "api", "sleep_used", "training", "electricity", "upfront", "demand_charge", "customer_charge")
"""Lines drawn plain; the others, which bought no answer, are hatched."""

# The page hatches its legend alike, by place.
_HATCHES = ("", "/", "x", "-", "\\", ".", "|", "+")
_COLOURS = {
    "busy": "@c0",
    "api": "@c4",
    "electricity": "@c2",
    "idle": "@c6",
    "starting": "@c5",
    "lost_work": "@c1",
    "timed_out": "@c3",
}


def cost_charts(source: Source) -> list[Chart]:
    """What was paid for, and when; by pool where there are several; by stream. None where nothing was paid."""
    if not source.summary["cost"]["total_usd"]:
        return []
    return [_by_line(source), *_by_pool(source), *_by_stream(source)]


def _by_line(source: Source) -> Chart:
    """Bars of the lines, split by tariff window; the largest on top."""
    usd = _split(source, "line", "window")
    lines = sorted(usd, key=lambda line: -sum(usd[line].values()))
    colours = window_colours(source)
    windows = [window for window in colours if any(window in parts for parts in usd.values())]
    total = sum(sum(parts.values()) for parts in usd.values())
    keys = {window: Key(window_name(window), colours[window]) for window in windows}
    return Chart(
        id="cost-lines",
        title="What the money went on, and when",
        says=f"Bars: dollars by line of the bill, split by tariff window. The largest is {line_name(lines[0])}.",
        figure=_bars([line_name(line) for line in lines], _stacks(usd, lines, keys)),
        table=_line_table(usd, lines, windows, total),
        caption="A tariff window is the time in which a price holds." if len(windows) > 1 else "",
        keys=tuple(keys.values()) if len(windows) > 1 else (),
    )


def _line_table(
    usd: Mapping[str, Mapping[str, float]], lines: Sequence[str], windows: Sequence[str], total: float
) -> Table:
    several = windows if len(windows) > 1 else ()
    rows = [
        (
            line_name(line),
            *(words.usd(usd[line].get(window)) for window in several),
            words.usd(sum(usd[line].values())),
            words.share(sum(usd[line].values()) / total),
            LINES.get(line, ""),
        )
        for line in lines
    ]
    sums = [words.usd(sum(usd[line].get(window, 0.0) for line in lines)) for window in several]
    rows.append(("all", *sums, words.usd(total), words.share(1.0), ""))
    return Table(("line", *map(window_name, several), "cost", "share", "what it is"), rows, prose=("what it is",))


def _by_pool(source: Source) -> list[Chart]:
    usd = _split(source, "pool", "line")
    if len(usd) < 2:
        return []
    pools = sorted(usd, key=lambda pool: -sum(usd[pool].values()))
    lines = sorted({line for parts in usd.values() for line in parts}, key=_place_of)
    keys = {line: _line_key(line, lines) for line in lines}
    columns = ("pool", *(key.name for key in keys.values()), "cost")
    rows = [(pool, *(words.usd(usd[pool].get(line)) for line in lines), _total(usd[pool])) for pool in pools]
    chart = Chart(
        id="cost-pools",
        title="By pool",
        says=f"Bars: dollars by pool, split by line of the bill. The largest is {pools[0]}.",
        figure=_bars([label_of(pool, 20) for pool in pools], _stacks(usd, pools, keys)),
        table=Table(columns, rows),
        caption="Hatched: paid, and no answer came of it.",
        keys=tuple(keys.values()),
    )
    return [chart]


def _by_stream(source: Source) -> list[Chart]:
    """Dollars of use, and with all that was unused shared out, side by side."""
    cost = source.summary["cost"]
    used, allocated = cost["by_stream"], cost["allocated"].get("by_stream", {})
    streams = sorted(used, key=lambda stream: -used[stream])
    if not any(used.values()):
        return []
    bars = [
        _bar(_USE, [used[stream] for stream in streams]),
        _bar(_WHOLE, [allocated.get(name, 0.0) for name in streams]),
    ]
    rows = [
        (name, words.usd(used[name]), words.usd(allocated.get(name)), _per_1k(source, name, allocated))
        for name in streams
    ]
    chart = Chart(
        id="cost-streams",
        title="By stream of requests",
        says="Bars: dollars by stream, for its own use and with its share of what was paid and not used.",
        figure=_bars([label_of(name, 20) for name in streams], bars, mode="group"),
        table=Table(("stream", "its own use", "with its share of the rest", "per 1,000 answers"), rows),
        caption="The rest is what nobody used: it is shared out in proportion to use.",
        keys=(_USE, _WHOLE),
    )
    return [chart]


def token_table(source: Source) -> Table | None:
    """What a million tokens of each kind cost, with everything unused shared out; nothing where no kind is known."""
    kinds = {"input": "input", "cached input": "cached", "generated": "generated"}
    usd = {name: source.summary["cost"].get(f"usd_per_1m_{key}_tokens") for name, key in kinds.items()}
    rows = [(name, words.usd(value)) for name, value in usd.items() if value is not None]
    note = "What was paid and not used is shared out in proportion to use."
    return Table(("tokens", "per million"), rows, note) if rows else None


_USE, _WHOLE = Key("its own use", "@c0"), Key("with its share of the rest", "@c5")


def _per_1k(source: Source, stream: str, allocated: Mapping[str, float]) -> str:
    completed = source.summary["streams"].get(stream, {}).get("completed")
    known = completed and stream in allocated
    return words.usd(allocated[stream] / completed * 1e3 if known else None)


def _split(source: Source, by: str, within: str) -> dict[str, dict[str, float]]:
    """Dollars of a replication, by two columns of the ledger; without those that cost nothing."""
    ledger = source.ledger.fillna({"window": FLAT, "pool": "no pool of its own"})
    sums = ledger.groupby([by, within], dropna=True, as_index=False)["usd"].sum()
    usd: dict[str, dict[str, float]] = {}
    for name, part, value in zip(sums[by], sums[within], sums["usd"], strict=True):
        if value:
            usd.setdefault(str(name), {})[str(part)] = float(value) / source.replications
    return usd


def _place_of(line: str) -> int:
    return list(LINES).index(line) if line in LINES else len(LINES)


def _total(parts: Mapping[str, float]) -> str:
    return words.usd(sum(parts.values()))


def _line_key(line: str, lines: Sequence[str]) -> Key:
    unused = [name for name in lines if name not in _WORKING]
    hatch = 1 + unused.index(line) % (len(_HATCHES) - 1) if line in unused else 0
    return Key(line_name(line), _COLOURS.get(line, f"@c{_place_of(line) % 7}"), hatch)


def _stacks(
    usd: Mapping[str, Mapping[str, float]], bars: Sequence[str], keys: Mapping[str, Key]
) -> list[dict[str, Any]]:
    return [_bar(key, [usd[bar].get(part, 0.0) for bar in bars]) for part, key in keys.items()]


def _bar(key: Key, usd: Sequence[float]) -> dict[str, Any]:
    hatch = {"shape": _HATCHES[key.hatch], "fgcolor": "@ground", "solidity": 0.25, "size": 7, "fillmode": "overlay"}
    return {
        "type": "bar",
        "orientation": "h",
        "name": label_of(key.name),
        "y": list(range(len(usd))),
        "x": rounded(usd),
        "marker": {"color": key.colour, "pattern": hatch, "line": {"color": "@ground", "width": 1}},
        "hovertemplate": "$%{x:,.2f}",
    }


def _bars(labels: Sequence[str], data: list[dict[str, Any]], mode: str = "stack") -> Figure:
    """Horizontal bars, the first on top."""
    wide, narrow = (_bar_layout(labels, mode, narrow) for narrow in (False, True))
    return Figure(data, wide, narrow)


def _bar_layout(labels: Sequence[str], mode: str, narrow: bool) -> Layout:
    thick = 44 if mode == "group" else 32
    height = 44 + thick * len(labels)
    return base_layout(
        height,
        narrow,
        barmode=mode,
        bargap=0.3,
        showlegend=False,
        margin={"l": 8, "r": 16, "t": 4, "b": 40},
        xaxis={
            "tickprefix": "$",
            "tickformat": ",~s",
            "gridcolor": "@grid",
            "zeroline": False,
            "rangemode": "tozero",
            "fixedrange": True,
            "nticks": 5 if narrow else 9,
        },
        yaxis=category_axis(labels),
    )
