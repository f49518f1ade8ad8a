"""The images of a folder: one size and colour for all, what is to be said of them, and what a run keeps of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch

from srat.core.errors import UserError, require
from srat.core.words import counted, few
from srat.data.dataset import Dataset
from srat.data.image_folder.found import Found
from srat.data.image_folder.levels import dark_notes, dull_notes, levels_used
from srat.data.image_folder.scan import is_hidden, not_an_image
from srat.data.reading.decoding import NO_BACKGROUND, Header, Mode, read_header
from srat.data.reading.image_files import SKIPPING, ImageFiles, Streaming, read_each, size_text, together, try_each
from srat.data.record import OF_PART, Names, Part, Record, digest_if_readable, file_digest

Color = Literal["auto", "grey", "rgb"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read; the fields are those of the folder's source."""

    size: tuple[int, int] | None
    """Width and height that images are resized to; None leaves them as they are."""
    color: Color
    background: str
    white_level: int
    streaming: Streaming
    threads: int
    """How many files are read at a time."""

    def files(self, paths: Sequence[Path], shape: Mapping[str, Any], beside: Sequence[Path] = ()) -> ImageFiles:
        """Return image files, to be decoded as this says.

        Args:
            paths: the files.
            shape: mode, height and width of all images.
            beside: all files of the folder, which are looked at if one cannot be read.
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


class FolderImages:
    """Reads the images of a folder; their size and colour are decided over all parts, for the model is of one shape.

    Args:
        reading: how they are to be read.
        found: which they are.
        known: their mode, height and width, if a run has recorded that.
    """

    def __init__(self, reading: Reading, found: Found, known: Mapping[str, Any]) -> None:
        self._reading, self.found, self._known = reading, found, known

    @cached_property
    def headers(self) -> list[Header]:
        """What each file says of itself; those of a run have been looked at when it began."""
        look = partial(read_header, upright=self._reading.size is None)
        looked = [] if self._known else try_each(look, self.found.paths, self._reading.threads)
        headers = [each for each in looked if isinstance(each, Header)]
        wrong = [each for each in looked if isinstance(each, UserError)]
        if wrong:
            self._require_decodable(headers)
            raise together(wrong, SKIPPING)
        return headers

    def _require_decodable(self, headers: Sequence[Header]) -> None:
        """Raise ``UserError`` of all images that cannot be decoded, if all are to be decoded beforehand.

        Args:
            headers: those that could be read, which are not all.
        """
        width, height = self._reading.size or (headers[0].size if headers else (1, 1))
        shape = {"mode": "RGB", "height": height, "width": width}
        paths = self.found.paths
        files = replace(self._reading.files(paths, shape, beside=paths), resize=True)  # of whatever size they are
        if not files.stays:
            files.require_readable()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the images."""
        reading, paths = self._reading, self.found.paths
        if self._known:
            return self.found.notes
        return (
            *self.found.notes,
            *reading_notes(self.headers, paths, reading.background),
            *dark_notes(*levels_used(self.headers, paths, reading.threads), reading.white_level),
            *dull_notes(self.headers, paths, reading.background),
        )

    @cached_property
    def shape(self) -> dict[str, Any]:
        """Mode, height and width of all images."""
        if self._known:
            return {name: self._known[name] for name in ("mode", "height", "width")}
        width, height = self._reading.size or common_size(self.headers, self.found.paths)
        named: Mapping[str, Mode] = {"grey": "L", "rgb": "RGB"}
        seen: Mode = "L" if all(header.grey for header in self.headers) else "RGB"
        return {"mode": named.get(self._reading.color, seen), "height": height, "width": width}

    def read(self, part: Part) -> Dataset:
        """Return the images of a part.

        Raises:
            UserError: if it has no image.
        """
        images = self.found.parts[part]
        require(bool(images), _why_none(self.found, part))
        return self.made_of(images)

    def made_of(self, images: Sequence[tuple[Path, int]]) -> Dataset:
        """Return images, files with their labels, as a data set."""
        files = self._reading.files([path for path, _ in images], self.shape, self.found.paths)
        labels = torch.tensor([label for _, label in images])
        return Dataset(files, labels, self.found.class_names, _numbered(self.found, images))

    def _others(self) -> Names:
        """Return the images that are of no class, each with the digest of its content."""
        names = {self.found.name(each.path): each.path for each in self.found.passed if not not_an_image(each.path)}
        paths = [path for name, path in names.items() if not any(map(is_hidden, name.split("/")))]
        digests = read_each(digest_if_readable, paths, self._reading.threads)
        return dict(zip(map(self.found.name, paths), digests, strict=True))

    def _groups(self) -> dict[Part, tuple[str, ...]]:
        """Return the group of each image; none where images are not grouped."""
        of = self.found.groups
        return (
            {part: tuple(of.get(path, "") for path, _ in each) for part, each in self.found.parts.items()} if of else {}
        )

    def record(self) -> Record:
        """Return what a run keeps of the images."""
        names: dict[Part, Names] = {}
        pixels: dict[Part, tuple[str, ...]] = {}
        for part, images in self.found.parts.items():
            paths = [path for path, _ in images]
            digests = read_each(file_digest, paths, self._reading.threads)
            names[part] = dict(zip(map(self.found.name, paths), digests, strict=True))
            pixels[part] = tuple(self._reading.files(paths, self.shape).pixel_digests())
        labels = {part: tuple(label for _, label in images) for part, images in self.found.parts.items()}
        return Record(
            parts=names,
            labels=labels,
            pixels=pixels,
            groups=self._groups(),
            others=self._others(),
            class_names=self.found.class_names,
            images=self.shape,
        )


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


def _numbered(found: Found, images: Sequence[tuple[Path, int]]) -> torch.Tensor | None:
    """Return the number of each image's group; None if one has none."""
    names = [found.groups.get(path, "") for path, _ in images]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names]) if all(names) else None


def _named(paths: Sequence[Path]) -> str:
    return few([path.name for path in paths])
