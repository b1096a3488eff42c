"""How GPUs are bought: the three ways to a price, rounding on the bill, and what is paid upfront."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from sim.errors import InputError, ScenarioError
from sim.load import dump_scenario, load_scenario
from sim.prices import billed_s, gpu_prices, upfront_usd
from sim.scenario import Billing, Offer, Reserved

UTC = ZoneInfo("UTC")
MONDAY = datetime(2026, 1, 5)
YEAR_S = 365 * 86_400.0


def offer(**fields: Any) -> Any:
    return TypeAdapter(Offer).validate_python(fields)


def price(gpu: str = "H100-SXM", **fields: Any) -> float:
    return gpu_prices(offer(**fields), gpu, MONDAY, UTC, None).at(0.0).rates[0]


def test_a_price_may_be_a_number() -> None:
    prices = gpu_prices(offer(kind="on-demand", usd_per_gpu_hour=2.1), "any", MONDAY, UTC, None)

    assert list(prices.periods()) == [(0.0, float("inf"), "flat", (2.1,))]
    assert prices.labels == ("usd_per_gpu_hour",)


def test_a_price_may_be_that_of_a_cloud_and_region() -> None:
    place = {"cloud": "aws", "region": "us-east-1"}

    assert price(kind="on-demand", **place) == 6.88
    # Median of the five zones that had capacity: 17.6289, 19.2531 and 25.7522, 21.1543, 10.2397 for eight.
    assert price(kind="spot", **place) == pytest.approx(19.2531 / 8, abs=1e-6)
    assert price(kind="reserved", discount=0.4, **place) == pytest.approx(6.88 * 0.6)
    assert price(kind="reserved", commitment="h100-3y", **place) == pytest.approx(6.88 * 1.48 / 2.65, rel=1e-4)
    assert price(kind="reserved", commitment="aws-capacity-block-p5", **place) == 4.916


def test_a_price_may_follow_the_clock() -> None:
    night = {"name": "night", "hours": "22:00-06:00", "usd_per_gpu_hour": 1.0}
    tariff = {"kind": "windows", "usd_per_gpu_hour": 3.0, "windows": [night]}
    prices = gpu_prices(offer(kind="on-demand", tariff=tariff), "any", MONDAY, UTC, None)

    assert [each[2:] for each in islice(prices.periods(), 2)] == [("night", (1.0,)), ("base", (3.0,))]


def test_a_price_may_be_a_series() -> None:
    tariff = {"kind": "series", "usd_per_gpu_hour": [3.0, 2.0], "step": "1h", "repeat": True}
    prices = gpu_prices(offer(kind="spot", tariff=tariff), "any", MONDAY, UTC, None)

    assert [each.rates[0] for each in islice(prices.periods(), 3)] == [3.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("gpu", "fields", "told"),
    [
        ("H100-SMX", {"cloud": "aws", "region": "us-east-1"}, "H100-SMX has no shipped price; give `usd_per_gpu_hour`"),
        (
            "H100-SXM",
            {"cloud": "awz", "region": "us-east-1"},
            "awz has no shipped price of H100-SXM, did you mean 'aws'?",
        ),
        (
            "H100-SXM",
            {"cloud": "aws", "region": "us-east-7"},
            "us-east-7 has no shipped price of H100-SXM at aws, did you",
        ),
        (
            "H100-SXM",
            {"cloud": "aws", "region": "ca-central-1"},
            "aws ca-central-1 has no spot price of H100-SXM; take",
        ),
        ("H100-SXM", {"tariff": "spot-aws-us-east-1-H100"}, "did you mean 'spot-aws-us-east-1-H100-SXM'?"),
    ],
)
def test_a_price_that_is_not_known_is_told(gpu: str, fields: dict[str, str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        price(gpu, kind="spot", **fields)
    assert told in str(caught.value)


def test_a_commitment_is_for_its_own_cloud_and_gpu() -> None:
    with pytest.raises(InputError, match="is a commitment for B200-SXM at any, not for H100-SXM at aws"):
        price(kind="reserved", cloud="aws", region="us-east-1", commitment="b200-3y")


def test_time_is_billed_in_begun_units_and_a_minimum() -> None:
    by_the_minute = Billing(unit=60.0, minimum=600.0)

    assert [billed_s(by_the_minute, lived_s) for lived_s in (0.0, 1.0, 600.0, 600.1, 720.0)] == [0, 600, 600, 660, 720]
    assert billed_s(Billing(), 12.25) == 13.0


def test_the_last_digit_of_a_time_begins_no_unit() -> None:
    assert billed_s(Billing(unit=0.1), 0.1 * 3) == pytest.approx(0.3)
    assert billed_s(Billing(), 1e6 + 1e-7) == 1e6


def test_what_is_paid_upfront_is_spread_over_the_term() -> None:
    reserved = offer(kind="reserved", usd_per_gpu_hour=1.0, term="1y", upfront_usd_per_gpu=8760.0)

    assert upfront_usd(reserved, gpus=8, seconds=3600.0) == pytest.approx(8.0)
    assert upfront_usd(offer(kind="on-demand", usd_per_gpu_hour=1.0), 8, 3600.0) == 0.0


@pytest.mark.parametrize(
    ("term", "seconds", "text"),
    [("1y", YEAR_S, "1y"), ("3y", 3 * YEAR_S, "3y"), ("90d", 90 * 86_400.0, "90d"), ("none", None, None)],
)
def test_a_term_is_years_or_a_duration(term: str, seconds: float | None, text: str | None) -> None:
    reserved = Reserved.model_validate({"usd_per_gpu_hour": 1.0, "term": term})

    assert (reserved.term, reserved.model_dump(mode="json")["term"]) == (seconds, text)


SPOT_WITH_EVERYTHING = (
    "{kind: spot, notice: 30s, billing: {minimum: 10m}, availability: {up: {median: 1h, mean: 4h}, "
    "down: {median: 20m, mean: 1h}, together: false}, tariff: {kind: windows, usd_per_gpu_hour: 2, windows: "
    '[{hours: ["22:00-03:00", "04:00-05:00"], days: [mon], usd_per_gpu_hour: 1, valid_from: 2026-01-01}]}}'
)


def test_an_offer_comes_back_from_its_own_text(scenario_file: Callable[..., Path], tmp_path: Path) -> None:
    loaded = load_scenario(scenario_file(), [f"fleet.0.offer={SPOT_WITH_EVERYTHING}"])
    again = tmp_path / "again.yaml"
    again.write_text(dump_scenario(loaded), encoding="utf-8")

    assert load_scenario(again) == loaded


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{kind: spot}",
            "fleet.0.offer.usd_per_gpu_hour: is missing; add it: Price of one GPU for one hour, US dollars;",
        ),
        ("{kind: spot, cloud: aws}", "fleet.0.offer.region: is missing; add it: cloud goes with region"),
        (
            "{kind: spot, usd_per_gpu_hour: 1, tariff: spot-aws-us-east-1-H100-SXM}",
            "tariff: cannot be given with usd_per_gpu_hour; give the price one",
        ),
        (
            "{kind: reserved, cloud: aws, region: us-east-1}",
            "offer.discount: is missing; add the share off the on-demand price",
        ),
        ("{kind: reserved, usd_per_gpu_hour: 1, discount: 0.4}", "offer.discount: is of a cloud's price; add `cloud`"),
        ("{kind: reserved, usd_per_gpu_hour: 1, upfront_usd_per_gpu: 9}", "offer.term: is missing; add it, such as 1y"),
        ("{kind: reserved, usd_per_gpu_hour: 1, term: 1 year}", "offer.term: 1 year is not a term; give 1y, 3y, none"),
        (
            "{kind: spot, usd_per_gpu_hour: 1, availability: {}}",
            "offer.availability.up: is missing; add `up` and `down`",
        ),
        (
            "{kind: spot, usd_per_gpu_hour: 1, "
            "availability: {zone: aws-us-west-2a-v100x1-2023-02, up: {median: 1h, mean: 2h}}}",
            "offer.availability.up: cannot be given with zone",
        ),
        (
            "{kind: spot, usd_per_gpu_hour: 1, availability: {up: {median: 2h, mean: 1h}, down: {median: 1, mean: 1}}}",
            "offer.availability.up.mean: 1h must be at least the median (2h); raise it, or lower the median",
        ),
        (
            "{kind: spot, tariff: {kind: window}}",
            "tariff.kind: window is not a known kind; use one of: windows, series",
        ),
        ("{kind: spot, tariff: {usd_per_gpu_hour: 1}}", "offer.tariff.kind: is missing; use one of: windows, series"),
        ("{kind: spot, tariff: 5}", "fleet.0.offer.tariff: 5 is not a text"),
        (
            "{kind: spot, tariff: {kind: windows, usd_per_gpu_hour: 1, windows: [{hours: 8-9, usd_per_gpu_hour: 1}]}}",
            "offer.tariff.windows.0.hours: 8-9 is not a window of hours; give HH:MM-HH:MM",
        ),
        (
            "{kind: spot, tariff: {kind: spot-process, mean_usd_per_gpu_hour: 1, volatility: 1, half_life: 1h, "
            "floor_usd_per_gpu_hour: 3, cap_usd_per_gpu_hour: 2}}",
            "offer.tariff.floor_usd_per_gpu_hour: 3.0 must be at most the cap (2); lower it, or raise the cap",
        ),
    ],
)
def test_a_fault_of_an_offer_is_told_in_our_words(scenario_file: Callable[..., Path], text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(), [f"fleet.0.offer={text}"])
    assert told in str(caught.value)
    assert len(caught.value.faults) == 1
