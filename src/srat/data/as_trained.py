"""Image files, read as those that a model was trained on."""

from collections.abc import Sequence
from pathlib import Path

from srat.core.errors import require
from srat.data.dataset import Source
from srat.data.reading.image_files import ImageFiles, Streaming
from srat.data.sources.folder import Folder


def reading_of(source: Source | None) -> Folder:
    """Return what says how files are read: the data that a model was trained on, if these were files."""
    return source if isinstance(source, Folder) else Folder()


def files_as_trained(
    source: Source | None,
    paths: Sequence[Path],
    *,
    channels: int,
    height: int,
    width: int,
    streaming: Streaming | None = None,
) -> ImageFiles:
    """Return image files that are decoded as a model takes them: grey or colour, and resized whatever their size.

    Args:
        source: what the model was trained on: files are read as its own are, and as usual where these were none.
        paths: the files.
        channels: of the images that the model takes.
        height: of these images.
        width: of these images.
        streaming: whether they stay in their files; as the source has it unless given.

    Raises:
        UserError: if the model takes neither grey nor colour images.
    """
    require(channels in (1, 3), f"the model takes images of {channels} channels, which files do not have")
    reading = reading_of(source)
    return ImageFiles(
        paths=tuple(paths),
        mode="L" if channels == 1 else "RGB",
        height=height,
        width=width,
        resize=True,
        background=reading.background,
        white_level=reading.white_level,
        streaming=streaming or reading.streaming,
        workers=reading.threads,
    )
