"""The map of a run's features, and how far the groups lie apart in them."""

from dataclasses import dataclass
from typing import Any

from srat.report.html.record import RunRecord

_SIDE = 400.0


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    """An image on the map."""

    x: float
    y: float
    label: int


def map_points(record: RunRecord) -> list[MapPoint]:
    """Return the feature map, fitted into a square."""
    if record.map is None or not record.map.points:
        return []
    across, up = zip(*record.map.points, strict=True)
    side = max(max(across) - min(across), max(up) - min(up)) or 1.0
    return [
        MapPoint(
            x=round(_SIDE * (x - min(across)) / side, 1),
            y=round(_SIDE * (max(up) - y) / side, 1),
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
