"""Images of the user's own, in one .npz file."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srat.data.base import DataDir, Dataset, Source, Suggested
from srat.errors import UserError, require


@dataclass(frozen=True, kw_only=True)
class Arrays(Source, name="arrays"):
    """An .npz with train_images, train_labels, test_images, test_labels and, optionally, class_names."""

    suggested: ClassVar[Suggested] = Suggested(imbalance="none", augmentation="none")

    dir: DataDir = None
    """The .npz file; images n × H × W or n × H × W × C, uint8 or floating point in [0, 1]."""

    def train(self) -> Dataset:
        """Return train_images with train_labels."""
        return self._part("train")

    def test(self) -> Dataset:
        """Return test_images with test_labels."""
        return self._part("test")

    def _part(self, part: str) -> Dataset:
        if self.dir is None:
            raise UserError("--data arrays: expected --data-dir FILE.npz, got none")
        arrays = read_npz(self.dir, (f"{part}_images", f"{part}_labels", "class_names"))
        images = _images(arrays[f"{part}_images"], f"{self.dir}: {part}_images")
        labels = _labels(arrays[f"{part}_labels"], f"{self.dir}: {part}_labels")
        return Dataset(images, labels, _class_names(arrays.get("class_names"), self.dir))


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the named arrays of an .npz file (``class_names`` may be absent); object arrays are refused unread.

    Raises:
        UserError: if the file or an array is missing or damaged.
    """
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            require(isinstance(file, np.lib.npyio.NpzFile), f"{path}: expected an .npz file, got a single array")
            missing = [name for name in names if name not in file and name != "class_names"]
            require(
                not missing, f"{path}: there is no {', '.join(missing)}; there are: {', '.join(file) or 'no arrays'}"
            )
            return {name: file[name] for name in names if name in file}
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"--data-dir: expected an .npz file, got '{path}', which does not exist") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz of plain arrays, or truncated ({error})") from error


def _images(array: NDArray[Any], what: str) -> Tensor:
    require(array.ndim in (3, 4), f"{what}: expected n × H × W or n × H × W × C, got shape {array.shape}")
    if array.ndim == 3:
        array = array[..., None]
    require(array.shape[3] in (1, 3), f"{what}: expected 1 or 3 channels on the last axis, got shape {array.shape}")
    require(
        array.dtype == np.uint8 or array.dtype.kind == "f",
        f"{what}: expected uint8 or floating point, got {array.dtype}",
    )
    plain = array if array.dtype == np.uint8 else array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(plain.transpose(0, 3, 1, 2)))


def _labels(array: NDArray[Any], what: str) -> Tensor:
    require(
        array.ndim == 1 and array.dtype.kind in "iu",
        f"{what}: expected n integers, got {array.dtype} of shape {array.shape}",
    )
    return torch.from_numpy(array.astype(np.int64))


def _class_names(array: Any, path: Path) -> tuple[str, ...]:
    if array is not None:
        return tuple(str(name) for name in array.tolist())
    # Both parts must agree on the number of classes, and a rare class may be absent from one of them.
    both = read_npz(path, ("train_labels", "test_labels"))
    classes = 1 + max(int(both[name].max(initial=-1)) for name in ("train_labels", "test_labels"))
    return tuple(str(c) for c in range(classes))
