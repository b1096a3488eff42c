"""The report of a saved run: `report.html`, one page that needs no network."""

from sim.report.page import report_page, write_report
from sim.report.source import Source, load_source

__all__ = ["Source", "load_source", "report_page", "write_report"]
