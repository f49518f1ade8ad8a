"""Class distributions, printed and drawn (the paper's Figures 13 and 14)."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from srat.errors import UserError
from srat.evaluation import groups
from srat.report.table import printable

BAR = 32
WELL, UNDER = "#0072B2", "#D55E00"
"""Blue and vermilion of the Okabe–Ito palette, apart for every kind of colour vision."""


def rare(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the under-represented classes; none where all have as many images."""
    return groups(counts).under if len(set(counts)) > 1 else ()


def distribution_table(
    class_names: Sequence[str], counts: Sequence[int], available: Sequence[int], *, title: str
) -> Table:
    """Return a table with a bar for the images of each class, those kept and those there were."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for heading, side in (("label", "right"), ("class", "left"), ("kept", "right"), ("of", "right"), ("", "left")):
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    under = rare(counts)
    for c, (name, kept, there) in enumerate(zip(class_names, counts, available, strict=True)):
        bar = Text("█" * max(1, round(BAR * kept / max(counts))), style=UNDER if c in under else WELL)
        table.add_row(str(c), Text(printable(name)), f"{kept:,}", f"{there:,}", bar)
    return table


def draw_distribution(class_names: Sequence[str], counts: Sequence[int], path: Path, *, title: str) -> None:
    """Draw the counts as bars into a file; its ending decides the format (.png, .svg, .pdf).

    Raises:
        UserError: if the ending is none of matplotlib's.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    under = rare(counts)
    figure, axes = plt.subplots(figsize=(max(4.0, 0.45 * len(counts) + 1.2), 3.0), layout="constrained")
    bars = axes.bar(range(len(counts)), counts, color=[UNDER if c in under else WELL for c in range(len(counts))])
    if len(counts) <= 20:
        axes.bar_label(bars, labels=[f"{count:,}" for count in counts], fontsize=7, padding=1)
        axes.set_xticks(range(len(counts)), class_names, rotation=45, ha="right", fontsize=8)
    else:
        axes.set_xlabel("class")
    axes.set_ylabel("training images")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if under:
        names = {WELL: "well-represented", UNDER: "under-represented"}
        axes.legend(handles=[Patch(color=c, label=name) for c, name in names.items()], frameon=False, fontsize=8)
    try:
        figure.savefig(path, dpi=200)
    except ValueError as error:
        raise UserError(f"--plot: expected a name ending in .png, .svg or .pdf, got '{path}'") from error
    finally:
        plt.close(figure)
