"""Prices of tokens, electricity and carbon: windows, series and tables."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from sim.errors import InputError
from sim.prices import (
    PriceClock,
    billing_months,
    carbon_intensity,
    demand_charges,
    electricity_prices,
    tier,
    token_prices,
    token_tariff,
    usd_per_day,
)
from sim.scenario import Carbon, Electricity, TokenTariff

UTC, LOS_ANGELES = ZoneInfo("UTC"), ZoneInfo("America/Los_Angeles")
MONDAY = datetime(2026, 1, 5)
BASE: dict[str, float] = {"input_usd_per_1m": 2.0, "output_usd_per_1m": 6.0}
WINDOWS = {"kind": "windows", "base": BASE}
PEAK = {"name": "peak", "hours": "08:00-20:00", "input_usd_per_1m": 4.0}


def tokens(*windows: dict[str, Any], base: dict[str, float] = BASE, **changes: Any) -> Any:
    plain = {"kind": "windows", "base": base, "windows": list(windows)} | changes
    return TypeAdapter(TokenTariff).validate_python(plain)


def named(**fields: Any) -> Any:
    return TypeAdapter(TokenTariff).validate_python({"kind": "named"} | fields)


def electricity(**fields: Any) -> Any:
    return TypeAdapter(Electricity).validate_python(fields)


def carbon(**fields: Any) -> Any:
    return TypeAdapter(Carbon).validate_python(fields)


def rows(*prices: PriceClock, count: int = 4) -> list[Any]:
    """Begin in hours, and rates, of the first periods."""
    return [(each.begin_s / 3600, *each.rates) for clock in prices for each in islice(clock.periods(), count)]


def test_rates_that_a_window_leaves_out_are_the_bases() -> None:
    prices = token_prices(tokens(PEAK), MONDAY, UTC)

    assert prices.at(0).rates == pytest.approx((2e-6, 2e-6, 6e-6))
    assert prices.at(9 * 3600).rates == pytest.approx((4e-6, 4e-6, 6e-6))


def test_cached_input_costs_as_the_base_says_else_as_input() -> None:
    cheap = token_prices(tokens(PEAK, base=BASE | {"cached_input_usd_per_1m": 0.2}), MONDAY, UTC)
    own = token_prices(tokens(PEAK | {"cached_input_usd_per_1m": 0.0}), MONDAY, UTC)

    assert [clock.at(9 * 3600).rates[1] for clock in (cheap, own)] == pytest.approx([0.2e-6, 0.0])


def test_a_requests_window_is_a_row_of_the_table() -> None:
    prices = token_prices(tokens(PEAK), MONDAY, UTC)

    assert prices.windows == ("peak", "base")
    for second in (0.0, 9 * 3600.0):
        period = prices.at(second)
        assert tuple(prices.table[prices.index(period.window)]) == period.rates


def test_windows_of_one_name_and_several_prices_are_told_apart() -> None:
    later = PEAK | {"valid_from": "2026-02-01", "input_usd_per_1m": 5.0}
    prices = token_prices(
        tokens(later, PEAK, PEAK | {"hours": "20:00-21:00"}, PEAK | {"input_usd_per_1m": 9}), MONDAY, UTC
    )

    assert prices.windows == ("peak from 2026-02-01", "peak", "peak (2)", "base")
    assert prices.table[:, 0] == pytest.approx([5e-6, 4e-6, 9e-6, 2e-6])
    assert prices.at(9 * 3600).window == "peak"
    assert prices.at((27 * 24 + 9) * 3600).window == "peak from 2026-02-01"


def test_a_multiplier_and_a_tier_are_on_all_prices() -> None:
    half, batch = (
        token_prices(tokens(PEAK, **way), MONDAY, UTC) for way in ({"multiplier": 0.5}, {"tier": "openai/batch"})
    )

    assert half.table.tolist() == batch.table.tolist() == (token_prices(tokens(PEAK), MONDAY, UTC).table / 2).tolist()
    assert (tier("openai/batch"), tier("openai/flex")) == ((0.5, 86_400.0), (0.5, float("inf")))


def test_a_shipped_tariff_may_be_changed_a_little() -> None:
    whole = token_tariff(named(name="deepseek-2026-08", tier="openai/batch", bill_by="completion"))

    assert (whole.bill_by, whole.multiplier, whole.base.output_usd_per_1m) == ("completion", 0.5, 1.98)


def test_a_series_holds_each_price_until_the_next() -> None:
    prices = electricity_prices(electricity(kind="series", usd_per_kwh=[0.1, 0.2, 0.2, -0.05], step="30m"), MONDAY, UTC)

    assert rows(prices, count=3) == [(0, 0.1), (0.5, 0.2), (1.5, -0.05)]
    assert [prices.at(second).rates[0] for second in (1799.9, 1800.0)] == [0.1, 0.2]
    assert (prices.windows, prices.at(0).window) == (("hourly",), "hourly")


def test_a_series_that_ends_is_refused_at_once_or_when_it_does() -> None:
    short = electricity(kind="series", usd_per_kwh=[0.1, 0.2])

    with pytest.raises(InputError, match=r"the list of 2 prices holds from .*T00:00:00\+00:00 to .*T02:00:00\+00:00"):
        electricity_prices(short, MONDAY, UTC, horizon_s=7201)
    assert electricity_prices(short, MONDAY, UTC, horizon_s=7200).at(7199).rates == (0.2,)
    with pytest.raises(InputError, match="repeat: true"):
        electricity_prices(short, MONDAY, UTC).at(7200)


def test_a_series_may_repeat_and_begin_before_or_after_the_run() -> None:
    series = {"kind": "series", "usd_per_mwh": [100, 200, 300], "repeat": True}
    before = electricity(**series, begin="2026-01-01T01:00:00")
    after = electricity(**series, begin="2026-01-05T01:30:00")

    assert rows(electricity_prices(before, MONDAY, UTC), count=3) == [(0, 0.3), (1, 0.1), (2, 0.2)]
    assert rows(electricity_prices(after, MONDAY, UTC), count=3) == [(0, 0.2), (0.5, 0.3), (1.5, 0.1)]


def test_a_series_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("time,usd_per_mwh\n2026-01-05T00:00Z,50\n2026-01-05T03:00Z,-10\n2026-01-05T04:00,70\n", "utf-8")
    prices = electricity_prices(electricity(kind="series", path=file, step="2h"), MONDAY, UTC, horizon_s=6 * 3600)

    assert rows(prices, count=3) == [(0, 0.05), (3, -0.01), (4, 0.07)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,price\n2026-01-05T00:00Z,50\n", "prices.csv:1  usd_per_kwh is no column of the file"),
        ("usd_per_kwh\n50\n", "prices.csv:1  time is no column of the file; use one of: usd_per_kwh"),
        ("time,usd_per_kwh\nnoon,50\n", "prices.csv:2  noon is not a time"),
        ("time,usd_per_kwh\n2026-01-05,\n", "prices.csv:2  an empty text is not a price"),
        ("time,usd_per_kwh\n2026-01-05,nan\n", "prices.csv:2  nan is not a price"),
        ("time,usd_per_kwh\n2026-01-05,1\n2026-01-05,2\n", "prices.csv:3  2026-01-05 is not after the row before it"),
        ("time,usd_per_kwh\n", "holds no prices; give at least one row"),
        ("time,usd_per_kwh\n2026-02-05,1\n", "does not cover the run from 2026-01-05"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(text, "utf-8")

    with pytest.raises(InputError) as caught:
        electricity_prices(electricity(kind="series", path=file), MONDAY, UTC)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        carbon_intensity(carbon(kind="series", path=tmp_path / "none.csv"), MONDAY, UTC)


def test_a_table_has_a_price_for_each_month_and_hour() -> None:
    winter = {"months": [1, 2, 3, 10, 11, 12], "usd_per_mwh": list(range(24))}
    summer = {"months": [4, 5, 6, 7, 8, 9], "usd_per_mwh": [100] * 24}
    prices = electricity_prices(electricity(kind="table", rows=[winter, summer]), datetime(2026, 3, 31), UTC)

    assert [prices.at(3600.0 * hour).rates[0] for hour in (0, 1.99, 23.5, 24)] == [0.0, 0.001, 0.023, 0.1]


def test_demand_charges_count_in_their_hours_and_add_up() -> None:
    peak = {"name": "peak", "hours": "16:00-21:00", "usd_per_kw_month": 40.0}
    maximum = {"name": "maximum", "usd_per_kw_month": 10.0}
    bill = electricity(kind="windows", usd_per_kwh=0.1, demand=[peak, maximum], usd_per_day=58.6)
    charges = demand_charges(bill, MONDAY, UTC)

    assert charges.labels == ("peak", "maximum")
    assert rows(charges, count=3) == [(0, 0.0, 10.0), (16, 40.0, 10.0), (21, 0.0, 10.0)]
    assert usd_per_day(bill) == 58.6
    assert [month.share for month in islice(billing_months(bill, datetime(2026, 2, 15), UTC), 2)] == [0.5, 1.0]


def test_a_tariff_without_demand_charges_has_none() -> None:
    assert [
        each.rates for each in demand_charges(electricity(kind="windows", usd_per_kwh=0.1), MONDAY, UTC).periods()
    ] == [()]


def test_carbon_may_be_constant_or_follow_the_clock() -> None:
    night = {"hours": "22:00-06:00", "g_co2_per_kwh": 300}
    constant = carbon_intensity(carbon(kind="windows", g_co2_per_kwh=400), MONDAY, UTC)
    windows = carbon_intensity(carbon(kind="windows", g_co2_per_kwh=400, windows=[night]), MONDAY, UTC)
    series = carbon_intensity(carbon(kind="series", g_co2_per_kwh=[1, 2]), MONDAY, UTC)

    assert rows(constant, windows, count=2) == [(0, 400), (0, 300), (6, 400)]
    assert rows(series, count=1) == [(0, 1)]


@pytest.mark.parametrize(
    ("family", "plain", "told"),
    [
        (
            TokenTariff,
            WINDOWS | {"tier": "a/b", "multiplier": 2},
            "multiplier: 2.0 cannot be given",
        ),
        (
            TokenTariff,
            WINDOWS | {"windows": [{"holidays": "only"}]},
            "windows.0.holidays: only holds on no day; list the tariff's `holidays`",
        ),
        (
            TokenTariff,
            WINDOWS | {"valid_from": "2026-02-01", "valid_to": "2026-02-01"},
            "valid_to: 2026-02-01T00:00:00 must be after valid_from (2026-02-01T00:00:00)",
        ),
        (TokenTariff, WINDOWS | {"holidays": ["25.12."]}, "25.12. is not a date"),
        (
            TokenTariff,
            WINDOWS | {"windows": [{"hours": ["8-9"]}]},
            "8-9 is not a window of hours",
        ),
        (Electricity, {"kind": "series"}, "usd_per_kwh: usd_per_kwh is missing; add a list of prices"),
        (Electricity, {"kind": "series", "usd_per_kwh": [1], "usd_per_mwh": [1]}, "cannot be given with usd_per_kwh"),
        (
            Carbon,
            {"kind": "table", "rows": [{"months": [1, 2, 3], "g_co2_per_kwh": [1] * 24}] * 2},
            "rows: 4, 5, 6, 7, 8, 9, 10, 11, 12 is in no row",
        ),
    ],
)
def test_a_tariff_that_contradicts_itself_is_refused(family: Any, plain: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(family).validate_python(plain)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (token_prices, "is no shipped tariff of tokens, did you mean 'deepseek-2026-08'?"),
        (electricity_prices, "is no shipped tariff of electricity; use one of: caiso-day-ahead, "),
        (carbon_intensity, "is no shipped tariff of carbon"),
    ],
)
def test_names_that_nobody_knows_are_told_with_the_nearest(ask: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        ask("deepseek-2026-09", MONDAY, UTC)
    assert told in str(caught.value)


def test_a_tier_that_nobody_knows_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="is no known tier, did you mean 'openai/batch'"):
        tier("openai/batsh")


def test_deepseek_is_dear_in_chinese_office_hours() -> None:
    # Thursday 24 September 2026 is a working day; on Friday it is Mid-Autumn Festival.
    prices = token_prices("deepseek-2026-08", datetime(2026, 9, 24), UTC)
    dear = [each for each in islice(prices.periods(), 8) if each.window == "peak"]

    assert [(each.begin_s / 3600, each.end_s / 3600) for each in dear] == [(1, 4), (6, 10), (97, 100), (102, 106)]
    assert dear[0].rates == pytest.approx((1.32e-6, 0.044e-6, 3.96e-6))


def test_a_summer_day_of_pge_b_20() -> None:
    prices = electricity_prices("pge-b-20", datetime(2026, 7, 1), LOS_ANGELES)

    assert [(each.begin_s / 3600, each.window) for each in islice(prices.periods(), 6)] == [
        (0, "summer off-peak"),
        (14, "summer part-peak"),
        (16, "summer peak"),
        (21, "summer part-peak"),
        (23, "summer off-peak"),
        (38, "summer part-peak"),
    ]
