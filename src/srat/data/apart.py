"""A test set that comes later: other images of a model's classes, in a folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from srat.core.checked import checked
from srat.core.words import counted
from srat.data.as_trained import files_as_trained, reading_of
from srat.data.dataset import Dataset, Source
from srat.data.image_folder.apart import found_apart
from srat.data.image_folder.images import FolderImages
from srat.data.image_folder.scan import scan, told_in_line
from srat.data.image_folder.table import Columns
from srat.data.reading.downloads import require_folder


@checked
def images_apart(
    place: Path | str,
    source: Source,
    class_names: tuple[str, ...],
    *,
    channels: int,
    height: int,
    width: int,
    told: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """Return the images of a folder as a test set for a model: of its classes, by name, and of its size.

    Files are read as those that the model was trained on; where these were no files, as a folder's are by default.

    Args:
        place: the folder: with a test part, or classes alone, or a table.
        source: what the model was trained on.
        class_names: the model's classes.
        channels: of the model's images, 1 or 3.
        height: of the model's images.
        width: of the model's images.
        told: called with each thing that is to be said of the images.

    Raises:
        UserError: if there is no such folder, no image of a class, or a class that the model does not know; or if the
            model takes neither grey nor colour images.
    """
    root, usual = scan(require_folder(Path(place))), reading_of(source)
    columns = Columns(file=usual.file_column, label=usual.label_column)
    found = found_apart(usual.read_of(root), class_names, columns=columns)
    paths, labels = zip(*found.parts["test"], strict=True)
    files = files_as_trained(source, paths, channels=channels, height=height, width=width)
    images = FolderImages(replace(usual.reading, size=(width, height)), found, {})  # of whatever size the files are
    for note in (*told_in_line(found.passed, len(found.paths), root.path), *images.notes):
        told(note)
    resized = sum(header.size != (width, height) for header in images.headers)
    if resized:
        told(f"{counted(resized, 'image is', 'images are')} resized to {width} × {height}")
    return Dataset(files, torch.tensor(labels), class_names)
