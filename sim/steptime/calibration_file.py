"""Files of calibrations: read, checked, and those that are shipped as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveInt, ValidationError

from sim.errors import CatalogueError, InputError, did_you_mean
from sim.hardware.gpu import Efficiency
from sim.hardware.setup import Setup
from sim.paths import data_path
from sim.steptime.calibration import FORMAT, Calibration, Evidence, MeasuredTable
from sim.steptime.effects import FRONT, GPU_PARTS, LEVELS, PARTS, Effects
from sim.steptime.files import read_json, step_time_from

__all__ = ["calibration_from", "is_calibration", "load_calibration", "shipped_calibration"]

_WRITE_ANEW = "write it anew with 'nightshift calibrate'"


def load_calibration(path: Path | None = None) -> Calibration:
    """A calibration from its file; the shipped one without.

    Raises:
        InputError: for a file that cannot be read or is no calibration.
    """
    return shipped_calibration() if path is None else calibration_from(read_json(path), str(path))


def shipped_calibration() -> Calibration:
    """All calibrations in `data/calibrations/` as one."""
    files = sorted(data_path("calibrations").glob("*.json"))
    return _together([calibration_from(read_json(file), str(file)) for file in files])


def is_calibration(content: object) -> bool:
    """True for what a calibration's file holds, of this version or another."""
    return isinstance(content, dict) and "format" in content


def calibration_from(content: object, where: str) -> Calibration:
    """A calibration from what its file holds.

    Raises:
        InputError: where it is none, or of another version; it names `where`.
    """
    if not is_calibration(content) or content["format"] != FORMAT:  # type: ignore[index]  # a dict, as was just seen
        raise InputError(where, f"is no calibration of this version ({FORMAT})", _WRITE_ANEW)
    try:
        document = _Document.model_validate(content)
        return document.calibration(where)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(place, f"is not as a calibration has it: {first['msg']}", _WRITE_ANEW, where=where) from None
    except CatalogueError as error:
        raise InputError(error.value, error.rule, _WRITE_ANEW, where=where) from None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Setup(_Part):
    model: str | None
    gpu: str | None
    weights: str = "bf16"
    kv: str = "bf16"
    tensor_parallel: PositiveInt = 1
    data_parallel: PositiveInt = 1
    expert_parallel: PositiveInt = 1
    backend: str = ""
    backend_version: str = ""

    def setup(self) -> Setup:
        return Setup(**vars(self))


class _Table(_Part):
    setup: _Setup
    step_time: dict[str, Any]
    source: str
    points: int
    mean_abs_error: FiniteFloat
    held_out_error: FiniteFloat


class _Evidence(_Part):
    setup: _Setup
    runs: int
    sources: tuple[str, ...]
    tpot_error: FiniteFloat | None
    ttft_error: FiniteFloat | None
    unseen_tpot_error: FiniteFloat | None
    unseen_ttft_error: FiniteFloat | None


class _Document(_Part):
    """A file of a calibration."""

    format: str
    name: str
    sources: tuple[str, ...]
    start: dict[str, FiniteFloat] | None
    effects: dict[str, dict[str, dict[str, FiniteFloat]]] | None
    tables: tuple[_Table, ...]
    evidence: tuple[_Evidence, ...]
    held_out: dict[str, Any]
    notes: tuple[str, ...]

    def calibration(self, where: str) -> Calibration:
        """What the file tells.

        Raises:
            InputError: for step times or efficiencies that are none.
        """
        return Calibration(
            name=self.name,
            sources=self.sources,
            effects=self._effects(where),
            tables=tuple(self._table(table, where) for table in self.tables),
            evidence=tuple(Evidence(**{**vars(item), "setup": item.setup.setup()}) for item in self.evidence),
            held_out=self.held_out,
            notes=self.notes,
        )

    def _effects(self, where: str) -> Effects | None:
        if self.start is None and self.effects is None:
            return None
        if self.start is None or self.effects is None:
            raise InputError("start and effects", "go together", _WRITE_ANEW, where=where)
        _check_start(self.start, where)
        _check_effects(self.effects, where)
        return Effects(Efficiency(**self.start, status="calibrated", source=self.name), self.effects)

    def _table(self, table: _Table, where: str) -> MeasuredTable:
        times = step_time_from(table.step_time, where)
        return MeasuredTable(**{**vars(table), "setup": table.setup.setup(), "step_time": times})


def _check_start(start: Mapping[str, float], where: str) -> None:
    wanted = {*GPU_PARTS, *FRONT, "roofline_exponent"}
    if set(start) != wanted or min(start.values()) <= 0.0:
        rule = f"must hold numbers above zero for {', '.join(sorted(wanted))}"
        raise InputError("start", rule, _WRITE_ANEW, where=where)


def _check_effects(effects: Mapping[str, Mapping[str, Mapping[str, float]]], where: str) -> None:
    for level, groups in effects.items():
        if level not in LEVELS:
            raise InputError(level, "is no level of effects", did_you_mean(level, LEVELS), where=where)
        part = next((part for own in groups.values() for part in own if part not in PARTS), None)
        if part is not None:
            raise InputError(part, "is no part of an efficiency", did_you_mean(part, PARTS), where=where)


def _together(calibrations: Iterable[Calibration]) -> Calibration:
    """Several calibrations as one: at most one of them holds effects."""
    every = list(calibrations)
    learned = [one for one in every if one.effects is not None]
    return Calibration(
        name="shipped",
        sources=tuple(source for one in every for source in one.sources),
        effects=learned[0].effects if learned else None,
        tables=tuple(table for one in every for table in one.tables),
        evidence=tuple(item for one in every for item in one.evidence),
        held_out=learned[0].held_out if learned else {},
        notes=tuple(note for one in every for note in one.notes),
    )
