"""Tables for the terminal."""

import math

from rich.console import Console
from rich.text import Text

from srat.core.errors import printable
from srat.core.words import counted, percent_interval
from srat.evaluation.comparison import CLASS_MEAN, OVERALL
from srat.evaluation.groups import AnyGroups
from srat.evaluation.record import Evaluation, summary
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import aligned_interval, class_name, print_whole, titled_table
from srat.report.wording import LOWEST, figures_text, last_step_text, stopped_text, worst_text
from srat.statistics.intervals import Accuracy


def print_evaluation(
    console: Console, evaluation: Evaluation, *, title: str, held_out: int, groups: AnyGroups | None = None
) -> None:
    """Print the accuracies of each class and group, in as many tables as the width asks for, and notes on them.

    Args:
        console: where to print.
        evaluation: the accuracies.
        title: above the table.
        held_out: how many training images the weights did not learn from, as they chose the best epoch.
        groups: of classes; the paper's unless given.
    """
    groups = groups or evaluation.groups
    print_whole(console, class_table(evaluation, title=title, groups=groups))
    said = (
        trained_on(evaluation, held_out),
        stopped_text(evaluation),
        last_step_text(evaluation),
        worst_line(evaluation),
        figures_text(evaluation),
    )
    for note in (*filter(None, said), *groups.notes, *notes(evaluation)):
        console.print(note, highlight=False, markup=False)


def class_table(evaluation: Evaluation, *, title: str, groups: AnyGroups | None = None) -> Listing:
    """Return the accuracy of each class and group under each attack, in per cent with 95 % intervals.

    Classes come in the order of their groups and training counts; the rare ones are marked, or each with
    its group where that is by another definition than the paper's.
    """
    table = titled_table(title, keys=2)
    table.add_column("class")
    table.add_column("train", justify="right", no_wrap=True)
    for name in evaluation.results:
        table.add_column(Text(f"{printable(name)} % [95 % interval]"), justify="right", no_wrap=True)
    groups, counts = groups or evaluation.groups, evaluation.train_counts
    for name, classes in (groups.named or {"": tuple(range(len(counts)))}).items():
        order = sorted(classes, key=lambda c: (-counts[c], c))
        for c in order:
            cells = [accuracy_cell(result.counts.accuracy([c])) for result in evaluation.results.values()]
            shown = class_name(evaluation.class_names[c], name)
            table.add_row(shown, f"{counts[c]:,}", *cells, end_section=c == order[-1])
    _add_summary(table, evaluation, groups)
    return table


def accuracy_cell(accuracy: Accuracy) -> str:
    """Return an accuracy as "61.2  [59.8,  62.6]", in per cent; a dash where there is no image."""
    if math.isnan(accuracy.accuracy):
        return "–"
    return f"{100 * accuracy.accuracy:.1f}  {aligned_interval(accuracy.low, accuracy.high)}"


def notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader of the table should be told."""
    said = []
    counts = next(iter(evaluation.results.values())).counts
    if counts.uneven:
        totals = [total for total in counts.total if total]
        said.append(
            f"The test set is not balanced ({min(totals):,} to {max(totals):,} images per class): 'overall' favours "
            f"the large classes, '{CLASS_MEAN}' takes all alike."
        )
    return said + [str(result.attack["note"]) for result in evaluation.results.values() if "note" in result.attack]


def trained_on(evaluation: Evaluation, held_out: int) -> str:
    """Return what the weights learned from; holding images out changes the ratio a little."""
    most, least = max(evaluation.train_counts), min(evaluation.train_counts)
    each = f"{most:,}" if most == least else f"{most:,} to {least:,}"
    ratio = f"{most / least:.1f} : 1" if least else "some classes are empty"
    without = f"; {counted(held_out, 'more was', 'more were')} held out" if held_out else ""
    return f"The weights learned from {each} images per class ({ratio}){without}."


def worst_line(evaluation: Evaluation) -> str:
    """Return which class is the worst under each attack, how sure that is, and what its interval is for."""
    names = [printable(name) for name in evaluation.class_names]
    parts = (f"{name}: {worst_text(result.counts.worst(), names)}" for name, result in evaluation.results.items())
    return f"Worst class, {'; '.join(parts)}. Its {LOWEST}"


def best_line(evaluation: Evaluation, epoch: int) -> str:
    """Return the summary of the best-on-held-out weights in one line."""
    parts = [
        f"{name} {percent_interval(*overall)}" + (f" (rare {percent_interval(*under)})" * bool(evaluation.groups.under))
        for name, overall, under in _overall_under(evaluation)
    ]
    return f"The held-out part chooses epoch {epoch}. It has on test images, in %: {', '.join(parts)}"


def _overall_under(evaluation: Evaluation) -> list[tuple[str, Accuracy, Accuracy]]:
    rows = []
    for name, result in evaluation.results.items():
        values = summary(result.counts, evaluation.groups)
        rows.append((name, values["overall"], values["under"]))
    return rows


def _add_summary(table: Listing, evaluation: Evaluation, groups: AnyGroups) -> None:
    counts = [result.counts for result in evaluation.results.values()]
    for name, classes in {OVERALL: tuple(range(len(evaluation.train_counts))), **groups.named}.items():
        images = sum(evaluation.train_counts[c] for c in classes)
        cells = (accuracy_cell(each.accuracy(classes)) for each in counts)
        table.add_row(Text(name, style="bold"), f"{images:,}", *cells)
        if name == OVERALL and any(each.uneven for each in counts):
            means = (accuracy_cell(each.balanced()) for each in counts)
            table.add_row(Text(CLASS_MEAN, style="bold"), "", *means)
    worst = (accuracy_cell(each.worst().accuracy) for each in counts)
    table.add_row(Text("worst class", style="bold"), "", *worst)
