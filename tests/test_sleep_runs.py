"""Sleep-time work in whole runs: what it saves, what it costs, and that it is nobody's request."""

from __future__ import annotations

from typing import Any

import pytest

from sim.results import Results
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario

CONTEXTS = {"queries": {"kind": "geometric", "mean": 4}, "think_time": "1m", "tokens": 2000, "lead": "2m"}
API = {
    "name": "batch",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "batch": {"median": "1m"},
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.02, "output_usd_per_1m": 0.04}},
}


def run(sleep: dict[str, Any] | None, fleet: list[dict[str, Any]] | None = None, **changes: Any) -> Results:
    """Half an hour in which a thought of 400 tokens on average is 160 on a prepared context."""
    given = scenario(
        horizon="30m",
        workload=[chat(contexts=CONTEXTS)],
        fleet=fleet or [pool()],
        strategies=[{"name": "think", "kind": "think", "budget_tokens": 400, "pool": "h100"}],
        sleep=None if sleep is None else {"when": ["always"], "min_saving": 0.1} | sleep,
        **changes,
    )
    return simulate(given, keep_requests=True)


@pytest.fixture(scope="module")
def asleep() -> Results:
    return run({})


def test_what_is_saved_is_what_the_same_requests_need_more_without(asleep: Results) -> None:
    """A request keeps its luck; its prompt grows by the notes."""
    bare, prepared = rows(run(None)), rows(asleep)
    both = (bare["status"] == "completed") & (prepared["status"] == "completed") & prepared["prepared"]
    saved = (bare["output_tokens"] - prepared["output_tokens"])[both]
    notes = (prepared["prompt_tokens"] - bare["prompt_tokens"])[both]
    section = asleep.summary["sleep"]

    assert bare["request_id"].tolist() == prepared["request_id"].tolist()
    assert section["hits"] > 0.8 * section["asked"]
    assert float(saved.sum()) == pytest.approx(section["saved_output_tokens"], rel=0.02)
    assert set(notes.tolist()) == {section["job_tokens"] / section["jobs"]}


def test_jobs_are_nobodys_requests(asleep: Results) -> None:
    summary = asleep.summary
    requests, section = summary["requests"], summary["sleep"]

    assert section["jobs"] > 100
    assert requests["offered"] == section["asked"] == len(rows(asleep))
    assert summary["pools"]["h100"]["completed"] == requests["completed"]
    assert int(asleep.stream_buckets["offered"].sum()) == requests["offered"]
    assert set(summary["strategies"]) == {"think"}


def test_sleep_has_its_own_place_in_the_bill(asleep: Results) -> None:
    cost, section = asleep.summary["cost"], asleep.summary["sleep"]

    assert section["cost_usd"] == pytest.approx(cost["by_stream"]["sleep"], rel=1e-12)
    assert cost["by_stream"]["sleep"] == cost["by_strategy"]["sleep"] == cost["by_class"]["sleep"]
    assert cost["by_line"]["sleep_used"] + cost["by_line"]["sleep_wasted"] == pytest.approx(
        section["cost_usd"], rel=1e-9
    )
    assert sum(cost["by_line"].values()) == pytest.approx(2.0, rel=1e-9)
    assert sum(cost["allocated"]["by_stream"].values()) == pytest.approx(2.0, rel=1e-9)


def test_buckets_tell_what_jobs_have_cost(asleep: Results) -> None:
    jobs = asleep.replications[0].sleep
    assert jobs is not None
    assert float(asleep.buckets["sleep_usd"].sum()) == pytest.approx(asleep.summary["sleep"]["cost_usd"], rel=1e-9)
    assert (asleep.buckets["sleep_usd"] <= asleep.buckets["busy_usd"]).all()


def test_a_batch_api_prepares_at_its_own_price() -> None:
    """Each of two drafts reads the context anew."""
    found = run({"pools": ["batch"], "drafts": 2, "tokens": 300}, fleet=[pool(), API])
    ledger, jobs = found.ledger, found.summary["sleep"]["prepared"]
    asleep = ledger[ledger["stream"] == "sleep"]

    assert set(asleep["pool"]) == {"batch"}
    assert jobs > 50
    finished = jobs * 2 * (2000 * 0.02 + 300 * 0.04) / 1e6
    assert finished <= float(asleep["usd"].sum()) < 1.5 * finished
    assert found.replications[0].sleep.spent_usd.tolist() == [0.0, pytest.approx(finished, rel=1e-9)]  # type: ignore[union-attr]


def test_it_is_told_when_nothing_is_ever_prepared(asleep: Results) -> None:
    never = run({"when": ["off-peak"]})

    assert never.summary["sleep"]["jobs"] == 0
    assert [text for text in never.summary["warnings"] if text.startswith("nothing was prepared")]
    assert not [text for text in asleep.summary["warnings"] if text.startswith("nothing was prepared")]


def test_without_a_section_nothing_is_named_sleep() -> None:
    found = run(None)

    assert found.summary["sleep"] == {"prepared": 0, "hit_rate": None, "wasted_share": None}
    assert [name for split in ("by_stream", "by_strategy", "by_class") for name in found.summary["cost"][split]] == [
        "chat",
        "think",
        "interactive",
    ]


def test_training_is_in_the_bill_and_in_the_price_of_requests() -> None:
    plain = run(None).summary
    training = [
        {"name": "tune", "usd": 48.0, "over": "24h", "strategies": ["think"]},
        {"name": "distil", "usd": 100.0, "over_requests": 1_000_000, "strategies": ["think"]},
    ]
    trained = run(None, training=training).summary
    answered = trained["requests"]["completed"]

    usd = 1.0 + 100.0 * answered / 1e6
    assert trained["cost"]["by_line"]["training"] == pytest.approx(usd, rel=1e-9)
    assert trained["cost"]["by_pool"] == {"h100": pytest.approx(2.0 + usd, rel=1e-9)}
    assert trained["cost"]["total_usd"] == pytest.approx(plain["cost"]["total_usd"] + usd, rel=1e-9)
    assert trained["cost"]["usd_per_1k_requests"] == pytest.approx((2.0 + usd) * 1e3 / answered, rel=1e-9)
