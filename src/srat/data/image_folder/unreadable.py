"""A folder without the images that are damaged, where the user wants it so."""

from srat.core.errors import UnreadableError
from srat.data.image_folder.patterns import without
from srat.data.image_folder.scan import Branch
from srat.data.reading.decoding import decode
from srat.data.reading.image_files import try_each


def without_unreadable(root: Branch, threads: int) -> Branch:
    """Return a folder whose images can be decoded; the others are among what is passed over.

    Args:
        root: the folder.
        threads: how many files are read at a time.
    """
    paths = root.all_images
    tried = try_each(decode, paths, threads)
    bad = {path for path, error in zip(paths, tried, strict=True) if isinstance(error, UnreadableError)}
    return without(root, lambda path: "image that is damaged" if path in bad else "", kind="unreadable")
