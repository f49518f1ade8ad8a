"""What tables by group and by class share."""

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srat.errors import printable
from srat.evaluation import Evaluation


def print_whole(console: Console, table: Table) -> None:
    """Print a table with all its numbers: a terminal that is narrower wraps its lines."""
    wanted = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if wanted > console.width:
        console = type(console)(width=wanted, force_terminal=console.is_terminal, quiet=console.quiet)
    console.print(table)


def titled_table(title: str) -> Table:
    """Return an empty table in the house style."""
    style = {"title_justify": "left", "title_style": "bold", "caption_justify": "left", "pad_edge": False}
    return Table(title=Text(printable(title)), box=box.SIMPLE_HEAD, **style)  # type: ignore[arg-type]


def class_column_table(title: str) -> Table:
    """Return an empty table with a column for classes."""
    table = titled_table(title)
    table.add_column("class", no_wrap=True)
    return table


def rarity(evaluation: Evaluation) -> Callable[[str], tuple[bool, int]]:
    """Return what sorts class names from the common to the rare, the under-represented ones last."""
    counts, under = dict(zip(evaluation.class_names, evaluation.train_counts, strict=True)), _under(evaluation)
    return lambda name: (name in under, -counts[name])


def _under(evaluation: Evaluation) -> set[str]:
    return {evaluation.class_names[c] for c in evaluation.groups.under}


def scope_name(name: str, is_class: bool, evaluation: Evaluation) -> Text:
    """Return the name of a scope for the first column; under-represented classes are marked."""
    text = Text(printable(name), style="" if is_class else "bold")
    return text.append("  under", style="yellow") if is_class and name in _under(evaluation) else text
