"""A run, or several beside each other, as one HTML page that needs nothing else."""

from srat.report.html.gallery import Specimen, make_gallery
from srat.report.html.page import LARGEST_PAGE, render
from srat.report.html.record import RunRecord, read_record

__all__ = ["LARGEST_PAGE", "RunRecord", "Specimen", "make_gallery", "read_record", "render"]
