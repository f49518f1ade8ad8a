"""Columns of tables that say of which part images are, and what is done where they cannot be understood."""

from collections import Counter
from collections.abc import Iterable

from srat.core.errors import require
from srat.core.words import counted, few
from srat.data.image_folder.naming import part_of
from srat.data.image_folder.table import Table

WAY_OUT = "or remove the column"


def require_understood(table: Table, said: Iterable[str], *, trained: bool) -> None:
    """Raise ``UserError`` if a table's column of parts says something else than parts, or not which are for training.

    Args:
        table: the table.
        said: what it says of each image; "" where nothing.
        trained: whether any image is known to be for training.
    """
    counts = Counter(said)
    odd = [value for value in counts if value and part_of(value) is None]
    says = f"{table.path}: the column {table.part} says {_shown(counts)}"
    require(not odd, f"{says}; expected train, validation or test: write them there, {WAY_OUT}")
    lacking = f"{says}, and nowhere train: write train where that is meant, {WAY_OUT}"
    require(trained or not {*counts} - {""}, lacking)


def unread_column(table: Table, why: str) -> list[str]:
    """Return what is to be said of a column of parts that is not read, as something else says the part.

    Args:
        table: the table.
        why: what says the part.
    """
    said = list(dict.fromkeys(value for row in table.rows if (value := table.part_said(row))))
    return [f"{table.path.name}: the column {table.part} ({few(said)}) is not read: {why}"] if len(said) > 1 else []


def parts_in(table: Table) -> set[str]:
    """Return the parts that a table's column says."""
    return {part for row in table.rows if (part := part_of(table.part_said(row)))}


def _shown(counts: Counter[str]) -> str:
    """Return values with the number of their rows, those that are not parts first: "eval (1 row), nothing (9 rows)"."""
    ranked = sorted(counts.most_common(), key=lambda each: not each[0] or part_of(each[0]) is not None)
    return few([f"{value or 'nothing'} ({counted(rows, 'row')})" for value, rows in ranked])
