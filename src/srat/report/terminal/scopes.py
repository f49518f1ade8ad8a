"""What tables by group and by class share."""

import os
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from srat.core.errors import printable
from srat.evaluation.groups import COMMON, AnyGroups
from srat.evaluation.record import Evaluation
from srat.report.terminal.listing import Listing
from srat.report.terminal.names import Name

NARROW = 80
"""Columns that a table is made to fit where no terminal says how many there are, if it can be as narrow."""


def print_whole(console: Console, table: Listing) -> None:
    """Print a table with all its numbers, in several parts if it has to be.

    What is wider than a terminal even so is printed whole, and the terminal wraps its lines.
    """
    for part in table.parts(console, _room(console, table)):
        wanted = console.measure(part, options=console.options.update(max_width=10_000)).maximum
        wide = type(console)(file=console.file, width=wanted, force_terminal=console.is_terminal, quiet=console.quiet)
        (wide if wanted > console.width else console).print(part)


def _room(console: Console, table: Listing) -> int:
    """Return how wide a table may be: the terminal, what COLUMNS says, else `NARROW` where that does."""
    said = os.environ.get("COLUMNS", "")
    if console.is_terminal:
        return console.width
    if said.isdecimal() and int(said):
        return int(said)
    return NARROW if table.least(console) <= NARROW else console.width


def titled_table(title: str, *, keys: int = 1) -> Listing:
    """Return an empty table in the house style; ``keys`` are its first columns, which name what the others tell."""
    return Listing(Text(printable(title)), keys=keys)


def class_column_table(title: str) -> Listing:
    """Return an empty table with a column for classes."""
    table = titled_table(title)
    table.add_column("class")
    return table


def aligned_interval(low: float, high: float) -> str:
    """Return an interval in per cent whose brackets and commas stand below each other in a column."""
    return f"[{100 * low:4.1f}, {100 * high:5.1f}]"


def rarity(evaluation: Evaluation, groups: AnyGroups) -> Callable[[str], tuple[int, int]]:
    """Return what sorts class names by group, and within it from the common to the rare."""
    counts = dict(zip(evaluation.class_names, evaluation.train_counts, strict=True))
    place = {evaluation.class_names[c]: number for number, classes in enumerate(groups.named.values()) for c in classes}
    return lambda name: (place.get(name, 0), -counts[name])


def scope_name(name: str, is_class: bool, evaluation: Evaluation, groups: AnyGroups) -> Name | Text:
    """Return the name of a scope for the first column; classes are marked with their group."""
    if not is_class:
        return Text(name, style="bold")
    return class_name(name, group_of(list(evaluation.class_names).index(name), groups))


def group_of(number: int, groups: AnyGroups) -> str:
    """Return the name of the group that a class is in."""
    return next((name for name, classes in groups.named.items() if number in classes), "")


def class_name(name: str, group: str = "") -> Name:
    """Return the name of a class for a table, marked with its group; of the paper's two the rare one alone."""
    mark = "" if group == COMMON else group
    return Name(name=name, after=f"  {mark}" if mark else "")
