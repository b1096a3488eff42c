"""Calibrations from measurements: tables of steps, efficiencies learned from whole servers, and errors held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from sim.calibration.fit import Problem
from sim.calibration.runs import Runs, runs_of
from sim.calibration.step_tables import fit_step_table
from sim.errors import InputError
from sim.hardware import Catalogue
from sim.hardware.setup import Setup
from sim.measurements import ClosedLoop, Measurements, StepTable
from sim.steptime.calibration import Calibration, Evidence, MeasuredTable
from sim.steptime.effects import Effects, groups_of
from sim.steptime.ideal import ideal_for
from sim.steptime.roofline import compiled
from sim.validation.loops import LoopTimes, loop_of, serve_loop
from sim.validation.payload import held_out_errors
from sim.validation.predict import compare, configuration_of

__all__ = ["calibrate", "own_steps"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_REFITS = 3
"""Fits after the first, each to what loops served with the one before have over the estimates."""
_FOLDS = 5
_FEWEST_RUNS = 4


def calibrate(measurements: Measurements, catalogue: Catalogue, *, held_out: bool = True) -> Calibration:
    """Step times fitted to measurements; with `held_out` also the errors on runs that the fit did not use.

    Closed loops are served by the engine, not read as bare steps: their first tokens hold waiting. Errors held
    out are of two kinds: of fits to four fifths of the runs (one run measured twice stays on one side), and of fits
    without any run of a pair of GPU and model (nor of another model of the same shape on that GPU).

    Step tables become tables of their own setup; without a whole server beside them nothing is learned across setups.

    Raises:
        CatalogueError: for a GPU or model that the catalogue does not hold.
        InputError: where the measurements cannot tell the step times.
    """
    on_steps = own_steps(measurements)
    runs = runs_of(measurements)
    if (runs.table["kind"] == "step").all():
        return replace(on_steps, name="step tables", sources=_sources(measurements))
    _check_identified(measurements, runs)
    task = _Task.of(measurements, catalogue, runs)
    effects = task.learn()
    calibration = Calibration(
        name="calibration",
        sources=_sources(measurements),
        effects=task.problem.learned(effects),
        tables=on_steps.tables,
        evidence=tuple(_evidence(measurements, runs)),
        notes=on_steps.notes,
    )
    return _with_held_out(calibration, task) if held_out else calibration


def own_steps(measurements: Measurements) -> Calibration:
    """Step times fitted to the step tables alone; no whole server is looked at.

    Raises:
        InputError: where a table cannot tell them.
    """
    tables = tuple(_measured_table(table) for table in measurements.step_tables)
    sources = tuple(table.source for table in tables)
    return Calibration(
        name="its own step table", sources=sources, tables=tables, notes=tuple(_told(table) for table in tables)
    )


@dataclass(eq=False)
class _Task:
    """A fit under way: the problem as far as loops were served for it."""

    measurements: Measurements
    catalogue: Catalogue
    runs: Runs
    problem: Problem

    @classmethod
    def of(cls, measurements: Measurements, catalogue: Catalogue, runs: Runs) -> _Task:
        return cls(measurements, catalogue, runs, Problem.of(runs, catalogue))

    def learn(self) -> Floats:
        """The effects that explain all runs."""
        everything = np.ones(len(self.runs.table), dtype=np.bool_)
        effects = self.problem.fit(everything)
        for _ in range(_REFITS):
            self.problem = self._served(effects)
            effects = self.problem.fit(everything, effects)
        return effects

    def _served(self, effects: Floats) -> Problem:
        """The problem with what served loops have over the estimates, by these effects."""
        efficiency = self.problem.efficiency(effects)
        tpot, ttft = self.problem.times_s(efficiency)
        front = self.problem.front_s(efficiency, tpot)
        factors = {name: self.problem.columns[name].copy() for name in ("tpot_factor", "ttft_factor")}
        for run, times in self._loops(self.problem.learned(effects)):
            factors["tpot_factor"][run] *= times.tpot_s / tpot[run]
            factors["ttft_factor"][run] *= times.steps_ttft_s / (ttft[run] - front[run])
        return self.problem.with_factors(**factors)

    def _loops(self, effects: Effects) -> Iterator[tuple[int, LoopTimes]]:
        """Each closed loop served by these effects, with room for all."""
        rows = self.measurements.closed_loop.rows
        table = self.runs.table
        runs = np.flatnonzero(table["kind"] == "clients")
        places = table["setup"].to_numpy(int)
        known = {place: self.runs.setups[place] for place in set(places[runs].tolist())}
        ideals = {place: ideal_for(setup, self.catalogue) for place, setup in known.items()}
        attained = {place: effects.efficiency(setup, self.catalogue) for place, setup in known.items()}
        measured = rows.loc[table["place"].to_numpy(int)[runs]].to_dict("records")
        for run, row in zip(runs, measured, strict=True):
            place = int(places[run])
            loop = loop_of(known[place], {str(name): value for name, value in row.items()})
            sizes = loop.concurrency, loop.max_step_tokens
            yield int(run), serve_loop(loop, compiled(ideals[place], attained[place], *sizes))


def _with_held_out(calibration: Calibration, task: _Task) -> Calibration:
    parts = [*_folds(task), *_pairs(task)]
    found = Parallel(n_jobs=-1)(delayed(_predicted_without)(task, part) for part in parts)
    frames = [frame for frame in found if len(frame)]
    if not frames:
        return replace(calibration, notes=(*calibration.notes, "too few runs to leave any out of the fit"))
    rows = pd.concat(frames, ignore_index=True)
    evidence = tuple(_with_errors(item, rows) for item in calibration.evidence)
    return replace(calibration, evidence=evidence, held_out=held_out_errors(rows))


@dataclass(frozen=True, eq=False)
class _Part:
    """Runs [n] to leave out of a fit together."""

    left_out: Mask
    whole_pair: bool


def _folds(task: _Task) -> Iterator[_Part]:
    """Fifths of the closed loops, by what was run, so that what was run twice is on one side."""
    table, rows = task.runs.table, task.measurements.closed_loop.rows
    served = table["kind"].isin(["clients", "batch"]).to_numpy()
    lengths = rows.loc[table["place"][served], ["prompt_tokens", "output_tokens", "concurrency"]].to_numpy()
    setups = [groups_of(task.runs.setups[place], task.catalogue)["setup"] for place in table["setup"][served]]
    runs = [f"{setup} {length.tolist()}" for setup, length in zip(setups, lengths, strict=True)]
    codes = np.full(len(table), -1)
    codes[served] = pd.factorize(np.array(runs, dtype=object))[0] if runs else 0
    different = codes.max() + 1
    fold = np.random.default_rng(0).permutation(different + 1)[codes] % _FOLDS
    if different > _FEWEST_RUNS:
        yield from (_Part(served & (fold == one), whole_pair=False) for one in range(_FOLDS))


def _pairs(task: _Task) -> Iterator[_Part]:
    """All runs of a GPU and of models of one shape, pair by pair."""
    places = task.runs.table["setup"].to_numpy(int)
    names = {place: groups_of(task.runs.setups[place], task.catalogue)["pair"] for place in set(places.tolist())}
    pairs = np.array([names[place] for place in places])
    every = sorted(set(pairs.tolist()))
    yield from (_Part(pairs == pair, whole_pair=True) for pair in (every if len(every) > 1 else ()))


def _predicted_without(task: _Task, part: _Part) -> pd.DataFrame:
    """Runs beside their prediction by a fit that did not use them, as rows of a `Comparison`.

    The fit starts afresh: from the effects of all runs it would end near what these runs taught.
    """
    fitted = task.problem.fit(~part.left_out)
    without = Calibration(name="held out", effects=task.problem.learned(fitted))
    rows = compare(_only(task, part.left_out), without, task.catalogue).rows
    return rows.assign(seen=not part.whole_pair)


def _only(task: _Task, kept: Mask) -> Measurements:
    """The measurements that runs marked [n] come from, without step tables."""
    table, whole = task.runs.table[kept], task.measurements
    places = table["place"][table["kind"].isin(["clients", "batch"])].unique()
    logs = {task.runs.setups[place] for place in table["setup"][table["kind"] == "open-loop"].unique()}
    return Measurements(
        closed_loop=ClosedLoop(whole.closed_loop.setups, whole.closed_loop.rows.loc[np.sort(places)]),
        step_tables=(),
        open_loop=tuple(log for log in whole.open_loop if log.setup in logs),
        notes=(),
    )


def _measured_table(table: StepTable) -> MeasuredTable:
    fit = fit_step_table(table)
    return MeasuredTable(
        setup=table.setup,
        step_time=fit.step_time,
        source=table.source,
        points=fit.points,
        mean_abs_error=fit.mean_abs_error,
        held_out_error=fit.held_out_error,
    )


def _told(table: MeasuredTable) -> str:
    errors = f"{table.mean_abs_error:.2%} on the {table.points} steps, {table.held_out_error:.2%} on steps left out"
    return f"{table.source}: mean error {errors}"


def _evidence(measurements: Measurements, runs: Runs) -> Iterator[Evidence]:
    """The setups measured as whole servers, whatever the version of their engine."""
    found: dict[Setup, tuple[int, set[str]]] = {}
    closed = measurements.closed_loop
    for place, rows in closed.rows.groupby("setup"):
        _add(found, closed.setups[int(str(place))], len(rows), rows["source"].unique().tolist())
    for log in measurements.open_loop:
        _add(found, log.setup, len(log.requests), [log.source])
    for setup in sorted(found, key=lambda setup: setup.key):
        count, sources = found[setup]
        yield Evidence(setup=setup, runs=count, sources=tuple(sorted(sources)))


def _add(found: dict[Setup, tuple[int, set[str]]], setup: Setup, runs: int, sources: Sequence[str]) -> None:
    of_any_version = replace(setup, backend_version="")
    before, named = found.get(of_any_version, (0, set()))
    found[of_any_version] = (before + runs, named | set(sources))


def _with_errors(item: Evidence, rows: pd.DataFrame) -> Evidence:
    """The evidence with the errors on its runs left out."""
    mine = rows[(rows["configuration"] == configuration_of(item.setup)) & (rows["statistic"] == "mean")]
    errors = (mine["predicted"] / mine["measured"] - 1.0).abs()

    def median(metric: str, seen: bool) -> float | None:
        some = errors[(mine["metric"] == metric) & (mine["seen"] == seen) & ~mine["saturated"].astype(bool)]
        return round(float(some.median()), 4) if len(some) else None

    return replace(
        item,
        tpot_error=median("tpot_ms", True),
        ttft_error=median("ttft_ms", True),
        unseen_tpot_error=median("tpot_ms", False),
        unseen_ttft_error=median("ttft_ms", False),
    )


def _check_identified(measurements: Measurements, runs: Runs) -> None:
    """Refuse runs from which memory, compute and overhead cannot be told apart."""
    decoding = runs.table[runs.table["rows"] > 0]
    alike = decoding[["setup", "rows", "kv_tokens", "chunk"]].round(3).drop_duplicates()
    if len(alike) < _FEWEST_RUNS:
        rule = f"holds {len(alike)} different runs, too few to tell memory, compute and overhead apart"
        raise InputError(", ".join(_sources(measurements)), rule, f"add runs: {_FEWEST_RUNS} at least")
    if decoding["rows"].nunique() < 2:
        rule = f"holds runs of one batch size only ({decoding['rows'].iat[0]:g})"
        raise InputError(", ".join(_sources(measurements)), rule, "add runs at another concurrency")


def _sources(measurements: Measurements) -> tuple[str, ...]:
    closed = measurements.closed_loop.rows
    files = closed["source"].unique().tolist() if len(closed) else []
    tables, logs = (table.source for table in measurements.step_tables), (log.source for log in measurements.open_loop)
    return tuple(dict.fromkeys([*files, *tables, *logs]))
