"""Tables as text for other programs: a file each. What a module here is called is what ``--format`` takes."""

import importlib
import pkgutil
from collections.abc import Sequence

from srat.core.errors import unknown
from srat.report.sheets import Sheet

TEXT = "text"
"""For the terminal, whose tables are drawn by rich."""
ENDINGS = {"latex": "tex", "markdown": "md"}
"""What the files' names end with, where it is not the format's name."""
ENDINGS = {"latex": "tex", "markdown": "md"}
"""What the files' names end with, where it is not the format's name."""


def formats() -> list[str]:
    """Return the names of all formats, that for the terminal first."""
    return [TEXT, *sorted(module.name for module in pkgutil.iter_modules(__path__))]


def check_format(name: str) -> None:
    """Raise ``UserError`` unless there is a format of that name."""
    if name not in formats():
        raise unknown("format", name, formats())


def written(sheets: Sequence[Sheet], name: str) -> str:
    """Return tables in a format.

    Args:
        sheets: the tables.
        name: of the format, any but that for the terminal.

    Raises:
        UserError: if there is no such format.
    """
    check_format(name)
    text: str = importlib.import_module(f"{__name__}.{name}").written(sheets)
    return text
