"""Tariffs and figures that travel with Nightshift, by name."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from math import inf
from typing import Any, NamedTuple

import yaml
from pydantic import TypeAdapter

from sim.errors import InputError, did_you_mean
from sim.paths import data_path
from sim.scenario.energy import Carbon, CarbonTable, Electricity, ElectricityTable, ElectricityWindows
from sim.scenario.offers import RunLengths
from sim.scenario.quantities import parse_duration
from sim.scenario.tariffs import SpotProcess, TokenTariff, TokenWindows

__all__ = [
    "Commitment",
    "GpuPrice",
    "Tier",
    "commitment",
    "gpu_price",
    "shipped_carbon",
    "shipped_electricity",
    "shipped_gpu",
    "shipped_names",
    "shipped_rows",
    "shipped_tokens",
    "spot_runs",
    "tier",
]

Row = dict[str, str]
_FOLDER = "tariffs"


class Tier(NamedTuple):
    """A service tier of an API."""

    multiplier: float
    """Factor on the standard prices."""
    completion_window_s: float
    """Time in which an answer is promised, or the request expires; infinity where requests are answered at once."""


class GpuPrice(NamedTuple):
    """Prices of one type of GPU in a region of a cloud."""

    on_demand_usd_per_gpu_hour: float | None
    spot_usd_per_gpu_hour: float | None


class Commitment(NamedTuple):
    """What reserved capacity costs: a price of its own, or a discount off on-demand."""

    usd_per_gpu_hour: float | None
    discount: float | None


def shipped_tokens(name: str) -> TokenWindows:
    """A shipped tariff of tokens.

    Raises:
        InputError: where there is none of the name; so do the next three.
    """
    tariff: TokenWindows = _tariff("tokens", name)
    return tariff


def shipped_gpu(name: str, gpu: str | None = None) -> SpotProcess:
    """A shipped price of GPUs: a fitted spot process.

    Raises:
        InputError: where there is none of the name, or it is not that of `gpu`.
    """
    row = _named("spot-processes", name, "is no shipped tariff of GPUs")
    if gpu not in (None, row["gpu"]):
        remedy = "take one of this GPU, or give `mean_usd_per_gpu_hour` and its like in a tariff of kind `spot-process`"
        raise InputError(name, f"is a tariff of {row['gpu']}, not of {gpu}", remedy)
    return SpotProcess(
        mean_usd_per_gpu_hour=float(row["mean_usd_per_gpu_hour"]),
        volatility=float(row["volatility"]),
        half_life=parse_duration(row["half_life"]),
        cap_usd_per_gpu_hour=_number(row["on_demand_usd_per_gpu_hour"]),
        source=row["source"],
        as_of=row["as_of"],
        confidence=row["confidence"],
        note=row["note"],
    )


def shipped_electricity(name: str) -> ElectricityWindows | ElectricityTable:
    """A shipped tariff of electricity."""
    tariff: ElectricityWindows | ElectricityTable = _tariff("electricity", name)
    return tariff


def shipped_carbon(name: str) -> CarbonTable:
    """A shipped table of carbon intensities."""
    tariff: CarbonTable = _tariff("carbon", name)
    return tariff


def shipped_names(family: str) -> list[str]:
    """Names of the shipped tariffs of `tokens`, `gpus`, `electricity` or `carbon`."""
    if family == "gpus":
        return [row["name"] for row in shipped_rows("spot-processes")]
    return sorted(path.stem for path in data_path(_FOLDER, family).glob("*.yaml"))


def tier(name: str) -> Tier:
    """A service tier, PROVIDER/TIER.

    Raises:
        InputError: where there is none of the name.
    """
    row = _named("tiers", name, "is no known tier")
    window = row["completion_window"]
    return Tier(float(row["multiplier"]), parse_duration(window) if window else inf)


def gpu_price(cloud: str, region: str, gpu: str) -> GpuPrice:
    """Prices of a GPU in a region of a cloud.

    Raises:
        InputError: where none is known.
    """
    rows = shipped_rows("gpu-prices")
    of_gpu = [row for row in rows if row["gpu"] == gpu]
    if not of_gpu:
        remedy = "give `usd_per_gpu_hour`; prices are known of " + ", ".join(sorted({row["gpu"] for row in rows}))
        raise InputError(gpu, "has no shipped price", remedy)
    of_cloud = {row["region"]: row for row in of_gpu if row["cloud"] == cloud}
    if not of_cloud:
        raise InputError(cloud, f"has no shipped price of {gpu}", did_you_mean(cloud, _distinct(of_gpu, "cloud")))
    row = of_cloud[_known(region, of_cloud, f"has no shipped price of {gpu} at {cloud}")]
    return GpuPrice(_number(row["on_demand_usd_per_gpu_hour"]), _number(row["spot_usd_per_gpu_hour"]))


def commitment(name: str, cloud: str, gpu: str) -> Commitment:
    """What a commitment says for a GPU at a cloud.

    Raises:
        InputError: where there is none of the name, or it is another cloud's or another GPU's.
    """
    row = _named("commitments", name, "is no shipped commitment")
    if row["cloud"] not in (cloud, "any") or row["gpu"] != gpu:
        rule = f"is a commitment for {row['gpu']} at {row['cloud']}, not for {gpu} at {cloud}"
        raise InputError(name, rule, "give the `discount` instead")
    return Commitment(_number(row["usd_per_gpu_hour"]), _number(row["discount"]))


def spot_runs(zone: str) -> tuple[RunLengths, RunLengths]:
    """Lengths of the runs with and without capacity in a zone.

    Raises:
        InputError: where no fit is shipped of the name.
    """
    row = _named("spot-availability", zone, "is no shipped zone of spot availability")
    up, down = (
        RunLengths(median=float(row[f"{run}_median_h"]) * 3600, mean=float(row[f"{run}_mean_h"]) * 3600)
        for run in ("up", "down")
    )
    return up, down


@cache
def _tariff(family: str, name: str) -> Any:
    known = _known(name, shipped_names(family), f"is no shipped tariff of {family}")
    text = data_path(_FOLDER, family, f"{known}.yaml").read_text(encoding="utf-8")
    return _adapters()[family].validate_python(yaml.safe_load(text))


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {
        "tokens": TypeAdapter(TokenTariff),
        "electricity": TypeAdapter(Electricity),
        "carbon": TypeAdapter(Carbon),
    }


@cache
def shipped_rows(table: str) -> list[Row]:
    """Rows of a shipped table, `gpu-prices` say, as texts by column."""
    with data_path(_FOLDER, f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _named(table: str, name: str, rule: str) -> Row:
    rows = {row["name"]: row for row in shipped_rows(table)}
    return rows[_known(name, rows, rule)]


def _known(name: str, known: Iterable[str], rule: str) -> str:
    if name not in known:
        raise InputError(name, rule, did_you_mean(name, known))
    return name


def _distinct(rows: Iterable[Row], key: str) -> list[str]:
    return sorted({row[key] for row in rows})


def _number(text: str) -> float | None:
    return float(text) if text else None
