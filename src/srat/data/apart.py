"""A test set that comes later: other images of a model's classes, in a folder."""

from collections.abc import Callable
from pathlib import Path

import torch

from srat.core.checked import checked
from srat.core.words import counted
from srat.data.dataset import Dataset, Source
from srat.data.image_folder.apart import found_apart
from srat.data.image_folder.images import FolderImages, Reading
from srat.data.image_folder.scan import scan, told_in_line
from srat.data.image_folder.table import Columns
from srat.data.reading.downloads import require_folder
from srat.data.reading.image_files import ImageFiles
from srat.data.sources.folder import Folder


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
        UserError: if there is no such folder, no image of a class, or a class that the model does not know.
    """
    root = scan(require_folder(Path(place)))
    usual = source if isinstance(source, Folder) else Folder()
    columns = Columns(file=usual.file_column, label=usual.label_column)
    found = found_apart(root, class_names, columns=columns)
    reading = Reading(
        size=height,  # of whatever size the files are
        color="auto",
        background=usual.background,
        white_level=usual.white_level,
        streaming=usual.streaming,
        threads=usual.threads,
    )
    images = FolderImages(reading, found, {})
    for note in (*told_in_line(found.passed, len(found.paths), root.path), *images.notes):
        told(note)
    resized = sum(header.size != (width, height) for header in images.headers)
    if resized:
        told(f"{counted(resized, 'image is', 'images are')} resized to {width} × {height}")
    paths, labels = zip(*found.parts["test"], strict=True)
    shape = {"mode": "L" if channels == 1 else "RGB", "height": height, "width": width}
    files: ImageFiles = reading.files(paths, shape)
    return Dataset(files, torch.tensor(labels), class_names)
