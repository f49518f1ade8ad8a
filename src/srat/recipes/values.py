"""The numbers that the paper prints, from the .csv files beside the recipes."""

import csv
from importlib.resources import files
from typing import cast

from srat.recipes.base import Metric, PaperValue, Scope


def paper_values(name: str) -> tuple[PaperValue, ...]:
    """Return the numbers of a table, in the order in which it prints them.

    Args:
        name: "table1" for table1.csv, with the columns row, column, metric, scope, percent.
    """
    lines = files(__package__).joinpath(f"{name}.csv").read_text().splitlines()
    return tuple(
        PaperValue(
            row=line["row"],
            column=line["column"],
            metric=cast(Metric, line["metric"]),
            scope=cast(Scope, line["scope"]),
            accuracy=round(float(line["percent"]) / 100, 6),
        )
        for line in csv.DictReader(lines)
    )
