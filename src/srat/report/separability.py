"""The table of how well classes lie apart."""

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from srat.errors import printable
from srat.evaluation import Evaluation
from srat.evaluation.separability import Estimate, Separability

_COLUMNS = {"fisher": "Fisher ratio [95 %]", "silhouette": "silhouette [95 %]", "purity": "10-NN purity [95 %]"}


def separability_table(found: Mapping[str, Separability], evaluation: Evaluation, *, title: str) -> Table:
    """Return the numbers by group, and by class from the common to the rare."""
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("class", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    counts = dict(zip(evaluation.class_names, evaluation.train_counts, strict=True))
    under = {evaluation.class_names[c] for c in evaluation.groups.under}
    groups = [name for name in found if name not in counts]
    for name in (*groups, *sorted((n for n in found if n in counts), key=lambda n: (n in under, -counts[n]))):
        text = Text(printable(name), style="bold" if name in groups else "")
        if name in under:
            text.append("  under", style="yellow")
        cells = [_said(getattr(found[name], column)) for column in _COLUMNS]
        table.add_row(text, *cells, end_section=name == groups[-1])
    return table


def _said(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}  [{estimate.low:6.3f}, {estimate.high:6.3f}]"
