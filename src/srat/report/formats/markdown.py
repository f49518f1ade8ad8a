"""Tables as Markdown."""

import re
from collections.abc import Iterator, Sequence

from srat.core.errors import printable
from srat.report.sheets import Sheet


def written(sheets: Sequence[Sheet]) -> str:
    """Return tables as Markdown, each below its title."""
    return "\n".join(map(_table, sheets))


def _table(sheet: Sheet) -> str:
    lines = [list(map(in_markdown, sheet.headings)), _sides(sheet), *_rows(sheet)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{in_markdown(sheet.title)}**\n\n{body}\n" + (f"\n{sheet.note}\n" if sheet.note else "")


def _sides(sheet: Sheet) -> list[str]:
    return ["---"] * sheet.keys + ["---:"] * (len(sheet.headings) - sheet.keys)


def _rows(sheet: Sheet) -> Iterator[list[str]]:
    for row, cells in enumerate(sheet.rows):
        plain = map(in_markdown, cells)
        yield [f"**{cell}**" if (row, column) in sheet.best else cell for column, cell in enumerate(plain)]


def in_markdown(text: str) -> str:
    """Return a stranger's text as Markdown that shows it, on one line: no markup, no link, no image."""
    plain = re.sub(r"([\\`*_|])", r"\\\1", printable(text))
    return plain.replace("](", "]\\(").replace("&", "&amp;").replace("<", "&lt;")
