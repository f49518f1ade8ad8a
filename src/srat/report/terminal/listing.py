"""Tables whose names give way, so that their numbers are whole at any width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from srat.report.terminal.names import Name, fitted

LEAST = 17
"""Columns of a terminal that a name or a text keeps (which "worst class" needs) without a ``min_width``."""
_GAP = 3
"""Between two columns of a table."""
_BOUNDLESS = 10_000


class Listing(Table):
    """A table in the house style.

    Columns without ``no_wrap`` give way where there is too little room: names (see `Name`) are shortened, texts
    wrapped. What is too wide even so goes on in a further table.

    Args:
        title: above it.
        keys: how many of its first columns a further table repeats.
    """

    def __init__(self, title: str | Text = "", *, keys: int = 1) -> None:
        super().__init__(
            title=title,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            caption_justify="left",
            pad_edge=False,
        )
        self.keys = keys

    def parts(self, console: Console, width: int) -> list[Table]:
        """Return tables of at most ``width`` that have all columns between them; what cannot be narrower is wider."""
        measured = [_measured(console, column) for column in self.columns]
        parts = list(_split(measured, self.keys, width))
        most = min(_most(part, width) for part in parts)  # one for all, so that a name looks the same in each
        return [self._part(part, most, is_last=part is parts[-1]) for part in parts]

    def least(self, console: Console) -> int:
        """Return the least width of a single table with all columns."""
        return _width([_measured(console, column) for column in self.columns], 0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Yield the tables for the width that there is."""
        yield from self.parts(console, options.max_width)

    def _part(self, columns: Sequence["_Measured"], most: int, *, is_last: bool) -> Table:
        table = Table(title=self.title, box=self.box, title_justify="left", title_style="bold", pad_edge=False)
        table.show_header = self.show_header
        if is_last:
            table.caption, table.caption_justify = self.caption, "left"
        for each in columns:
            table.add_column(
                each.column.header,
                justify=each.column.justify,
                no_wrap=each.column.no_wrap,
                overflow="fold",
                width=each.within(most),
            )
        cells = zip(*(_cells(each, most) for each in columns), strict=True)
        for row, of_row in zip(self.rows, cells, strict=True):
            table.add_row(*of_row, end_section=row.end_section)
        return table


@dataclass(frozen=True)
class _Measured:
    """A column, and the width that it has where there is room."""

    column: Column
    natural: int

    def within(self, most: int) -> int:
        """Return its width where those that give way have ``most``, but no less than their least."""
        if self.column.no_wrap:
            return self.natural
        return min(self.natural, max(most, self.column.min_width or LEAST))


def _measured(console: Console, column: Column) -> _Measured:
    options = console.options.update(max_width=_BOUNDLESS)
    natural = max(Measurement.get(console, options, each).maximum for each in (column.header, *column.cells))
    return _Measured(column, natural if column.max_width is None else min(natural, column.max_width))


def _split(columns: Sequence[_Measured], keys: int, width: int) -> Iterator[list[_Measured]]:
    part = list(columns[:keys])
    for column in columns[keys:]:
        if len(part) > keys and _width([*part, column], 0) > width:
            yield part
            part = list(columns[:keys])
        part.append(column)
    yield part


def _width(columns: Sequence[_Measured], most: int) -> int:
    return sum(each.within(most) for each in columns) + _GAP * len(columns) - 1


def _most(columns: Sequence[_Measured], width: int) -> int:
    """Return the largest width of the columns that give way with which the table fits, 0 if it does with none."""
    widest = max(each.natural for each in columns)
    return next((most for most in range(widest, 0, -1) if _width(columns, most) <= width), 0)


def _cells(measured: _Measured, most: int) -> list[RenderableType]:
    cells, width = list(measured.column.cells), measured.within(most)
    room: dict[str, int] = {}
    for cell in cells:
        if isinstance(cell, Name):
            room[cell.name] = min(room.get(cell.name, width), width - cell.beside)
    shown = fitted(room)
    return [cell.shown(shown[cell.name]) if isinstance(cell, Name) else cell for cell in cells]
