"""Tables as CSV: the numbers themselves, a line each, where a table has them."""

import csv
import io
from collections.abc import Sequence

from srat.report.sheets import Sheet


def written(sheets: Sequence[Sheet]) -> str:
    """Return the numbers behind tables, or their cells; of several tables one after the other, under one heading."""
    records = [record for sheet in sheets for record in sheet.records]
    if not records:
        return "\n".join(to_csv(sheet.headings, sheet.rows) for sheet in sheets)
    headings = list(dict.fromkeys(name for record in records for name in record))
    return to_csv(headings, [[record.get(name) for name in headings] for record in records])


def to_csv(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows of values as CSV; a list is its values with blanks between them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([[_said(value) for value in row] for row in rows])
    return text.getvalue()


def _said(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
