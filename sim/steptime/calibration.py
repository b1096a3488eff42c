"""Calibrations: what was fitted to measurements, to be had as step times of any setup, and as a file.

A calibration holds tables of step times that were measured as such, efficiencies learned across setups from whole
servers, and the evidence: which setups were measured, with the errors on runs that the fit did not use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from sim.errors import InputError
from sim.hardware import Catalogue
from sim.hardware.gpu import Efficiency
from sim.hardware.setup import Setup
from sim.steptime.effects import FRONT, GPU_PARTS, Effects, groups_of
from sim.steptime.files import step_time_to
from sim.steptime.ideal import ideal_for
from sim.steptime.roofline import compiled
from sim.steptime.table import StepTime

__all__ = ["FORMAT", "Calibration", "Evidence", "MeasuredTable", "Trust"]

FORMAT = "nightshift-calibration-1"
"""What a file of this version says that it is."""
_DIGITS = 5
_STATED = ("model", "gpu", "weights", "kv", "tensor_parallel")

Standing = Literal["measured", "calibrated", "assumed", "own file"]


@dataclass(frozen=True, kw_only=True)
class MeasuredTable:
    """Step times fitted to a table of measured steps of one setup."""

    setup: Setup
    step_time: StepTime
    source: str
    points: int
    mean_abs_error: float
    """Of the steps it was fitted to, as a fraction."""
    held_out_error: float
    """Mean absolute error of steps left out of the fit, as a fraction."""

    def is_of(self, setup: Setup) -> bool:
        """True where all that the table says of its setup, and all that is known of this one, agree."""
        stated = ((getattr(self.setup, name), getattr(setup, name)) for name in _STATED)
        return setup.data_parallel == 1 and all(None in pair or pair[0] == pair[1] for pair in stated)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A setup that was measured as a whole server, and how far predictions were off on it."""

    setup: Setup
    runs: int
    sources: tuple[str, ...]
    tpot_error: float | None = None
    """Median absolute error, as a fraction, on runs of the setup that a fit did not use."""
    ttft_error: float | None = None
    unseen_tpot_error: float | None = None
    """The same for a fit that used no run of its pair of GPU and model."""
    unseen_ttft_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How far to trust step times: where they come from, and the errors seen on runs that a fit did not use."""

    standing: Standing
    basis: str
    """What was measured of it, in words."""
    tpot_error: float | None = None
    """Median absolute error as a fraction; of a measured table, of its steps; None where nothing was measured."""
    ttft_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was fitted to measurements."""

    name: str
    sources: tuple[str, ...] = ()
    effects: Effects | None = None
    tables: tuple[MeasuredTable, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    held_out: Mapping[str, Any] = field(default_factory=dict)
    """Errors on runs that a fit did not use, as of `sim.validation.payload.held_out_errors`."""
    notes: tuple[str, ...] = ()

    def step_time(self, setup: Setup, catalogue: Catalogue, max_num_seqs: int, max_num_batched_tokens: int) -> StepTime:
        """Step times of one rank of a setup for at least so many rows.

        A measured table where there is one, else a roofline of the learned efficiency.

        Raises:
            CatalogueError: for a GPU, model or format that the catalogue does not hold.
            InputError: where several tables fit the setup.
        """
        table = self.table_of(setup)
        if table is not None:
            return table.step_time.covering(max_num_seqs)
        efficiency = self.efficiency(setup, catalogue)
        return compiled(ideal_for(setup, catalogue), efficiency, max_num_seqs, max_num_batched_tokens)

    def table_of(self, setup: Setup) -> MeasuredTable | None:
        """The measured table of a setup, one that names its model before one that does not.

        Raises:
            InputError: where several fit.
        """
        fitting = [table for table in self.tables if table.is_of(setup)]
        named = [table for table in fitting if table.setup.model] or fitting
        if len(named) > 1:
            rule = f"holds {len(named)} tables that fit {setup.model} on {setup.gpu}, TP {setup.tensor_parallel}"
            raise InputError(self.name, rule, "calibrate them into files of their own, or name the model of each")
        return named[0] if named else None

    def efficiency(self, setup: Setup, catalogue: Catalogue) -> Efficiency:
        """The learned efficiency of a setup; the catalogue's where no GPU of its generation was measured."""
        gpu = catalogue.gpu(str(setup.gpu))
        if self.effects is None or not self.effects.knows("generation", gpu.architecture):
            return catalogue.efficiency(gpu)
        return replace(self.effects.efficiency(setup, catalogue), status=self.standing(setup, catalogue))

    def standing(self, setup: Setup, catalogue: Catalogue) -> Standing:
        """Whether step times of a setup are measured, calibrated (its GPU was measured) or assumed."""
        if self.table_of(setup) is not None:
            return "measured"
        known = self.effects is not None and self.effects.knows("gpu", catalogue.gpu(str(setup.gpu)).name)
        return "calibrated" if known else "assumed"

    def trust(self, setup: Setup, catalogue: Catalogue) -> Trust:
        """How far to trust the step times of a setup.

        Raises:
            CatalogueError: for a GPU or model that the catalogue does not hold.
        """
        table, standing = self.table_of(setup), self.standing(setup, catalogue)
        if table is not None:
            return Trust(standing=standing, basis=f"{table.points:,} measured steps", tpot_error=table.held_out_error)
        if standing == "assumed":
            return Trust(standing=standing, basis=f"no server with {setup.gpu} was measured")
        group = groups_of(setup, catalogue)
        same_gpu = [item for item in self.evidence if item.setup.gpu == group["gpu"]]
        groups = [(item, groups_of(item.setup, catalogue)) for item in same_gpu]
        mine = [item for item, theirs in groups if theirs["setup"] == group["setup"]]
        best = max(mine, key=lambda item: item.runs, default=None)
        if best is not None and best.tpot_error is not None:
            basis, errors = f"{best.runs:,} runs of this setup", (best.tpot_error, best.ttft_error)
            return Trust(standing=standing, basis=basis, tpot_error=errors[0], ttft_error=errors[1])
        seen = any(all(theirs[level] == group[level] for level in ("pair", "backend")) for _, theirs in groups)
        basis = "this engine, GPU and model in other layouts" if seen else "other engines or models on this GPU"
        tpot, ttft = (self._headline("seen" if seen else "unseen", metric) for metric in ("tpot_ms", "ttft_ms"))
        return Trust(standing=standing, basis=basis, tpot_error=tpot, ttft_error=ttft)

    def _headline(self, group: str, metric: str) -> float | None:
        wanted = {"group": group, "metric": metric, "statistic": "mean", "saturated": False}
        found = (entry for entry in self.held_out.get("groups", ()) if wanted.items() <= entry.items())
        return next((entry["median_abs_error"] for entry in found), None)

    def saw(self, gpu: str | None, model: str | None) -> bool:
        """True where the fit used runs of a pair of GPU and model."""
        setups = [item.setup for item in self.evidence] + [table.setup for table in self.tables]
        return any((setup.gpu, setup.model) == (gpu, model) for setup in setups)

    def document(self) -> dict[str, Any]:
        """The calibration as JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "sources": list(self.sources),
            "start": None if self.effects is None else _parts(self.effects.start),
            "effects": None if self.effects is None else _rounded(self.effects.by_level),
            "tables": [
                {**_shallow(table), "setup": asdict(table.setup), "step_time": _short(step_time_to(table.step_time))}
                for table in self.tables
            ],
            "evidence": [{**_shallow(item), "setup": asdict(item.setup)} for item in self.evidence],
            "held_out": dict(self.held_out),
            "notes": list(self.notes),
        }


def _parts(efficiency: Efficiency) -> dict[str, float]:
    return {name: getattr(efficiency, name) for name in (*GPU_PARTS, *FRONT, "roofline_exponent")}


def _rounded(by_level: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Effects to the digits that matter."""
    return {
        level: {group: {part: round(effect, _DIGITS) for part, effect in own.items()} for group, own in groups.items()}
        for level, groups in by_level.items()
    }


def _shallow(item: MeasuredTable | Evidence) -> dict[str, Any]:
    values = {entry.name: getattr(item, entry.name) for entry in fields(item) if entry.name != "step_time"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _short(value: Any) -> Any:
    """Numbers to six digits, wherever they stand."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_short(item) for item in value]
    return {key: _short(item) for key, item in value.items()} if isinstance(value, dict) else value
