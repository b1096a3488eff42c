"""The report of a run: the answer first, charts that can be read and are true, nothing that breaks out of the page."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.pages.palette import COLOURS, DARK, LIGHT
from sim.report import Source, load_source, report_page, write_report
from sim.report.answer import headline, key_figures, main_points
from sim.report.answers import answer_charts, answer_table
from sim.report.chart import Chart, Table, colour_of, dash_of, label_of
from sim.report.clock import Clock
from sim.report.contexts import context_charts, context_points
from sim.report.cost import cost_charts, token_table
from sim.report.latency import latency_charts
from sim.report.names import line_name
from sim.report.objectives import attainment_chart, endings_chart, stream_table
from sim.report.series import MOST_POINTS, MOST_ROWS, mean_over_time, wide_enough
from sim.report.slots import slots_of
from sim.report.timeline import timeline_chart
from sim.report.windows import shades_of
from sim.validation.page import validation_page
from tests.browser import Browser, Page, chromium
from tests.report_folder import Made, make_folder, shrink
from tests.test_validation_report import full

DAY = Made(days=1.0, replications=2)
NASTY = Made(
    days=0.5,
    replications=2,
    quality=True,
    scenario="</script><script>alert(1)</script>",
    pools=("<b>a\"'", "</script><img src=x onerror=alert(2)>", "%{y} ${x} {{ 7 * 7 }}"),
    streams=("</title><script>alert(3)</script>", 'it\'s "q" <i>'),
)
NOTHING = Made(days=0.1, replications=1, answered=0.0, usd=0.0, slo=False, energy=False)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of three replications."""
    return make_folder(tmp_path_factory.mktemp("week"))


@pytest.fixture(scope="module")
def source(week: Path) -> Source:
    return load_source(week)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A day of which it is known what was right, with contexts prepared ahead."""
    return load_source(make_folder(tmp_path_factory.mktemp("judged"), replace(DAY, quality=True)))


def made(folder: Path, **changes: Any) -> Source:
    return load_source(make_folder(folder, replace(DAY, **changes)))


def charts(source: Source) -> list[Chart]:
    """All charts that there are."""
    every = (timeline_chart(source), attainment_chart(source), endings_chart(source))
    answers = (*answer_charts(source), *context_charts(source))
    return [*cost_charts(source), *answers, *latency_charts(source), *(chart for chart in every if chart)]


def chart_of(source: Source, name: str) -> Chart:
    return next(chart for chart in charts(source) if chart.id == name)


def titles_of(source: Source) -> list[str]:
    """Titles of the panels over time."""
    return [note["text"] for note in chart_of(source, "timeline").figure.wide["annotations"]]


def column(table: Table, name: str) -> list[str]:
    return [row[table.columns.index(name)] for row in table.rows]


class Tags(html.parser.HTMLParser):
    """Tags of a page, what they refer to, and the text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


class TestAnswer:
    def test_cost_answers_time_and_objectives_with_intervals(self, source: Source) -> None:
        summary = source.summary
        text = " ".join(f"{part} [{interval}]" if interval else part for part, interval in headline(source))

        assert re.fullmatch(
            r"\$[\d,]+\.\d\d \[\$[\d,.]+ to \$[\d,.]+\]  for [\d,]+ answers in 168\u00a0h; "
            r"[\d.]+% of requests met their objectives \[[\d.]+% to [\d.]+%\] \.",
            text,
        )
        assert f"{summary['requests']['completed']:,.0f} answers" in text

    def test_the_biggest_line_and_the_biggest_reason(self, source: Source) -> None:
        cost, misses = main_points(source)

        assert re.match(r"Biggest cost: answering \(.*\), \$[\d,.]+, [\d.]+% of the bill\.", cost)
        assert re.match(r"Most misses: answered, but too late \(about [\d.]+% of requests\)\.", misses)

    def test_requests_turned_away_may_be_most_of_the_misses(self, tmp_path: Path) -> None:
        found = made(tmp_path)
        found.summary["requests"]["rejected_by"]["rate_limited"] = 1e6

        assert "turned away, API rate limit" in main_points(found)[1]

    def test_key_figures_have_intervals_where_there_are_replications(self, source: Source, tmp_path: Path) -> None:
        single = made(tmp_path, replications=1)

        assert [tile.label for tile in key_figures(source) if tile.interval][:2] == ["Cost", "Objectives met"]
        assert [tile for tile in key_figures(single) if tile.interval] == []
        assert "A single run without intervals" in report_page(single)

    def test_a_fleet_that_cannot_keep_up_is_told(self, tmp_path: Path) -> None:
        found = made(tmp_path, answered=0.5)

        assert main_points(found)[-1].startswith("The fleet cannot keep up")


class TestAnswers:
    def test_right_answers_stand_in_the_first_sentence_with_their_interval(self, judged: Source) -> None:
        text, interval = headline(judged)[1]

        assert re.fullmatch(r" for [\d,]+ answers in 24\u00a0h, [\d.]+% of them right", text)
        assert interval
        assert "Right answers" in [tile.label for tile in key_figures(judged)]

    def test_each_strategy_is_a_dot_with_its_interval(self, judged: Source) -> None:
        for name in ("answers-cost", "answers-tokens"):
            dots = chart_of(judged, name).figure.data
            assert [dot["name"] for dot in dots] == list(judged.summary["strategies"])
            assert all(dot["error_y"]["array"][0] > 0.0 for dot in dots)
            assert len({dot["marker"]["symbol"] for dot in dots}) == len(dots)

    def test_the_table_holds_what_the_dots_do_not(self, judged: Source) -> None:
        table = answer_table(judged)

        assert column(table, "strategy") == ["direct", "think briefly", "think", "vote of 8"]
        assert column(table, "of all answers")[0] == "62.0%"
        assert column(table, "1,000 right answers")[0] == "$0.1964"

    def test_where_quality_is_not_modelled_nothing_is_said_of_it(self, source: Source) -> None:
        assert answer_charts(source) == []
        assert answer_table(source).rows == []
        assert "How good the answers are" not in report_page(source)

    def test_one_strategy_is_a_row_and_no_chart(self, judged: Source) -> None:
        only = {"direct": judged.summary["strategies"]["direct"]}
        single = replace(judged, summary=judged.summary | {"strategies": only})

        assert answer_charts(single) == []
        assert "How good the answers are" in report_page(single)

    def test_an_answer_that_costs_nothing_has_no_place_on_the_scale(self, judged: Source) -> None:
        free = {name: way | {"usd_per_1k_requests": 0.0} for name, way in judged.summary["strategies"].items()}
        found = replace(judged, summary=judged.summary | {"strategies": free})

        assert [chart.id for chart in answer_charts(found)] == ["answers-tokens"]

    def test_warnings_stand_with_the_answer(self, judged: Source, source: Source) -> None:
        assert "Beware: vote of 64 is beyond" in report_page(judged)
        assert "Beware" not in report_page(source)

    def test_what_intervals_cover_is_told(self, source: Source) -> None:
        drawn = {"sampled": [{"kind": "step_time"}, {"kind": "load"}], "split": {}}
        unsure = replace(source, summary=source.summary | {"uncertainty": drawn})

        told = "Intervals say where one real run may lie, as step time, load may be off."
        assert told in report_page(unsure)
        assert told not in report_page(source)

    def test_right_answers_and_cached_tokens_have_panels_of_their_own(self, judged: Source, source: Source) -> None:
        titles = {"<b>Right answers</b>", "<b>Prompt tokens found in a cache</b>"}

        assert titles <= set(titles_of(judged))
        assert not titles & set(titles_of(source))


class TestContexts:
    def test_the_areas_are_all_questions(self, judged: Source) -> None:
        areas = chart_of(judged, "contexts-found").figure.data

        assert next(area["name"] for area in areas) == "context was prepared"
        assert np.sum([area["y"] for area in areas], axis=0) == pytest.approx(1.0, abs=1e-4)

    def test_preparing_that_pays_and_preparing_that_does_not(self, judged: Source, tmp_path: Path) -> None:
        losing = made(tmp_path, quality=True, net_usd=-5.25)

        paid, lost = (
            context_points(found)[-1].removesuffix(" Better answers are not counted in this.")
            for found in (judged, losing)
        )

        assert paid == "Preparing has paid: $69.50 saved on answers for $48.00, $21.50 net."
        assert lost == "Preparing has lost money: $42.75 saved on answers for $48.00, -$5.25 net."
        assert column(chart_of(losing, "contexts-money").table, "cost or saving")[-1] == "-$5.25"

    def test_what_was_prepared_for_nothing_is_apart(self, judged: Source) -> None:
        (bars,) = chart_of(judged, "contexts-money").figure.data

        assert bars["x"] == [35.0, 13.0, 69.5, 21.5]
        assert context_points(judged)[1] == "27.0% of what was spent on preparing was for nothing: $13.00 of $48.00."

    def test_contexts_of_which_nothing_is_prepared(self, judged: Source) -> None:
        awake = {"prepared": 0, "hit_rate": None, "wasted_share": None, "jobs": 0}
        found = replace(judged, summary=judged.summary | {"sleep": awake})

        assert context_points(found)[-1] == "Nothing was prepared."
        assert [chart.id for chart in context_charts(found)] == ["contexts-found"]

    def test_without_contexts_there_is_no_such_part(self, source: Source) -> None:
        assert (context_charts(source), context_points(source)) == ([], [])
        assert "Prepared contexts" not in report_page(source)


class TestCost:
    def test_the_bars_add_up_to_the_bill(self, source: Source) -> None:
        total = source.summary["cost"]["total_usd"]

        for name in ("cost-lines", "cost-pools"):
            bars = chart_of(source, name).figure.data
            assert sum(sum(bar["x"]) for bar in bars) == pytest.approx(total, rel=1e-4)

    def test_what_no_pool_owes_is_in_the_bars_of_pools(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path, DAY)
        ledger = pd.read_parquet(folder / "ledger.parquet")
        ledger.loc[ledger["line"] == "electricity", "pool"] = None
        ledger.astype({"line": "category", "window": "category"}).to_parquet(folder / "ledger.parquet", index=False)
        found = load_source(folder)

        assert "no pool of its own" in column(chart_of(found, "cost-pools").table, "pool")

    def test_lines_come_by_dollars_and_in_plain_words(self, source: Source) -> None:
        by_line = source.summary["cost"]["by_line"]
        table = chart_of(source, "cost-lines").table

        assert column(table, "line") == [line_name(name) for name in sorted(by_line, key=lambda n: -by_line[n])] + [
            "all"
        ]
        assert column(table, "share")[-1] == "100.0%"

    def test_windows_are_parts_of_the_bars(self, source: Source) -> None:
        assert [bar["name"] for bar in chart_of(source, "cost-lines").figure.data] == [
            "at any hour",
            "peak",
            "off-peak",
        ]

    def test_a_window_has_one_colour_in_all_charts(self, source: Source) -> None:
        bar = next(bar for bar in chart_of(source, "cost-lines").figure.data if bar["name"] == "peak")

        assert {bar["marker"]["color"]} == {shade.colour for shade in shades_of(source)[0]}

    def test_streams_pay_for_use_and_for_their_share_of_the_rest(self, source: Source) -> None:
        table = chart_of(source, "cost-streams").table

        assert [row[0] for row in table.rows] == ["chat", "summaries"]
        assert len(table.columns) == 4

    def test_tokens_have_a_price_where_it_is_known(self, source: Source, tmp_path: Path) -> None:
        tokens = token_table(source)

        assert tokens is not None
        assert [row[0] for row in tokens.rows] == ["input", "generated"]
        assert token_table(load_source(make_folder(tmp_path, NOTHING))) is None

    def test_nothing_paid_is_said(self, tmp_path: Path) -> None:
        found = made(tmp_path, usd=0.0, energy=False)

        assert cost_charts(found) == []
        assert main_points(found)[0] == "Nothing was charged."


class TestTimeline:
    def test_what_arrives_is_told_though_no_pool_takes_it(self, tmp_path: Path) -> None:
        source = made(tmp_path)
        turned_away = source.buckets.assign(arrived=0.0, completed=0.0)
        slots = slots_of(replace(source, buckets=turned_away), source.bucket_s)

        asked = (slots.arriving * slots.hours * 3600.0).sum()
        assert asked == pytest.approx(source.streams["offered"].sum() / source.replications)
        assert not slots.answered.any()

    def test_all_panels_share_one_clock(self, source: Source) -> None:
        chart = chart_of(source, "timeline")
        drawn = [trace for trace in chart.figure.data if "x" not in trace]

        assert {trace["xaxis"] for trace in drawn} == {"x"}
        assert all(len(trace["y"]) == len(chart.figure.x) for trace in drawn)
        assert titles_of(source) == [
            "<b>Requests a second</b>",
            "<b>Requests in the system</b>",
            "<b>Replicas open</b>",
            "<b>Busy share of paid GPU time</b>",
            "<b>Price of a GPU-hour</b>",
            "<b>Price of 1M output tokens, API</b>",
            "<b>Dollars an hour</b>",
            "<b>Power, kW</b>",
            "<b>Carbon, kg an hour</b>",
        ]

    def test_energy_and_carbon_stand_only_where_there_are_any(self, tmp_path: Path) -> None:
        titles = [
            note["text"] for note in chart_of(made(tmp_path, energy=False), "timeline").figure.wide["annotations"]
        ]

        assert [title for title in titles if "kW" in title or "Carbon" in title] == []

    def test_dollars_an_hour_times_hours_is_the_bill(self, source: Source) -> None:
        chart = chart_of(source, "timeline")
        axis = next(trace["yaxis"] for trace in chart.figure.data if trace.get("stackgroup") == "stack7")
        hourly = [trace["y"][:-1] for trace in chart.figure.data if trace["yaxis"] == axis and trace.get("stackgroup")]
        hours = 168.0 / (len(chart.figure.x) - 1)

        assert np.sum(hourly) * hours == pytest.approx(source.summary["cost"]["total_usd"], rel=1e-3)

    @pytest.mark.parametrize("days", [0.1, 30.0])
    def test_no_trace_and_no_table_is_too_long(self, tmp_path: Path, days: float) -> None:
        chart = chart_of(made(tmp_path, days=days, replications=1), "timeline")

        assert len(chart.figure.x) <= MOST_POINTS + 1
        assert len(chart.table.rows) <= MOST_ROWS

    def test_the_first_and_last_moment_are_local_and_know_of_daylight_saving(self, source: Source) -> None:
        x = chart_of(source, "timeline").figure.x

        assert (x[0], x[-1]) == ("2026-03-02T00:00:00", "2026-03-09T01:00:00")
        assert "clocks change on the way" in chart_of(source, "timeline").caption

    def test_windows_other_than_the_usual_one_are_tinted(self, source: Source) -> None:
        shades, left_out = shades_of(source)

        assert [(shade.name, shade.begin[8:13], shade.end[8:13]) for shade in shades] == [
            ("peak", f"0{day}T09", f"0{day}T17") for day in (2, 3, 4, 5, 6)
        ]
        assert not left_out

    def test_windows_that_change_too_often_are_not_drawn(self, source: Source) -> None:
        often = np.where(np.arange(len(source.buckets)) % 2, "a", "b")
        restless = replace(source, buckets=source.buckets.assign(window=often))

        assert shades_of(restless) == ([], True)
        assert "too often" in chart_of(restless, "timeline").caption

    def test_a_fleet_without_an_api_has_no_price_of_tokens(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path, DAY)
        buckets = pd.read_parquet(folder / "buckets.parquet")
        nothing = pd.Series([None] * len(buckets), dtype=object)
        buckets = buckets.assign(input_usd_per_1m=nothing, output_usd_per_1m=nothing)
        buckets[buckets["pool"] != DAY.pools[2]].to_parquet(folder / "buckets.parquet", index=False)

        assert "<b>Price of 1M output tokens, API</b>" not in titles_of(load_source(folder))

    def test_means_are_over_all_replications_also_where_one_has_ended(self) -> None:
        rows = [(0, 0.0, 6.0, 1.0), (1, 0.0, 2.0, 3.0), (0, 300.0, 4.0, 5.0)]
        frame = pd.DataFrame(rows, columns=["replication", "begin_s", "arrived", "running"])
        frame = frame.assign(pool="a", end_s=frame["begin_s"] + 300.0)
        slots = mean_over_time(frame, 300.0, "pool", sums=["arrived"], levels=["running"])

        assert slots["arrived"].tolist() == [4.0, 2.0]

    def test_slots_hold_whole_buckets(self) -> None:
        odd = wide_enough(1e6, 7.0, 100)

        assert odd % 7.0 == 0.0
        assert 1e6 / odd <= 100


class TestLatency:
    def test_a_curve_for_each_latency_and_stream_that_climbs_to_one(self, source: Source) -> None:
        found = latency_charts(source)
        curves = [trace for chart in found for trace in chart.figure.data if "hovertemplate" in trace]

        assert [chart.id for chart in found] == ["latency-ttft", "latency-tpot", "latency-e2e"]
        assert len(curves) == 6
        assert all(np.all(np.diff(curve["y"]) >= 0.0) and curve["y"][-1] == 1.0 for curve in curves)
        assert all(np.all(np.diff(curve["x"]) >= 0.0) for curve in curves)

    def test_objectives_are_lines(self, source: Source) -> None:
        lines = {trace["name"]: trace["x"] for trace in chart_of(source, "latency-e2e").figure.data}

        assert lines["objective 30.00 s"] == [30.0, 30.0]

    def test_quantiles_of_the_table_are_those_of_the_bins(self, source: Source) -> None:
        median = source.summary["streams"]["chat"]["latency"]["tpot_s"]["p50"]
        text = column(chart_of(source, "latency-tpot").table, "50% within")[0]

        assert float(text.removesuffix(" ms")) == pytest.approx(1e3 * median, rel=0.05)

    def test_no_answers_have_no_latencies(self, tmp_path: Path) -> None:
        page = report_page(load_source(make_folder(tmp_path, NOTHING)))

        assert "No request was answered, so there are no latencies." in page


class TestObjectives:
    def test_attainment_of_each_stream(self, source: Source) -> None:
        data = chart_of(source, "attainment").figure.data

        assert [trace["name"] for trace in data] == ["chat", "summaries"]
        assert all(0.8 < value <= 1.0 for trace in data for value in trace["y"] if value is not None)

    def test_without_objectives_there_is_nothing_to_meet(self, tmp_path: Path) -> None:
        found = made(tmp_path, slo=False)

        assert attainment_chart(found) is None
        assert headline(found)[-1][0].endswith("no objectives were set.")
        assert column(stream_table(found), "objectives met") == ["none set", "none set"]

    def test_endings_and_answers_are_all_requests(self, source: Source) -> None:
        table = chart_of(source, "endings").table
        counts = [int(count.replace(",", "")) for count in column(table, "requests")]

        assert sum(counts) == pytest.approx(source.summary["requests"]["offered"], abs=len(counts))

    def test_where_all_were_answered_there_is_no_chart_of_endings(self, tmp_path: Path) -> None:
        found = made(tmp_path)
        requests = found.summary["requests"]
        requests |= {"completed": requests["offered"], "timed_out": 0, "failed": 0, "unfinished": 0, "rejected_by": {}}

        assert endings_chart(found) is None
        assert "No request was left without an answer." in report_page(found)


class TestFolder:
    def test_the_page_is_written_into_it(self, week: Path) -> None:
        assert commands.report(week) == {"file": str(week / "report.html")}
        assert (week / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    def test_the_command_says_where(self, week: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["report", str(week), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"file": str(week / "report.html")}

    def test_no_results_are_an_error_of_input(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["report", str(tmp_path)]) == 2
        assert capsys.readouterr().err.startswith(f"{tmp_path} is not a results folder; give one written by")

    @pytest.mark.parametrize("table", ["buckets", "streams", "ledger", "latency"])
    def test_a_folder_of_another_version_is_told_what_it_lacks(self, tmp_path: Path, table: str) -> None:
        folder = make_folder(tmp_path, replace(DAY, days=0.1))
        (folder / f"{table}.parquet").unlink()

        with pytest.raises(InputError, match=rf"another version of Nightshift \({table}.parquet is missing\); run"):
            write_report(folder)

    def test_a_table_without_a_column_is_of_another_version(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path, replace(DAY, days=0.1))
        shrink(folder, "buckets", "kwh")

        with pytest.raises(InputError, match=r"buckets.parquet has no column kwh"):
            write_report(folder)

    @pytest.mark.parametrize(
        ("file", "text", "rule"),
        [
            ("summary.json", "[]", "is not the summary of a simulation"),
            ("summary.json", '{"scenario": "a", "replications": 1}', "summary.json has no requests"),
            ("scenario.yaml", "a: [", "not the scenario of these results"),
            ("scenario.yaml", "fleet: []\nworkload: []", "not the scenario of these results"),
            ("latency.parquet", "no table", "cannot be read as a table"),
        ],
    )
    def test_files_that_are_something_else(self, tmp_path: Path, file: str, text: str, rule: str) -> None:
        folder = make_folder(tmp_path, replace(DAY, days=0.1))
        (folder / file).write_text(text, encoding="utf-8")

        with pytest.raises(InputError, match=re.escape(rule)):
            write_report(folder)

    def test_an_earlier_page_stays_where_a_new_one_cannot_be_made(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path, replace(DAY, days=0.1))
        write_report(folder)
        (folder / "streams.parquet").unlink()
        with pytest.raises(InputError):
            write_report(folder)

        assert (folder / "report.html").stat().st_size > 1e6


class TestNothing:
    def test_a_run_in_which_nothing_happened_has_a_page(self, tmp_path: Path) -> None:
        page = report_page(load_source(make_folder(tmp_path, NOTHING)))

        assert "Nothing was charged." in page
        assert "There were no objectives to meet" in page

    def test_where_no_step_was_made_no_step_times_are_told(self, tmp_path: Path) -> None:
        source = load_source(make_folder(tmp_path, NOTHING))
        no_gpus = source.summary | {"fleet": source.summary["fleet"] | {"step_times": {}}}

        assert "How far to trust this" in report_page(source)
        assert "How far to trust this" not in report_page(replace(source, summary=no_gpus))

    def test_tables_without_rows_make_a_page(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path, NOTHING)
        for table in folder.glob("*.parquet"):
            pd.read_parquet(table).head(0).to_parquet(table, index=False)
        found = load_source(folder)
        found.summary["requests"] |= dict.fromkeys(found.summary["requests"], 0) | {"rejected_by": {}}

        assert timeline_chart(found) is None
        assert "No request arrived." in report_page(found)


class TestPage:
    def test_figures_are_those_that_plotly_takes(self, source: Source) -> None:
        for chart in charts(source):
            for layout in (chart.figure.wide, chart.figure.narrow):
                plain = json.loads(re.sub(r'"@[a-z]+\d*~*"', '"#123456"', json.dumps([chart.figure.data, layout])))
                go.Figure(data=plain[0], layout=plain[1])

    def test_every_colour_is_one_of_the_palette(self, source: Source) -> None:
        named = {
            name for chart in charts(source) for name in re.findall(r"@([a-z]+\d*)", json.dumps(chart.figure.data))
        }

        assert named <= set(LIGHT) == set(DARK)

    def test_no_two_of_many_pools_look_alike(self) -> None:
        assert len({(colour_of(place), dash_of(place)) for place in range(len(COLOURS) ** 2)}) == len(COLOURS) ** 2

    def test_every_chart_has_words_and_a_table(self, source: Source) -> None:
        page = report_page(source)
        shown = charts(source)

        assert page.count('role="img"') == page.count("Figures as a table") == len(shown) == 9
        assert all(chart.says and chart.table.rows for chart in shown)

    def test_it_needs_nothing_from_elsewhere(self, source: Source) -> None:
        tags = Tags(report_page(source))

        assert (tags.links, tags.tags.count("script"), tags.tags.count("html")) == ([], 2, 1)
        assert "link" not in tags.tags

    def test_text_of_the_scenario_stays_text(self, tmp_path: Path) -> None:
        tags = Tags(report_page(load_source(make_folder(tmp_path, NASTY))))

        assert (tags.tags.count("script"), tags.tags.count("img"), tags.handlers) == (2, 0, [])

    def test_a_month_stays_small_beside_its_plotly(self, tmp_path: Path) -> None:
        page = report_page(made(tmp_path, days=31.0, replications=1))

        assert len(page) - len(get_plotlyjs()) < 1_000_000

    def test_replications_are_said_to_be_averaged(self, source: Source) -> None:
        assert "on average over 3 replications" in chart_of(source, "timeline").caption

    def test_how_far_to_trust_it_and_how_it_was_run(self, source: Source) -> None:
        page = report_page(source)

        assert "nothing like it was measured" in page
        assert "TPOT within 4.1%, TTFT within 12.0% on half of the runs left out" in page
        assert all(text in page for text in ("Seed of all randomness", "time_zone: America/New_York"))

    def test_markup_in_names_is_not_read_by_plotly(self) -> None:
        assert label_of("<a href='x'>&amp;") == "&lt;a href='x'&gt;&amp;amp;"


def test_the_hour_that_comes_twice_is_shown_twice() -> None:
    clock = Clock.of("2026-11-01T00:00:00", "America/New_York")

    assert [clock.at(hour * 3600.0).hour for hour in range(4)] == [0, 1, 1, 2]
    assert (clock.changes(86_400.0), clock.changes(3600.0)) == (True, False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with Browser(program) as started:
        yield started


@pytest.fixture(scope="module", params=["week", "nasty", "nothing"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of an ordinary week, of names that try to break out, and of a run in which nothing happened."""
    kinds = {"week": Made(), "nasty": NASTY, "nothing": NOTHING}
    return write_report(make_folder(tmp_path_factory.mktemp(request.param), kinds[request.param]))


UNDRAWN = """[...document.querySelectorAll('.plot')].filter((plot) =>
    !plot.querySelector('.main-svg') || !plot.querySelector('.trace, .bars .point')).map((plot) => plot.id)"""
WIDER = """[...document.querySelectorAll('body *')].filter((one) => !one.closest('.wide, pre, svg, .hidden')
    && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))"""
INK = "[...document.querySelectorAll('.plot text')].slice(0, 3).map((text) => getComputedStyle(text).fill)"
LINES = """[...document.querySelectorAll('#timeline .js-line, #endings .point path, .xgrid')].slice(0, 9)
    .map((line) => getComputedStyle(line).stroke)"""


class TestBrowser:
    def test_it_draws_all_charts_and_loads_nothing(self, browser: Browser, file: Path) -> None:
        with browser.page(file) as page:
            page.settle()
            assert page.complaints() == []
            assert page.run(UNDRAWN) == []
            assert page.run("document.querySelectorAll('.plot').length") >= 2
            assert page.requests() == []
            assert page.run("performance.getEntriesByType('resource').length") == 0

    def test_nothing_is_wider_than_a_phone(self, browser: Browser, file: Path) -> None:
        with browser.page(file, width=390) as page:
            page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            page.settle()
            assert page.run("document.documentElement.scrollWidth") == 390
            assert page.run(WIDER) == []
            assert page.complaints() == []

    def test_dark_and_light_change_without_a_reload(self, browser: Browser, file: Path) -> None:
        with browser.page(file) as page:
            page.settle()
            light = _looks(page)
            page.darken(True)
            page.settle()
            dark = _looks(page)
            page.darken(False)
            page.settle()
            assert [a != b for a, b in zip(light, dark, strict=True)] == [True] * len(light)
            assert _looks(page) == light

    def test_charts_follow_the_width_of_the_window(self, browser: Browser, file: Path) -> None:
        with browser.page(file, width=1280) as page:
            page.resize(390)
            page.settle()
            assert page.run("document.documentElement.scrollWidth") == 390
            assert page.run(WIDER) == []

    def test_names_are_shown_as_they_are(self, browser: Browser, tmp_path: Path) -> None:
        with browser.page(write_report(make_folder(tmp_path, NASTY))) as page:
            assert page.run("document.querySelector('h1').textContent") == NASTY.scenario
            assert page.run("[...document.scripts].length") == 2
            labels = page.run("[...document.querySelectorAll('#cost-pools .ytick text')].map((one) => one.textContent)")
            assert "<b>a\"'" in labels

    def test_a_page_can_be_printed_and_then_be_read_again(self, browser: Browser, file: Path) -> None:
        with browser.page(file, dark=True) as page:
            page.settle()
            before = _looks(page)
            page.ask("Page.printToPDF")
            page.settle()
            assert _looks(page) == before
            assert page.complaints() == []

    def test_the_browser_hears_of_faults_and_of_what_is_asked_for(self, browser: Browser, tmp_path: Path) -> None:
        file = tmp_path / "faulty.html"
        faults = "console.error('a'); setTimeout(() => { throw Error('b') }); fetch('http://example.invalid/c');"
        file.write_text(f"<html data-drawn=yes><script>{faults}</script></html>", encoding="utf-8")
        with browser.page(file) as page:
            page.settle()
            assert len(page.complaints()) >= 3
            assert page.requests() == ["http://example.invalid/c"]

    def test_the_page_of_a_validation_draws_as_well(self, browser: Browser, tmp_path: Path) -> None:
        file = tmp_path / "validation.html"
        file.write_text(validation_page(full()), encoding="utf-8")
        with browser.page(file) as page:
            assert (page.complaints(), page.requests()) == ([], [])
            assert page.run("document.querySelectorAll('#chart .point').length") == 242


def _looks(page: Page) -> list[Any]:
    """Colours of the ground, of the writing in charts, and of lines in them."""
    return [page.run("getComputedStyle(document.body).backgroundColor"), page.run(INK), page.run(LINES)]
