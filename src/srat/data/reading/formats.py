"""Which files are images that are read here: by their endings, and by their first bytes."""

from functools import cache
from pathlib import Path

FORMATS = (
    "PNG",
    "JPEG",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "TIFF",
    "PPM",
    "AVIF",
    "JPEG2000",
    "ICO",
    "PCX",
    "SGI",
    "QOI",
)
"""Of Pillow: those that hold images, are known by their first bytes, and are read by no other program."""
SUFFIXES = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".jp2",
        ".j2k",
        ".ico",
        ".pcx",
        ".sgi",
        ".qoi",
        ".heic",
        ".heif",
        ".hif",
    ]
)
"""Endings of images; a file with another one is looked into."""
RAW = frozenset([".dng", ".nef", ".cr2", ".cr3", ".crw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"])
"""Endings of cameras' raw files, of which Pillow would read the small preview."""
START = 12
"""Bytes at the start of a file that are looked at."""
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def why_undecoded(path: Path, start: bytes) -> str:
    """Return why a file is not decoded that Pillow might read in part; "" if there is no such reason.

    Args:
        path: its name.
        start: its first bytes, as `start_of` reads them.
    """
    suffix = path.suffix.lower()
    if suffix in RAW:
        return f"camera raw ({suffix})"
    return "HEIC, which needs pillow-heif (pip install 'srat[heic]')" if is_heif(start) and not reads_heif() else ""


def is_image(path: Path) -> bool:
    """Return whether a file begins as an image does that is read here."""
    from PIL import Image

    try:
        with Image.open(path, formats=formats_of(start_of(path))):
            return True
    except Exception:  # whatever another kind of file leads the readers to
        return False


def start_of(path: Path) -> bytes:
    """Return the first bytes of a file, which say of which format it is; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(START)
    except OSError:
        return b""


def is_heif(start: bytes) -> bool:
    """Return whether a file that starts so is one of the HEIF family that phones write (.heic)."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


@cache
def reads_heif() -> bool:
    """Return whether the package is there that reads HEIF, and let Pillow know of it."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def formats_of(start: bytes) -> tuple[str, ...]:
    """Return Pillow's names of the formats that a file which starts so may be of."""
    return (*_known_formats(), "HEIF") if is_heif(start) and reads_heif() else _known_formats()


@cache
def _known_formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()  # of some formats a Pillow can be made without
    return tuple(name for name in FORMATS if name in Image.OPEN)
