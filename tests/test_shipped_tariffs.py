"""Tariffs and prices that travel with Nightshift: they load, cover their time, name a source, repeat the facts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from math import exp, isfinite, log, sqrt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from sim.hardware import load_catalogue
from sim.paths import data_path
from sim.prices import (
    PriceClock,
    carbon_intensity,
    demand_charges,
    electricity_prices,
    gpu_prices,
    shipped_names,
    tier,
    token_prices,
)
from sim.prices.shipped import commitment, gpu_price, spot_runs
from sim.scenario import Spot

UTC = ZoneInfo("UTC")
YEAR_S = 365 * 86_400.0
TABLES = ["commitments", "gpu-prices", "spot-availability", "spot-processes", "tiers"]
FILES = [(family, name) for family in ("tokens", "electricity", "carbon") for name in shipped_names(family)]


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plain(family: str, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(data_path("tariffs", family, f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def validity(tariff: dict[str, Any]) -> tuple[datetime, datetime]:
    """A time in which the tariff is valid, a year at most."""
    first, last = (
        datetime.fromisoformat(str(tariff[key])) if key in tariff else None for key in ("valid_from", "valid_to")
    )
    begin = datetime(2026, 1, 1) if first is None else first
    return begin, min(last or datetime.max, begin.replace(year=begin.year + 1))


def clocks(family: str, name: str, start: datetime, zone: ZoneInfo) -> Iterator[PriceClock]:
    if family == "tokens":
        yield token_prices(name, start, zone)
    elif family == "carbon":
        yield carbon_intensity(name, start, zone)
    else:
        yield electricity_prices(name, start, zone)
        yield demand_charges(name, start, zone)


@pytest.mark.parametrize(("family", "name"), FILES)
def test_a_tariff_covers_every_instant_of_a_year_or_of_its_validity(family: str, name: str) -> None:
    tariff = plain(family, name)
    start, end = validity(tariff)
    zone = ZoneInfo(tariff["time_zone"])
    length_s = end.replace(tzinfo=zone).timestamp() - start.replace(tzinfo=zone).timestamp()
    for prices in clocks(family, name, start, zone):
        reached_s = 0.0
        for period in prices.periods():
            assert period.begin_s == reached_s
            assert period.window in prices.windows
            assert all(map(isfinite, period.rates))
            reached_s = period.end_s
            if reached_s >= length_s:
                break
        assert reached_s >= length_s


@pytest.mark.parametrize(("family", "name"), FILES)
def test_a_tariff_names_its_source(family: str, name: str) -> None:
    tariff = plain(family, name)

    assert len(tariff["source"]) > 10
    assert tariff["as_of"]
    assert tariff["confidence"] in ("high", "medium", "low")


@pytest.mark.parametrize("table", TABLES)
def test_every_row_names_its_source(table: str) -> None:
    found = rows(data_path("tariffs", f"{table}.csv"))

    assert found
    assert all(row["source"] and row["as_of"] for row in found)


def test_names_and_places_stand_once() -> None:
    for table in TABLES:
        keys = ("cloud", "region", "gpu") if table == "gpu-prices" else ("name",)
        found = [tuple(row[key] for key in keys) for row in rows(data_path("tariffs", f"{table}.csv"))]
        assert len(found) == len(set(found))


def test_gpus_have_the_catalogues_names() -> None:
    catalogue = load_catalogue()
    named = {
        row["gpu"]
        for table in ("commitments", "gpu-prices", "spot-processes")
        for row in rows(data_path("tariffs", f"{table}.csv"))
    }

    assert all(catalogue.gpu(name).name == name for name in named)


def test_every_row_can_be_looked_up() -> None:
    table = partial(data_path, "tariffs")
    for row in rows(table("gpu-prices.csv")):
        price = gpu_price(row["cloud"], row["region"], row["gpu"])
        assert price.on_demand_usd_per_gpu_hour or price.spot_usd_per_gpu_hour
        if price.on_demand_usd_per_gpu_hour and price.spot_usd_per_gpu_hour:
            assert price.spot_usd_per_gpu_hour < price.on_demand_usd_per_gpu_hour
    for row in rows(table("tiers.csv")):
        assert 0 < tier(row["name"]).multiplier <= 1
    for row in rows(table("commitments.csv")):
        assert any(commitment(row["name"], row["cloud"], row["gpu"]))
    for row in rows(table("spot-processes.csv")):
        clock = gpu_prices(Spot(tariff=row["name"]), row["gpu"], datetime(2026, 1, 5), UTC, None)
        assert clock.at(0.0).rates == (float(row["mean_usd_per_gpu_hour"]),)


def test_fits_of_spot_runs_say_how_far_off_their_tails_are() -> None:
    for row in rows(data_path("tariffs", "spot-availability.csv")):
        for run, lengths in zip(("up", "down"), spot_runs(row["name"]), strict=True):
            sigma = sqrt(2 * log(lengths.mean / lengths.median))
            p90_h = lengths.median / 3600 * exp(1.2815515655446004 * sigma)
            assert float(row[f"{run}_sigma"]) == pytest.approx(sigma, abs=1e-4)
            assert float(row[f"{run}_p90_error"]) == pytest.approx(p90_h / float(row[f"{run}_p90_h"]) - 1, abs=1e-3)
        assert float(row["share_up_fit"]) == pytest.approx(float(row["share_up"]), abs=0.01)


def facts(shared: Path, name: str) -> list[dict[str, str]]:
    return rows(shared / "prices" / name)


def test_deepseek_costs_what_its_sheets_say(shared: Path) -> None:
    of = {
        "deepseek-2026-08": "deepseek-v4-pro",
        "deepseek-v4-flash-2026-08": "deepseek-v4-flash",
        "deepseek-flash-2026-10": "deepseek-flash (V4.1-Flash-1017)",
        "deepseek-chat-2025-02": "deepseek-chat (V3)",
        "deepseek-reasoner-2025-02": "deepseek-reasoner (R1)",
    }
    columns = ("input_cache_miss_usd_m", "input_cache_hit_usd_m", "output_usd_m")
    known = [row for row in facts(shared, "api-time-of-day.csv") if row["model"] in of.values()]
    for name, model in of.items():
        clock = token_prices(name, validity(plain("tokens", name))[0], UTC)
        told = {row["window_name"]: [float(row[key]) for key in columns] for row in known if row["model"] == model}
        assert {w: (1e6 * clock.table[i]).tolist() for i, w in enumerate(clock.windows)} == {
            window: pytest.approx(prices) for window, prices in told.items()
        }


@pytest.mark.parametrize("tariff", ["B-19", "B-20", "B-19 Option S", "B-20 Option S"])
def test_pge_costs_what_its_sheets_say(shared: Path, tariff: str) -> None:
    told = [row for row in facts(shared, "electricity-tou-tariffs.csv") if row["tariff"] == f"PG&E {tariff}"]
    ours = plain("electricity", f"pge-{tariff.lower().replace(' ', '-')}")
    energy = [float(row["energy_usd_kwh"]) for row in told if row["energy_usd_kwh"] and row["local_hours"]]
    demand = [float(row["demand_usd_kw_month"]) for row in told if row["demand_usd_kw_month"]]

    assert sorted([ours["usd_per_kwh"], *(window["usd_per_kwh"] for window in ours["windows"])]) == sorted(energy)
    assert sorted(charge["usd_per_kw_month"] for charge in ours["demand"]) == sorted(demand)
    assert ours["usd_per_day"] == next(float(row["energy_usd_kwh"]) for row in told if "customer" in row["period"])


@pytest.mark.parametrize("market", ["CAISO", "ERCOT", "PJM"])
@pytest.mark.parametrize(("season", "month"), [("Dec-Feb", 1), ("Jun-Sep", 7), ("other", 10)])
def test_markets_cost_what_their_means_say(shared: Path, market: str, season: str, month: int) -> None:
    told = [
        row
        for row in facts(shared, "electricity-lmp-hour-of-day.csv")
        if (row["market"], row["season"]) == (market, season)
    ]
    zone, start = ZoneInfo(told[0]["timezone"]), datetime(2026, month, 15)
    for kind, column in (("day-ahead", "da_mean_usd_mwh"), ("real-time", "rt_mean_usd_mwh")):
        clock = electricity_prices(f"{market.lower()}-{kind}", start, zone)
        ours = [1000 * clock.at(3600 * float(row["local_hour"])).rates[0] for row in told]
        assert ours == pytest.approx([float(row[column]) for row in told])


def test_carbon_is_what_the_means_say(shared: Path) -> None:
    for row in facts(shared, "carbon-intensity-2020-month-hour.csv"):
        if row["hour_in_source_time"] == "0":
            start = datetime(2026, int(row["month_2020"]), 3)
            clock = carbon_intensity(f"{row['country'].lower()}-2020", start, UTC)
        told, hour = float(row["mean_gco2_kwh"]), float(row["hour_in_source_time"])
        assert clock.at(3600 * hour).rates == (told,)


def test_aws_machines_cost_what_their_rows_say(shared: Path) -> None:
    names = {"A100-40GB": "A100-40GB-SXM", "A100-80GB": "A100-80GB-SXM", "H200": "H200-SXM", "B200": "B200-SXM"}
    for row in facts(shared, "gpu-prices.csv"):
        if row["source_id"] == "S1" and row["on_demand_usd_h"]:
            gpu = names.get(row["gpu"], row["gpu"])
            ours = gpu_price("aws", row["region"], gpu)
            told = float(row["on_demand_usd_h"]) / int(row["gpu_count"])
            assert ours.on_demand_usd_per_gpu_hour == pytest.approx(told, abs=1e-6)


def test_spot_runs_are_those_of_the_traces(shared: Path) -> None:
    told = {
        (row["up_median_h"], row["up_mean_h"], row["down_median_h"], row["down_mean_h"])
        for row in facts(shared, "spot-availability-summary.csv")
    }
    of = [tuple(map(float, row)) for row in told]
    for row in rows(data_path("tariffs", "spot-availability.csv")):
        ours = tuple(float(row[key]) for key in ("up_median_h", "up_mean_h", "down_median_h", "down_mean_h"))
        assert ours in of


def test_tiers_have_the_published_multiplier(shared: Path) -> None:
    told = {
        (row["provider"], row["price_multiplier_vs_standard"].removeprefix("about "))
        for row in facts(shared, "api-service-tiers.csv")
    }
    for row in rows(data_path("tariffs", "tiers.csv")):
        assert (row["name"].split("/")[0], row["multiplier"]) in told
