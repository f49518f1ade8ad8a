"""Comparisons of runs as tables for other programs; the terminal has its own (`srat.report.terminal.comparison`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from srat.evaluation.comparison import Comparison
from srat.report.grids import mean_text
from srat.report.sheets import Sheet
from srat.report.terminal.scopes import rarity
from srat.report.wording import SEEDS_ALONE, caveat, p_text
from srat.runs.comparing import RunComparison


def comparison_sheets(found: RunComparison) -> list[Sheet]:
    """Return a table of each other contender under each attack; of runs that differ by their seed alone, their means.

    Args:
        found: the comparisons.
    """
    return list(_differences(found) if found.others else _means(found))


def _differences(found: RunComparison) -> Iterator[Sheet]:
    first, order = found.first.name, rarity(found.runs[0].evaluation, found.groups)
    count = sum(map(len, found.rows))
    note = (
        f"In per cent, differences in points with 95 % intervals. p is corrected for all {count} comparisons (Holm). "
        f"{caveat(len(found.first.seeds))}"
    )
    records = iter(found.to_plain())
    for other, of_other in zip(found.others, found.rows, strict=True):
        plain = {id(row): _flat(next(records)) for row in of_other}
        for attack in found.attacks:
            rows = [row for row in of_other if row.attack == attack]
            groups, classes = ([row for row in rows if row.is_class == is_class] for is_class in (False, True))
            rows = [*groups, *sorted(classes, key=lambda row: order(row.scope))]
            yield Sheet(
                title=f"{other.name} against {first}, {attack}, {rows[0].images:,} images",
                headings=["classes", f"{first} (%)", f"{other.name} (%)", "difference [95 %]", "p (corrected)"],
                rows=[_cells(row) for row in rows],
                note=note,
                best=frozenset((number, 3) for number, row in enumerate(rows) if row.told_apart),
                records=[plain[id(row)] for row in rows],
            )


def _cells(row: Comparison) -> list[str]:
    d = row.difference
    points = f"{100 * d.difference:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
    return [row.scope, mean_text(row.first), mean_text(row.second), points, p_text(row.corrected)]


def _means(found: RunComparison) -> Iterator[Sheet]:
    order, first = rarity(found.runs[0].evaluation, found.groups), found.first
    records = iter(found.to_plain())
    for attack in found.attacks:
        means = found.means(attack)
        plain = {scope.name: _flat(next(records)) for scope, _ in means}
        groups, classes = ([each for each in means if each[0].is_class == is_class] for is_class in (False, True))
        rows = [*groups, *sorted(classes, key=lambda each: order(each[0].name))]
        yield Sheet(
            title=f"{first.name}, {len(first.seeds)} seeds, {attack}",
            headings=["classes", "mean ± over seeds (%)", "95 % interval"],
            rows=[[scope.name, mean_text(m), f"[{100 * m.low:.1f}, {100 * m.high:.1f}]"] for scope, m in rows],
            note=SEEDS_ALONE,
            records=[plain[scope.name] for scope, _ in rows],
        )


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison without objects in it: "first" with a "name" gives "first_name"."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        inner: Mapping[str, Any] = (
            {f"{name}_{key}": each for key, each in value.items()} if isinstance(value, dict) else {}
        )
        flat |= inner or {name: value}
    return flat
