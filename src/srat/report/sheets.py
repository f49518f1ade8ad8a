"""Tables that are read in a terminal, and in the formats of `srat.report.formats`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from srat.core.errors import printable
from srat.core.words import percent_interval
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import titled_table
from srat.statistics.intervals import Accuracy, Mean

_PROSE = 56
"""Characters of a name in a line, in a terminal; longer ones are folded."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of texts; the first columns are of names, the others are of numbers."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    keys: int = 1
    """How many columns are of names."""
    best: frozenset[tuple[int, int]] = frozenset()
    """The cells, by row and column, that are shown as the best of their column."""
    records: Sequence[Mapping[str, Any]] = ()
    """The numbers behind it, of JSON's types, for programs; none where the cells are all there is."""

    def to_rich(self) -> Listing:
        """Return it for the terminal."""
        table = titled_table(self.title, keys=self.keys)
        for number, heading in enumerate(self.headings):
            if number < self.keys:
                table.add_column(Text(printable(heading)), max_width=_PROSE)
            else:
                table.add_column(Text(printable(heading)), justify="right", no_wrap=True)
        for row, cells in enumerate(self.rows):
            table.add_row(*(self._shown(row, column, cell) for column, cell in enumerate(cells)))
        table.caption = Text(self.note) if self.note else None
        return table

    def _shown(self, row: int, column: int, cell: str) -> Text:
        """Return a cell for the terminal; the best has a star, too, where nothing is bold."""
        beside = " " * any(column == of_best for _, of_best in self.best)
        is_best = (row, column) in self.best
        return Text(printable(cell) + ("*" if is_best else beside), style="bold" if is_best else "")


def accuracy_text(accuracy: Accuracy | Mean | None) -> str:
    """Return an accuracy as "45.8 [44.8, 46.8]", in per cent; a dash for an unknown one."""
    return "–" if accuracy is None else percent_interval(accuracy.accuracy, accuracy.low, accuracy.high)
