"""The report of a run as one page that needs no network: the answer, then charts, each with its data as a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sim import wording as words
from sim.folders import write_file
from sim.pages import in_script, render_page
from sim.report.answer import headline, key_figures, main_points, when
from sim.report.answers import answer_charts, answer_table
from sim.report.chart import Chart
from sim.report.contexts import context_charts, context_points
from sim.report.cost import cost_charts, token_table
from sim.report.latency import latency_charts
from sim.report.objectives import attainment_chart, endings_chart, stream_table
from sim.report.routing import router_chart, router_points, router_table
from sim.report.source import Source, load_source
from sim.report.timeline import timeline_chart
from sim.report.trust import run_facts, trust_table

__all__ = ["report_page", "write_report"]

_TEMPLATE = Path(__file__).with_name("page.html")


def write_report(folder: Path) -> Path:
    """Write `report.html` into a results folder, in the place of an earlier one; gives back the file.

    Raises:
        InputError: where the folder holds no results, or those of a version without what a report needs, or cannot
            be written.
    """
    page = report_page(load_source(folder))
    file = folder / "report.html"
    write_file(file, page)
    return file


def report_page(source: Source) -> str:
    """The page; everything in it that comes from the scenario is escaped."""
    timeline, attainment, endings = timeline_chart(source), attainment_chart(source), endings_chart(source)
    cost, latency = cost_charts(source), latency_charts(source)
    answers, contexts = answer_charts(source), context_charts(source)
    routing = router_chart(source)
    charts = [
        chart for chart in (*cost, *answers, routing, *contexts, timeline, *latency, attainment, endings) if chart
    ]
    return render_page(
        _TEMPLATE,
        name=words.printable(str(source.summary["scenario"])),
        when=when(source),
        headline=headline(source),
        points=main_points(source),
        tiles=key_figures(source),
        has_intervals=any(source.summary["intervals"].values()),
        replications=source.replications,
        cost=cost,
        tokens=token_table(source),
        answers=answer_table(source),
        answer_charts=answers,
        routing=routing,
        router_points=router_points(source),
        router_table=router_table(source),
        contexts=contexts,
        context_points=context_points(source),
        warnings=source.summary.get("warnings", ()),
        timeline=timeline,
        latency=latency,
        attainment=attainment,
        endings=endings,
        streams=stream_table(source),
        statistics=words.statistics(source.summary),
        trust=trust_table(source),
        facts=run_facts(source),
        scenario=source.scenario_text,
        figures=in_script({chart.id: _figure(chart) for chart in charts}),
    )


def _figure(chart: Chart) -> dict[str, Any]:
    return asdict(chart.figure)
