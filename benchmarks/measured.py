"""What calibrating and validating cost, on measurements of the reader's own choice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from sim.commands import calibrate, validate

__all__ = ["calibration_figures"]


def calibration_figures(paths: Sequence[Path]) -> dict[str, Any]:
    """Seconds to fit all of these measurements, with and without errors held out, and to predict each of them."""
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        file = Path(folder) / "calibration.json"
        quick_s, _ = _timed(lambda: calibrate(paths, file, quick=True))
        whole_s, _ = _timed(lambda: calibrate(paths, file))
        validate_s, found = _timed(lambda: validate(paths, calibration=file))
    figures = len(found["rows"])
    return {
        "calibrate_s": whole_s,
        "calibrate_quick_s": quick_s,
        "validate_s": validate_s,
        "figures": figures,
        "figures_per_s": figures / validate_s,
    }


def _timed(work: Callable[[], dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    begun_s = perf_counter()
    result = work()
    return perf_counter() - begun_s, result
