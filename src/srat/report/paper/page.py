"""A recipe's outcome in files: Markdown, CSV, LaTeX, SVG and PNG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srat.core.files import write_atomically
from srat.recipes.base import Kind, Metric, Scope
from srat.report.formats import written
from srat.report.formats.csv import to_csv
from srat.report.paper import classes, distribution, features, frontier, methods, sweep
from srat.report.paper.claims import claims_sheet
from srat.report.paper.outcome import Outcome
from srat.report.plots import draw
from srat.report.sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VIEWS: Mapping[Kind, tuple[Callable[[Outcome], list[Sheet]], Callable[[Outcome], "Figure"]]] = {
    "methods": (methods.sheets, methods.figure),
    "classes": (classes.sheets, classes.figure),
    "sweep": (sweep.sheets, sweep.figure),
    "features": (features.sheets, features.figure),
    "distribution": (distribution.sheets, distribution.figure),
    "frontier": (frontier.sheets, frontier.figure),
}
_METRICS: tuple[Metric, ...] = ("standard", "robust", "worst", "purity")
_SCOPES: tuple[Scope, ...] = ("overall", "well", "under")
_HEADINGS = ("row", "column", "metric", "scope", "seeds", "percent", "low", "high", "sd", "paper", "agrees")


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """What there is to show."""

    outcome: Outcome
    sheets: Sequence[Sheet]
    claims: Sheet | None

    def write(self, folder: Path, about: str) -> list[Path]:
        """Write all files, and return them.

        Args:
            folder: where to; it is made.
            about: what the runs were, in a sentence or two.
        """
        folder.mkdir(parents=True, exist_ok=True)
        name = self.outcome.name
        images = [folder / f"{name}.svg", folder / f"{name}.png"]
        draw(images, lambda: _VIEWS[self.outcome.recipe.kind][1](self.outcome))
        sheets = [*self.sheets, *([self.claims] if self.claims else [])]
        parts = [f"# {self.outcome.title}", about, f"![{self.outcome.title}]({name}.png)"]
        texts = {
            ".md": "\n".join([*(f"{part}\n" for part in parts), written(sheets, "markdown")]),
            ".tex": written(sheets, "latex"),
        }
        if self.outcome.recipe.kind == "distribution":
            texts[".csv"] = written(self.sheets[:1], "csv")
        else:
            texts[".csv"] = to_csv(_HEADINGS, long_rows(self.outcome))
        for ending, text in texts.items():
            write_atomically(folder / f"{name}{ending}", text)
        return [*images, *(folder / f"{name}{ending}" for ending in texts)]


def make_page(outcome: Outcome) -> Page:
    """Return what there is to show of an outcome."""
    return Page(outcome=outcome, sheets=_VIEWS[outcome.recipe.kind][0](outcome), claims=claims_sheet(outcome))


def long_rows(outcome: Outcome) -> list[list[object]]:
    """Return every number, a row each: in per cent, with its interval, over how many seeds, and the paper's."""
    rows: list[list[object]] = []
    for cell in outcome.cells:
        for metric in _METRICS:
            for scope in _SCOPES:
                ours = outcome.accuracy(cell.row, cell.column, metric, scope)
                papers = outcome.paper(cell.row, cell.column, metric, scope)
                if ours is None:
                    continue
                count = len((outcome.maps if metric == "purity" else outcome.evaluations)[cell.row, cell.column])
                numbers = [round(100 * number, 2) for number in (ours.accuracy, ours.low, ours.high)]
                spread = "" if math.isnan(ours.spread) else round(100 * ours.spread, 2)
                alike = outcome.agrees(cell.row, cell.column, metric, scope)
                beside = ["" if papers is None else round(100 * papers, 2), "" if alike is None else int(alike)]
                rows.append([cell.row, cell.column, metric, scope, count, *numbers, spread, *beside])
    return rows
