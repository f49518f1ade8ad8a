"""Fashion-MNIST, read from the original idx files."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from srat.core.errors import require
from srat.data.dataset import Dataset, FileSource, Suggested
from srat.data.reading.downloads import Remote, check_md5, fetch, locate, read_file, search_folders
from srat.data.record import Part

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
# The sum of the download, and the sum of what it unpacks to: archives may be repacked, contents may not change.
_FILES = {
    "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
}


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(FileSource, name="fashion-mnist"):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 × 28 grey (Xiao et al., 2017)."""

    suggested: ClassVar[Suggested] = Suggested(epsilon=0.1, step_size=0.025, augmentation="none", epochs=60)

    def read(self, part: Part) -> Dataset:
        """Return the 60,000 training or the 10,000 test images."""
        prefix = "train" if part == "train" else "t10k"
        images = self._read(f"{prefix}-images-idx3-ubyte", axes=3)
        labels = self._read(f"{prefix}-labels-idx1-ubyte", axes=1)
        return Dataset(images.unsqueeze(1), labels.long(), CLASS_NAMES)

    def find(self, name: str = "t10k-images-idx3-ubyte") -> Path | None:
        """Return where a file of it lies, packed or not."""
        folders = [f / sub for f in search_folders(self.dir) for sub in ("", "fashion-mnist", "FashionMNIST/raw")]
        return locate((name, f"{name}.gz"), folders if self.dir else [*folders, DEBIAN_FOLDER])

    def _read(self, name: str, axes: int) -> Tensor:
        download, md5 = _FILES[name]
        path = self.find(name)
        if path is None:
            packed = f"{name}.gz"
            path = fetch(Remote(name=packed, url=f"{_URL}{packed}", md5=download), self.dir, (name, packed))
        content = read_file(path)
        if self.verify:
            check_md5(content, md5, path)
        return parse_idx(content, axes=axes, path=path)


def parse_idx(content: bytes, *, axes: int, path: Path | str) -> Tensor:
    """Return the uint8 array of an idx file: a magic number, the big-endian length of each axis, the bytes.

    Raises:
        UserError: if the magic number or the length is not that of ``axes`` axes of unsigned bytes.
    """
    header = 4 + 4 * axes
    magic = bytes((0, 0, 0x08, axes))
    require(
        content[:4] == magic,
        f"{path}: expected an idx file of {axes} axes (it starts {magic.hex()}), got {content[:4].hex() or 'nothing'}",
    )
    require(len(content) >= header, f"{path}: truncated in its header")
    shape = struct.unpack(f">{axes}I", content[4:header])
    require(min(shape) > 0, f"{path}: expected axes of at least one, got shape {shape}")
    expected = header + int(np.prod(shape, dtype=object))
    require(len(content) == expected, f"{path}: expected {expected} bytes for shape {shape}, got {len(content)}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())
