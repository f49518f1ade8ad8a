"""Images of the user's own, in folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from srat.core.errors import FieldError, UserError, require, require_field
from srat.core.members import NOT_IDENTITY, since
from srat.core.words import counted, few
from srat.data.dataset import Dataset, Parts, Source, Suggested
from srat.data.image_folder.found import Found, check_drawn, whole
from srat.data.image_folder.labelled import LayoutName
from srat.data.image_folder.layout import laid_out
from srat.data.image_folder.levels import dark_notes, dull_notes, levels_used
from srat.data.image_folder.recalled import recalled, unrecorded
from srat.data.image_folder.scan import Branch, is_hidden, not_an_image, scan, told_in_line
from srat.data.image_folder.table import Columns
from srat.data.reading.decoding import NO_BACKGROUND, WHITEST, Header, Mode, read_header
from srat.data.reading.downloads import require_folder
from srat.data.reading.image_files import ImageFiles, Streaming, read_each, size_text, together, try_each
from srat.data.record import OF_PART, Names, Part, Record, digest_if_readable, file_digest
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
    color: Literal["auto", "grey", "rgb"] = "auto"
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
        require_field(0 < share < 1, "data.test_fraction", "a share between 0 and 1", share, 0, 1)
        require_field(workers is None or 1 <= workers <= 1024, "data.workers", "1 to 1,024 threads", workers)
        require_field(1 <= white <= WHITEST, "data.white_level", f"1 to {WHITEST:,}", white)
        require_field(_is_colour(self.background), "data.background", "a colour or none", self.background)

    @property
    def threads(self) -> int:
        """How many files are read at a time."""
        return self.workers or min(max(1, cores() // neighbours()), MOST_THREADS)

    def parts(self, record: Record | None = None) -> Parts:
        """Return the parts as the folder has them, or as a run has recorded them."""
        place = checked_folder(self.dir)
        new = None
        if record is not None and record.parts:
            root = scan(place)

            def now() -> Found:
                return whole(self.arranged(root))

            seen = partial(self._seen, record.images)
            found = recalled(root, record, now=now, seen=seen, threads=self.threads)
            images = _Images(self, found, record.images)
            new = partial(self._new, images)
        else:
            # Classes that are numbers came in the order of text in version 0.1, which recorded nothing of them.
            images = _Images(self, self._laid_out(place, numbered=record is None), {})
        return Parts(
            read=images.read,
            classes=self.classes,
            there=frozenset(images.found.parts),
            notes=images.notes,
            missing=images.found.missing,
            new=new,
            record=images.record,
        )

    def files(self, paths: Sequence[Path], shape: Mapping[str, Any], beside: Sequence[Path] = ()) -> ImageFiles:
        """Return image files, to be decoded as this source says.

        Args:
            paths: the files.
            shape: mode, height and width of all images.
            beside: all files of the source, which are looked at if one cannot be read.
        """
        return ImageFiles(
            paths=tuple(paths),
            resize=self.size is not None,
            background=self.background,
            white_level=self.white_level,
            streaming=self.streaming,
            workers=self.threads,
            beside=tuple(beside),
            **shape,
        )

    def _seen(self, shape: Mapping[str, Any], paths: Sequence[Path]) -> Sequence[str]:
        return self.files(paths, shape).pixel_digests()

    def _laid_out(self, place: Path, *, numbered: bool) -> Found:
        if numbered:
            found = self.found(place)
        else:  # version 0.1 asked nothing of folders train and test, and did not know of validation parts
            layout: LayoutName = "parts" if self.layout == "auto" else self.layout
            found = replace(self, layout=layout).found(place, numbered=False)
            found = replace(found, parts={part: each for part, each in found.parts.items() if part != "validation"})
        passed = told_in_line(found.passed, len(found.paths), place)
        return replace(found, notes=(*passed, *found.notes, *check_drawn(found, self.test_fraction)))

    def _new(self, images: "_Images", told: Callable[[str], None]) -> Dataset:
        new = unrecorded(self.found(images.found.place), images.found, told)
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
        return laid_out(
            root,
            layout=self.layout,
            validation=self.validation,
            columns=Columns(file=self.file_column, label=self.label_column),
            test_fraction=self.test_fraction,
            numbered=numbered,
        )

    def read(self, part: Part) -> Dataset:
        """Return the images of a part."""
        return self.parts().read(part)


class _Images:
    """Reads the images of a folder; their size and colour are decided over all parts, for the model is of one shape.

    Args:
        source: how they are to be read.
        found: which they are.
        known: their mode, height and width, if a run has recorded that.
    """

    def __init__(self, source: Folder, found: Found, known: Mapping[str, Any]) -> None:
        self.source, self.found, self._known = source, found, known

    @cached_property
    def headers(self) -> list[Header]:
        """What each file says of itself; those of a run have been looked at when it began."""
        look = partial(read_header, upright=self.source.size is None)
        looked = [] if self._known else try_each(look, self.found.paths, self.source.threads)
        headers = [each for each in looked if isinstance(each, Header)]
        wrong = [each for each in looked if isinstance(each, UserError)]
        if wrong:
            self._require_decodable(headers)
            raise together(wrong)
        return headers

    def _require_decodable(self, headers: Sequence[Header]) -> None:
        """Raise ``UserError`` of all images that cannot be decoded, if all are to be decoded beforehand.

        Args:
            headers: those that could be read, which are not all.
        """
        width, height = headers[0].size if headers else (1, 1)
        side = self.source.size
        shape = {"mode": "RGB", "height": side or height, "width": side or width}
        files = replace(self.source.files(self.found.paths, shape), resize=True)  # of whatever size they are
        if not files.stays:
            files.require_readable()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the images."""
        source, paths = self.source, self.found.paths
        if self._known:
            return self.found.notes
        return (
            *self.found.notes,
            *reading_notes(self.headers, paths, source.background),
            *dark_notes(*levels_used(self.headers, paths, source.threads), source.white_level),
            *dull_notes(self.headers, paths, source.background),
        )

    @cached_property
    def shape(self) -> dict[str, Any]:
        """Mode, height and width of all images."""
        if self._known:
            return {name: self._known[name] for name in ("mode", "height", "width")}
        side = self.source.size
        width, height = (side, side) if side else common_size(self.headers, self.found.paths)
        named: Mapping[str, Mode] = {"grey": "L", "rgb": "RGB"}
        seen: Mode = "L" if all(header.grey for header in self.headers) else "RGB"
        return {"mode": named.get(self.source.color, seen), "height": height, "width": width}

    def read(self, part: Part) -> Dataset:
        """Return the images of a part.

        Raises:
            UserError: if there is none.
        """
        images = self.found.parts[part]
        require(bool(images), _why_none(self.found, part))
        return self.made_of(images)

    def made_of(self, images: Sequence[tuple[Path, int]]) -> Dataset:
        """Return images, files with their labels, as a data set."""
        files = self.source.files([path for path, _ in images], self.shape, self.found.paths)
        return Dataset(files, torch.tensor([label for _, label in images]), self.found.class_names)

    def _others(self) -> Names:
        """Return the images that are of no class, each with the digest of its content."""
        names = {self.found.name(each.path): each.path for each in self.found.passed if not not_an_image(each.path)}
        paths = [path for name, path in names.items() if not any(map(is_hidden, name.split("/")))]
        digests = read_each(digest_if_readable, paths, self.source.threads)
        return dict(zip(map(self.found.name, paths), digests, strict=True))

    def record(self) -> Record:
        """Return what a run keeps of the images."""
        names: dict[Part, Names] = {}
        pixels: dict[Part, tuple[str, ...]] = {}
        for part, images in self.found.parts.items():
            paths = [path for path, _ in images]
            digests = read_each(file_digest, paths, self.source.threads)
            names[part] = dict(zip(map(self.found.name, paths), digests, strict=True))
            pixels[part] = tuple(self.source.files(paths, self.shape).pixel_digests())
        labels = {part: tuple(label for _, label in images) for part, images in self.found.parts.items()}
        return Record(
            parts=names,
            labels=labels,
            pixels=pixels,
            others=self._others(),
            class_names=self.found.class_names,
            images=self.shape,
        )


def checked_folder(path: Path | None) -> Path:
    """Return the folder that was given, or raise ``UserError``."""
    if path is None:
        raise FieldError("data.dir", "a folder of images", None)
    return require_folder(path)


def common_size(headers: Sequence[Header], paths: Sequence[Path]) -> tuple[int, int]:
    """Return width and height of the images.

    Raises:
        UserError: if they differ.
    """
    first = headers[0].size
    for header, path in zip(headers, paths, strict=True):
        said = f"{path}: {size_text(header.size)} pixels, but {paths[0]} has {size_text(first)}"
        require(header.size == first, f"{said}; `data.size` resizes them all")
    return first


def reading_notes(headers: Sequence[Header], paths: Sequence[Path], background: str) -> Iterator[str]:
    """Yield what is to be said of image files of which not all is read.

    Args:
        headers: what the files say of themselves.
        paths: the files.
        background: the colour beneath transparent parts.
    """
    shown = "the transparency is dropped" if background == NO_BACKGROUND else f"laid on {background}"
    transparent = [path for path, header in zip(paths, headers, strict=True) if header.transparent]
    if transparent:
        yield f"{counted(len(transparent), 'image', 'images')} with transparency: {shown} ({_named(transparent)})"
    several = [path for path, header in zip(paths, headers, strict=True) if header.several]
    if several:
        files = counted(len(several), "file has", "files have")
        yield f"{files} several pages or frames; the first is read ({_named(several)})"
    wide = [path for path, header in zip(paths, headers, strict=True) if header.wide]
    if wide:
        has = counted(len(wide), "colour image has", "colour images have")
        yield f"{has} 16 bits per channel, of which the first 8 are read ({_named(wide)})"


def _why_none(found: Found, part: Part) -> str:
    """Return why there is no image of a part: there never was, or those that a run recorded are lost."""
    what, lost = OF_PART[part], found.missing.get(part, ())
    recorded = counted(len(lost), f"recorded {what} image is", f"recorded {what} images are")
    why = (
        f"there is nothing to read: {recorded} gone or changed ({few(lost)})" if lost else f"there are no {what} images"
    )
    return f"{found.place}: {why}"


def _is_colour(text: str) -> bool:
    from PIL import ImageColor

    try:
        return text == NO_BACKGROUND or len(ImageColor.getrgb(text)) == 3
    except ValueError:
        return False


def _named(paths: Sequence[Path]) -> str:
    return few([path.name for path in paths])
