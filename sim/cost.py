"""The cost section of a summary: the bill split every way, and what tokens cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.allocation import allocated_usd, pool_usd, token_kinds_usd
from sim.engine import state as st
from sim.fleet import Fleet
from sim.ledger import LIFE_LINES, LINES, Charges, Names, used_lines
from sim.replication import Replication
from sim.scenario import ApiPool, Scenario
from sim.sleep import SLEEP
from sim.stats import ratio
from sim.workload.blocks import PRIORITIES

__all__ = ["cost_splits", "lines_usd", "names_of"]


def names_of(scenario: Scenario, fleet: Fleet, windows: Sequence[Sequence[str]]) -> Names:
    """What the axes of a run's charges are called."""
    hidden = [] if scenario.sleep is None else [SLEEP]
    return Names(
        pools=[pool.name for pool in scenario.fleet],
        is_api=[isinstance(pool, ApiPool) for pool in scenario.fleet],
        streams=[*(stream.name for stream in scenario.workload), *hidden],
        strategies=[*(strategy.name for strategy in fleet.strategies), *hidden],
        priorities=PRIORITIES,
        windows=windows,
    )


def cost_splits(scenario: Scenario, fleet: Fleet, replications: Sequence[Replication]) -> dict[str, Any]:
    """Dollars of a replication on average, by everything the ledger knows, and for a million tokens of each kind.

    `by_stream`, `by_strategy` and `by_class` are what requests used; under `allocated` the rest of the bill is shared
    out in proportion to that.
    """
    names = names_of(scenario, fleet, replications[0].windows)
    runs = [run.charges for run in replications]
    used = np.mean([charges.used_usd.sum(axis=(0, 4, 5)) for charges in runs], axis=0)
    allocated = np.mean([allocated_usd(charges) for charges in runs], axis=0)
    return {
        **_token_prices(replications, names),
        "by_line": _by_line(runs, names),
        "by_pool": _named(names.pools, np.mean([pool_usd(charges) for charges in runs], axis=0)),
        **_by_request(used, names),
        "by_window": _by_window(runs, names),
        "allocated": _by_request(allocated, names),
    }


def _token_prices(replications: Sequence[Replication], names: Names) -> dict[str, float | None]:
    """All dollars, over tokens of completed requests by kind."""
    usd = np.sum([token_kinds_usd(run.charges, names.is_api) for run in replications], axis=0)
    total = sum(run.charges.total_usd for run in replications)
    cached = sum(run.cached_tokens for run in replications)
    prompts = sum(_prompt_tokens(run) for run in replications)
    output = sum(int(run.charges.answered_tokens.sum()) for run in replications)
    return {
        "usd_per_1m_input_tokens": ratio(usd[st.INPUT] * 1e6, prompts - cached),
        "usd_per_1m_cached_tokens": ratio(usd[st.CACHED_INPUT] * 1e6, cached),
        "usd_per_1m_generated_tokens": ratio(usd[st.OUTPUT] * 1e6, output),
        "tokens_per_usd": ratio(prompts + output, total),
        "output_tokens_per_usd": ratio(output, total),
    }


def _prompt_tokens(run: Replication) -> int:
    return int(run.buckets["prompt_tokens"].sum())


def _by_line(runs: Sequence[Charges], names: Names) -> dict[str, float]:
    """In the order of the lines, those that are nothing left out; but busy and idle are always there."""
    usd = _mean_of(runs, lambda charges: lines_usd(charges, names.is_api))
    shown = {line: usd.get(line, 0.0) for line in LINES if usd.get(line)}
    always = ("busy", "idle") if not all(names.is_api) else ("api",)
    return {line: usd.get(line, 0.0) for line in LINES if line in shown or line in always}


def lines_usd(charges: Charges, is_api: Sequence[bool]) -> Iterable[tuple[str, float]]:
    """Dollars by line; a line may come several times. `is_api` tells which pools are APIs."""
    yield from used_lines(charges, is_api)
    for life, line in enumerate(LIFE_LINES):
        yield line, float(charges.unused_usd[:, :, life].sum())
    for entry in charges.entries:
        yield entry.line, entry.usd


def _by_window(runs: Sequence[Charges], names: Names) -> dict[str, float]:
    usd = _mean_of(runs, lambda charges: _windows(charges, names))
    return {window: value for window, value in usd.items() if value} or dict.fromkeys(list(usd)[:1], 0.0)


def _windows(charges: Charges, names: Names) -> Iterable[tuple[str, float]]:
    usd = charges.used_usd.sum(axis=(1, 2, 3, 5)) + charges.unused_usd.sum(axis=2)
    for p, windows in enumerate(names.windows):
        for w, window in enumerate(windows):
            yield window, float(usd[p, w])
    for entry in charges.entries:
        yield entry.window, entry.usd


def _mean_of(runs: Sequence[Charges], parts: Callable[[Charges], Iterable[tuple[str, float]]]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for charges in runs:
        for name, usd in parts(charges):
            found[name] += usd / len(runs)
    return dict(found)


def _by_request(usd: NDArray[np.float64], names: Names) -> dict[str, dict[str, float]]:
    """Dollars [S, A, C] by each of their axes."""
    return {
        "by_stream": _named(names.streams, usd.sum(axis=(1, 2))),
        "by_strategy": _named(names.strategies, usd.sum(axis=(0, 2))),
        "by_class": {name: value for name, value in _named(names.priorities, usd.sum(axis=(0, 1))).items() if value},
    }


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
