"""The bill: every dollar in exactly one line.

Lines: `busy` is time in which a replica works, charged to the requests it works for; `idle` is time that is paid for
and not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.state import State
from sim.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "FLAT", "Charges", "check_books", "ledger_frame", "take_charges"]

COLUMNS = ("replication", "line", "pool", "stream", "strategy", "priority", "window", "usd")

FLAT = "flat"
"""The tariff window of a price that does not follow the clock."""

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Charges:
    """What a run has cost. P pools, S streams, A strategies, C priority classes."""

    busy_usd: NDArray[np.float64]
    """[P, S, A, C]."""
    idle_usd: NDArray[np.float64]
    """[P]."""
    invoice_usd: NDArray[np.float64]
    """Price x paid time, worked out apart from the charges: [P]."""

    @property
    def total_usd(self) -> float:
        """Sum of all lines."""
        return float(self.busy_usd.sum() + self.idle_usd.sum())


def take_charges(state: State) -> Charges:
    """The charges of a run whose books are closed.

    Raises:
        EngineError: where the lines do not add up to the invoice.
    """
    paid_s = state.replicas["busy_s"] + state.replicas["idle_s"]
    charges = Charges(
        busy_usd=state.ended_usd.copy(),
        idle_usd=_by_pool(state, state.replicas["idle_usd"]),
        invoice_usd=_by_pool(state, paid_s * state.replicas["usd_per_s"]),
    )
    check_books(charges)
    return charges


def _by_pool(state: State, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(state.replicas["pool"], values, minlength=state.pools.size).astype(np.float64)


def check_books(charges: Charges) -> None:
    """Each pool's lines are its invoice, to 1e-9 relative.

    Raises:
        EngineError: where they are not.
    """
    lines = charges.busy_usd.sum(axis=(1, 2, 3)) + charges.idle_usd
    if not np.allclose(lines, charges.invoice_usd, rtol=_TOLERANCE, atol=1e-12):
        raise EngineError(f"the lines of the bill ({lines}) are not the invoice ({charges.invoice_usd})")


def ledger_frame(
    runs: Sequence[Charges],
    pools: Sequence[str],
    streams: Sequence[str],
    strategies: Sequence[str],
    priorities: Sequence[str],
) -> pd.DataFrame:
    """One row per replication and line, split by pool, stream, strategy, class and tariff window."""
    import pandas as pd

    names = (pools, streams, strategies, priorities)
    rows: list[tuple[Any, ...]] = []
    for replication, charges in enumerate(runs):
        for index in zip(*np.nonzero(charges.busy_usd), strict=True):
            split = [name[i] for name, i in zip(names, index, strict=True)]
            rows.append((replication, "busy", *split, FLAT, float(charges.busy_usd[index])))
        for pool, usd in zip(pools, charges.idle_usd.tolist(), strict=True):
            rows.append((replication, "idle", pool, None, None, None, FLAT, usd))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    # A column of names may hold none at all, and still is one of names.
    return frame.astype(dict.fromkeys(COLUMNS[1:-1], "string"))
