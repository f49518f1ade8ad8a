"""Tables as JSON: the numbers themselves, an object each, where a table has them."""

import json
from collections.abc import Sequence

from srat.report.sheets import Sheet


def written(sheets: Sequence[Sheet]) -> str:
    """Return the numbers behind tables, or their cells by their headings, as one list."""
    records = [
        record
        for sheet in sheets
        for record in sheet.records or [dict(zip(sheet.headings, row, strict=True)) for row in sheet.rows]
    ]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
