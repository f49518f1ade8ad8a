"""The table of how well classes lie apart."""

from collections.abc import Sequence

from srat.evaluation.record import Evaluation
from srat.evaluation.separability import Estimate, Separability
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import class_column_table, rarity, scope_name

_COLUMNS = {"fisher": "Fisher ratio [95 %]", "silhouette": "silhouette [95 %]", "purity": "10-NN purity [95 %]"}


def separability_table(found: Sequence[Separability], evaluation: Evaluation, *, title: str) -> Listing:
    """Return the numbers by group, and by class from the common to the rare."""
    table = class_column_table(title)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    order = rarity(evaluation, evaluation.groups)
    groups = [each for each in found if not each.is_class]
    classes = sorted((each for each in found if each.is_class), key=lambda each: order(each.scope))
    for each in (*groups, *classes):
        cells = [_said(getattr(each, column)) for column in _COLUMNS]
        table.add_row(
            scope_name(each.scope, each.is_class, evaluation, evaluation.groups), *cells, end_section=each is groups[-1]
        )
    return table


def _said(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}  [{estimate.low:6.3f}, {estimate.high:6.3f}]"
