"""Step times of a pool: from its own file, else a shipped calibration, else the catalogue's roofline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import InputError
from sim.hardware import Catalogue
from sim.hardware.precision import pool_precision
from sim.hardware.setup import Setup
from sim.steptime.calibration import Calibration, Trust
from sim.steptime.calibration_file import calibration_from, is_calibration, shipped_calibration
from sim.steptime.files import load_step_time, read_json, save_step_time, step_time_from
from sim.steptime.roofline import roofline
from sim.steptime.table import StepTime

if TYPE_CHECKING:
    from sim.scenario import GpuPool

__all__ = ["PoolTimes", "StepTime", "load_step_time", "roofline", "save_step_time", "setup_of", "step_time_for"]


@dataclass(frozen=True)
class PoolTimes:
    """Step times of one rank of a pool, and how far to trust them."""

    step_time: StepTime
    trust: Trust


def step_time_for(pool: GpuPool, catalogue: Catalogue) -> PoolTimes:
    """Step times of one rank of a pool, for at least its `max_num_seqs` rows.

    The pool's own file where it names one, of step times (going on with its last slope where the file ends short of
    that) or of a calibration; else the shipped calibration, which falls back on the catalogue's roofline where
    nothing like the pool was measured.

    Raises:
        CatalogueError: for a GPU, model or precision that the catalogue does not hold.
        InputError: for a file that cannot be read, or a calibration that does not tell this pool's step times.
    """
    if pool.step_time is None:
        return _calibrated(pool, shipped_calibration(), catalogue)
    path = pool.step_time.path
    content = read_json(path)
    if is_calibration(content):
        own = calibration_from(content, str(path))
        _check_knows(own, pool, catalogue, path)
        return _calibrated(pool, own, catalogue)
    step_time = step_time_from(content, str(path)).covering(pool.engine.max_num_seqs)
    return PoolTimes(step_time, Trust(standing="own file", basis=path.name))


def _calibrated(pool: GpuPool, calibration: Calibration, catalogue: Catalogue) -> PoolTimes:
    engine, setup = pool.engine, setup_of(pool, catalogue)
    law = calibration.step_time(setup, catalogue, engine.max_num_seqs, engine.max_num_batched_tokens)
    return PoolTimes(law, calibration.trust(setup, catalogue))


def _check_knows(own: Calibration, pool: GpuPool, catalogue: Catalogue, path: Path) -> None:
    """A file that somebody names must tell what it is named for."""
    setup = setup_of(pool, catalogue)
    if own.effects is None and own.table_of(setup) is None:
        rule = f"has no step times of {setup.model} on {setup.tensor_parallel} x {setup.gpu} in {setup.weights}"
        raise InputError(path, rule, "calibrate with measurements of this pool, or leave step_time out")


def setup_of(pool: GpuPool, catalogue: Catalogue) -> Setup:
    """What serves in a pool, by the catalogue's names. Its experts are sliced over the GPUs of a rank, or spread over
    all ranks.

    Raises:
        CatalogueError: for a GPU, model or precision that the catalogue does not hold.
    """
    precision = pool_precision(pool)
    spread = pool.gpus_per_replica if pool.data_parallel > 1 else 1
    return Setup(
        model=catalogue.model(pool.model).name,
        gpu=catalogue.gpu(pool.gpu).name,
        weights=precision.weights,
        kv=precision.kv,
        tensor_parallel=pool.tensor_parallel,
        data_parallel=pool.data_parallel,
        expert_parallel=pool.expert_parallel or spread,
        backend=pool.engine.backend,
    )
