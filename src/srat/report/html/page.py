"""What the templates are given, and the page that comes of it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import torch
from rich.cells import cell_len

from srat.attacks import Natural
from srat.evaluation.record import CLEAN
from srat.report.html.charts import Chart, Series, chart
from srat.report.html.record import RunRecord
from srat.report.html.verdict import attack_text, verdict_of
from srat.report.terminal.names import fitted
from srat.report.wording import budget_text, weights_text
from srat.statistics.intervals import Accuracy
from srat.version import version

if TYPE_CHECKING:
    from jinja2 import Environment

LARGEST_PAGE = 3_000_000
"""Bytes; galleries that would go beyond are left out."""
SHOWN_CLASSES = 25
"""Classes of which all confusions are shown; of more, only what the rare ones are taken for."""
_ALSO_TAKEN_FOR = 3
COMMON, RARE = "common classes", "rare classes"
_NAME = 40
"""Columns of a class's name, as a terminal would count them, …"""
_HEADING = 24
"""… and above a column."""
_MAP_SIDE = 400.0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An accuracy in per cent, with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, accuracy: Accuracy) -> "Bar | None":
        """Return the bar of an accuracy; None where there is no image."""
        if math.isnan(accuracy.accuracy):
            return None
        return cls(value=100 * accuracy.accuracy, low=100 * accuracy.low, high=100 * accuracy.high)


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class, or a group of them, with its accuracies."""

    name: str
    images: int | None
    """Training images."""
    share: float
    """Of the most frequent class's, in per cent."""
    rare: bool
    bars: Sequence[Bar | None]
    """One for each result."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What the images of each class are taken for, under one attack."""

    result: str
    table: Sequence[Sequence[float]]
    """(classes, classes), per cent of the true class's images; empty if there are too many classes."""
    taken: Sequence[tuple[int, float, Sequence[tuple[int, float]]]]
    """Of each rare class: how many are right, and what most of the others are taken for, in per cent."""


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    """An image on the map."""

    x: float
    y: float
    label: int


def render(records: Sequence[RunRecord], *, findings: Sequence[str] = ()) -> str:
    """Return a page that needs nothing else, under `LARGEST_PAGE` bytes wherever leaving out galleries can do it.

    Args:
        records: the runs, at least one.
        findings: what follows from comparing them.
    """
    template = _environment().get_template("page.html.j2")
    shown = list(records)
    while True:
        text = template.render(
            runs=[_shown(record, number) for number, record in enumerate(shown)],
            findings=findings,
            version=version(),
            style=_asset("style.css"),
            script=_asset("script.js"),
        )
        galleries = [number for number, record in enumerate(shown) if record.gallery]
        if len(text.encode()) < LARGEST_PAGE or not galleries:
            return text
        shown[galleries[-1]] = dataclasses.replace(shown[galleries[-1]], gallery=())


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("srat.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> Any:
    from markupsafe import Markup

    return Markup(files("srat.report.html").joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def _shown(record: RunRecord, number: int) -> dict[str, Any]:
    """Return what the template of a run is given."""
    evaluation = record.evaluation
    threat = record.robust.counts
    whose = weights_text(record.config, record.which)
    return {
        "id": f"run{number}",
        "name": record.name,
        "record": record,
        "config": record.config,
        "title": f"{record.config.method} on {record.config.data.title}"
        + ("" if whose == "last epoch" else f", weights of the {whose}"),
        "verdict": verdict_of(record),
        "attack": attack_text(record),
        "budget": budget_text(record.config.evaluation),
        "tiles": [
            (name, Bar.of(record.clean.counts.accuracy(classes)), Bar.of(threat.accuracy(classes)))
            for name, classes in groups_of(record)
            if name != COMMON
        ],
        "worst": (
            evaluation.class_names[threat.worst_class()],
            Bar.of(threat.accuracy([threat.worst_class()])),
        ),
        "results": list(evaluation.results),
        "classes": class_rows(record),
        "groups": group_rows(record),
        "rare": record.rare,
        "names": on_page(evaluation.class_names, _NAME),
        "headings": on_page(evaluation.class_names, _HEADING),
        "robust_bars": [Bar.of(threat.accuracy([c])) for c in range(len(evaluation.class_names))],
        "confusions": confusions(record),
        "charts": charts_of(record),
        "map": map_points(record),
        "separability": separability_rows(record),
        "settings": settings(record),
    }


def on_page(names: Sequence[str], width: int) -> dict[str, str]:
    """Return what to show of each name: all of it, or its beginning and its end where it is longer than ``width``."""
    shown = fitted(dict.fromkeys(names, width))
    return {name: shown[name] if cell_len(name) > width else name for name in names}


def class_rows(record: RunRecord) -> list[ClassRow]:
    """Return a row for each class, the most frequent first."""
    evaluation = record.evaluation
    most = max(evaluation.train_counts)
    return [
        ClassRow(
            name=evaluation.class_names[c],
            images=evaluation.train_counts[c],
            share=100 * evaluation.train_counts[c] / max(1, most),
            rare=c in record.rare,
            bars=[Bar.of(result.counts.accuracy([c])) for result in evaluation.results.values()],
        )
        for c in reversed(record.by_rarity)
    ]


def groups_of(record: RunRecord) -> list[tuple[str, Sequence[int]]]:
    """Return all classes, and the common and the rare ones where there are such."""
    found: list[tuple[str, Sequence[int]]] = [("all classes", range(len(record.evaluation.class_names)))]
    return found + ([(COMMON, record.evaluation.groups.well), (RARE, record.rare)] if record.rare else [])


def group_rows(record: RunRecord) -> list[ClassRow]:
    """Return a row for each group of classes."""
    evaluation = record.evaluation
    return [
        ClassRow(
            name=name,
            images=sum(evaluation.train_counts[c] for c in classes),
            share=0.0,
            rare=name == RARE,
            bars=[Bar.of(result.counts.accuracy(classes)) for result in evaluation.results.values()],
        )
        for name, classes in groups_of(record)
    ]


def confusions(record: RunRecord) -> list[Confusion]:
    """Return what each class is taken for: under the strongest attack first, last as the images are."""
    examples = record.examples
    if examples is None:
        return []
    classes = len(examples.class_names)
    totals = torch.bincount(examples.labels, minlength=classes)
    told = [c for c in record.by_rarity if c in record.rare or not record.rare]
    hardest = sorted(examples.outcomes, key=lambda name: (name == CLEAN, int(examples.outcomes[name].survived.sum())))
    found = []
    for name in hardest:
        survived = examples.outcomes[name].survived
        pairs = (examples.labels * classes + examples.outcomes[name].predicted)[~survived]
        counts = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()
        # Of logits that are no numbers the true class may be the largest: right is what has survived.
        counts.diagonal().copy_(torch.bincount(examples.labels[survived], minlength=classes))
        shares = 100 * counts / totals.clamp(min=1)[:, None]
        found.append(
            Confusion(
                result=name,
                table=shares.tolist() if classes <= SHOWN_CLASSES else [],
                taken=[_taken(shares[c].tolist(), c) for c in told if int(totals[c])],
            )
        )
    return found


def _taken(shares: Sequence[float], c: int) -> tuple[int, float, list[tuple[int, float]]]:
    others = sorted(((share, -other) for other, share in enumerate(shares) if other != c and share > 0), reverse=True)
    return c, shares[c], [(-other, share) for share, other in others[:_ALSO_TAKEN_FOR]]


def charts_of(record: RunRecord) -> list[Chart]:
    """Return the curves of the training; none without metrics."""
    history = record.history
    if not history:
        return []
    schedule, epochs = record.config.schedule, record.config.epochs
    marks = [(m, "rate falls") for m in schedule.milestones_of(epochs)]
    first = schedule.reweight_epoch_of(epochs)
    if record.config.weighting.name != "uniform" and first > 0:
        marks = [(m, "rate falls, weights apply" if m == first else text) for m, text in marks]
        marks += [] if any(m == first for m, _ in marks) else [(first, "weights apply")]

    def series(name: str, column: str, factor: float = 1.0, interval: bool = False) -> Series:
        def values(which: str) -> list[float]:
            return [factor * float(row.get(which, math.nan)) for row in history]

        ends = {"low": values(f"{column}_low"), "high": values(f"{column}_high")} if interval else {}
        return Series(name=name, values=values(column), **ends)

    natural = isinstance(record.config.attack, Natural)
    accuracies = [series("training images" if natural else "training images, attacked", "train_accuracy", 100)]
    if "held_out_robust" in history[0]:
        attacked = "" if natural else ", attacked"
        accuracies += [series("held out, mean of classes", "held_out_clean", 100)]
        accuracies += [] if natural else [series("held out, attacked, mean of classes", "held_out_robust", 100)]
        rare = series(f"held out{attacked}, rare classes", "held_out_under", 100, interval=True)
        accuracies += [rare] * bool(record.rare)
    has_feature_loss = record.config.feature_loss.name != "none"
    losses = [series("prediction loss", "prediction_loss")]
    losses += [series("feature loss", "feature_loss")] if has_feature_loss else []
    found = [
        chart("Accuracy", " %", accuracies, marks=marks),
        chart("Loss", "", losses, marks=marks),
        chart("Length of the gradient", "", [series("mean over the steps", "gradient_norm")], marks=marks),
    ]
    if has_feature_loss:
        anchors = [series("all classes", "anchors_without_positive", 100)]
        anchors += [series("rare classes", "under_anchors_without_positive", 100)] * bool(record.rare)
        found.append(chart("Images without another of their class in the batch", " %", anchors, marks=marks))
    return found


def map_points(record: RunRecord) -> list[MapPoint]:
    """Return the feature map, fitted into a square."""
    if record.map is None or not record.map.points:
        return []
    across, up = zip(*record.map.points, strict=True)
    side = max(max(across) - min(across), max(up) - min(up)) or 1.0
    return [
        MapPoint(
            x=round(_MAP_SIDE * (x - min(across)) / side, 1),
            y=round(_MAP_SIDE * (max(up) - y) / side, 1),
            label=label,
        )
        for (x, y), label in zip(record.map.points, record.map.labels, strict=True)
    ]


def separability_rows(record: RunRecord) -> list[tuple[str, list[str]]]:
    """Return how far the groups lie apart in the features of the map: purity, silhouette, Fisher ratio."""
    if record.map is None:
        return []
    return [
        (
            str(each["scope"]),
            [_interval(each.get(name, {}), digits=2) for name in ("purity", "silhouette", "fisher")],
        )
        for each in record.map.separability
        if not each.get("is_class", True)
    ]


def _interval(number: Any, *, digits: int) -> str:
    try:
        return f"{number['value']:.{digits}f} [{number['low']:.{digits}f}, {number['high']:.{digits}f}]"
    except (KeyError, TypeError, ValueError):
        return "–"


def settings(record: RunRecord) -> list[tuple[str, str]]:
    """Return the configuration, a line for each setting."""

    def lines(prefix: str, value: Any) -> list[tuple[str, str]]:
        if isinstance(value, dict):
            return [
                line for name, inner in value.items() for line in lines(f"{prefix}.{name}" if prefix else name, inner)
            ]
        return [(prefix, value if isinstance(value, str) else json.dumps(value))]

    return lines("", record.config.to_plain())
