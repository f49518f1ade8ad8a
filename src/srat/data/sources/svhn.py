"""SVHN's cropped digits, read from the original MATLAB files."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from srat.core.errors import UserError, require
from srat.data.dataset import Dataset, FileSource, Suggested
from srat.data.reading.downloads import LARGEST, Remote, check_md5, fetch, locate, read_file, search_folders
from srat.data.reading.mat import read_arrays
from srat.data.record import Part

_URL = "http://ufldl.stanford.edu/housenumbers/"
_MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


@dataclass(frozen=True, kw_only=True)
class SVHN(FileSource, name="svhn"):
    """Street View House Numbers: 73,257 training and 26,032 test digits, 32 × 32 colour (Netzer et al., 2011)."""

    # The paper halves nothing but the step for SVHN: "we set step size to 1/255" (Section 5.1).
    suggested: ClassVar[Suggested] = Suggested(step_size=1 / 255, augmentation="none", mirrored=False)

    @override
    def find(self, name: str = "test_32x32.mat") -> Path | None:
        return locate((name,), [f / sub for f in search_folders(self.dir) for sub in ("", "svhn")])

    @override
    def read(self, part: Part) -> Dataset:
        """Return the 73,257 training or the 26,032 test digits."""
        name = f"{part}_32x32.mat"
        path = self.find(name) or fetch(Remote(name=name, url=_URL + name, md5=_MD5[name]), self.dir, (name,))
        content = read_file(path)
        if self.verify:
            check_md5(content, _MD5[name], path)
        return read_mat(content, path=path)


def read_mat(content: bytes, *, path: Path | str) -> Dataset:
    """Return the digits of a ``.mat`` file.

    ``X`` holds 32 × 32 × 3 × n bytes, ``y`` n × 1 labels, among which 10 stands for the digit 0.

    Raises:
        UserError: if the file is damaged or laid out otherwise.
    """
    try:
        arrays = read_arrays(content, ("X", "y"), limit=LARGEST)
        images, labels = arrays["X"], arrays["y"].reshape(-1)
    except (ValueError, KeyError, zlib.error) as error:
        raise UserError(f"{path}: not a readable .mat file with X and y, or truncated ({error})") from error
    valid = images.dtype == np.uint8 and images.ndim == 4 and images.shape[:3] == (32, 32, 3)
    require(valid, f"{path}: expected X of 32 × 32 × 3 × n bytes, got {images.dtype} of shape {images.shape}")
    require(len(labels) == images.shape[3], f"{path}: {images.shape[3]} images but {len(labels)} labels")
    require(bool(np.isin(labels, range(11)).all()), f"{path}: expected labels from 0 to 10 under y")
    digits = np.where(labels == 10, 0, labels).astype(np.int64)
    return Dataset(
        torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1))),
        torch.from_numpy(digits),
        tuple(str(digit) for digit in range(10)),
    )
