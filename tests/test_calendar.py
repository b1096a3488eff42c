"""Windows of the local clock and calendar, and the instants at which they begin and end."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.prices import Period, PriceClock, electricity_prices
from sim.prices.calendar import months
from sim.scenario import ElectricityWindows
from tests.plain_tariffs import holds

UTC, BERLIN, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
MONDAY = datetime(2026, 1, 5)
DAY_S = 86_400


def tariff(*windows: dict[str, Any], **changes: Any) -> ElectricityWindows:
    """A tariff whose base costs 1 and whose windows cost 2, 3, ..., each named by its price."""
    named = [{"name": str(price), "usd_per_kwh": price} | window for price, window in enumerate(windows, 2)]
    return ElectricityWindows.model_validate({"kind": "windows", "usd_per_kwh": 1, "windows": named} | changes)


def clock(*windows: dict[str, Any], start: datetime = MONDAY, zone: ZoneInfo = UTC, **changes: Any) -> PriceClock:
    return electricity_prices(tariff(*windows, **changes), start, zone)


def hours_of(prices: PriceClock, until_h: float) -> list[tuple[float, float, str]]:
    """Periods up to an hour: begin and end in hours, and the window."""
    return [
        (period.begin_s / 3600, min(period.end_s / 3600, until_h), period.window) for period in until(prices, until_h)
    ]


def until(prices: PriceClock, hour: float) -> list[Period]:
    found = []
    for period in prices.periods():
        if period.begin_s >= hour * 3600:
            break
        found.append(period)
    return found


def seconds_by_window(prices: PriceClock, until_h: float) -> dict[str, float]:
    spent: dict[str, float] = {}
    for begin_h, end_h, window in hours_of(prices, until_h):
        spent[window] = spent.get(window, 0.0) + (end_h - begin_h) * 3600
    return spent


def test_a_window_holds_from_its_start_up_to_its_end() -> None:
    day = clock({"hours": "08:00-20:00"})

    assert hours_of(day, 24) == [(0, 8, "base"), (8, 20, "2"), (20, 24, "base")]
    assert [day.at(second).window for second in (28_799.9, 28_800.0, 71_999.9, 72_000.0)] == ["base", "2", "2", "base"]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    monday_night = clock({"hours": "22:00-03:00", "days": ["mon"]})

    assert hours_of(monday_night, 72) == [(0, 22, "base"), (22, 27, "2"), (27, 72, "base")]


def test_a_run_may_start_within_a_window_over_midnight() -> None:
    after_midnight = clock({"hours": "22:00-03:00", "days": ["mon"]}, start=datetime(2026, 1, 6, 1))

    assert hours_of(after_midnight, 24) == [(0, 2, "2"), (2, 24, "base")]


def test_the_first_window_that_holds_wins() -> None:
    noon_last = clock({"hours": "08:00-20:00"}, {"hours": "12:00-13:00"})
    noon_first = clock({"hours": "12:00-13:00"}, {"hours": "08:00-20:00"})

    assert (noon_last.at(12.5 * 3600).window, noon_first.at(12.5 * 3600).window) == ("2", "2")
    assert noon_first.at(9 * 3600).window == "3"


def test_a_window_may_have_several_hours() -> None:
    split = clock({"hours": ["01:00-04:00", "06:00-10:00"]})

    assert hours_of(split, 12) == [(0, 1, "base"), (1, 4, "2"), (4, 6, "base"), (6, 10, "2"), (10, 12, "base")]


def test_seasons_are_months() -> None:
    summer = clock({"months": [6, 7, 8, 9]}, start=datetime(2026, 5, 31))

    assert hours_of(summer, 24 * 200) == [(0, 24, "base"), (24, 24 * 123, "2"), (24 * 123, 24 * 200, "base")]


@pytest.mark.parametrize(
    ("holidays", "expected"),
    [
        ("skip", [(0, 24, "2"), (24, 48, "base"), (48, 72, "2")]),
        ("only", [(0, 24, "base"), (24, 48, "2"), (48, 72, "base")]),
        ("ignore", [(0, 72, "2")]),
    ],
)
def test_windows_may_leave_out_holidays_or_hold_on_them_only(holidays: str, expected: list[Any]) -> None:
    assert hours_of(clock({"holidays": holidays}, holidays=["2026-01-06"]), 72) == expected


def test_the_night_after_a_holiday_is_the_holidays() -> None:
    night = clock({"hours": "22:00-03:00", "holidays": "skip"}, holidays=["2026-01-05"])

    assert hours_of(night, 30) == [(0, 3, "2"), (3, 30, "base")]


def test_windows_may_hold_on_given_dates_only() -> None:
    assert hours_of(clock({"dates": ["2026-01-06"]}), 72) == [(0, 24, "base"), (24, 48, "2"), (48, 72, "base")]


def test_a_price_may_change_in_the_middle_of_a_run_and_of_a_day() -> None:
    risen = clock({"valid_from": "2026-01-05T15:30:00", "valid_to": "2026-01-07"})

    assert hours_of(risen, 72) == [(0, 15.5, "base"), (15.5, 48, "2"), (48, 72, "base")]


def test_a_tariff_follows_its_own_clock() -> None:
    berlin_noon = clock({"hours": "12:00-13:00"}, time_zone="Europe/Berlin")

    assert hours_of(berlin_noon, 24) == [(0, 11, "base"), (11, 12, "2"), (12, 24, "base")]


@pytest.mark.parametrize(("zone", "day"), [(BERLIN, datetime(2026, 3, 29)), (NEW_YORK, datetime(2026, 3, 8))])
def test_a_day_of_23_hours_shortens_the_night(zone: ZoneInfo, day: datetime) -> None:
    night = clock({"hours": "22:00-06:00"}, start=day, zone=zone)

    # Midnight to six is five hours, and from 22:00 on there are two.
    assert seconds_by_window(night, 23) == {"2": (5 + 2) * 3600, "base": 16 * 3600}


@pytest.mark.parametrize(("zone", "day"), [(BERLIN, datetime(2026, 10, 25)), (NEW_YORK, datetime(2026, 11, 1))])
def test_a_day_of_25_hours_lengthens_the_night(zone: ZoneInfo, day: datetime) -> None:
    night = clock({"hours": "22:00-06:00"}, start=day, zone=zone)

    # Midnight to six is seven hours, and from 22:00 on there are two.
    assert seconds_by_window(night, 25) == {"2": (7 + 2) * 3600, "base": 16 * 3600}


def test_an_hour_that_comes_twice_holds_twice() -> None:
    # Berlin, 25 October 2026: 02:00-03:00 comes twice.
    twice = clock({"hours": "02:00-03:00"}, start=datetime(2026, 10, 25), zone=BERLIN)
    half = clock({"hours": "02:30-02:45"}, start=datetime(2026, 10, 25), zone=BERLIN)

    assert hours_of(twice, 25) == [(0, 2, "base"), (2, 4, "2"), (4, 25, "base")]
    assert hours_of(half, 5) == [
        (0, 2.5, "base"),
        (2.5, 2.75, "2"),
        (2.75, 3.5, "base"),
        (3.5, 3.75, "2"),
        (3.75, 5, "base"),
    ]


@pytest.mark.parametrize(("zone", "day"), [("Atlantic/Azores", (2026, 10, 25)), ("America/Havana", (2026, 11, 1))])
def test_the_hour_after_midnight_may_come_twice(zone: str, day: tuple[int, int, int]) -> None:
    windows = {"hours": "00:30-05:00"}, {"days": ["sat", "sun"]}
    doubled = clock(*windows, start=datetime(*day), zone=ZoneInfo(zone))

    assert hours_of(doubled, 25) == [(0, 0.5, "3"), (0.5, 1, "2"), (1, 1.5, "3"), (1.5, 6, "2"), (6, 25, "3")]


def test_a_window_within_the_hour_left_out_does_not_hold() -> None:
    # Berlin, 29 March 2026: 02:00-03:00 does not come.
    gone = clock({"hours": "02:00-03:00"}, start=datetime(2026, 3, 29), zone=BERLIN)

    assert hours_of(gone, 23) == [(0, 23, "base")]


def test_a_window_that_begins_in_the_hour_left_out_begins_at_the_leap() -> None:
    late = clock({"hours": "02:30-05:00"}, start=datetime(2026, 3, 29), zone=BERLIN)

    assert hours_of(late, 23) == [(0, 2, "base"), (2, 4, "2"), (4, 23, "base")]


def test_the_clocks_of_a_scenario_and_of_a_tariff_change_on_their_own_days() -> None:
    # On 8 March 2026 New York sets its clock forward, Berlin does not: noon in Berlin moves from 06:00 to 07:00.
    noon = clock({"hours": "12:00-13:00"}, start=datetime(2026, 3, 7), zone=NEW_YORK, time_zone="Europe/Berlin")

    begins = [period.begin_s / 3600 for period in until(noon, 48) if period.window == "2"]
    assert begins == [6, 30]


def test_a_tariff_that_never_changes_is_one_period() -> None:
    assert [period.end_s for period in clock().periods()] == [float("inf")]


def test_windows_of_one_name_and_price_are_one_period() -> None:
    same = {"name": "peak", "usd_per_kwh": 2}
    joined = clock({"hours": "08:00-12:00"} | same, {"hours": "12:00-14:00"} | same)

    assert hours_of(joined, 24) == [(0, 8, "base"), (8, 14, "peak"), (14, 24, "base")]
    assert joined.windows == ("peak", "base")


def test_a_clock_answers_alike_when_it_is_asked_twice() -> None:
    day = clock({"hours": "08:00-20:00"})

    assert list(islice(day.periods(), 50)) == list(islice(day.periods(), 50))


def test_a_run_outside_the_tariff_is_refused_when_it_is_built() -> None:
    later = tariff(valid_from="2026-02-01", valid_to="2026-03-01")

    for start, horizon_s in ((MONDAY, None), (datetime(2026, 3, 1), None), (datetime(2026, 2, 28), 2 * DAY_S)):
        with pytest.raises(InputError, match="is a run outside the tariff, which is valid from 2026-02-01T00:00:00 to"):
            electricity_prices(later, start, UTC, horizon_s=horizon_s)


def test_a_run_without_a_horizon_is_refused_when_it_leaves_the_tariff() -> None:
    short = electricity_prices(tariff({"hours": "08:00-20:00"}, valid_to="2026-01-06"), MONDAY, UTC)
    periods = short.periods()

    assert [next(periods).end_s / 3600 for _ in range(3)] == [8, 20, 24]
    for _ in range(2):
        with pytest.raises(InputError, match="start and end within it"):
            short.at(DAY_S)
    with pytest.raises(InputError, match="start and end within it"):
        next(periods)


def test_months_are_those_of_the_local_calendar() -> None:
    first, second = islice(months(datetime(2026, 2, 15, tzinfo=NEW_YORK).timestamp(), NEW_YORK), 2)

    assert first == (0.0, 14 * DAY_S, 0.5)
    # March in New York is an hour short.
    assert second == (14 * DAY_S, 45 * DAY_S - 3600, 1.0)


minutes = st.integers(0, 1439)
windows = st.fixed_dictionaries(
    {},
    optional={
        "hours": st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: span(*pair)),
        "days": st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, unique=True),
        "months": st.lists(st.sampled_from([3, 4, 10, 11]), min_size=1, unique=True),
        "holidays": st.sampled_from(["skip", "only", "ignore"]),
        "valid_from": st.sampled_from(["2026-03-08T12:00:00", "2026-10-25T12:30:00"]),
    },
)


def span(begin: int, end: int) -> str:
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


def by_the_minute(of: ElectricityWindows, start: datetime, zone: ZoneInfo, count: int) -> list[float]:
    """Prices minute by minute, told by the words of the schema alone."""
    origin = start.replace(tzinfo=zone).timestamp()
    moments = [datetime.fromtimestamp(origin + 60 * minute, zone) for minute in range(count)]
    return [
        next((w.usd_per_kwh for w in of.windows if holds(w, of.holidays, moment)), of.usd_per_kwh) for moment in moments
    ]


@settings(max_examples=60, deadline=None)
@given(
    drawn=st.lists(windows, max_size=3),
    start=st.sampled_from([datetime(2026, 3, 7, 22), datetime(2026, 10, 24), datetime(2026, 10, 31, 5, 17), MONDAY]),
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Atlantic/Azores", "Asia/Kolkata"]
    ),
)
def test_the_integral_of_the_price_is_the_sum_of_its_minutes(
    drawn: list[dict[str, Any]], start: datetime, zone: str
) -> None:
    days = ["2026-03-08", "2026-10-25", "2026-01-06", "2026-11-01"]
    of, count = tariff(*drawn, holidays=days), 3 * 1440
    prices = electricity_prices(of, start, ZoneInfo(zone))
    periods = until(prices, count / 60)
    integral = sum((min(each.end_s, 60 * count) - each.begin_s) * each.rates[0] for each in periods)
    brute = by_the_minute(of, start, ZoneInfo(zone), count)

    assert integral == pytest.approx(60 * sum(brute), rel=1e-12)
    assert [prices.at(60.0 * minute).rates[0] for minute in range(0, count, 97)] == brute[::97]
    assert all(left.end_s == right.begin_s and left[2:] != right[2:] for left, right in pairwise(periods))
