"""A plan told: in sentences, on the terminal, and on a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.planning.report.charts import charts_of
from sim.planning.report.report import plan_page, save_plan
from sim.planning.report.tables import baselines_table, blocks_table, pools_table, promise_table, sides_table
from sim.planning.report.terminal import format_analytic, format_plan, print_analytic, print_plan
from sim.planning.report.words import (
    answer_sentences,
    baseline_sentences,
    headline,
    purchase_sentence,
    shadow_sentences,
    year_sentences,
)
from tests.browser import Browser, chromium
from tests.console import printed
from tests.made_plan import made_plan

ONLY_ANALYTIC: dict[str, Any] = {
    "plan": None,
    "verified": None,
    "by_hour": [],
    "shadow_prices": {},
    "binding": [],
    "runner_up": None,
    "pareto": [],
    "baselines": [],
    "year": None,
    "proof": None,
    "notes": [],
}


def flat(text: str) -> str:
    """Without line breaks and the points of lists."""
    return " ".join(text.split())


def test_the_answer_says_what_to_buy_what_it_costs_and_how_sure_that_is() -> None:
    assert headline(made_plan()) == (
        "$6,847 a month ($6,801 to $6,893): 98.1% of requests in time, 70.8% of answers right"
    )
    buy, run, cost, kept = answer_sentences(made_plan())
    assert buy == (
        "Buy 1 reserved server of 2 H100-SXM (own); rent servers of 2 H100-SXM on demand (rented): 3 in “office hours” "
        "and 1 in “morning and evening”; let api (an API) answer 1.0% of the requests."
    )
    assert run == "Run it with router.value_usd = 0.004."
    assert cost.endswith("the chance that a month costs more than $7,000 is 2 %.")
    assert "98.1% of requests are in time (98.0% to 98.3%), where 97.0% is asked, with a chance of 1 % to miss" in kept
    assert kept.endswith("So the plan keeps its promise.")


def test_a_broken_promise_is_told() -> None:
    found = made_plan()
    found["verified"]["keeps_promise"] = False

    assert answer_sentences(found)[-1].endswith("So the plan does not keep its promise.")
    assert 'class="verdict broken"' in plan_page(found)


def test_what_is_not_known_is_left_out() -> None:
    found = made_plan()
    found["targets"] = {"slo_attainment": None, "accuracy": None, "budget_usd": None, "by_stream": {}}
    found["verified"] |= {"accuracy": None, "p_over_budget": None, "p_miss_slo": None}

    assert headline(found).endswith("98.1% of requests in time")
    *_, cost, kept = answer_sentences(found)
    assert cost == "That costs $6,847 ($6,801 to $6,893) a month of 730.5 hours."
    assert "98.1% of requests are in time (98.0% to 98.3%). So" in kept
    assert [row[0] for row in promise_table(found).rows][:2] == ["objectives met", "dollars a month"]


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"kind": "spot", "replicas_by_block": {"day": 2, "rest": 2}}, "Take spare servers of 2 L40S as spot capacity"),
        ({"kind": "reserved", "replicas_by_block": {"day": 2, "rest": 1}}, "Buy servers of 2 L40S (p): 2 in “day” and"),
        ({"scales_itself": True, "replicas_by_block": {"day": 2, "rest": 2}}, "Let p scale itself up to 2 (2 L40S, on"),
    ],
)
def test_every_way_to_buy_has_its_words(pool: dict[str, Any], told: str) -> None:
    plain = {"name": "p", "kind": "on-demand", "gpu": "L40S", "gpus_peak": 4}
    assert purchase_sentence([plain | pool]).startswith(told)


def test_savings_shadow_prices_and_the_year_are_sentences() -> None:
    found = made_plan()

    saved, *_, left_out = baseline_sentences(found)
    assert saved == (
        "Against “all on demand, sized for the peak” the plan saves $7,383 ($7,330 to $7,440) a month, 51.9% of that "
        "bill."
    )
    assert left_out == "The same fleet with one way for all: no single way of answering keeps the promise on it."
    assert shadow_sentences(found)[2] == "1 point more of all answers right would cost about $640 a month."
    assert year_sentences(found)[1] == "Buy 2 more reserved GPUs of own in month 5; decide a month before."


def test_a_baseline_that_is_cheaper_is_not_a_saving() -> None:
    found = made_plan()
    cheaper = {"mean": -100.0, "low": -120.0, "high": -80.0}
    found["baselines"][0] |= {"saving_usd": cheaper, "saving_share": {"mean": -0.02, "low": -0.03, "high": -0.01}}
    found["baselines"][0]["keeps_promise"] = False

    assert baseline_sentences(found)[0].endswith(
        "the plan costs $100 a month more, 2.0% of that bill, which does not keep the promise."
    )
    found["baselines"][0]["accuracy"] = 0.4
    assert baseline_sentences(found)[0].endswith(
        f"does not keep the promise (40.0% right where {100 * found['targets']['accuracy']:.1f}% is asked)."
    )


def test_the_best_of_a_budget_is_not_told_as_a_saving() -> None:
    found = made_plan(goal="accuracy")

    assert (baseline_sentences(found), "baselines" in charts_of(found)) == ([], False)
    assert "What the plan saves" not in plan_page(found) + printed(format_plan(found))


def test_tables_hold_what_the_document_holds() -> None:
    found = made_plan()

    assert pools_table(found["plan"]).rows[1] == ("rented", "2 H100-SXM, on demand", "6", "$4,103", "49.0%", "90.0%")
    assert blocks_table(found).rows[0] == ("office hours", "Mon-Fri 09:00-18:00", "3.10", "1", "3", "as needed")
    assert [row[2] for row in baselines_table(found).rows][-2:] == ["$1,573 ($1,490 to $1,660)", "-"]
    assert sides_table(found).rows[0] == ("USD a month", "$6,302", "$6,847", "$7,010")
    assert {len(row) for row in sides_table(found).rows} == {4}


def test_the_terminal_gives_the_answer_first_and_fits_it() -> None:
    text = printed(format_plan(made_plan()), 100)

    assert text.startswith("made-up-desk: $6,847 a month ($6,801 to $6,893)")
    assert max(map(len, text.splitlines())) <= 100
    told = flat(text)
    for expected in ("By formulas alone it was $6,302", "63 of 2,401 were tried", "301 runs of the simulator in 212 s"):
        assert expected in told


def test_the_analytic_answer_is_told_alone(capsys: pytest.CaptureFixture[str]) -> None:
    found = made_plan(**ONLY_ANALYTIC)

    assert "expected to keep 98.1% of requests in time" in flat(printed(format_analytic(found)))
    print_analytic(found)
    print_plan(found)
    told = capsys.readouterr()
    assert told.err == told.out != ""


def test_charts_add_up_to_the_bill() -> None:
    found = made_plan()
    charts = charts_of(found)

    assert list(charts) == ["fleet", "cost", "baselines", "front", "year"]
    bars = charts["cost"]["figure"]["data"]
    assert sum(sum(bar["x"]) for bar in bars) == pytest.approx(sum(p["usd_per_month"] for p in found["plan"]["pools"]))
    fleet = {bar["name"]: bar["y"] for bar in charts["fleet"]["figure"]["data"]}
    assert (fleet["rented"][9], fleet["rented"][8], fleet["rented"][5 * 24 + 12]) == (3, 1, 0)


def test_a_folder_holds_page_json_and_the_scenario(tmp_path: Path) -> None:
    save_plan(made_plan(), tmp_path)

    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8")) == made_plan()
    assert (tmp_path / "plan.yaml").read_text(encoding="utf-8") == "name: made-up-desk\n"
    assert "nightshift simulate plan.yaml" in (tmp_path / "plan.html").read_text(encoding="utf-8")


def test_the_page_of_an_analytic_answer_promises_nothing() -> None:
    page = plan_page(made_plan(**ONLY_ANALYTIC))

    assert "nothing was simulated" in page
    assert "What it keeps" not in page
    assert "plan.yaml" not in page


def test_names_cannot_become_markup() -> None:
    evil = "<script>alert(1)</script>%{x}"
    found = made_plan(scenario=evil)
    for pool in found["plan"]["pools"]:
        pool["name"] = evil
    for row in found["by_hour"]:
        row["pool"] = evil
    page = plan_page(found)

    assert "<script>alert" not in page
    assert "\\u003cscript>alert" not in page


@pytest.mark.skipif(chromium() is None, reason="needs Chromium")
def test_the_page_is_drawn_wide_narrow_and_dark(tmp_path: Path) -> None:
    save_plan(made_plan(), tmp_path)
    with Browser(chromium() or "") as browser, browser.page(tmp_path / "plan.html", width=400) as page:
        widths = [page.run("document.documentElement.scrollWidth")]
        drawn = page.run("document.querySelectorAll('.js-plotly-plot').length")
        page.resize(1200)
        page.darken(True)
        page.settle()
        widths.append(page.run("document.documentElement.scrollWidth"))
        assert (widths[0] <= 400, widths[1] <= 1200, drawn) == (True, True, 5)
        assert (page.complaints(), page.requests()) == ([], [])
