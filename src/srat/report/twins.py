"""Near twins as a list and as a picture."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srat.core.errors import require, require_field
from srat.core.files import write_atomically
from srat.data.leaks import Leak, Pair
from srat.data.reading.decoding import opened, shown
from srat.data.survey import Looked, Survey

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = ("image", "class", "part", "twin", "twin_class", "twin_part", "correlation")
LIST, PICTURE = ".csv", ".png"
SHOWN = 24
"""Pairs in a picture, the nearest ones."""
_SIDE, _ACROSS, _MARGIN, _TEXT = 128, 3, 12, 12
"""Pixels of an image's side, pairs side by side, pixels between them, height of the letters."""
_LETTERS = 44
"""Of a line beneath a pair, at the most."""


def check_file(path: Path, ending: str, field: str) -> None:
    """Raise ``UserError`` unless ``path`` is the name of a file of that ending in a folder that exists."""
    require_field(path.suffix.lower() == ending and not path.is_dir(), field, f"a file ending in {ending}", str(path))
    require(path.parent.is_dir(), f"`{field}`: there is no folder '{path.parent}'")


def write_twins(path: Path, found: Survey) -> int:
    """Write near twins across parts as CSV, the nearest first; return how many."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    pairs = _pairs(found.leaks.by_part)
    files = found.readable
    for pair in pairs:
        image, twin = files[pair.image], files[pair.twin]
        both = (str(image.path), image.label, image.part, str(twin.path), twin.label, twin.part)
        table.writerow((*both, f"{pair.correlation:.4f}"))
    write_atomically(path, text.getvalue())
    return len(pairs)


def draw_twins(path: Path, found: Survey) -> int:
    """Draw the nearest of the near twins side by side, with their names; return how many; none draws nothing."""
    from PIL import Image, ImageDraw, ImageFont

    pairs, files = _pairs(found.leaks.by_part)[:SHOWN], found.readable
    if not pairs:
        return 0
    width, height = 2 * _SIDE + _MARGIN, _SIDE + 4 * _TEXT + _MARGIN
    rows = -(-len(pairs) // _ACROSS)
    sheet = Image.new("RGB", (_MARGIN + min(len(pairs), _ACROSS) * width, _MARGIN + rows * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_TEXT - 2)
    for number, pair in enumerate(pairs):
        left, top = _MARGIN + number % _ACROSS * width, _MARGIN + number // _ACROSS * height
        image, twin = files[pair.image], files[pair.twin]
        sheet.paste(_tile(image.path), (left, top))
        sheet.paste(_tile(twin.path), (left + _SIDE, top))
        lines = (_line(image), _line(twin), f"correlation {pair.correlation:.3f}")
        for place, line in enumerate(lines):
            pen.text((left, top + _SIDE + 2 + place * (_TEXT + 1)), line, fill="black", font=font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    write_atomically(path, file.getvalue())
    return len(pairs)


def _pairs(leaks: Sequence[Leak]) -> list[Pair]:
    return sorted((pair for leak in leaks for pair in leak.pairs), key=lambda pair: (-pair.correlation, pair.image))


def _tile(path: Path) -> "Image.Image":
    """Return an image of a file as large as its place, small ones with their pixels as they are."""
    from PIL import Image

    with opened(path) as image:
        plain = shown(image).convert("RGB")
    scale = _SIDE / max(plain.size)
    size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
    return plain.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC)


def _line(file: Looked) -> str:
    """Return the end of a file's name, with its part; letters that the font lacks are boxes."""
    text = f"{file.part}: {file.label}/{file.path.name}"
    return text if len(text) <= _LETTERS else f"…{text[1 - _LETTERS :]}"
