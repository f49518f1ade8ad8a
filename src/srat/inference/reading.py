"""Image files as a trained model takes them: which are named, how they are read, what is to be said of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.words import counted
from srat.data import Source
from srat.data.as_trained import files_as_trained, reading_of
from srat.data.image_folder.images import reading_notes
from srat.data.image_folder.levels import dark_notes, dull_notes, levels_used
from srat.data.image_folder.scan import Passed, not_an_image, scan, told_briefly
from srat.data.reading.decoding import Header, read_header
from srat.data.reading.image_files import ImageFiles, read_each, together
from srat.data.sources.folder import Folder
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE
from srat.models import ImageShape
from srat.runtime.machine import free_memory

Images = Tensor | ImageFiles

_NIGHT = 0.25
"""Share of white: values of 14 bits in channels of 16 are no larger."""
_AS_TRAINED = "scale them as the training images were"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The image files that paths name, and the files in the folders among them that are passed over."""

    images: tuple[Path, ...] = ()
    passed: tuple[Passed, ...] = ()
    wrong: tuple[UserError, ...] = ()
    """What is wrong with each path that names none."""


@checked
def image_files(paths: Sequence[Path]) -> Chosen:
    """Return the image files that paths name, each once.

    Args:
        paths: of files, which are taken as they are, and of folders, whose images are taken at every depth.

    Raises:
        UserError: if none of them names an image.
    """
    found = [_tried(path) for path in paths]
    images = dict.fromkeys(path for each in found for path in each.images)
    passed = {other.path: other for each in found for other in each.passed if other.path not in images}
    wrong = tuple(error for each in found for error in each.wrong)
    if not images and wrong:
        raise together(wrong)
    return Chosen(images=tuple(images), passed=tuple(passed.values()), wrong=wrong)


def _tried(path: Path) -> Chosen:
    try:
        return _named_by(path)
    except UserError as error:
        return Chosen(wrong=(error,))


def _named_by(path: Path) -> Chosen:
    require(path.exists(), _not_there(path))
    require(path.is_file() or path.is_dir(), f"'{path}': expected a file or a folder, got a device or a pipe")
    if not path.is_dir():
        return Chosen(images=(path,))
    branch = scan(path)
    tables = [Passed(path=each, kind="foreign", why=f"not an image ({each.suffix})") for each in branch.all_tables]
    chosen = Chosen(images=branch.all_images, passed=(*branch.all_passed, *tables))
    why = f", only other files: {told_briefly(chosen.passed, path)}" if chosen.passed else ""
    require(bool(chosen.images), f"'{path}' has no image in it{why}")
    return chosen


def _not_there(path: Path) -> str:
    if path.is_symlink():
        return f"'{path}' is a link to '{path.readlink()}', which does not exist"
    return f"there is no file or folder '{path}'"


@dataclass(frozen=True, kw_only=True)
class ReadFiles:
    """Image files that could be read, as a model takes them, and what is wrong with the others."""

    paths: tuple[Path, ...]
    """The files that could be read."""
    headers: tuple[Header, ...]
    """What each of them says of itself."""
    images: Images
    """Decoded, as bytes; or still in their files where all of them are more than memory bears."""
    unread: tuple[Path, ...] = ()
    wrong: tuple[UserError, ...] = ()
    """An error for each of the unread."""

    def without_images(self) -> "ReadFiles":
        """Return what is to be said of them, without the memory that they take."""
        return replace(self, images=torch.empty(0))


@checked
def read_images(
    paths: Sequence[Path], shape: ImageShape, source: Source | None = None, *, observer: Observer | None = None
) -> ReadFiles:
    """Read image files, each once, several at a time, as images of a shape; those that cannot be read cost no other.

    They become what training makes of a folder's images: turned upright, grey or colour as the model wants it, resized
    to its height and width.

    Args:
        paths: of image files.
        shape: channels, height and width that the model takes.
        source: what the model was trained on: files are read as its own are.
        observer: told of progress.

    Raises:
        UserError: if the model takes neither grey nor colour images.
    """
    files = files_for(shape, source, paths)
    looked = _looked_into(files, observer or Observer())
    good = [each for each in looked if each.header is not None]
    bad = [(each.path, each.error) for each in looked if each.error is not None]
    kept = [each.pixels for each in good if each.pixels is not None]
    names = tuple(each.path for each in good)
    return ReadFiles(
        paths=names,
        headers=tuple(each.header for each in good if each.header is not None),
        images=torch.cat(kept) if kept and len(kept) == len(good) else replace(files, paths=names),
        unread=tuple(path for path, _ in bad),
        wrong=tuple(error for _, error in bad),
    )


def how_read(chosen: Chosen, files: Iterable[ReadFiles], source: Source) -> Iterator[str]:
    """Yield how many of all files were read and why the others were not, and what is to be said of those that were.

    Args:
        chosen: all that were named.
        files: what became of them.
        source: what the model was trained on.
    """
    parts, reading = list(files), reading_of(source)
    paths = [path for part in parts for path in part.paths]
    headers = [header for part in parts for header in part.headers]
    unread = (Passed(path=path, kind="unreadable", why="cannot be read") for part in parts for path in part.unread)
    passed = [*chosen.passed, *unread]
    others = f"; not read: {told_briefly(passed, Path())}" if passed else ""
    yield f"read {len(paths):,} of {counted(len(paths) + len(passed), 'file')}{others}"
    yield from reading_notes(headers, paths, reading.background)
    yield from _dark_notes(headers, paths, reading)


def _dark_notes(headers: Sequence[Header], paths: Sequence[Path], reading: Folder) -> Iterator[str]:
    """Yield what is to be said of dark files; of eight bits a channel, those that no camera makes so dark by night."""
    levels, there = levels_used(headers, paths, reading.threads)
    yield from dark_notes(levels, there, reading.white_level, way=_AS_TRAINED)
    yield from dull_notes(headers, paths, reading.background, most=_NIGHT, way=_AS_TRAINED)


def takes_photographs(shape: ImageShape) -> bool:
    """Return whether a model takes what image files have: one channel, or three."""
    return shape.channels in (1, 3)


def files_for(shape: ImageShape, source: Source | None, paths: Sequence[Path] = ()) -> ImageFiles:
    """Return image files that are decoded as a model takes them.

    Args:
        shape: channels, height and width that the model takes.
        source: what it was trained on: files are read as its own are.
        paths: the files.

    Raises:
        UserError: if the model takes neither grey nor colour images.
    """
    return files_as_trained(source, paths, **vars(shape), streaming="always")


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """A file, decoded to see whether that can be done."""

    path: Path
    header: Header | None = None
    pixels: Tensor | None = None
    error: UserError | None = None


def _looked_into(files: ImageFiles, observer: Observer) -> list[_Looked]:
    """Decode each file once; the pixels are kept as long as all of them fit into a part of the memory that is free."""
    fit = 2 * files.nbytes <= free_memory() // 2  # they are there twice while they are joined
    looked: list[_Looked] = []
    for start in range(0, len(files), BATCH_SIZE):
        block = range(start, min(start + BATCH_SIZE, len(files)))
        looked += read_each(partial(_look, files, keep=fit), block, files.workers)
        observer.images_done(len(block))
    return looked


def _look(files: ImageFiles, position: int, *, keep: bool) -> _Looked:
    path = files.paths[position]
    try:
        if passed := not_an_image(path):
            raise UserError(f"{path}: not read: {passed.why}")
        pixels = files[position : position + 1]
        header = read_header(path, upright=False)
    except UserError as error:
        return _Looked(path=path, error=error)
    return _Looked(path=path, header=header, pixels=pixels if keep else None)
