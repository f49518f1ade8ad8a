"""Tables for the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from srat.errors import printable
from srat.evaluation import Accuracy, Evaluation, Groups, summary

_SUMMARY_NAMES = {
    "overall": "overall",
    "well": "well-represented",
    "under": "under-represented",
    "worst_class": "worst class",
}
_WIDEST = 10_000


def print_evaluation(console: Console, evaluation: Evaluation, *, title: str) -> None:
    """Print the accuracies of each class and group, in as many tables as the width asks for, and notes on them."""
    for part in _parts(console, evaluation):
        console.print(class_table(part, title=title))
    for note in (trained_on(evaluation), *notes(evaluation)):
        console.print(note, highlight=False, markup=False)


def _parts(console: Console, evaluation: Evaluation) -> Iterator[Evaluation]:
    """Yield evaluations with some of the results each, whose tables fit into the console's width."""
    part = replace(evaluation, results={})
    for name, result in evaluation.results.items():
        longer = part.with_results({name: result})
        wanted = console.measure(class_table(longer, title=""), options=console.options.update(max_width=_WIDEST))
        if part.results and wanted.maximum > console.width:
            yield part
            longer = replace(evaluation, results={name: result})
        part = longer
    yield part


def class_table(evaluation: Evaluation, *, title: str) -> Table:
    """Return the accuracy of each class and group under each attack, in per cent with 95 % intervals.

    Classes come in the order of their training counts; the under-represented ones are marked.
    """
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("class", no_wrap=True)
    table.add_column("train", justify="right", no_wrap=True)
    for name in evaluation.results:
        table.add_column(Text(f"{printable(name)} % [95 % interval]"), justify="right", no_wrap=True)
    groups, counts = evaluation.groups, evaluation.train_counts
    order = sorted(range(len(counts)), key=lambda c: (c in groups.under, -counts[c], c))
    for position, c in enumerate(order):
        under = c in groups.under
        cells = [percent(result.counts.accuracy([c])) for result in evaluation.results.values()]
        last_of_group = position in (len(groups.well) - 1, len(order) - 1)
        table.add_row(
            _class_cell(evaluation.class_names[c], under), f"{counts[c]:,}", *cells, end_section=last_of_group
        )
    _add_summary(table, evaluation, groups)
    return table


def percent(accuracy: Accuracy) -> str:
    """Return an accuracy as "61.2  [59.8, 62.6]", in per cent."""
    if accuracy.accuracy != accuracy.accuracy:
        return "–"
    return f"{100 * accuracy.accuracy:.1f}  [{100 * accuracy.low:4.1f}, {100 * accuracy.high:5.1f}]"


def notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader of the table should be told."""
    said = []
    totals = next(iter(evaluation.results.values())).counts.total
    if len(set(totals)) > 1:
        macro = {name: 100 * result.counts.macro() for name, result in evaluation.results.items()}
        means = ", ".join(f"{name} {value:.1f} %" for name, value in macro.items())
        said.append(
            f"The test set is not balanced ({min(totals):,} to {max(totals):,} images a class): "
            f"'overall' leans to the large classes; the mean over the classes is {means}."
        )
    return said + [str(result.attack["note"]) for result in evaluation.results.values() if "note" in result.attack]


def trained_on(evaluation: Evaluation) -> str:
    """Return what the weights learned from; holding images out changes the ratio a little."""
    counts = evaluation.train_counts
    ratio = f"{max(counts) / min(counts):.1f} : 1" if min(counts) else "with empty classes"
    return (
        f"The weights learned from {max(counts):,} to {min(counts):,} images a class, {ratio}, without those held out."
    )


def best_line(evaluation: Evaluation, epoch: int) -> str:
    """Return the summary of the best-on-held-out weights in one line."""
    parts = [
        f"{name} {100 * overall.accuracy:.1f} (under {100 * under.accuracy:.1f})"
        for name, overall, under in _overall_under(evaluation)
    ]
    return f"Best epoch on the held-out part, {epoch}: " + ", ".join(parts) + " %"


def _overall_under(evaluation: Evaluation) -> list[tuple[str, Accuracy, Accuracy]]:
    rows = []
    for name, result in evaluation.results.items():
        values = summary(result.counts, evaluation.groups)
        rows.append((name, values["overall"], values["under"]))
    return rows


def _class_cell(name: str, under: bool) -> Text:
    text = Text(printable(name))
    return text.append("  under", style="yellow") if under else text


def _add_summary(table: Table, evaluation: Evaluation, groups: Groups) -> None:
    images = {
        "overall": evaluation.train_counts,
        "well": _at(evaluation, groups.well),
        "under": _at(evaluation, groups.under),
    }
    summaries = [summary(result.counts, groups) for result in evaluation.results.values()]
    for key, label in _SUMMARY_NAMES.items():
        total = f"{sum(images[key]):,}" if key in images else ""
        table.add_row(Text(label, style="bold"), total, *(percent(values[key]) for values in summaries))


def _at(evaluation: Evaluation, classes: Sequence[int]) -> list[int]:
    return [evaluation.train_counts[c] for c in classes]
