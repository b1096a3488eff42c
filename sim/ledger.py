"""The bill: every dollar in exactly one line.

A replica's time is busy or unused. Busy time is charged to the requests it is spent on, and is of the line that says
what became of them; unused time is of the line that says what the replica was doing instead. What a server's price does
not hold (electricity, upfront payments, rounding) has lines of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "LIFE_LINES",
    "LINES",
    "SLEEP_LINES",
    "Charges",
    "Entry",
    "Names",
    "ledger_frame",
    "ledger_rows",
    "used_lines",
]

_NAMES = ("line", "pool", "stream", "strategy", "priority", "window")
_NUMBERS = ("usd", "hours", "kwh", "carbon_kg")
COLUMNS = ("replication", *_NAMES, *_NUMBERS)

LINES = {
    "busy": "GPUs at work on requests that were answered, or still in flight at the end",
    "api": "tokens bought from an API",
    "sleep_used": "preparing contexts whose preparation then served a question",
    "sleep_wasted": "preparing contexts in vain: no question came in time, or the work was not finished",
    "lost_work": "GPUs at work on requests that were lost with their replica",
    "timed_out": "work for clients that had given up waiting",
    "idle": "replicas open with nothing to do",
    "starting": "replicas launched and not yet open",
    "draining": "replicas closed to new requests that wait for others of their server",
    "down": "reserved replicas that had failed",
    "off": "reserved replicas that were switched off",
    "minimum_billing": "what a provider bills beyond the time used",
    "upfront": "the share of payments in advance that falls on this time",
    "training": "the share of what better answers or less work cost once",
    "electricity": "energy by the hour's price",
    "demand_charge": "electricity, by the highest draw of a month",
    "customer_charge": "electricity, a fixed charge of the supplier",
}
"""Lines of the bill and what they are for."""

_GPU_USES = ("busy", "lost_work", "timed_out")
_API_USES = ("api", "lost_work", "timed_out")
SLEEP_LINES = ("sleep_used", "sleep_wasted")
"""The lines of sleep-time work, on GPUs and APIs alike."""
_FIXED_LINES = ("minimum_billing", "upfront", "customer_charge")
"""Lines that are paid in any case."""
LIFE_LINES = ("off", "starting", "idle", "draining", "down")
"""The line of a replica's unused time, by its life."""


class Entry(NamedTuple):
    """A line of the bill that belongs to a pool as a whole."""

    line: str
    pool: int
    window: str
    usd: float
    kwh: float | None = None
    carbon_kg: float | None = None


@dataclass(frozen=True)
class Charges:
    """What a run has cost. P pools, S streams, A strategies, C priority classes, W tariff windows."""

    used_usd: NDArray[np.float64]
    """Cost of requests by what it went into, [P, S, A, C, W, 3]: an answer, lost work, work nobody waited for."""
    work_s: NDArray[np.float64]
    """Replica time in which there was work, [P, W]."""
    prompt_s: NDArray[np.float64]
    """Of it the part for prompts, [P, W]."""
    unused_usd: NDArray[np.float64]
    """Cost of unused time by the replica's life, [P, W, 5]."""
    unused_s: NDArray[np.float64]
    """[P, W, 5]."""
    answered_tokens: NDArray[np.int64]
    """Output tokens of answers, [P, S, A, C]."""
    billed_tokens: NDArray[np.int64]
    """What APIs have billed: prompt tokens, cached ones, output tokens, [P, W, 3]."""
    token_usd: NDArray[np.float64]
    """What it came to, [P, W, 3]."""
    entries: list[Entry]
    """Lines that belong to pools as a whole."""
    sleep_used_share: NDArray[np.float64] | None = None
    """Of what the last stream was charged the share that was not in vain, [P], if it is the one of sleep-time work."""

    @property
    def total_usd(self) -> float:
        """Sum of all lines."""
        return float(self.used_usd.sum() + self.unused_usd.sum()) + sum(entry.usd for entry in self.entries)

    @property
    def total_used_usd(self) -> float:
        """All that work has cost: neither unused time nor what is paid in any case.

        Lines of pools as a whole that depend on the work, as electricity does, are in it.
        """
        return float(self.used_usd.sum()) + sum(entry.usd for entry in self.entries if entry.line not in _FIXED_LINES)


class Names(NamedTuple):
    """Names of what the axes of the charges count."""

    pools: Sequence[str]
    is_api: Sequence[bool]
    """By pool."""
    streams: Sequence[str]
    strategies: Sequence[str]
    priorities: Sequence[str]
    windows: Sequence[Sequence[str]]
    """Tariff windows of each pool."""


def ledger_frame(runs: Sequence[Charges], names: Names) -> pd.DataFrame:
    """One row per replication and line, split by pool, stream, strategy, class and tariff window.

    `hours` are replica-hours. Lines that are nothing are left out.
    """
    import pandas as pd

    rows = [(n, *row) for n, charges in enumerate(runs) for row in ledger_rows(charges, names)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    # A column of names may hold none at all, and still is one of names; as may a column of numbers.
    types = {"replication": "int64"} | dict.fromkeys(_NAMES, "string") | dict.fromkeys(_NUMBERS, "float64")
    return frame.astype(types)


def ledger_rows(charges: Charges, names: Names) -> Iterator[tuple[Any, ...]]:
    """The lines of one run as COLUMNS tells them, without the number of the replication."""
    yield from _used_rows(charges, names)
    yield from _unused_rows(charges, names)
    for entry in charges.entries:
        pool = names.pools[entry.pool]
        yield (entry.line, pool, None, None, None, entry.window, entry.usd, None, entry.kwh, entry.carbon_kg)


def _used_rows(charges: Charges, names: Names) -> Iterator[tuple[Any, ...]]:
    """A pool's hours of work go to its requests as its dollars do."""
    worked_usd = charges.used_usd.sum(axis=(1, 2, 3, 5))
    for index in zip(*np.nonzero(charges.used_usd), strict=True):
        p, stream, strategy, priority, window, use = index
        usd = float(charges.used_usd[index])
        api = names.is_api[p]
        hours = None if api else usd / worked_usd[p, window] * charges.work_s[p, window] / 3600.0
        who = (names.streams[stream], names.strategies[strategy], names.priorities[priority])
        for line, share in _lines_of(charges, p, stream, use, is_api=api):
            part_h = None if hours is None else hours * share
            yield (line, names.pools[p], *who, names.windows[p][window], usd * share, part_h, None, None)
    for p, window in zip(*np.nonzero((charges.work_s > 0.0) & (worked_usd == 0.0)), strict=True):
        # Work on GPUs that cost nothing by the hour is nobody's in dollars.
        hours = float(charges.work_s[p, window]) / 3600.0
        yield ("busy", names.pools[p], None, None, None, names.windows[p][window], 0.0, hours, None, None)


def _unused_rows(charges: Charges, names: Names) -> Iterator[tuple[Any, ...]]:
    for index in zip(*np.nonzero(charges.unused_s), strict=True):
        p, window, life = index
        usd, hours = float(charges.unused_usd[index]), float(charges.unused_s[index]) / 3600.0
        nobody = (None, None, None)
        yield (LIFE_LINES[life], names.pools[p], *nobody, names.windows[p][window], usd, hours, None, None)


def _lines_of(charges: Charges, p: int, stream: int, use: int, *, is_api: bool) -> list[tuple[str, float]]:
    """The lines of what a stream was charged by a pool for one use, and the share of each; none that is nothing."""
    if charges.sleep_used_share is None or stream != charges.used_usd.shape[1] - 1:
        return [(_line_of(use, is_api=is_api), 1.0)]
    used = float(charges.sleep_used_share[p])
    return [(line, share) for line, share in zip(SLEEP_LINES, (used, 1.0 - used), strict=True) if share]


def used_lines(charges: Charges, is_api: Sequence[bool]) -> Iterator[tuple[str, float]]:
    """Lines of what requests were charged, with their dollars; a line may come several times."""
    by_use = charges.used_usd.sum(axis=(2, 3, 4))
    for (p, stream, use), usd in np.ndenumerate(by_use):
        for line, share in _lines_of(charges, p, stream, use, is_api=is_api[p]):
            yield line, float(usd) * share


def _line_of(use: int, *, is_api: bool) -> str:
    """The line of what requests cost, by what it went into."""
    return (_API_USES if is_api else _GPU_USES)[use]
