"""MedMNIST: medical images of small sizes, in an .npz file each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from srat.core.errors import FieldError, UserError, nearest, require, require_field
from srat.data.array_file.values import read_images, read_labels
from srat.data.dataset import Dataset, FileSource, Suggested
from srat.data.reading.downloads import Remote, check_md5_of, fetch, locate, search_folders
from srat.data.reading.medmnist import SETS, SEVERAL_LABELS, SIZES, URL, VOLUMES, Size
from srat.data.reading.npz import read_npz
from srat.data.record import Part

_FILES = {"train": "train", "validation": "val", "test": "test"}
"""The parts, and what the files call them."""
_NAMES = ", ".join(SETS)


@dataclass(frozen=True, kw_only=True)
class MedMNIST(FileSource, name="medmnist"):
    """One of MedMNIST's sets of medical images such as dermamnist (Yang et al., 2023)."""

    # As its authors train: a ResNet-18, 100 epochs, no augmentation. Mirrored, a left kidney would be a right one.
    suggested: ClassVar[Suggested] = Suggested(imbalance="none", augmentation="none", epochs=100)
    there: ClassVar[frozenset[Part]] = frozenset({"train", "validation", "test"})

    dataset: str | None = field(default=None, metadata={"help": f"Which of them: {_NAMES}."})
    size: Size = 28
    """Height and width of the images."""

    def __post_init__(self) -> None:
        name = self.dataset
        require(name not in VOLUMES, f"`data.dataset` {name}: it holds volumes, not images; there are: {_NAMES}")
        several = f"`data.dataset` {name}: its images may have several classes each, and a classifier gives one"
        require(name not in SEVERAL_LABELS, f"{several}; there are: {_NAMES}")
        hint = nearest((name or "").lower(), SETS)
        require(name is None or name in SETS, f"`data.dataset`: unknown set '{name}'{hint}; there are: {_NAMES}")
        # Of JSON, 28.0 equals 28 and would be another configuration.
        sized = isinstance(self.size, int) and self.size in SIZES
        require_field(sized, "data.size", ", ".join(map(str, SIZES)), self.size)

    @property
    @override
    def title(self) -> str:
        """The set's own name."""
        return self.dataset or self.name

    @override
    def read(self, part: Part) -> Dataset:
        if self.dataset is None:
            raise FieldError("data.dataset", "the name of one of its sets", None, advice=f"there are: {_NAMES}")
        published, path = SETS[self.dataset], self._file(self.dataset)
        images, labels = (f"{_FILES[part]}_{kind}" for kind in ("images", "labels"))
        arrays = read_npz(path, (images, labels))
        read = read_images(arrays.pop(images), f"{path}: {images}")
        side = (self.size, self.size)
        require(read.shape[2:] == side, f"{path}: expected images of {side}, got {tuple(read.shape[2:])}")
        try:
            read_of = read_labels(arrays[labels], f"{path}: {labels}", images=len(read))
            return Dataset(read, read_of, published.class_names)
        except UserError as error:
            raise UserError(f"{path}, {part}: {error}") from error

    @override
    def find(self) -> Path | None:
        """Return where its file lies; where any does, if none is named."""
        pairs = [(self.dataset, self.size)] if self.dataset else [(name, size) for name in SETS for size in SIZES]
        folders = [folder / sub for folder in search_folders(self.dir) for sub in ("", "medmnist")]
        # The last is where its authors' package puts them.
        return locate([_name(*pair) for pair in pairs], folders if self.dir else [*folders, Path.home() / ".medmnist"])

    def _file(self, dataset: str) -> Path:
        """Return the file, fetched if it has to be; its checksum is that which is published, or nobody asks."""
        name, md5 = _name(dataset, self.size), SETS[dataset].md5[self.size]
        path = self.find() or fetch(Remote(name=name, url=URL.format(name), md5=md5), self.dir, (name,))
        if self.verify:
            check_md5_of(path, md5)
        return path


def _name(dataset: str, size: Size) -> str:
    """Return what a file is called; of 28 pixels, which were there first, the name says nothing of them."""
    return f"{dataset}.npz" if size == SIZES[0] else f"{dataset}_{size}.npz"
