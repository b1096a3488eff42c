"""Least squares of effects on the logs of measured times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import least_squares

from sim.calibration.design import LEVELS, Design, Level, design
from sim.calibration.runs import Runs
from sim.hardware import Catalogue
from sim.hardware.gpu import Efficiency
from sim.steptime.effects import Effects, attained, groups_of
from sim.steptime.ideal import Ideal, ideal_for, stacked
from sim.steptime.roofline import decode_base_s, front_end_s, kv_token_s, pair_s, prompt_linear_s

__all__ = ["START", "Problem"]

Floats = NDArray[np.float64]

START = Efficiency(
    compute=0.55,
    memory=0.8,
    kv_memory=0.7,
    attention_compute=0.4,
    link=0.6,
    all_reduce_latency_us=8.0,
    step_overhead_ms=0.5,
    layer_overhead_us=20.0,
    expert_layer_overhead_us=25.0,
    row_overhead_us=8.0,
    roofline_exponent=2.0,
    prefill_compute=0.6,
    expert_compute=0.3,
    front_end_ms=10.0,
    front_end_steps=5.0,
    front_end_layer_us=300.0,
    status="calibrated",
    source="fitted to measured runs",
)
"""Where every fit starts: round figures in the middle of published ones."""

_TPOT_NOISE, _TTFT_NOISE = 0.05, 0.1
"""Scatter of the log of a time between two runs of one setup (of its repeats in public data)."""
_ROBUST_FROM = 1.7
"""Residuals beyond so many times the scatter count by size, not by square."""
_STEP = 1e-4
_COLUMNS = (
    *("rows", "kv_tokens", "chunk", "slices", "pairs", "first_steps", "first_slices", "first_pairs"),
    *("tpot_s", "ttft_s", "tpot_factor", "ttft_factor", "weight"),
)


@dataclass(frozen=True, eq=False)
class Problem:
    """Runs [n], what each asks of its GPUs, and the effects that may explain its times."""

    ideal: Ideal
    columns: Mapping[str, Floats]
    design: Design

    @classmethod
    def of(cls, runs: Runs, catalogue: Catalogue, levels: Mapping[str, Level] = LEVELS) -> Problem:
        """The problem of explaining runs.

        Raises:
            CatalogueError: for a GPU or model that the catalogue does not hold.
        """
        places = runs.table["setup"].to_numpy(int)
        known = sorted(set(places.tolist()))
        ideals = {place: ideal_for(runs.setups[place], catalogue) for place in known}
        groups = {place: groups_of(runs.setups[place], catalogue) for place in known}
        return cls(
            ideal=stacked([ideals[place] for place in places]),
            columns={name: runs.table[name].to_numpy(float) for name in _COLUMNS},
            design=design([groups[place] for place in places], levels),
        )

    def with_factors(self, tpot_factor: Floats, ttft_factor: Floats) -> Problem:
        """This problem with what simulated loops have over the estimates, [n] each."""
        return replace(self, columns={**self.columns, "tpot_factor": tpot_factor, "ttft_factor": ttft_factor})

    def efficiency(self, effects: Floats) -> Efficiency:
        """The efficiency of every run, parts as arrays [n]."""
        return attained(START, self.design.logs(effects))

    def times_s(self, efficiency: Efficiency) -> tuple[Floats, Floats]:
        """TPOT and TTFT of every run [n] by the formulas of `sim.calibration.runs`."""
        of, ideal = self.columns, self.ideal
        decoding, prompted = of["rows"] > 0, of["chunk"] > 0
        step = np.where(decoding, decode_base_s(ideal, efficiency, of["rows"]), 0.0)
        step = step + kv_token_s(ideal, efficiency) * of["kv_tokens"]
        before = np.where(decoding, prompt_linear_s(ideal, efficiency, of["rows"]), 0.0)
        with_slice = prompt_linear_s(ideal, efficiency, of["rows"] + of["chunk"])
        slice_s = np.where(prompted, with_slice - before, 0.0)
        pair = pair_s(ideal, efficiency)
        tpot = (step + of["slices"] * slice_s + of["pairs"] * pair) * of["tpot_factor"]
        first = of["first_steps"] * step + of["first_slices"] * slice_s + of["first_pairs"] * pair
        return tpot, first * of["ttft_factor"] + self.front_s(efficiency, tpot)

    def front_s(self, efficiency: Efficiency, tpot_s: Floats) -> Floats:
        """What the front end adds to the TTFT of every run [n]."""
        return np.asarray(front_end_s(self.ideal, efficiency) + efficiency.front_end_steps * tpot_s)

    def errors(self, effects: Floats) -> tuple[Floats, Floats]:
        """Logs of predicted over measured TPOT and TTFT [n]; NaN where a time was not measured."""
        return self._errors(self.efficiency(effects))

    def fit(self, used: NDArray[np.bool_], guess: Floats | None = None) -> Floats:
        """The effects [m] that explain the runs marked `used` [n], by scipy's robust least squares.

        Residuals are logs of predicted over measured, over their scatter; each effect over its spread is one
        more (ridge). Both count by soft absolute value beyond the robust limit: rows that waited for other reasons
        (saturated ones among them) and groups far from the others do not pull the rest.
        """
        scale, on = self._scale(used)
        spreads = self.design.spreads
        stacks = {part: sparse.vstack([m, m]).tocsr()[on] for part, m in self.design.matrices.items()}
        ridge = sparse.identity(spreads.size, format="csr")

        def residuals(logs: Mapping[str, Any]) -> Floats:
            return np.asarray(np.concatenate(self._errors(attained(START, logs)))[on] * scale)

        def values(x: Floats) -> Floats:
            return np.concatenate([residuals(self.design.logs(x * spreads)), x])

        def slopes(x: Floats) -> sparse.csr_matrix:
            logs = self.design.logs(x * spreads)
            here = residuals(logs)
            by_part = (
                sparse.diags((residuals({**logs, part: logs[part] + _STEP}) - here) / _STEP) @ stack
                for part, stack in stacks.items()
                if stack.nnz
            )
            return sparse.vstack([sum(by_part) @ sparse.diags(spreads), ridge]).tocsr()

        solved = least_squares(
            values,
            np.zeros(spreads.size) if guess is None else guess / spreads,
            jac=slopes,
            loss="soft_l1",
            f_scale=_ROBUST_FROM,
            tr_solver="lsmr",
            ftol=1e-3,
            xtol=1e-4,
            max_nfev=40,
        )
        return np.asarray(solved.x * spreads)

    def learned(self, effects: Floats) -> Effects:
        """Fitted effects [m] by level, group and part."""
        by_level: dict[str, dict[str, dict[str, float]]] = {}
        for (level, group, part), effect in zip(self.design.names, effects, strict=True):
            by_level.setdefault(level, {}).setdefault(group, {})[part] = float(effect)
        return Effects(START, by_level)

    def _errors(self, efficiency: Efficiency) -> tuple[Floats, Floats]:
        tpot, ttft = self.times_s(efficiency)
        with np.errstate(divide="ignore"):
            return np.log(tpot / self.columns["tpot_s"]), np.log(ttft / self.columns["ttft_s"])

    def _scale(self, used: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
        """One over the scatter of each residual that counts, and which of the 2n (TPOT, then TTFT) those are."""
        weight = np.sqrt(np.where(used, self.columns["weight"], 0.0))
        scale = np.concatenate([weight / _TPOT_NOISE, weight / _TTFT_NOISE])
        measured = np.isfinite(np.concatenate([self.columns["tpot_s"], self.columns["ttft_s"]]))
        on = np.flatnonzero(measured & (scale > 0.0))
        return scale[on], on
