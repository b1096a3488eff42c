"""What may be other than the scenario says, and by how much: one `Doubt` for each number that is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np

from sim.fleet import Fleet
from sim.hardware import Catalogue, catalogue_for
from sim.outcomes import Outcomes
from sim.outcomes.curves import Curves, load_curves
from sim.routing.corpora import Corpora
from sim.scenario import Closed, GpuPool, Scenario
from sim.steptime import setup_of
from sim.steptime.calibration import Trust
from sim.streams import RandomStreams
from sim.uncertainty.scenarios import has_moving_price

__all__ = ["Doubt", "Kind", "doubts_of", "setup_name", "uncertainty_warnings"]

Kind = Literal["step_time", "outcomes", "router", "load", "prices"]

_MEDIAN_ABS = 0.6744897501960817
"""Median of |z| of a standard normal z: a median absolute error over it is a standard deviation."""
_MEAN_ABS = sqrt(2.0 / np.pi)
"""Mean of |z|."""
_UNMEASURED = 0.3
"""Of step times of a GPU that nobody measured: assumed, more than the error on setups that a fit did not see."""
_FEWEST = 20
_LEAST_SLOPE = 0.02
_UNCHECKED = 0.05
"""Error of the accuracy of curves of which no point was kept for checking: assumed, as that of the curves that were."""


@dataclass(frozen=True)
class Doubt:
    """One thing that is not known; each replication draws a standard normal number for it."""

    kind: Kind
    name: str
    """What is not known: a setup, class, table, strategy, stream or pool."""
    sd: float
    """Standard deviation of the logarithm of a factor, or of log odds; of a table's mean accuracy."""
    source: str
    """Where that is from, in words."""

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{self.kind}/{self.name}"

    def generator(self, streams: RandomStreams) -> np.random.Generator:
        """The random stream of this doubt in a replication."""
        return streams.generator(f"uncertainty/{self.key}")


def doubts_of(scenario: Scenario, fleet: Fleet, outcomes: Outcomes, corpora: Corpora | None) -> list[Doubt]:
    """All that a scenario's `uncertainty` has drawn; those of no size are left out."""
    found = [
        *_of_step_times(scenario, fleet),
        *_of_outcomes(scenario, outcomes),
        *_of_router(scenario, corpora),
        *_of_load(scenario),
        *_of_prices(scenario),
    ]
    return [doubt for doubt in found if doubt.sd > 0.0]


def uncertainty_warnings(scenario: Scenario, fleet: Fleet) -> list[str]:
    """A sentence where replications are too few to tell how far figures may be off, and one for each pool whose step
    times count as exact because its own file says nothing of their errors."""
    if scenario.uncertainty.is_none:
        return []
    few = scenario.replications < _FEWEST
    count = f"{scenario.replications} replication{'s draw' if scenario.replications > 1 else ' draws'}"
    told = f"{count} what is not known too seldom to tell how far figures may be off; run {_FEWEST} or more"
    return [*([told] if few else []), *_own_files(scenario, fleet)]


def _own_files(scenario: Scenario, fleet: Fleet) -> list[str]:
    if scenario.uncertainty.step_time != "calibrated":
        return []
    own = [name for name, trust in fleet.trust.items() if trust.standing == "own file"]
    told = "has step times from a file of its own, which are taken as exact"
    return [f"pool {name} {told}; give `uncertainty.step_time` as a number" for name in own]


def _of_step_times(scenario: Scenario, fleet: Fleet) -> Iterator[Doubt]:
    wanted, told = scenario.uncertainty.step_time, set()
    if not wanted:
        return
    catalogue = catalogue_for(scenario)
    for pool in scenario.fleet:
        if not isinstance(pool, GpuPool) or (name := setup_name(pool, catalogue)) in told:
            continue
        told.add(name)
        sd, source = _of_trust(fleet.trust[pool.name]) if wanted == "calibrated" else (float(wanted), "as given")
        yield Doubt("step_time", name, sd, source)


def setup_name(pool: GpuPool, catalogue: Catalogue) -> str:
    """What pools have in common whose step times are off together."""
    setup = setup_of(pool, catalogue)
    ranks = f" DP{setup.data_parallel}" if setup.data_parallel > 1 else ""
    own = "" if pool.step_time is None else f" by {pool.step_time.path.name}"
    return f"{setup.model} on {setup.gpu} {setup.weights} TP{setup.tensor_parallel}{ranks}{own}"


def _of_trust(trust: Trust) -> tuple[float, str]:
    """Standard deviation of the logarithm of step times, and where it is from."""
    if trust.standing == "own file":
        return 0.0, "a file of its own, taken at its word"
    if trust.tpot_error is None:
        return _UNMEASURED, f"assumed: {trust.basis}"
    if trust.standing == "measured":
        return trust.tpot_error / _MEAN_ABS, f"mean absolute error on steps left out of the fit: {trust.basis}"
    return trust.tpot_error / _MEDIAN_ABS, f"median absolute error on runs left out of the fit: {trust.basis}"


def _of_outcomes(scenario: Scenario, outcomes: Outcomes) -> Iterator[Doubt]:
    if not scenario.uncertainty.outcomes:
        return
    for place, table in outcomes.tables.items():
        contexts = table.first.size - 1
        means = np.add.reduceat(np.mean([p[0] for p in table.correct.values()], axis=0), table.first[:-1])
        sizes = np.diff(table.first)
        away = means - sizes * means.sum() / sizes.sum()
        sd = float(np.sqrt((away**2).sum()) / sizes.sum())
        yield Doubt("outcomes", place[0].name, sd, f"{contexts:,} contexts of the table drawn with replacement")
    for name in outcomes.classes:
        yield Doubt("outcomes", name, *_of_curves(load_curves(name)))


def _of_curves(curves: Curves) -> tuple[float, str]:
    """Standard deviation of log odds: the largest error of the fits in accuracy, over how accuracy follows log odds.

    Questions differ by Beta(a, b): a shift of all their log odds moves their mean m by m (1 - m) (a + b) / (a + b + 1).
    """
    checked = [fit.checked_rms_error for fit in curves.fits if fit.checked_rms_error]
    error = max(checked, default=_UNCHECKED)
    p = curves.think.thinking().accuracy(float(np.sqrt(np.prod(curves.valid.budget_tokens or (1.0, 1.0)))))
    spread = curves.difficulty.concentration
    slope = max(p * (1.0 - p) * spread / (spread + 1.0), _LEAST_SLOPE)
    what = "error on points left out of the fit" if checked else "assumed, as no point was kept for checking:"
    return error / slope, f"{what} {error:.3f} in accuracy"


def _of_router(scenario: Scenario, corpora: Corpora | None) -> Iterator[Doubt]:
    wanted = scenario.uncertainty.router
    if not wanted or corpora is None or corpora.opened is None:
        return
    p = np.concatenate([scores.p_correct for scores in corpora.scores.values()])
    by_strategy: dict[str, Any] = corpora.opened.manifest.metrics.get("by_strategy", {})
    columns = {column for stream in corpora.streams for column in corpora.columns(stream)}
    for column, name in enumerate(corpora.opened.strategies):
        if column not in columns:
            continue
        error = by_strategy.get(name, {}).get("ece")
        if wanted != "held-out":
            yield Doubt("router", name, float(wanted), "as given")
        elif error is not None:
            slope = max(float(np.mean(p[:, column] * (1.0 - p[:, column]))), _LEAST_SLOPE)
            told = f"expected calibration error on held-out questions {error:.3f}"
            yield Doubt("router", name, float(error) / _MEAN_ABS / slope, told)


def _of_load(scenario: Scenario) -> Iterator[Doubt]:
    for stream in scenario.workload:
        if not isinstance(stream.arrivals, Closed):
            # Of a lognormal factor of mean 1 whose standard deviation is the given share.
            sd = float(np.sqrt(np.log1p(scenario.uncertainty.load**2)))
            yield Doubt("load", stream.name, sd, "as given")


def _of_prices(scenario: Scenario) -> Iterator[Doubt]:
    for pool in scenario.fleet:
        if has_moving_price(pool):
            yield Doubt("prices", pool.name, scenario.uncertainty.prices, "as given")
