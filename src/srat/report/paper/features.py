"""Maps of features, with numbers for how far the classes lie apart under each."""

from typing import TYPE_CHECKING, Any

from srat.evaluation.feature_map import FeatureMap
from srat.report.paper.outcome import Outcome
from srat.report.plots import COLORS, COLUMN, MARKERS
from srat.report.sheets import Sheet, accuracy_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERS = ("purity", "silhouette", "fisher")


def sheets(outcome: Outcome) -> list[Sheet]:
    """Return a table of the numbers: purity over the seeds, and all three of the map that is drawn."""
    rows = []
    for cell in outcome.cells:
        maps = outcome.maps.get((cell.row, cell.column), ())
        if not maps:
            continue
        overall = _overall(maps[0])
        numbers = (f"{overall[name]['value']:.3f}" for name in _NUMBERS)
        purities = (
            accuracy_text(outcome.accuracy(cell.row, cell.column, "purity", scope)) for scope in ("overall", "under")
        )
        rows.append([cell.row, *purities, *numbers])
    if not rows:
        return []
    headings = ["training", "purity in %, overall", "purity in %, under", *(f"{name}, as drawn" for name in _NUMBERS)]
    note = "Of training images. Purity: of the ten nearest neighbours in the features, how many are of the same class."
    return [Sheet(title=outcome.title, headings=headings, rows=rows, note=note)]


def figure(outcome: Outcome) -> "Figure":
    """Return the first seed's maps, side by side."""
    from matplotlib.figure import Figure

    there = [cell for cell in outcome.cells if outcome.maps.get((cell.row, cell.column))]
    drawn = Figure(figsize=(COLUMN, COLUMN / max(2, len(there)) + 0.75), layout="constrained")
    for axes, cell in zip(drawn.subplots(1, max(1, len(there)), squeeze=False)[0], there, strict=False):
        map_ = outcome.maps[cell.row, cell.column][0]
        _scatter(axes, map_)
        overall = _overall(map_)
        numbers = "\n".join(
            f"{name} {overall[name]['value']:.2f} [{overall[name]['low']:.2f}, {overall[name]['high']:.2f}]"
            for name in _NUMBERS
        )
        axes.set(title=cell.row, xticks=[], yticks=[])
        axes.set_xlabel(numbers, fontsize=5)
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
    handles, labels = drawn.axes[0].get_legend_handles_labels()
    tight = {"fontsize": 5, "markerscale": 1.5, "columnspacing": 0.8, "handletextpad": 0.1}
    drawn.legend(handles, labels, loc="outside lower center", ncols=5, **tight)
    return drawn


def _scatter(axes: "Axes", map_: FeatureMap) -> None:
    for c, name in enumerate(map_.class_names):
        x, y = zip(*(point for point, label in zip(map_.points, map_.labels, strict=True) if label == c), strict=True)
        color, marker = mark_of(c)
        axes.scatter(x, y, s=3, color=color, marker=marker, linewidths=0, alpha=0.8, label=name, rasterized=True)


def mark_of(c: int) -> tuple[str, str]:
    """Return the colour and the mark of a class; 64 classes have one of their own."""
    return COLORS[c % len(COLORS)], MARKERS[(c + c // len(COLORS)) % len(MARKERS)]


def _overall(map_: FeatureMap) -> dict[str, Any]:
    return next(dict(each) for each in map_.separability if each["scope"] == "overall")
