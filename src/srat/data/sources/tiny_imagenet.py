"""Tiny-ImageNet, read from the folder that its archive unpacks to."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from typing_extensions import override

from srat.core.errors import UserError, require
from srat.core.files import read_bounded
from srat.core.members import NOT_IDENTITY
from srat.data.dataset import Dataset, FileSource, Suggested
from srat.data.reading.downloads import locate, search_folders
from srat.data.reading.image_files import ImageFiles, Streaming
from srat.data.record import Part
from srat.runtime.cores import cores
from srat.runtime.machine import neighbours

CLASSES, SIDE = 200, 64
FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_OF_A_CLASS: Mapping[Part, int] = {"train": 500, "test": 50}
_MOST_THREADS = 16
_LARGEST_TEXT = 1 << 24
"""Bytes of a text file that are read at the most; words.txt has 2.7 million."""
_WNID = re.compile(r"n\d{8}")
"""The number of a class in WordNet."""


@dataclass(frozen=True, kw_only=True)
class TinyImageNet(FileSource, name="tiny-imagenet"):
    """Tiny-ImageNet: 100,000 training images of 200 classes, 64 × 64 colour (Le and Yang, 2015).

    Its validation part, 10,000 images, is the test: the labels of its own test part are not public. The classes come in
    the order of their WordNet numbers.
    """

    # As AT-BSL trains on it.
    suggested: ClassVar[Suggested] = Suggested(model="preact-resnet18", imbalance="exp", epochs=100)
    fetched: ClassVar[bool] = False

    verify: bool = field(default=True, metadata=NOT_IDENTITY)
    """Require the published number of images: 500 of each class for training, 50 for the test."""
    streaming: Streaming = field(default="auto", metadata=NOT_IDENTITY)
    """Whether images stay in their files until they are needed (always), or are decoded beforehand (never); auto asks
    whether they fit into memory."""

    @override
    def find(self) -> Path | None:
        """Return where its folder train lies."""
        return locate(("train", f"{FOLDER}/train"), search_folders(self.dir))

    @override
    def read(self, part: Part) -> Dataset:
        """Return the 100,000 training or the 10,000 test images, those of the folder val.

        Raises:
            UserError: if the folder is not there, or has other classes than 200, or other images than it ought to have.
        """
        found = self.find()
        if found is None:
            places = " and ".join(map(str, search_folders(self.dir)))
            advice = f"unpack {URL} there, or name its folder with `data.dir` or SRAT_DATA_DIR"
            raise UserError(f"there is no {FOLDER}, nor a folder train, in {places}: {advice}")
        root = found.parent
        classes = _classes(root)
        labelled = _training_images(root, classes) if part == "train" else _validation_images(root, classes)
        where = root / ("train" if part == "train" else "val")
        self._check_numbers([wnid for _, wnid in labelled], classes, part, where)
        images = ImageFiles(
            paths=tuple(path for path, _ in labelled),
            mode="RGB",  # some are grey
            height=SIDE,
            width=SIDE,
            resize=False,
            streaming=self.streaming,
            workers=min(max(1, cores() // neighbours()), _MOST_THREADS),
        )
        number = {wnid: label for label, wnid in enumerate(classes)}
        return Dataset(images, torch.tensor([number[wnid] for _, wnid in labelled]), _names(root, classes))

    def _check_numbers(self, wnids: Sequence[str], classes: Sequence[str], part: Part, where: Path) -> None:
        counts, wanted = Counter(wnids), _OF_A_CLASS[part] if self.verify else None
        for wnid in classes:
            got = counts[wnid]
            expected = "an image" if wanted is None else f"{wanted} images"
            right = got >= 1 if wanted is None else got == wanted
            advice = "" if wanted is None or got == 0 else "; `data.verify` false reads it all the same"
            require(right, f"{where}: expected {expected} of class {wnid}, got {got}{advice}")


def _classes(root: Path) -> list[str]:
    """Return the WordNet numbers of the classes, in their order."""
    there = sorted(path.name for path in (root / "train").iterdir() if _WNID.fullmatch(path.name) and path.is_dir())
    advice = f"the whole of it is {URL}, and `data.classes` trains on some"
    require(len(there) == CLASSES, f"{root / 'train'}: expected {CLASSES} classes, got {len(there)}; {advice}")
    return there


def _training_images(root: Path, classes: Sequence[str]) -> list[tuple[Path, str]]:
    found = [(path, wnid) for wnid in classes for path in sorted((root / "train" / wnid / "images").glob("*.JPEG"))]
    require(bool(found), f"{root / 'train'}: expected images in train/{classes[0]}/images/*.JPEG, got none")
    return found


def _validation_images(root: Path, classes: Sequence[str]) -> list[tuple[Path, str]]:
    table = root / "val" / "val_annotations.txt"
    rows = [line.split("\t") for line in _lines(table)]
    known, found = set(classes), []
    there = {path.name for path in (root / "val" / "images").glob("*.JPEG")}
    for place, (name, wnid) in enumerate(([*row, "", ""][:2] for row in rows), start=1):
        require(wnid in known, f"{table}, line {place}: expected a file and one of {CLASSES} classes, got '{wnid}'")
        require(name in there, f"{table}, line {place}: there is no {root / 'val' / 'images' / name}")
        found.append((root / "val" / "images" / name, wnid))
    twice = [path.name for path, times in Counter(path for path, _ in found).items() if times > 1]
    require(not twice, f"{table}: expected each file once, got {''.join(twice[:1])} twice")
    return found


def _names(root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Return what words.txt calls the classes: the first of their words, with the number where two have the same."""
    words = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    first = [words.get(wnid, wnid).partition(",")[0].strip() or wnid for wnid in classes]
    times = Counter(first)
    return tuple(name if times[name] == 1 else f"{name} ({wnid})" for name, wnid in zip(first, classes, strict=True))


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        return [line for line in read_bounded(path, _LARGEST_TEXT).decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8 ({error.reason})") from error
