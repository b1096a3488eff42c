"""Reports of a validation: the answer first, charts that can be read, nothing that breaks out of its page."""

from __future__ import annotations

import html.parser
import json
import re
import xml.etree.ElementTree as ET
from functools import cache
from typing import Any

import plotly.graph_objects as go
import pytest

from sim.pages.axes import limits_of, log_ticks
from sim.validation.chart import chart_panels, marks_of
from sim.validation.comparison import Comparison
from sim.validation.markdown import GENERATED, validation_markdown
from sim.validation.page import validation_figure, validation_page
from sim.validation.payload import Payload, held_out_errors
from sim.validation.svg import validation_svg
from sim.validation.terminal import format_validation
from sim.validation.wording import amount, answer, by_configuration
from tests.console import printed
from tests.made_comparisons import comparison, frame, row
from tests.test_validation_payload import payload

NASTY = '</script><script>alert("x")</script> | `a` \x1b[31m'


@cache
def full() -> Payload:
    return payload(comparison(120), "nightshift validate runs.csv")


def of(*rows: dict[str, Any], notes: tuple[str, ...] = ()) -> Payload:
    return payload(Comparison(frame(*rows), notes))


def nasty() -> Payload:
    return of(row(configuration=NASTY, gpu=NASTY, source=NASTY, kind="open-loop"), notes=(NASTY,))


def on_terminal(found: Payload, width: int = 80) -> str:
    return printed(format_validation(found), width)


def test_the_answer_is_a_sentence_on_both_kinds_of_pairs() -> None:
    found = of(row(), row(seen=False, predicted=12.0))

    assert answer(found) == (
        "Pairs in the fit: TPOT within 10.0% (median of 1 run); pairs never seen: TPOT within 20.0% (median of 1 run); "
        "0 of 2 targets met"
    )


def test_the_answer_is_on_step_tables_where_there_is_nothing_else() -> None:
    found = of(row(kind="step-table", metric="step_ms", predicted=10.1))

    assert answer(found) == "Step tables: step within 1.0% (median of 1 run); 1 of 1 target met"


def test_nothing_compared_is_said_so_everywhere() -> None:
    empty = of()

    assert answer(empty) == "Nothing was compared"
    assert on_terminal(empty).startswith("Nothing was compared")
    assert "**Nothing was compared.**" in validation_markdown(empty)
    assert validation_svg(empty).count("no runs") == 2
    assert "Nothing was compared" in validation_page(empty)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "0.123 ms"), (9.996, "10.0 ms"), (999.4, "999 ms"), (999.6, "1.00 s"), (None, "-")]
)
def test_times_have_three_figures(value: float | None, shown: str) -> None:
    assert amount({"metric": "ttft_ms", "measured": value}, "measured") == shown


def test_configurations_come_worst_first_and_saturation_does_not_count() -> None:
    runs = [
        row(configuration="good"),
        row(configuration="bad", predicted=13.0),
        row(configuration="good", predicted=99.0, saturated=True),
    ]

    assert list(by_configuration(of(*runs)["groups"])) == ["bad", "good"]


def test_errors_on_runs_left_out_of_the_fit_are_told_everywhere() -> None:
    title = "Runs that the fit did not use"
    found = payload(comparison(), held_out=held_out_errors(comparison().rows))

    assert all(title in text for text in (on_terminal(found), validation_markdown(found), validation_page(found)))
    assert "## Pairs left out of the fit one at a time" in validation_markdown(found)
    assert not any(
        title in text for text in (on_terminal(full()), validation_markdown(full()), validation_page(full()))
    )


class TestTerminal:
    def test_it_fits_80_columns(self) -> None:
        assert max(map(len, on_terminal(full()).splitlines())) <= 80

    def test_answer_errors_targets_configurations_notes(self) -> None:
        text = on_terminal(full())
        places = [text.index(word) for word in ("Pairs in", "Errors", "Targets", "Saturated", "By conf", "left out")]

        assert places == sorted(places)

    def test_every_configuration_is_there(self) -> None:
        text = on_terminal(full(), 200)

        assert [name for name in by_configuration(full()["groups"]) if name not in text] == []

    def test_text_of_files_does_not_steer_it(self) -> None:
        assert "\x1b" not in on_terminal(nasty())


class TestMarkdown:
    def test_it_says_that_it_is_generated_then_the_answer(self) -> None:
        lines = validation_markdown(full()).splitlines()

        assert [lines[0], lines[4][:9]] == [GENERATED, "**Pairs i"]

    def test_every_table_is_whole(self) -> None:
        tables = re.findall(r"(?:^\|.*\n)+", validation_markdown(full()), re.MULTILINE)

        assert len(tables) == 7
        assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)

    def test_sections_without_content_are_left_out(self) -> None:
        assert re.findall("^## (.*)", validation_markdown(of(row())), re.MULTILINE) == [
            "Errors",
            "Targets",
            "By configuration, worst first",
            "How to read this",
        ]

    def test_an_open_loop_is_told_with_its_quantiles(self) -> None:
        section = validation_markdown(full()).split("## Open-loop logs")[1].split("##")[0]

        assert re.findall(r"\| ((?:TTFT|TPOT|E2E)[ p\d]*) \|", section) == [
            f"{metric}{of}" for metric in ("TTFT", "TPOT", "E2E") for of in ("", " p50", " p90", " p99")
        ]

    def test_the_command_to_repeat_it_ends_the_page(self) -> None:
        assert validation_markdown(full()).endswith("```sh\nnightshift validate runs.csv\n```\n")

    def test_text_of_files_stays_text(self) -> None:
        page = validation_markdown(nasty())

        assert "<script" not in page.replace("\\<", "")
        assert "\x1b" not in page


class TestChart:
    def test_it_shows_means_of_whole_servers(self) -> None:
        ttft, tpot = chart_panels(full()["rows"])
        counts = [sum(len(series.points) for series in panel.series) for panel in (ttft, tpot)]

        assert counts == [121, 121]

    def test_a_run_without_a_prediction_is_not_in_it(self) -> None:
        rows = of(row(predicted=float("nan")), row(predicted=0.0))["rows"]

        assert [panel.series for panel in chart_panels(rows)] == [(), ()]

    def test_saturated_runs_of_a_gpu_have_its_mark(self) -> None:
        _, tpot = chart_panels(of(row(), row(saturated=True))["rows"])

        assert [series.saturated for series in tpot.series] == [False, True]
        assert len({series.mark for series in tpot.series}) == 1

    def test_no_two_gpus_look_alike(self) -> None:
        marks = marks_of(f"GPU {place:02}" for place in range(40))

        assert len(set(marks.values())) == 40
        assert len({mark.colour for mark in list(marks.values())[:7]}) == 7
        assert len({mark.symbol for mark in list(marks.values())[:7]}) == 7

    @pytest.mark.parametrize("values", [[1.0], [0.003, 0.004], [1.0, 1e6], [10.0, 100.0]])
    def test_limits_hold_all_values_and_have_ticks(self, values: list[float]) -> None:
        low, high = limits_of(values)

        assert low < min(values) <= max(values) < high
        assert len(log_ticks(low, high)) >= 2


class TestSvg:
    def test_it_is_a_picture_with_a_ground_a_title_and_a_description(self) -> None:
        root = ET.fromstring(validation_svg(full()))
        space = "{http://www.w3.org/2000/svg}"

        # Where one is missing the test fails with an AttributeError, as it should.
        assert root.find(f"{space}rect").get("fill") == "#ffffff"  # type: ignore[union-attr]
        assert root.find(f"{space}desc").text == answer(full())  # type: ignore[union-attr]

    def test_all_that_is_drawn_lies_within_it(self) -> None:
        root = ET.fromstring(validation_svg(full()))
        width, height = (float(root.get(side, "0")) for side in ("width", "height"))
        places = re.findall(r"M([-\d.]+),([-\d.]+)", validation_svg(full()))

        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in places)

    def test_every_gpu_is_named(self) -> None:
        text = "".join(ET.fromstring(validation_svg(full())).itertext())

        assert [gpu for gpu in {one["gpu"] for one in full()["rows"]} if gpu not in text] == []

    def test_text_of_files_stays_text(self) -> None:
        assert [one for one in ET.fromstring(validation_svg(nasty())).iter() if "script" in one.tag] == []


class Page(html.parser.HTMLParser):
    """Tags of a page, and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


class TestPage:
    def test_the_figure_is_one_that_plotly_takes(self) -> None:
        figure = go.Figure(validation_figure(full()))

        assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 242

    def test_each_gpu_stands_once_in_the_legend(self) -> None:
        named = [trace["name"] for trace in validation_figure(full())["data"] if trace["showlegend"]]

        assert sorted(named) == sorted({one["gpu"] for one in full()["rows"]})

    def test_it_needs_nothing_from_elsewhere(self) -> None:
        page = Page(validation_page(full()))

        assert page.links == []
        assert page.tags.count("script") == 2

    def test_every_run_of_the_chart_is_in_a_table(self) -> None:
        details = validation_page(full()).split("<details>")[1].split("</details>")[0]

        assert details.count("<tr>") == 1 + 242

    def test_text_of_files_stays_text(self) -> None:
        page = validation_page(nasty())

        assert Page(page).tags.count("script") == 2
        assert 'alert("x")' not in page

    def test_the_figure_in_the_script_is_json(self) -> None:
        text = validation_page(full()).split("const figure = ")[1].split(", places = ")[0]

        assert json.loads(text) == json.loads(json.dumps(validation_figure(full())))
