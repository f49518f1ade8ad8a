"""What a folder of images holds, before anything is trained on it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from srat.core.errors import UserError
from srat.data.constant import told_of_constants
from srat.data.image_folder.found import Found, check_drawn
from srat.data.image_folder.images import reading_notes
from srat.data.image_folder.levels import dark_notes, told_dull
from srat.data.image_folder.scan import scan, told
from srat.data.leaks import NO_LEAKS, Leaks, leaks_among
from srat.data.looks import looks_of_thumbnails, thumbnail
from srat.data.reading.decoding import Header, header_of, level_of, opened, shown
from srat.data.record import PARTS, Part
from srat.data.sources.folder import Folder, checked_folder
from srat.data.twins import Seen, Twins, twins_among

Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """An image file, looked at."""

    path: Path
    part: Part
    label: str
    """The class's name."""
    header: Header | None
    """None if it cannot be read."""
    level: int | None = None
    """The largest grey level, of images of more than 8 bits."""
    highest: int = 0
    """The largest value once it has eight bits."""
    constant: bool = False
    """Whether all pixels have one colour."""
    pixels: str = ""
    """A hash of what it shows: of files of other formats, too, that show the same."""
    thumbnail: bytes = b""
    """A small grey copy; nothing of what cannot be read."""
    error: str = ""

    @property
    def size(self) -> Size | None:
        """Width and height; None if it cannot be read."""
        return None if self.header is None else self.header.size

    @property
    def grey(self) -> bool:
        """Whether it has no colour."""
        return self.header is None or self.header.grey


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All image files of a folder."""

    files: Sequence[Looked]
    class_names: Sequence[str]
    """In the order of their labels."""
    own_test: bool
    """Whether the folder has a test of its own; if not, it is drawn by the hashes of the files' names."""
    leaks: Leaks = NO_LEAKS
    """Near twins across the parts, as positions in `readable`, and what would keep them together."""
    passed: Sequence[str] = ()
    """What is to be said of files that are not read, a line each."""
    notes: Sequence[str] = ()
    """What is to be said of how it is read."""
    problem: str = ""
    """Why nothing can be trained on it as it is; "" if it can."""

    @property
    def readable(self) -> list[Looked]:
        """The files that can be read."""
        return [file for file in self.files if file.size is not None]

    @property
    def unreadable(self) -> list[Looked]:
        """The files that cannot."""
        return [file for file in self.files if file.size is None]

    def counts(self, part: Part) -> dict[str, int]:
        """Return how many images of each class can be read, in a part."""
        found = Counter(file.label for file in self.readable if file.part == part)
        return {name: found[name] for name in self.class_names}

    @property
    def sizes(self) -> list[tuple[Size, int]]:
        """The sizes, and how many images have them, the most frequent first."""
        return Counter(file.size for file in self.files if file.size is not None).most_common()

    @property
    def twins(self) -> list[Twins]:
        """Files that show the same, where that matters: within several classes, or in both parts, or twice in one."""
        return twins_among(
            Seen(name=str(file.path), label=file.label, part=file.part, pixels=file.pixels) for file in self.readable
        )


def survey(
    source: Folder,
    progress: Callable[[int, int], None] = lambda *_: None,
    comparing: Callable[[int, int], None] = lambda *_: None,
) -> Survey:
    """Look at every image file of a folder.

    Args:
        source: the folder, and how it is to be read.
        progress: told how many files of how many are done.
        comparing: told the same while the images are compared with each other.

    Raises:
        UserError: if it is no such folder.
    """
    found = source.arranged(scan(checked_folder(source.dir)))
    tasks = [(path, part, found.class_names[label]) for part, each in found.parts.items() for path, label in each]
    files = []
    with ThreadPoolExecutor(source.threads) as pool:
        for file in pool.map(lambda task: _look(source, *task), tasks):
            files.append(file)
            progress(len(files), len(tasks))
    return Survey(
        leaks=_leaks(files, found, grouped=source.group is not None, comparing=comparing),
        files=files,
        class_names=found.class_names,
        own_test=found.own_test,
        passed=told(found.passed, len(found.paths), found.place),
        notes=(*found.notes, *_notes(source, files, found.class_names)),
        problem=_problem(found, source),
    )


def _leaks(files: Sequence[Looked], found: Found, *, grouped: bool, comparing: Callable[[int, int], None]) -> Leaks:
    seen = [file for file in files if file.thumbnail]
    if not seen:
        return NO_LEAKS
    return leaks_among(
        looks_of_thumbnails([file.thumbnail for file in seen]),
        parts=[file.part for file in seen],
        labels=[found.class_names.index(file.label) for file in seen],
        hints=[found.hints.get(file.path) for file in seen],
        drawn=not found.own_test,
        grouped=grouped,
        told=comparing,
    )


def _problem(found: Found, source: Folder) -> str:
    if found.problems:
        return "; ".join(found.problems)
    names = found.class_names
    if len(names) < 2:
        return f"it has one class; put images of a second one into a folder beside {''.join(names)}"
    try:
        check_drawn(found, source.test_fraction)
    except UserError as error:
        return str(error)
    return ""


def _notes(source: Folder, files: Sequence[Looked], names: tuple[str, ...]) -> Iterator[str]:
    seen = [(file, file.header) for file in files if file.header is not None]
    headers, paths = [header for _, header in seen], [file.path for file, _ in seen]
    yield from reading_notes(headers, paths, source.background)
    levels = [file.level for file, _ in seen if file.level is not None]
    yield from dark_notes(levels, len(levels), source.white_level)
    dull = told_dull(max((file.highest for file, header in seen if not header.deep), default=0))
    yield from [dull] * bool(dull)
    for part in PARTS:
        own = [file for file, _ in seen if file.part == part]
        constant = [file.constant for file in own]
        yield from told_of_constants([names.index(file.label) for file in own], constant, names, part)


def _look(source: Folder, path: Path, part: Part, label: str) -> Looked:
    try:
        with opened(path) as image:
            header = header_of(image)
            plain = shown(image, background=source.background, white_level=source.white_level).convert("RGB")
            pixels = np.asarray(plain, np.uint8)
            return Looked(
                path=path,
                part=part,
                label=label,
                header=header,
                level=level_of(image) if header.deep else None,
                highest=int(pixels.max()),
                constant=bool((pixels == pixels[:1, :1]).all()),
                thumbnail=thumbnail(plain),
                pixels=sha256(f"{plain.size}".encode() + pixels.tobytes()).hexdigest(),
            )
    except UserError as error:
        return Looked(path=path, part=part, label=label, header=None, error=str(error))
