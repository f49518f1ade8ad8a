"""What became of each class and image of an evaluation, as CSV files for spreadsheets and programs."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.files import write_atomically
from srat.data.class_words import labels_of
from srat.data.sources.folder import Folder
from srat.evaluation.classification import confusion_of
from srat.evaluation.examples import Examples
from srat.evaluation.record import CLEAN, Evaluation
from srat.runs.folder import RunFolder, Which, examples_beside

Rows = Iterable[Sequence[object]]


@checked
def write_tables(evaluation: Evaluation, into: Path | str) -> tuple[Path, ...]:
    """Write a run's results as CSV files: of each class, of each image, and what classes are taken for.

    ``classes.csv`` has accuracy with its interval, precision, F1 and AUC; ``images.csv`` what each test image is taken
    for, and whether that is right; ``confusion-NAME.csv`` how many images of each class (rows) are taken for which.
    Shares are in [0, 1]; what is not known is empty.

    Args:
        evaluation: as `srat.evaluate_run` returns it: kept in a run's folder.
        into: the folder to write to, which is made if it is not there.

    Returns:
        The files.

    Raises:
        UserError: if the evaluation is not kept in a run's folder, or nothing is known there of each image.
    """
    require(evaluation.path is not None, "evaluation: expected one that is kept in a run's folder, got none")
    assert evaluation.path is not None
    examples, folder = Examples.read(examples_beside(evaluation.path)), RunFolder(evaluation.path.parent)
    whole = evaluation.path in map(folder.evaluation, get_args(Which))
    tables: dict[str, Rows] = {
        "classes": of_classes(evaluation),
        "images": of_images(examples, _file_names(folder, examples) if whole else ()),
        **{f"confusion-{name}": of_confusion(examples, name) for name in examples.outcomes},
    }
    target = Path(into)
    target.mkdir(parents=True, exist_ok=True)
    return tuple(_written(target / f"{name}.csv", rows) for name, rows in tables.items())


def of_classes(evaluation: Evaluation) -> Rows:
    """Yield a heading and a row for each class."""
    results, found = evaluation.results, evaluation.results.get(CLEAN)
    areas = found.probabilities.auc if found is not None and found.probabilities is not None else None
    columns = ("accuracy", "low", "high", "precision", "f1")
    yield (
        *("class", "train_images", "test_images"),
        *(f"{name}_{column}" for name in results for column in columns),
        *(["auc"] if areas else []),
    )
    totals = next(iter(results.values())).counts.total
    for c, name in enumerate(evaluation.class_names):
        cells: list[float | None] = []
        for result in results.values():
            cells += [*result.counts.accuracy([c]), *(_of(each, c) for each in (result.precision, result.f1))]
        shown = [_cell(value) for value in (*cells, *([areas[c]] if areas else []))]
        yield name, evaluation.train_counts[c], totals[c], *shown


def of_images(examples: Examples, names: Sequence[str] = ()) -> Rows:
    """Yield a heading and a row for each test image, with its file where that is known."""
    classes, outcomes = examples.class_names, examples.outcomes
    of_each = [f"{name}_{column}" for name in outcomes for column in ("predicted", "right")]
    yield ("image", *(["file"] if names else []), "class", *of_each)
    columns = [
        column for each in outcomes.values() for column in (each.predicted.tolist(), each.survived.int().tolist())
    ]
    for number, label in enumerate(examples.labels.tolist()):
        cells = [column[number] for column in columns]
        shown = [_taken(cells, place, label, classes) for place in range(len(cells))]
        yield (number, *([names[number]] if names else []), classes[label], *shown)


def _taken(cells: Sequence[int], place: int, label: int, classes: Sequence[str]) -> object:
    """Return what an image is taken for, or whether that is right; nothing where logits were no numbers."""
    if place % 2:
        return cells[place]
    nothing = cells[place] == label and not cells[place + 1]
    return "" if nothing else classes[cells[place]]


def of_confusion(examples: Examples, name: str) -> Rows:
    """Yield a heading and a row for each class: how many of its images are taken for which."""
    classes = examples.class_names
    yield ("class", *classes)
    found = confusion_of(examples.outcomes[name], examples.labels, len(classes)).tolist()
    for class_name, row in zip(classes, found, strict=True):
        yield (class_name, *row)


def _file_names(folder: RunFolder, examples: Examples) -> Sequence[str]:
    """Return the files of the run's own test images, in their order; none if they are no files, or others are there."""
    record = folder.record
    if record is None:
        return ()
    data = Config.read(folder.config, opening=True).data
    if not isinstance(data, Folder):
        return ()
    chosen, names = labels_of(data.classes, record.classes), list(record.parts.get("test", ()))
    if chosen:
        names = [name for name, label in zip(names, record.labels_of("test"), strict=True) if label in chosen]
    return names if len(names) == len(examples.labels) else ()


def _of(values: Sequence[float] | None, place: int) -> float | None:
    return None if values is None else values[place]


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _written(path: Path, rows: Rows) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(path, text.getvalue())
    return path
