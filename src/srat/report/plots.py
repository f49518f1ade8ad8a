"""The house style of plots, and how they get into files."""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srat.core.errors import UserError, require, require_field
from srat.core.files import write_atomically
from srat.statistics.intervals import Mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""The Okabe–Ito palette, apart for every kind of colour vision."""
WELL, UNDER = COLORS[0], COLORS[1]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Beside the colours, for print in grey."""
COLUMN, PAGE = 3.4, 7.0
"""Widths of a column and a page of a paper, in inches: figures have the size in which they are printed."""
_STYLE: Any = {
    "text.parse_math": False,  # a class may be called "$x$"
    "font.size": 6.5,
    "axes.titlesize": 6.5,
    "axes.labelsize": 6.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3,
    "legend.fontsize": 6,
    "legend.frameon": False,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "srat",  # equal figures, equal files
}


def check_plot(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` is the name of a .png, .svg or .pdf in a folder that exists."""
    known = path.suffix.lower() in FORMATS and not path.is_dir()
    require_field(known, "plot", f"the name of a file ending in {', '.join(FORMATS)}", str(path))
    require(path.parent.is_dir(), f"`plot`: there is no folder '{path.parent}'")


def draw(paths: list[Path], make: Callable[[], "Figure"]) -> None:
    """Draw a figure in the house style into files; their endings decide the formats.

    Raises:
        UserError: if matplotlib is not installed.
    """
    with house_style():
        figure = make()
        for path in paths:
            image = io.BytesIO()
            dated: dict[str, Any] = (
                {} if path.suffix.lower() == ".png" else {"metadata": {_DATE[path.suffix.lower()]: None}}
            )
            figure.savefig(image, format=path.suffix[1:].lower(), dpi=300, **dated)
            write_atomically(path, image.getvalue())


_DATE = {".svg": "Date", ".pdf": "CreationDate"}


@contextmanager
def house_style() -> Iterator[None]:
    """Let what is drawn within have the house style.

    Raises:
        UserError: if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise UserError("plots need matplotlib: pip install 'srat[plot]'") from error
    matplotlib.use("agg")
    with warnings.catch_warnings(), matplotlib.rc_context(_STYLE):
        warnings.simplefilter("ignore")  # of letters that the font lacks
        yield


def legend_of_groups(figure: "Figure") -> None:
    """Say below a figure what the colours of bars mean."""
    from matplotlib.patches import Patch

    patches = [Patch(color=WELL, label="common"), Patch(color=UNDER, label="rare")]
    figure.legend(handles=patches, loc="outside lower center", ncols=2)


def log_axis(axes: "Axes") -> None:
    """Make the x-axis logarithmic, with plain numbers at the powers of ten: without formulas, matplotlib has none."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def power_of_ten(value: float) -> str:
    """Return a number as "100" or "10⁶"."""
    exponent = round(math.log10(value)) if value > 0 else 0
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:g}" if 1e-3 <= value < 1e4 else f"10{raised}"


def error_bars(*values: Mean) -> list[list[float]]:
    """Return how far the intervals of accuracies reach down and up, in points, as matplotlib takes it."""
    return [
        [100 * (value.accuracy - value.low) for value in values],
        [100 * (value.high - value.accuracy) for value in values],
    ]


def percent_axis(axes: "Axes", label: str) -> None:
    """Give an axis of accuracies the range of 0 to 100 %."""
    axes.set_ylim(0, 100)
    axes.set_ylabel(f"{label} accuracy (%)")
