"""What a router has to weigh, for a machine of another speed than a scenario was written for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.steptime import StepTime

__all__ = ["STAKES", "scaled_stakes"]

STAKES = ("workload.0.usd_per_correct=", "workload.0.slo.e2e=")
"""Keys of the overrides."""

_FULL_ROWS, _FEW_ROWS, _ROW_KV = 32, 8, 80
"""A full batch, by which tokens are paid for, and a usual one, by which answers take their time."""


def scaled_stakes(scenario: str, law: StepTime) -> list[str]:
    """Value of a right answer and time promised, as overrides: the scenario's, times as much as `law` is slower.

    The scenario has step times of its own, an objective for the whole answer and a value of a right one.
    """
    from sim.load import load_scenario
    from sim.scenario import GpuPool
    from sim.steptime.files import load_step_time

    loaded = load_scenario(scenario)
    (stream,), (pool,) = loaded.workload, loaded.fleet
    assert isinstance(pool, GpuPool)
    assert pool.step_time is not None
    own = load_step_time(pool.step_time.path).covering(_FULL_ROWS)
    scaled = (stream.usd_per_correct or 0.0, _FULL_ROWS), (stream.slo.e2e or 0.0, _FEW_ROWS)
    values = (value * _slower(law.covering(_FULL_ROWS), own, rows) for value, rows in scaled)
    return [f"{key}{value:.3g}" for key, value in zip(STAKES, values, strict=True)]


def _slower(law: StepTime, own: StepTime, rows: int) -> float:
    return law.decode_step_s(rows, rows * _ROW_KV) / own.decode_step_s(rows, rows * _ROW_KV)
