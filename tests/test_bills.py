"""Bills small enough to be worked out by hand: each test tells a story and writes its sum out."""

from __future__ import annotations

from typing import Any

import pytest

from sim.results import Results
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario

NOBODY = chat(arrivals={"kind": "poisson", "rps": 1e-9})


def bill(results: Results, by: str) -> dict[str, float]:
    """Dollars by a column of the ledger, lines that cost nothing left out."""
    usd = results.ledger.groupby(by)["usd"].sum()
    return {str(name): float(value) for name, value in usd.items() if value}


def empty(**changes: Any) -> Results:
    """A run to which nobody comes."""
    return simulate(scenario(workload=[NOBODY], bucket="1h", **changes))


def windows(base: float, *others: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "windows", "usd_per_gpu_hour": base, "windows": list(others), **fields}


def night(**fields: Any) -> dict[str, Any]:
    return {"name": "night", "hours": "22:00-06:00", "usd_per_gpu_hour": 1.0, **fields}


def test_a_window_that_crosses_midnight_has_its_price_on_both_sides() -> None:
    offer = {"kind": "reserved", "tariff": windows(3.0, night())}
    results = empty(start="2026-01-05T21:00", horizon="10h", fleet=[pool(replicas=1, tensor_parallel=2, offer=offer)])

    # Two GPUs: an hour at $3 until 22:00, eight at $1, and one at $3 from 06:00.
    assert bill(results, "window") == pytest.approx({"night": 2 * 8 * 1.0, "base": 2 * (1 + 1) * 3.0})


def test_a_night_of_friday_ends_on_saturday_and_one_of_saturday_does_not_begin() -> None:
    offer = {"kind": "reserved", "tariff": windows(3.0, night(days=["fri"]))}
    results = empty(start="2026-01-09T21:00", horizon="26h", fleet=[pool(replicas=1, offer=offer)])

    # Friday 22:00 to Saturday 06:00 is night; Friday 21:00 to 22:00 and Saturday 06:00 to 23:00 are not.
    assert bill(results, "window") == pytest.approx({"night": 8 * 1.0, "base": (1 + 17) * 3.0})


def test_a_tariff_has_a_clock_of_its_own() -> None:
    offer = {"kind": "reserved", "tariff": windows(3.0, night(), time_zone="America/New_York")}
    results = empty(start="2026-01-05T00:00", horizon="24h", fleet=[pool(replicas=1, offer=offer)], time_zone="UTC")

    # Night in New York is 03:00 to 11:00 UTC.
    assert bill(results, "window") == pytest.approx({"night": 8 * 1.0, "base": 16 * 3.0})


@pytest.mark.parametrize(
    ("zone", "day", "hours", "length_h", "cheap_h"),
    [
        # Clocks go from 02:00 to 03:00: the day has 23 hours, and the hours until 06:00 are five.
        ("Europe/Berlin", "2026-03-29", "00:00-06:00", 23, 5.0),
        # Clocks go from 03:00 back to 02:00: the day has 25 hours, and those until 06:00 are seven.
        ("Europe/Berlin", "2026-10-25", "00:00-06:00", 25, 7.0),
        # A window that would begin in the hour left out begins at the leap: 03:00 to 04:00.
        ("Europe/Berlin", "2026-03-29", "02:30-04:00", 23, 1.0),
        # 01:30 to the leap at 02:00; nothing is left of the window at 03:00.
        ("America/New_York", "2026-03-08", "01:30-02:30", 23, 0.5),
        # 01:30 to 02:00 in summer time, and 01:30 to 02:30 an hour later in winter time.
        ("America/New_York", "2026-11-01", "01:30-02:30", 25, 1.5),
        # From the evening before, over midnight and over the leap of half an hour: 02:30 becomes 02:00.
        ("Australia/Lord_Howe", "2026-04-05", "23:00-02:00", 24.5, 2.0 + 0.5 + 1.0),
        # No day of its own: clocks do not change.
        ("UTC", "2026-03-29", "00:00-06:00", 24, 6.0),
    ],
)
def test_on_a_day_of_daylight_saving_the_clock_on_the_wall_decides(
    zone: str, day: str, hours: str, length_h: float, cheap_h: float
) -> None:
    cheap = {"name": "cheap", "hours": hours, "usd_per_gpu_hour": 1.0}
    offer = {"kind": "on-demand", "tariff": windows(2.0, cheap)}
    results = empty(start=day, time_zone=zone, horizon=f"{length_h}h", fleet=[pool(replicas=1, offer=offer)])

    assert bill(results, "window") == pytest.approx({"cheap": cheap_h * 1.0, "base": (length_h - cheap_h) * 2.0})


def test_reserved_servers_are_switched_by_the_clock_on_the_wall_too() -> None:
    at_night = [{"hours": "00:00-06:00", "replicas": 0}]
    results = empty(
        start="2026-03-29",
        time_zone="Europe/Berlin",
        horizon="23h",
        fleet=[pool(offer={"kind": "reserved", "usd_per_gpu_hour": 2.0}, schedule=at_night)],
    )

    # Two GPUs, off for the five hours that this night has, idle for the other eighteen.
    assert bill(results, "line") == pytest.approx({"off": 2 * 5 * 2.0, "idle": 2 * 18 * 2.0})


def on_demand(unit: str, minimum: str = "0s", **price: Any) -> dict[str, Any]:
    price = price or {"usd_per_gpu_hour": 6.0}
    return {"kind": "on-demand", "billing": {"unit": unit, "minimum": minimum}, **price}


def test_a_server_that_was_on_for_four_minutes_is_billed_for_ten() -> None:
    off = [{"hours": "08:04-08:30", "replicas": 1}, {"hours": "08:45-09:15", "replicas": 1}]
    fleet = [pool(offer=on_demand("1m", "10m"), schedule=off)]
    results = empty(start="2026-01-05T08:00", horizon="2h", fleet=fleet)

    # A GPU is 10 cents a minute. One server is on all the time, 120 minutes. The other is on for 4 minutes, which are
    # billed as 10; for 15 minutes; and for 45 minutes, to the end of the run.
    assert bill(results, "line") == pytest.approx({"idle": (120 + 4 + 15 + 45) * 0.10, "minimum_billing": 6 * 0.10})
    assert results.summary["cost"]["total_usd"] == pytest.approx(19.00)


def test_begun_minutes_are_billed_whole_from_launch_to_the_end() -> None:
    scaling = {
        "kind": "schedule",
        "min": 1,
        "max": 2,
        "tick": "70s",
        "start_up": "100s",
        "cool_down": "0s",
        "windows": [{"hours": "08:04-08:30", "replicas": 2}],
    }
    fleet = [pool(replicas=1, autoscale=scaling, offer=on_demand("1m"))]
    results = empty(start="2026-01-05T08:00", horizon="1h", fleet=fleet)

    # The first look after 08:04 is at 280 s, the first after 08:30 at 1820 s: 1540 s, of which 100 s start-up, that is
    # 25 minutes and 40 seconds, and 20 seconds up to the minute.
    usd_per_s = 6.0 / 3600
    lines = {"starting": 100 * usd_per_s, "idle": (3600 + 1440) * usd_per_s, "minimum_billing": 20 * usd_per_s}
    assert bill(results, "line") == pytest.approx(lines)
    assert results.summary["cost"]["total_usd"] == pytest.approx((60 + 26) * 0.10)


def test_time_that_is_rounded_up_is_of_the_window_in_which_the_server_went_off() -> None:
    dear = {"name": "dear", "hours": "08:00-08:30", "usd_per_gpu_hour": 12.0}
    offer = on_demand("1h", tariff=windows(6.0, dear))
    off = [{"hours": "08:20-24:00", "replicas": 1}]
    results = empty(start="2026-01-05T08:00", horizon="1h", fleet=[pool(offer=offer, schedule=off)])

    rounding = results.ledger.query("line == 'minimum_billing'")
    # 40 minutes at the price of 08:20, though the run ends at another one.
    assert rounding[["window", "usd"]].to_numpy().tolist() == [["dear", pytest.approx(40 / 60 * 12.0)]]
    assert bill(results, "window") == pytest.approx({"dear": (30 + 20 + 40) / 60 * 12.0, "base": 30 / 60 * 6.0})


def test_reserved_servers_cost_when_idle_and_when_off_and_their_part_of_what_was_paid_upfront() -> None:
    offer = {"kind": "reserved", "usd_per_gpu_hour": 2.0, "term": "1y", "upfront_usd_per_gpu": 8760.0}
    at_night = [{"hours": "20:00-08:00", "replicas": 1}]
    fleet = [pool(replicas=3, tensor_parallel=2, offer=offer, schedule=at_night)]
    results = empty(horizon="24h", fleet=fleet)

    # Six GPUs, four of them off for twelve hours; $8760 a year are a dollar an hour, around the clock.
    lines = {"idle": (2 * 24 + 4 * 12) * 2.0, "off": 4 * 12 * 2.0, "upfront": 6 * 24 * 1.0}
    assert bill(results, "line") == pytest.approx(lines)


def test_what_was_paid_upfront_falls_to_tariff_windows_by_their_length() -> None:
    price = {"tariff": windows(3.0, night())}
    offer = {"kind": "reserved", "term": "1y", "upfront_usd_per_gpu": 8760.0, **price}
    results = empty(start="2026-01-05T00:00", horizon="8h", fleet=[pool(replicas=1, offer=offer)])

    assert bill(results, "window") == pytest.approx({"night": 6 * (1.0 + 1.0), "base": 2 * (3.0 + 1.0)})


def asking(requests: int, prompt: int = 1000, output: int = 51, **changes: Any) -> dict[str, Any]:
    """One client that asks so often, one question after the other."""
    arrivals = {"kind": "closed", "concurrency": 1, "requests": requests}
    lengths = {"kind": "constant", "prompt_tokens": prompt, "output_tokens": output}
    return chat(arrivals=arrivals, lengths=lengths, slo={}) | changes


BASE = {"input_usd_per_1m": 2.0, "cached_input_usd_per_1m": 0.5, "output_usd_per_1m": 8.0}
DEAR = {"name": "dear", "hours": "08:00-20:00", "input_usd_per_1m": 4.0, "output_usd_per_1m": 16.0}


def tokens(**fields: Any) -> dict[str, Any]:
    return {"kind": "windows", "base": BASE, **fields}


def api(**fields: Any) -> dict[str, Any]:
    """An API whose first token comes after ten seconds, and one each second from then on."""
    latency = {"ttft_median": "10s", "ttft_sigma": 0, "tokens_per_s_median": 1.0, "tokens_per_s_sigma": 0}
    made = {"name": "api", "kind": "api", "model": "Llama-3.1-8B", "tariff": tokens(), "latency": latency}
    return made | fields


def test_a_batch_tier_is_half_price_and_what_expires_is_free() -> None:
    batch = {"median": "30m", "p90": "2h", "window": "2h"}
    fleet = [api(batch=batch, tariff=tokens(multiplier=0.5), cached_share=0.25)]
    results = simulate(scenario(workload=[asking(40, output=100)], fleet=fleet, horizon="60d", bucket="24h"))
    ends = results.summary["requests"]

    # 1000 prompt tokens, of which 250 are cached, and 100 output tokens, at half of $2, $0.50 and $8 a million.
    one = (750 * 2.0 + 250 * 0.5 + 100 * 8.0) / 1e6 * 0.5
    assert one == pytest.approx(0.0012125)
    assert ends["completed"] + ends["timed_out"] == 40
    assert 0 < ends["timed_out"] < 20
    assert bill(results, "line") == pytest.approx({"api": ends["completed"] * one})


def test_a_shipped_tier_says_by_how_much_it_is_cheaper() -> None:
    batch = {"median": "5m", "p90": "5m", "window": "24h"}
    fleet = [api(batch=batch, tariff=tokens(tier="openai/batch"))]
    results = simulate(scenario(workload=[asking(3)], fleet=fleet, horizon="1h"))

    assert bill(results, "line") == pytest.approx({"api": 3 * (1000 * 2.0 + 51 * 8.0) / 1e6 / 2})


@pytest.mark.parametrize(
    ("bill_by", "windows_of_two"), [("arrival", "base base"), ("start", "base dear"), ("completion", "dear dear")]
)
def test_an_api_bills_by_the_clock_of_arrival_or_start_or_completion(bill_by: str, windows_of_two: str) -> None:
    """Two requests half a minute before the price doubles: the limit lets the second one begin a minute later."""
    limit = {"requests_per_minute": 1, "burst": "60s", "when_full": "wait"}
    fleet = [api(tariff=tokens(windows=[DEAR], bill_by=bill_by), rate_limit=limit)]
    two = asking(2, arrivals={"kind": "closed", "concurrency": 2, "requests": 2})
    results = simulate(scenario(start="2026-01-05T07:59:30", workload=[two], fleet=fleet, horizon="10m"))

    price = {"base": (1000 * 2.0 + 51 * 8.0) / 1e6, "dear": (1000 * 4.0 + 51 * 16.0) / 1e6}
    names = windows_of_two.split()
    wanted = {name: names.count(name) * price[name] for name in set(names)}
    assert bill(results, "window") == pytest.approx(wanted)


def test_a_client_that_gives_up_pays_for_the_tokens_so_far() -> None:
    given_up = asking(1, client={"timeout": "30s"})
    results = simulate(scenario(workload=[given_up], fleet=[api()], horizon="5m"))

    # Tokens at 10 s, 11 s ... 30 s are 21.
    assert bill(results, "line") == pytest.approx({"timed_out": (1000 * 2.0 + 21 * 8.0) / 1e6})
    assert results.summary["requests"]["timed_out"] == 1


def test_a_client_that_gives_up_and_asks_again_pays_twice() -> None:
    twice = asking(1, client={"timeout": "30s", "retries": 1, "backoff": "1s", "jitter": 0})
    results = simulate(scenario(workload=[twice], fleet=[api()], horizon="5m"), keep_requests=True)

    both = 2 * (1000 * 2.0 + 21 * 8.0) / 1e6
    assert bill(results, "line") == pytest.approx({"timed_out": both})
    assert rows(results)[["attempts", "cost_usd"]].to_numpy().tolist() == [[2, pytest.approx(both)]]


def test_a_client_that_gives_up_on_a_batch_pays_nothing() -> None:
    batch = {"median": "5m", "p90": "5m", "window": "24h"}
    given_up = asking(1, client={"timeout": "30s"})
    results = simulate(scenario(workload=[given_up], fleet=[api(batch=batch)], horizon="5m"))

    assert bill(results, "line") == {}


def test_a_call_that_the_end_of_the_run_cuts_is_billed_so_far() -> None:
    results = simulate(scenario(workload=[asking(1)], fleet=[api()], horizon="15s"))

    # Tokens at 10 s, 11 s ... 15 s are six.
    assert bill(results, "line") == pytest.approx({"api": (1000 * 2.0 + 6 * 8.0) / 1e6})
    assert results.summary["requests"]["unfinished"] == 1


def test_what_a_million_tokens_cost_is_what_the_api_asks() -> None:
    results = simulate(scenario(workload=[asking(4)], fleet=[api(cached_share=0.25)], horizon="10m"))
    cost = results.summary["cost"]

    assert cost["usd_per_1m_input_tokens"] == pytest.approx(2.0)
    assert cost["usd_per_1m_cached_tokens"] == pytest.approx(0.5)
    assert cost["usd_per_1m_generated_tokens"] == pytest.approx(8.0)
    assert cost["tokens_per_usd"] == pytest.approx(1051 * 1e6 / (750 * 2.0 + 250 * 0.5 + 51 * 8.0))
