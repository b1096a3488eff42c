"""The bill of a replication by line, pool and tariff window, and what its units cost: hours, tokens, kWh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.comparison.figures import HOURS_A_MONTH
from sim.cost import names_of
from sim.fleet import Fleet
from sim.headline import gpus_of
from sim.ledger import Charges, Names, ledger_rows
from sim.replication import Replication
from sim.scenario import Scenario

__all__ = ["Bill", "Place", "Unit", "Use", "bill_of", "units_of"]

_TIME = "time"
_TOKENS = ("input", "cached", "output")
_ENERGY = "electricity"
_FIXED = ("upfront", "training", "demand_charge", "customer_charge")
"""Lines that no unit stands behind."""


class Place(NamedTuple):
    """Where on the bill dollars stand."""

    line: str
    pool: str
    window: str


class Unit(NamedTuple):
    """What is paid for by the unit: GPU seconds, tokens of a kind, kWh."""

    kind: str
    pool: str
    window: str


class Use(NamedTuple):
    """How much of a unit was bought, and for how much."""

    volume: float
    usd: float


class Bill(NamedTuple):
    """A bill in dollars a month."""

    usd: dict[Place, float]
    used: dict[Unit, Use]
    """What was bought by the unit, the volume a month as well."""
    apis: frozenset[str]
    """Pools that are APIs."""


def bill_of(scenario: Scenario, fleet: Fleet, run: Replication) -> Bill:
    """The bill of one replication, as if a month went like it."""
    names = names_of(scenario, fleet, run.windows)
    months = float(run.tally.seconds[0]) / 3600.0 / HOURS_A_MONTH
    usd: defaultdict[Place, float] = defaultdict(float)
    for line, pool, _, _, _, window, part, *_ in ledger_rows(run.charges, names):
        usd[Place(line, pool, window)] += part / months
    used: defaultdict[Unit, Use] = defaultdict(lambda: Use(0.0, 0.0))
    for unit, volume, part in _used(run.charges, names, gpus_of(scenario)):
        used[unit] = Use(used[unit].volume + volume / months, used[unit].usd + part / months)
    apis = frozenset(pool for pool, is_api in zip(names.pools, names.is_api, strict=True) if is_api)
    return Bill(dict(usd), dict(used), apis)


def _used(charges: Charges, names: Names, gpus: NDArray[np.int64]) -> Iterator[tuple[Unit, float, float]]:
    """Units, how much of each was bought, and its dollars."""
    seconds = (charges.work_s + charges.unused_s.sum(axis=2)) * gpus[:, None]
    time_usd = charges.used_usd.sum(axis=(1, 2, 3, 5)) + charges.unused_usd.sum(axis=2)
    for p, pool in enumerate(names.pools):
        for w, window in enumerate(names.windows[p]):
            if not names.is_api[p]:
                yield Unit(_TIME, pool, window), float(seconds[p, w]), float(time_usd[p, w])
                continue
            for kind, name in enumerate(_TOKENS):
                tokens, usd = charges.billed_tokens[p, w, kind], charges.token_usd[p, w, kind]
                yield Unit(name, pool, window), float(tokens), float(usd)
    for entry in charges.entries:
        if entry.line == _ENERGY and entry.kwh is not None:
            yield Unit(_ENERGY, names.pools[entry.pool], entry.window), entry.kwh, entry.usd


def units_of(place: Place, bill: Bill) -> list[Unit]:
    """The units that a line is paid by; none of a line that is paid in any case."""
    if place.line in _FIXED:
        return []
    kinds = _TOKENS if place.pool in bill.apis else (_ENERGY if place.line == _ENERGY else _TIME,)
    return [Unit(kind, place.pool, place.window) for kind in kinds]
