"""What sleep-time work came to: its lines of the bill, and its section of the summary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim.allocation import allocated_usd, pool_usd
from sim.engine import state as st
from sim.fleet import build_fleet
from sim.ledger import Charges, Names, ledger_frame, used_lines
from sim.sleep import SleepAccount, used_share, with_sleep
from sim.sleep_section import sleep_section
from tests.small import chat, pool, scenario

API = {
    "name": "api",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.1, "output_usd_per_1m": 0.2}},
}
CONTEXTS = {"queries": 4, "think_time": "1m", "tokens": 1000}
NAMES = Names(["own", "api"], [False, True], ["chat", "sleep"], ["direct", "sleep"], ["a", "b", "c"], [["w"], ["w"]])


def charges(own_usd: float = 6.0, api_usd: float = 1.0) -> Charges:
    """On a pool of GPUs and an API: what an hour of answers and what sleep-time work was charged.

    Of the time of the GPUs a quarter was for prompts; output is nine tenths of the API's bill.
    """
    used_usd = np.zeros((2, 2, 2, 3, 1, st.USES))
    used_usd[0, 0, 0, 0, 0, st.USED], used_usd[1, 0, 0, 0, 0, st.USED] = 8.0, 3.0
    used_usd[0, 1, 1, 2, 0, st.USED], used_usd[0, 1, 1, 2, 0, st.LOST_WORK] = own_usd / 2, own_usd / 2
    used_usd[1, 1, 1, 2, 0, st.USED] = api_usd
    tokens = np.zeros((2, 2, 2, 3), np.int64)
    tokens[0, 0, 0, 0], tokens[1, 0, 0, 0] = 7_000, 2_000
    unused = np.zeros((2, 1, st.LIVES))
    unused[0] = 1.0
    return Charges(
        used_usd=used_usd,
        work_s=np.array([[3600.0], [0.0]]),
        prompt_s=np.array([[900.0], [0.0]]),
        unused_usd=unused,
        unused_s=3600.0 * unused,
        answered_tokens=tokens,
        billed_tokens=np.zeros((2, 1, 3), np.int64),
        token_usd=np.array([[[0.0, 0.0, 0.0]], [[0.4, 0.0, 3.6]]]),
        entries=[],
        sleep_used_share=used_share(account(), np.array([own_usd, api_usd])),
    )


def account(**changes: Any) -> SleepAccount:
    """Of what jobs cost on GPUs two dollars were not in vain, of that on the API one."""
    fields: dict[str, Any] = {
        "jobs": 12,
        "prepared": 10,
        "used": 4,
        "job_tokens": 8_000,
        "spent_usd": np.array([5.0, 1.0]),
        "used_usd": np.array([2.0, 1.0]),
        "asked": np.array([40]),
        "hits": np.array([10]),
        "stale": np.array([3]),
        "expired": np.array([2]),
        "late": np.array([1]),
        "saved_output_tokens": np.array([4_500]),
    }
    return SleepAccount(**(fields | changes))


def asleep(**sleep: Any) -> Any:
    return scenario(workload=[chat(contexts=CONTEXTS)], fleet=[pool(name="own"), API], sleep=sleep)


def section(*runs: Any) -> dict[str, Any]:
    return sleep_section(asleep(), [SimpleNamespace(charges=bill, sleep=made) for bill, made in runs])  # type: ignore[misc]


def test_every_dollar_of_sleep_is_used_or_wasted_in_its_pool() -> None:
    ledger = ledger_frame([charges()], NAMES)
    asleep = ledger[ledger["stream"] == "sleep"].groupby(["line", "pool"])["usd"].sum()

    assert asleep.to_dict() == {
        ("sleep_used", "own"): pytest.approx(2.0, rel=1e-12),
        ("sleep_wasted", "own"): pytest.approx(4.0, rel=1e-12),
        ("sleep_used", "api"): pytest.approx(1.0, rel=1e-12),
    }
    assert set(ledger[ledger["stream"] == "chat"]["line"]) == {"busy", "api"}
    assert ledger["usd"].sum() == pytest.approx(charges().total_usd, rel=1e-12)
    assert ledger["hours"].sum() == pytest.approx(1.0 + 5.0, rel=1e-12)


def test_lines_of_use_are_those_of_the_ledger() -> None:
    usd: dict[str, float] = {}
    for line, value in used_lines(charges(), NAMES.is_api):
        usd[line] = usd.get(line, 0.0) + value

    assert usd == pytest.approx({"busy": 8.0, "api": 3.0, "lost_work": 0.0, "timed_out": 0.0} | {
        "sleep_used": 3.0, "sleep_wasted": 4.0
    })  # fmt: skip


def test_what_no_preparation_accounts_for_was_wasted() -> None:
    assert used_share(account(), np.array([4.0, 1.0])).tolist() == [0.5, 1.0]
    assert used_share(account(), np.array([1.0, 0.0])).tolist() == [1.0, 0.0]


def test_idle_time_is_shared_out_to_sleep_as_to_others() -> None:
    usd = allocated_usd(charges())

    assert usd.sum() == pytest.approx(float(pool_usd(charges()).sum()), rel=1e-12)
    assert usd[1].sum() == pytest.approx(6.0 / 14.0 * (14.0 + 5.0) + 1.0)


def test_the_section_of_the_summary() -> None:
    """An output token of an answer costs (3/4 x 8 + 9/10 x 3) / 9000 dollars."""
    found = section((charges(), account()))

    assert found == {
        "prepared": 10,
        "jobs": 12,
        "used": 4,
        "job_tokens": 8_000,
        "asked": 40,
        "hits": 10,
        "stale": 3,
        "expired": 2,
        "late": 1,
        "saved_output_tokens": 4_500,
        "hit_rate": 0.25,
        "wasted_share": pytest.approx(4.0 / 7.0),
        "cost_usd": pytest.approx(7.0),
        "wasted_usd": pytest.approx(4.0),
        "saved_usd": pytest.approx(8.7 / 2),
        "net_usd": pytest.approx(8.7 / 2 - 7.0),
    }


def test_the_section_is_that_of_a_replication_on_average() -> None:
    found = section(
        (charges(), account()), (charges(own_usd=0.0, api_usd=0.0), account(prepared=5, hits=np.array([5])))
    )

    assert (found["prepared"], found["hits"], found["hit_rate"]) == (7.5, 7.5, 7.5 / 40)
    assert (found["cost_usd"], found["wasted_usd"]) == (pytest.approx(3.5), pytest.approx(2.0))


def test_a_rate_of_nothing_is_none() -> None:
    none = np.array([0])
    found = section((charges(own_usd=0.0, api_usd=0.0), account(asked=none, hits=none, saved_output_tokens=none)))

    assert (found["hit_rate"], found["wasted_share"], found["net_usd"]) == (None, None, 0.0)


def test_without_sleep_there_is_nothing_to_tell() -> None:
    assert sleep_section(scenario(), []) == {"prepared": 0, "hit_rate": None, "wasted_share": None}


def test_jobs_run_on_the_pools_that_are_named_or_on_all_gpus() -> None:
    """As drafts side by side of a stream that no answer comes from."""
    for named, pools in (({}, [0]), ({"pools": ["api"]}, [1])):
        given = asleep(drafts=3, **named)
        fleet = with_sleep(given, build_fleet(given))
        assert fleet.targets == [[[[0, 1]], [[]]], [[[]], [pools]]]
        assert fleet.strategy_specs[-1].stages[0].branches == 3

    assert with_sleep(scenario(), build_fleet(scenario())).streams == build_fleet(scenario()).streams
