"""Our runs beside the paper: tables, figures, and which of its statements hold."""

from srat.report.paper.outcome import Outcome, collect
from srat.report.paper.page import Page, make_page

__all__ = ["Outcome", "Page", "collect", "make_page"]
