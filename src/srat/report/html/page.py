"""What the templates are given, and the page that comes of it."""

import dataclasses
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from srat.report.html.accuracies import COMMON, Bar, class_rows, group_rows, groups_of
from srat.report.html.confusion import confusions
from srat.report.html.curves import charts_of
from srat.report.html.feature_map import map_points, separability_rows
from srat.report.html.figures import figures_of
from srat.report.html.record import RunRecord
from srat.report.html.verdict import attack_text, verdict_of
from srat.report.terminal.names import fitted
from srat.report.wording import (
    HELD_OUT,
    LOWEST,
    budget_text,
    guard_text,
    last_step_text,
    weights_text,
    worst_text,
)
from srat.runs.troubles import troubles
from srat.version import version

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LARGEST_PAGE = 3_000_000
"""Bytes; galleries that would go beyond are left out."""
_NAME = 40
"""Columns of a class's name, as a terminal would count them, …"""
_HEADING = 24
"""… and above a column."""


def render(records: Sequence[RunRecord], *, findings: Sequence[str] = ()) -> str:
    """Return a page that needs nothing else, under `LARGEST_PAGE` bytes wherever leaving out galleries can do it.

    Args:
        records: the runs, at least one.
        findings: what follows from comparing them.
    """
    template = _environment().get_template("page.html.j2")
    shown, audited = list(records), any(record.audit is not None for record in records)
    while True:
        text = template.render(
            runs=[_shown(record, number, beside_audited=audited) for number, record in enumerate(shown)],
            findings=findings,
            lowest=LOWEST,
            version=version(),
            style=_asset("style.css"),
            script=_asset("script.js"),
        )
        galleries = [number for number, record in enumerate(shown) if record.gallery]
        if len(text.encode()) < LARGEST_PAGE or not galleries:
            return text
        shown[galleries[-1]] = dataclasses.replace(shown[galleries[-1]], gallery=())


@cache  # to compile the templates takes longer than to fill them
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("srat.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["coded"] = coded
    return made


def coded(text: str) -> "Markup":
    """Return a text for a page, in which settings are code instead of in backticks."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _asset(name: str) -> Any:
    from markupsafe import Markup

    return Markup(files("srat.report.html").joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def _shown(record: RunRecord, number: int, *, beside_audited: bool) -> dict[str, Any]:
    """Return what the template of a run is given."""
    evaluation = record.evaluation
    threat = record.robust.counts
    worst = threat.worst()
    whose = weights_text(record.config, record.which)
    return {
        "id": f"run{number}",
        "name": record.name,
        "record": record,
        "config": record.config,
        "title": f"{record.config.method} on {record.config.data.title}"
        + ("" if whose == "last epoch" else f", weights of the {whose}"),
        "verdict": verdict_of(record, beside_audited=beside_audited),
        "attack": attack_text(record),
        "budget": budget_text(record.config.evaluation),
        "tiles": [
            (name, Bar.of(record.clean.counts.accuracy(classes)), Bar.of(threat.accuracy(classes)))
            for name, classes in groups_of(record)
            if name != COMMON
        ],
        "worst": (worst_text(worst, evaluation.class_names), Bar.of(worst.accuracy)),
        "results": list(evaluation.results),
        "classes": class_rows(record),
        "groups": group_rows(record),
        "notes": [
            *filter(None, (last_step_text(evaluation),)),
            *(() if record.groups is None else record.groups.notes),
        ],
        "rare": record.rare,
        "extremes": record.extremes,
        "names": on_page(evaluation.class_names, _NAME),
        "headings": on_page(evaluation.class_names, _HEADING),
        "robust_bars": [Bar.of(threat.accuracy([c])) for c in range(len(evaluation.class_names))],
        "confusions": confusions(record),
        "figures": figures_of(record),
        "charts": charts_of(record),
        "held_out": HELD_OUT if record.history and "held_out_robust" in record.history[0] else "",
        "troubles": [each.text for each in troubles(record.config, record.history)],
        "guard": guard_text(record.config, record.history),
        "map": map_points(record),
        "separability": separability_rows(record),
        "settings": settings(record),
    }


def on_page(names: Sequence[str], width: int) -> dict[str, str]:
    """Return what to show of each name: all of it, or its beginning and its end where it is longer than ``width``."""
    shown = fitted(dict.fromkeys(names, width))
    return {name: shown[name] if cell_len(name) > width else name for name in names}


def settings(record: RunRecord) -> list[tuple[str, str]]:
    """Return the configuration, a line for each setting."""

    def lines(prefix: str, value: Any) -> list[tuple[str, str]]:
        if isinstance(value, dict):
            return [
                line for name, inner in value.items() for line in lines(f"{prefix}.{name}" if prefix else name, inner)
            ]
        return [(prefix, value if isinstance(value, str) else json.dumps(value))]

    return lines("", record.config.to_plain())
