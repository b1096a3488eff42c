"""The parts of a measurement: each fills a folder with its files and gives back figures for the card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.folders import write_file
from sim.lab.engine.model import Model
from sim.lab.measuring.folder import Figures
from sim.lab.measuring.polling import PollingClock
from sim.lab.measuring.settings import Asked, Times, times_for
from sim.lab.measuring.stakes import STAKES, scaled_stakes
from sim.lab.measuring.steps import NewClock
from sim.lab.measuring.subject import Subject
from sim.lab.provenance import KEY, Provenance, write_sidecar

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.lab.measuring.steps import StepGrid
    from sim.steptime import StepTime

__all__ = ["Bench", "Progress"]

Progress = Callable[[str], None]

_QUESTIONS, _QUICK_QUESTIONS = 5000, 4
_WIDTH, _QUICK_WIDTH = {"cpu": 64, "cuda": 256}, 8
_SHORT_DAY = ("start=2026-03-02T00:02:00", "horizon=2m")
_ROUTER_DAY = "lab-router-day"
_REPEATS_ON_GPU = 3
_END_TO_END_LOAD = 0.3
"""Of what full batches could do."""


@dataclass(eq=False)
class Bench:
    """What every part needs: the model, where it runs, what is asked, and whom to tell."""

    asked: Asked
    subject: Subject
    origin: Provenance
    progress: Progress = lambda line: None
    clock: NewClock = PollingClock

    @property
    def parts(self) -> Mapping[str, Callable[[Path], Figures]]:
        """What measures each part."""
        return {
            "steps": self.steps,
            "loops": self.loops,
            "router": self.router,
            "outcomes": self.outcomes,
            "end-to-end": self.end_to_end,
            "router-day": self.router_day,
        }

    @cached_property
    def model(self) -> Model:
        """The model, opened once, its cache filled."""
        from sim.lab.measuring.steps import fill_cache

        opened = self.subject.open()
        fill_cache(opened, self.subject.limits.max_num_batched_tokens)
        return opened

    @cached_property
    def times(self) -> Times:
        """How long parts may take. A GPU has no neighbours, and all of its parts are to end within ten minutes."""
        times = times_for(self.asked)
        fewer = self.subject.provider == "cuda"
        return replace(times, repeats=min(times.repeats, _REPEATS_ON_GPU)) if fewer else times

    @cached_property
    def grid(self) -> StepGrid:
        """The step times measured so far, beside the loops too."""
        return self._new_grid()

    def _new_grid(self) -> StepGrid:
        from sim.lab.measuring.steps import StepGrid

        return StepGrid(
            self.model,
            self.subject.limits,
            clock=self.clock,
            quick=self.asked.quick,
            seed=self.asked.seed,
            progress=self.progress,
        )

    def steps(self, folder: Path) -> Figures:
        """`steps.csv`: mean step times over the grid."""
        times = self.times
        self.grid.measure(times.grid_s, times.fewest_rounds, times.most_rounds)
        return self._write_steps(self.grid, folder)

    def _write_steps(self, grid: StepGrid, folder: Path) -> Figures:
        figures = grid.figures()
        table = grid.table().assign(**self.subject.setup)
        self._write_csv(table, folder / "steps.csv", reference=figures["reference"])
        return figures

    def loops(self, folder: Path) -> Figures:
        """`open-loop-<percent>/` for each load, the median one of several runs, and `closed-loop.csv`.

        Machines are faster in one minute than in another. So the loads take turns, and in every turn the grid is
        measured again: `steps.csv` then holds means over the time in which the loops were run.
        """
        from pandas import DataFrame

        from sim.lab.measuring.loops import LOADS, Loops, typical

        loops = Loops(
            self.model, self.subject.limits, self.times, self.asked.seed, clock=self.clock, progress=self.progress
        )
        most_per_s = loops.saturation()
        self.progress(f"loops: at most {most_per_s:.3g} requests a second")
        turns = []
        for _ in range(self.times.repeats):
            self.grid.measure(self.times.grid_beside_s, 1, self.times.most_rounds)
            turns.append([loops.open(load, most_per_s) for load in LOADS])
        opened = [(typical(runs), runs) for runs in zip(*turns, strict=True)]
        for run, _ in opened:
            self._write_open_loop(folder / run.name, run)
        closed = [loops.closed(clients) for clients in loops.concurrencies()]
        self._write_csv(DataFrame(closed).assign(**self.subject.setup), folder / "closed-loop.csv")
        return {
            "saturation_per_s": float(f"{most_per_s:.6g}"),
            "open": [
                {**run.figures(), "all_mean_e2e_s": [float(f"{one.mean_e2e_s:.6g}") for one in runs]}
                for run, runs in opened
            ],
            "closed": closed,
            "steps": self._write_steps(self.grid, folder),
        }

    def _write_open_loop(self, folder: Path, run: Any) -> None:
        from sim.lab.measuring.loops import request_lines

        folder.mkdir()
        limits, setup = self.subject.limits, self.subject.setup
        meta = {
            "model": setup["model"],
            "gpu": setup["gpu"],
            "backend": setup["backend"],
            "load": run.load,
            "requests_per_s": run.requests_per_s,
            "kv_capacity_tokens": limits.kv_capacity_tokens,
            "engine_kwargs": {
                "max_num_seqs": limits.max_num_seqs,
                "max_num_batched_tokens": limits.max_num_batched_tokens,
                "max_model_len": limits.capacity,
                "dtype": setup["precision"],
            },
            "reference_s": run.reference_s,
            KEY: self.origin,
        }
        write_file(folder / "requests.jsonl", request_lines(run.records))
        write_file(folder / "meta.json", json.dumps(meta, indent=1, allow_nan=False) + "\n")

    def router(self, folder: Path) -> Figures:
        """`router-latency.csv`: medians and p99 by batch."""
        from sim.lab.measuring.router_latency import measure_router

        subject = self.subject
        table = measure_router(
            subject.provider,
            self.times.router_s,
            threads=subject.threads,
            own=self.asked.router,
            progress=self.progress,
        )
        self._write_csv(table, folder / "router-latency.csv")
        return {"latency": table.to_dict("records")}

    def outcomes(self, folder: Path) -> Figures:
        """`outcomes.parquet`: every way to answer, on held-out questions."""
        from sim.lab.outcomes.outcomes import decoder_size, measure_outcomes

        width = _QUICK_WIDTH if self.asked.quick else _WIDTH[self.subject.provider]
        slots, capacity = decoder_size(width)
        done = measure_outcomes(
            self.subject.open(slots, capacity),
            folder / "outcomes.parquet",
            questions=self.asked.questions or (_QUICK_QUESTIONS if self.asked.quick else _QUESTIONS),
            seed=self.asked.seed,
            width=width,
            provenance={"model": f"{self.subject.name} {self.subject.digest}", KEY: self.origin},
            progress=lambda done, of: self.progress(f"outcomes: {done} of {of} contexts"),
        )
        return {name: done[name] for name in ("questions", "rows", "written_tokens", "read_tokens")}

    def end_to_end(self, folder: Path) -> Figures:
        """`end-to-end/`: a stream of mixed strategies served for real, beside its simulation.

        Raises:
            InputError: where outcomes are not measured yet.
        """
        outcomes = self.asked.out / "outcomes.parquet"
        if not outcomes.is_file():
            raise InputError("end-to-end", "needs the outcomes of this model", "measure the part outcomes as well")
        asks = [f"workload.0.questions.path={outcomes}", *self._shortened()]
        return self._served(folder / "end-to-end", self.asked.scenario, lambda law: asks)

    def router_day(self, folder: Path) -> Figures:
        """`router-day/`: a learned router asked about each request that this machine serves, beside its simulation.

        It takes the outcomes measured here, or for the shipped model those that are shipped. What a right answer is
        worth and the time that is promised are the scenario's, times as much as this machine is slower than the
        scenario's own: otherwise a fast one would think about everything, a slow one about nothing.

        Raises:
            InputError: where neither is there.
        """
        outcomes = self.asked.out / "outcomes.parquet"
        if not outcomes.is_file() and self.asked.model is not None:
            raise InputError("router-day", "needs the outcomes of this model", "measure the part outcomes as well")
        asks = [f"workload.0.questions.path={outcomes}"] if outcomes.is_file() else []
        asks += [] if self.asked.router is None else [f"router.model={self.asked.router}"]
        asks += ["horizon=5s"] if self.asked.quick else []
        return self._served(folder / "router-day", _ROUTER_DAY, lambda law: [*asks, *scaled_stakes(_ROUTER_DAY, law)])

    def _served(self, target: Path, scenario: str, overrides: Callable[[StepTime], Sequence[str]]) -> Figures:
        """A scenario served for real in a folder of its own, with overrides that may hang on this machine's steps.

        It is simulated from outcomes and from steps, which are measured anew right before the stream and right after
        it, on the machine as it is then.
        """
        from sim.lab.end_to_end.end_to_end import end_to_end
        from sim.lab.language import MAX_POSITIONS

        target.mkdir()
        grid = self._new_grid()
        changes = overrides(self._measure_beside(grid, target))
        limits = self.subject.limits
        fits = limits.capacity >= MAX_POSITIONS
        engine = {
            "max_num_seqs": limits.max_num_seqs,
            "max_num_batched_tokens": limits.max_num_batched_tokens,
            "kv_capacity_tokens": limits.max_num_seqs * MAX_POSITIONS,
        }
        end_to_end(
            self.model if fits else self.subject.open(capacity=MAX_POSITIONS),
            target,
            scenario=scenario,
            overrides=[
                f"fleet.0.step_time.path={target / 'step-times.json'}",
                *(f"fleet.0.engine.{name}={value}" for name, value in engine.items()),
                *changes,
            ],
            load=_END_TO_END_LOAD,
            clock=self.clock(),
            provenance={KEY: self.origin},
            progress=lambda done, of: self.progress(f"{target.name}: {done} of {of} requests"),
            served=lambda: self._measured_again(grid, target),
        )
        told = [change for change in changes if change.startswith(STAKES)]
        return {"scenario": Path(scenario).name, "load": _END_TO_END_LOAD, "stakes": told}

    def _shortened(self) -> Sequence[str]:
        """The scenario cut short: to seconds, or our own day to two minutes, which hold both prices."""
        if self.asked.quick:
            return ["horizon=5s"]
        return _SHORT_DAY if self.asked.scenario == "lab-day" else []

    def _measured_again(self, grid: StepGrid, folder: Path) -> None:
        self._measure_beside(grid, folder)

    def _measure_beside(self, grid: StepGrid, folder: Path) -> StepTime:
        """More rounds of the grid: `steps.csv` of all of them so far, and `step-times.json`, the law fitted to it."""
        from sim.calibration.step_tables import fit_step_table
        from sim.hardware import load_catalogue
        from sim.measurements import declared_models, read_measurements
        from sim.steptime import save_step_time

        grid.measure(self.times.grid_beside_s, 1, self.times.most_rounds)
        self._write_steps(grid, folder)
        catalogue = declared_models([self.asked.out], load_catalogue())
        (table,) = read_measurements([folder / "steps.csv"], catalogue).step_tables
        law = fit_step_table(table).step_time.covering(self.subject.limits.max_num_seqs)
        save_step_time(law, folder / "step-times.json")
        return law

    def _write_csv(self, table: DataFrame, file: Path, **more: object) -> None:
        write_file(file, table.to_csv(index=False, lineterminator="\n"))
        write_sidecar(file, {**self.origin, **more})
