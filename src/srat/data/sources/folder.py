"""Images of the user's own, in folders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from srat.core.errors import FieldError, UnreadableError, require, require_field
from srat.core.members import NOT_IDENTITY, since
from srat.data.dataset import Dataset, Parts, Source, Suggested
from srat.data.image_folder.found import Found, check_drawn, whole
from srat.data.image_folder.grouping import Grouping, check_group
from srat.data.image_folder.images import Color, FolderImages, Reading
from srat.data.image_folder.labelled import LayoutName
from srat.data.image_folder.layout import laid_out
from srat.data.image_folder.patterns import Meant
from srat.data.image_folder.recalled import recalled, unrecorded
from srat.data.image_folder.scan import Branch, scan, told_in_line
from srat.data.image_folder.table import Columns
from srat.data.image_folder.unreadable import without_unreadable
from srat.data.looks import BLANK, thumbnail_of_file
from srat.data.reading.decoding import NO_BACKGROUND, WHITEST
from srat.data.reading.downloads import require_folder
from srat.data.reading.image_files import Streaming, read_each
from srat.data.record import Part, Record
from srat.data.validation import ValidationUse
from srat.runtime.cores import cores
from srat.runtime.machine import neighbours

MOST_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Folder(Source, name="folder"):
    """Image files in a folder for each class, with or without folders train and test around them, or with a table."""

    suggested: ClassVar[Suggested] = Suggested(imbalance="none")

    dir: Path | None = None
    """The folder."""
    size: int | None = None
    """Height and width to resize to; needed where the images' sizes differ."""
    width: int | None = field(default=None, metadata=since(None))
    """The width to resize to where it is not the height."""
    color: Color = "auto"
    """Channels; auto is grey where every image is."""
    test_fraction: float = 0.2
    """Share of the images that is the test where there is no test part; which ones follows from their files' names."""
    layout: LayoutName = field(default="auto", metadata=since("auto"))
    """What says the classes: folders within parts (train, test), folders alone, or a table; auto looks."""
    validation: ValidationUse = field(default="auto", metadata=since("auto"))
    """A validation part is held out to choose the best epoch, or is the test where there is none."""
    file_column: str | None = field(default=None, metadata=since(None))
    """The column of a table that names the files, where its name does not say so."""
    label_column: str | None = field(default=None, metadata=since(None))
    """The column of a table that names the classes, likewise."""
    include: tuple[str, ...] = field(default=(), metadata=since(()))
    """Patterns of the images that are meant, such as '*.jpg'; one with a slash fits paths below the folder."""
    exclude: tuple[str, ...] = field(default=(), metadata=since(()))
    """Patterns of images that are not, such as '*_mask.png'."""
    skip_unreadable: bool = field(default=False, metadata=since(False))
    """Leave out images that are damaged, and say which, instead of refusing to train."""
    group: str | None = field(default=None, metadata=since(None))
    """Which images belong together, and stay in one part: a regular expression that is searched in each name below the
    class's folder (its first part in parentheses names the group within the class), column:NAME of the table, or found
    (near twins)."""
    background: str = field(default="white", metadata=since(NO_BACKGROUND))
    """The colour beneath transparent parts of images (white, black, #808080); none drops the transparency."""
    white_level: int = field(default=WHITEST, metadata=since(WHITEST))
    """The level of 16-bit greys that is white: 4095 for cameras of 12 bits."""
    streaming: Streaming = field(default="auto", metadata=NOT_IDENTITY)
    """Decode images while the model computes (always), all of them beforehand (never), or so where they fit (auto)."""
    workers: int | None = field(default=None, metadata=NOT_IDENTITY)
    """Threads that decode; by default as many as there are cores, 16 at the most."""

    def __post_init__(self) -> None:
        size, share, workers, white = self.size, self.test_fraction, self.workers, self.white_level
        require_field(size is None or 4 <= size <= 1024, "data.size", "4 to 1024 pixels", size)
        require_field(self.width is None or 4 <= self.width <= 1024, "data.width", "4 to 1024 pixels", self.width)
        require(self.width is None or size is not None, "`data.width` needs `data.size`, which is the height then")
        require_field(0 < share < 1, "data.test_fraction", "a share between 0 and 1", share, 0, 1)
        require_field(workers is None or 1 <= workers <= 1024, "data.workers", "1 to 1,024 threads", workers)
        require_field(1 <= white <= WHITEST, "data.white_level", f"1 to {WHITEST:,}", white)
        if self.group is not None:
            check_group(self.group)
        require_field(_is_colour(self.background), "data.background", "a colour or none", self.background)

    @property
    def meant(self) -> Meant:
        """Which images are meant."""
        return Meant(include=self.include, exclude=self.exclude)

    @property
    def resized(self) -> tuple[int, int] | None:
        """Width and height to resize to; None where images stay as they are."""
        return None if self.size is None else (self.width or self.size, self.size)

    def read_of(self, root: Branch) -> Branch:
        """Return a folder with the images alone that are meant and, where damaged ones are left out, can be read."""
        meant = self.meant.within(root)
        return without_unreadable(meant, self.threads) if self.skip_unreadable else meant

    @property
    def threads(self) -> int:
        """How many files are read at a time."""
        return self.workers or min(max(1, cores() // neighbours()), MOST_THREADS)

    @property
    def reading(self) -> Reading:
        """How its files are read."""
        return Reading(
            size=self.resized,
            color=self.color,
            background=self.background,
            white_level=self.white_level,
            streaming=self.streaming,
            threads=self.threads,
        )

    @override
    def parts(self, record: Record | None = None) -> Parts:
        """Return the parts as the folder has them, or as a run has recorded them."""
        place = checked_folder(self.dir)
        new = None
        if record is not None and record.parts:
            root = scan(place)

            def now() -> Found:
                return whole(replace(self, group=None, skip_unreadable=False).arranged(root))

            def seen(paths: Sequence[Path]) -> Sequence[str]:
                return self.reading.files(paths, record.images).pixel_digests()

            found = recalled(root, record, now=now, seen=seen, meant=self.meant, threads=self.threads)
            images = FolderImages(self.reading, found, record.images)
            new = partial(self._new, images, record)
        else:
            # Classes that are numbers came in the order of text in version 0.1, which recorded nothing of them.
            images = FolderImages(self.reading, self._laid_out(place, numbered=record is None), {})
        return Parts(
            read=images.read,
            classes=self.classes,
            there=frozenset(images.found.parts),
            notes=images.notes,
            missing=images.found.missing,
            new=new,
            record=images.record,
        )

    def _laid_out(self, place: Path, *, numbered: bool) -> Found:
        if numbered:
            found = self.found(place)
        else:  # version 0.1 asked nothing of folders train and test, and did not know of validation parts
            layout: LayoutName = "parts" if self.layout == "auto" else self.layout
            found = replace(self, layout=layout).found(place, numbered=False)
            found = replace(found, parts={part: each for part, each in found.parts.items() if part != "validation"})
        passed = told_in_line(found.passed, len(found.paths), place)
        return replace(found, notes=(*passed, *found.notes, *check_drawn(found, self.test_fraction)))

    def _new(self, images: FolderImages, record: Record, told: Callable[[str], None]) -> Dataset:
        new = unrecorded(self.found(images.found.place), images.found, record, told)
        require(bool(new), f"{images.found.place}: there are no new images")
        return images.made_of(new)

    def found(self, place: Path, *, numbered: bool = True) -> Found:
        """Return which image is of which class and part.

        Args:
            place: the folder.
            numbered: whether classes that are numbers come in the order of numbers.

        Raises:
            UserError: if that is not clear, or a class has none.
        """
        return whole(self.arranged(scan(place), numbered=numbered))

    def arranged(self, root: Branch, *, numbered: bool = True) -> Found:
        """Return the same of a folder that has been scanned, with what is in the way of a training.

        Args:
            root: the folder.
            numbered: whether classes that are numbers come in the order of numbers.

        Raises:
            UserError: if it is not clear which image is of which class and part.
        """
        found = laid_out(
            self.read_of(root),
            layout=self.layout,
            validation=self.validation,
            columns=Columns(file=self.file_column, label=self.label_column),
            test_fraction=self.test_fraction,
            numbered=numbered,
            grouping=None if self.group is None else Grouping(said=self.group, thumbnails=self._thumbnails),
        )
        return replace(found, notes=(*found.notes, *self.meant.notes(root)))

    def _thumbnails(self, paths: Sequence[Path]) -> Sequence[bytes]:
        def look(path: Path) -> bytes:
            try:
                return thumbnail_of_file(path, background=self.background, white_level=self.white_level)
            except UnreadableError:  # it is named where it is to be trained on
                return BLANK

        return read_each(look, paths, self.threads)

    @override
    def read(self, part: Part) -> Dataset:
        return self.parts().read(part)


def checked_folder(path: Path | None) -> Path:
    """Return the folder that was given, or raise ``UserError``."""
    if path is None:
        raise FieldError("data.dir", "a folder of images", None)
    return require_folder(path)


def _is_colour(text: str) -> bool:
    from PIL import ImageColor

    try:
        return text == NO_BACKGROUND or len(ImageColor.getrgb(text)) == 3
    except ValueError:
        return False
