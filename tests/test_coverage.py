"""95 % intervals hold the true value about 95 times in a hundred: small systems with known answers, by every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.precision import Precision
from sim.simulation import simulate
from sim.stats import half_width, histogram_quantiles
from tests.known_systems import FAMILIES, MEAN_SERVICE_S, System, drawn_system

SYSTEMS = 200
FEW = 20
SEED = 0
Summary = Mapping[str, Any]


def over_replications(system: System, folder: Path) -> Summary:
    return simulate(system.scenario(folder, 6_000, replications=10)).summary


def over_few_replications(system: System, folder: Path) -> Summary:
    return simulate(system.scenario(folder, 4_000, replications=4)).summary


def of_one_long_run(system: System, folder: Path) -> Summary:
    return simulate(system.scenario(folder, 60_000, replications=1)).summary


def to_a_precision(system: System, folder: Path) -> Summary:
    """Means to 3 %, shares to 0.006: half of the systems take more than the ten replications of the first look."""
    wanted = 0.006 if system.family == "loss" else 0.03
    return simulate(system.scenario(folder, 3_000), precision=Precision(wanted, (system.figure,))).summary


METHODS = [over_replications, of_one_long_run, to_a_precision]


def coverage(method: Callable[[System, Path], Summary], systems: int, folder: Path) -> tuple[float, float]:
    """Share of the systems whose interval holds the true value, and the median half-width as a share of it."""
    held, widths = [], []
    for number in range(systems):
        system = drawn_system(number, SEED)
        low, high = method(system, folder)["intervals"][system.figure]
        held.append(low <= system.truth <= high)
        widths.append((high - low) / 2.0 / system.truth)
    return float(np.mean(held)), float(np.median(widths))


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_as_often_as_they_say(method: Callable[[System, Path], Summary], tmp_path: Path) -> None:
    share, _ = coverage(method, SYSTEMS, tmp_path)

    assert 0.92 <= share <= 0.98


@pytest.mark.parametrize("method", [over_few_replications, of_one_long_run])
def test_intervals_of_a_few_systems_cover_and_are_narrow(
    method: Callable[[System, Path], Summary], tmp_path: Path
) -> None:
    """Of twenty, fewer than sixteen are held once in three thousand times where the interval is right."""
    share, width = coverage(method, FEW, tmp_path)

    assert share >= 0.8
    assert 0.002 < width < 0.1


@pytest.mark.long
def test_quantiles_of_all_replications_cover_better_than_means_of_quantiles(tmp_path: Path) -> None:
    """The 99th percentile of M/M/1, whose time in the system is exponential: ln(100) S / (1 - load)."""
    pooled, means = [], []
    for number in range(100):
        system = drawn_system(FAMILIES.index("mm1") + len(FAMILIES) * number, SEED)
        found = simulate(system.scenario(tmp_path, 2_000, replications=20))
        truth = MEAN_SERVICE_S * log(100.0) / (1.0 - system.load)
        low, high = found.summary["intervals"]["latency.e2e_s.p99"]
        pooled.append(low <= truth <= high)
        own = [histogram_quantiles(run.tally.histogram[0, 2], [0.99])[0] for run in found.replications]
        means.append(abs(np.mean(own) - truth) <= half_width(own))

    assert np.mean(pooled) >= 0.90, (np.mean(pooled), np.mean(means))
    assert np.mean(pooled) > np.mean(means)
