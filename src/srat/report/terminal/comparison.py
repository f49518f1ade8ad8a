"""The table of two models, or methods, on the same images."""

import math
from collections.abc import Sequence

from rich.text import Text

from srat.evaluation.comparison import Comparison, Scope
from srat.evaluation.groups import AnyGroups
from srat.evaluation.record import Evaluation
from srat.report.terminal.listing import Listing
from srat.report.terminal.names import Name, fitted
from srat.report.terminal.scopes import aligned_interval, class_column_table, rarity, scope_name
from srat.report.wording import p_text
from srat.statistics.intervals import Mean

NAME = 20
"""Columns of a terminal for a contender's name above its numbers."""


def comparison_table(
    rows: Sequence[Comparison], first: str, second: str, evaluation: Evaluation, groups: AnyGroups
) -> Listing:
    """Return the comparisons under one attack, groups first and then the classes, from the common to the rare.

    Args:
        rows: overall, by group and by class.
        first: the first contender's name.
        second: the second's.
        evaluation: says which classes are common.
        groups: of classes.
    """
    table = class_column_table(f"{second} against {first}, {rows[0].attack}, {rows[0].images:,} images")
    names = (f"{name} %" for name in fitted({first: NAME, second: NAME}).values())
    for heading in (*names, "difference [95 %]", "only one right", "p", "corrected"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    by_group = [row for row in rows if not row.is_class]
    order = rarity(evaluation, groups)
    for row in (*by_group, *sorted((row for row in rows if row.is_class), key=lambda row: order(row.scope))):
        table.add_row(*_cells(row, evaluation, groups), end_section=row is by_group[-1])
    return table


def means_table(means: Sequence[tuple[Scope, Mean]], title: str, evaluation: Evaluation, groups: AnyGroups) -> Listing:
    """Return the mean accuracies over seeds under one attack, groups first and then the classes."""
    table = class_column_table(title)
    table.add_column("mean ± over seeds [95 % interval]", justify="right", no_wrap=True)
    by_group = [row for row in means if not row[0].is_class]
    order = rarity(evaluation, groups)
    for row in (*by_group, *sorted((row for row in means if row[0].is_class), key=lambda row: order(row[0].name))):
        scope, mean = row
        table.add_row(
            scope_name(scope.name, scope.is_class, evaluation, groups),
            _mean_cell(mean),
            end_section=row is by_group[-1],
        )
    return table


def _cells(row: Comparison, evaluation: Evaluation, groups: AnyGroups) -> list[Text | Name]:
    d = row.difference
    style = ("green" if d.difference > 0 else "red") if row.told_apart else ""
    return [
        scope_name(row.scope, row.is_class, evaluation, groups),
        Text(_mean_cell(row.first)),
        Text(_mean_cell(row.second)),
        Text(f"{100 * d.difference:+.1f}  [{100 * d.low:+5.1f}, {100 * d.high:+5.1f}]", style=style),
        Text(f"{row.only_first:,} : {row.only_second:,}"),
        Text(p_text(d.p)),
        Text(p_text(row.corrected), style=style),
    ]


def _mean_cell(mean: Mean) -> str:
    """Return an accuracy in per cent; of several seeds with spread and interval."""
    said = f"{100 * mean.accuracy:.1f}"
    if math.isnan(mean.spread):
        return said
    return f"{said} ± {100 * mean.spread:3.1f}  {aligned_interval(mean.low, mean.high)}"
