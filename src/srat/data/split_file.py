"""Splits that others have drawn: files of the indices of training images to keep."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import FieldError, UserError, require
from srat.core.files import parse_json, read_bounded, write_atomically
from srat.data.imbalance import Counts, Imbalance, hash_indices
from srat.data.reading.npz import names_in, read_npz

LARGEST_FILE = 1 << 26
"""Bytes of a split file that are read at the most."""
_INDICES = ("indices", "train_indices", "index", "idx")
"""What files call the indices."""


class Split(NamedTuple):
    """What a split file says."""

    indices: Int[Tensor, " kept"]
    labels: Int[Tensor, " kept"] | None
    """The class of each, where the file says so."""
    images: int | None
    """How many training images the data set has, where the file says so."""


@checked
def read_split(path: Path) -> Split:
    """Return the indices that a file holds, in its order.

    - ``.npy``: one array; ``.npz``: ``indices`` (or the only array), and if there ``labels`` and ``images``;
    - ``.txt``: whole numbers between white space, ``#`` before remarks;
    - ``.json``: a list, an object with ``indices`` and if there ``labels`` and ``images``, or a run's ``indices.json``.

    Args:
        path: the file; its ending says what it is.

    Raises:
        UserError: if it cannot be read, or holds something else.
    """
    content = _reader(path)(path)
    indices = _whole_numbers(content["indices"], f"{path}: indices")
    labels, images = content.get("labels"), content.get("images")
    if labels is not None:
        labels = _whole_numbers(labels, f"{path}: labels")
        same = f"{path}: expected a label for each of {len(indices):,} indices, got {len(labels):,}"
        require(len(labels) == len(indices), same)
    return Split(indices, labels, None if images is None else int(_whole_numbers([images], f"{path}: images")[0]))


@checked
def write_split(path: Path, indices: Int[Tensor, " kept"], labels: Int[Tensor, " n"]) -> None:
    """Write the indices of training images into a file that `read_split` reads.

    ``.npz`` also holds the class of each, and how many training images there are, so that the file is refused with
    another data set; the others hold the indices alone.

    Args:
        path: the file; its ending says what it is.
        indices: of the images kept.
        labels: (n,), of all training images.

    Raises:
        UserError: on another ending, indices of no image, or if there is no such folder.
    """
    check_split(Split(indices, None, None), labels, where=path)
    _reader(path)
    require(path.parent.is_dir(), f"{path}: there is no folder '{path.parent}'")
    kept, file = indices.numpy(), io.BytesIO()
    if path.suffix == ".npy":
        np.save(file, kept)
    elif path.suffix == ".npz":
        np.savez(file, indices=kept, labels=labels[indices].numpy(), images=np.asarray(len(labels)))
    else:
        text = json.dumps(kept.tolist()) if path.suffix == ".json" else "\n".join(map(str, kept.tolist()))
        file.write(f"{text}\n".encode())
    write_atomically(path, file.getvalue())


def check_split(split: Split, labels: Int[Tensor, " n"], *, where: Path) -> Int[Tensor, " kept"]:
    """Return the sorted indices of a split of a data set.

    Args:
        split: what the file says.
        labels: (n,), of the data set's training images.
        where: the file.

    Raises:
        UserError: if the split is of another data set, by the number of images, by an index or by a label.
    """
    n, kept = len(labels), split.indices
    require(split.images in (None, n), f"{where}: a split of {split.images} training images, the data set has {n:,}")
    require(len(kept) > 0, f"{where}: there are no indices in it")
    low, high = int(kept.min()), int(kept.max())
    inside = f"{where}: expected indices from 0 to {n - 1:,}, the training images of the data set, got {low} to {high}"
    require(low >= 0 and high < n, inside)
    ordered = kept.sort().values
    twice = ordered[:-1][ordered.diff() == 0]
    require(len(twice) == 0, f"{where}: expected each index once, got {''.join(map(str, twice[:1].tolist()))} twice")
    if split.labels is not None:
        wrong = (split.labels != labels[kept]).nonzero().flatten()
        if len(wrong):
            first = int(wrong[0])
            ours, theirs = int(labels[kept[first]]), int(split.labels[first])
            said = (
                f"{len(wrong):,} of {len(kept):,} labels, the first of image {int(kept[first])}: {theirs}, not {ours}"
            )
            raise UserError(f"{where}: a split of another data set, which differs in {said}")
    return ordered


@dataclass(frozen=True, kw_only=True)
class SplitFile(Imbalance, name="split-file"):
    """The training images that a file names, such as a split that others have published."""

    path: Path | None = None
    """The file of their indices: .npy, .npz, .txt or .json."""
    sha256: str = ""
    """What 'srat data' prints of the kept indices; if given, a file of others is refused."""

    @override
    def kept(self, labels: Int[Tensor, " n"], class_counts: Counts, *, seed: int) -> Int[Tensor, " kept"]:
        del seed
        if self.path is None:
            raise FieldError("imbalance.path", "a file of indices", None)
        indices = check_split(read_split(self.path), labels, where=self.path)
        got = hash_indices(indices)
        said = f"{self.path}: expected indices of SHA-256 {self.sha256}, got {got}"
        require(self.sha256 in ("", got), said)
        left = labels[indices].bincount(minlength=len(class_counts)).tolist()
        require(min(left) > 0, f"{self.path}: leaves class {left.index(min(left))} without a training image")
        return indices


def _reader(path: Path) -> Callable[[Path], Mapping[str, Any]]:
    """Return what reads files of this ending."""
    readers = {".npy": _read_npy, ".npz": _read_npz, ".txt": _read_txt, ".json": _read_json}
    there = ", ".join(readers)
    require(path.suffix in readers, f"{path}: expected a split file that ends in {there}, got '{path.suffix}'")
    return readers[path.suffix]


def _read_npy(path: Path) -> Mapping[str, Any]:
    try:
        return {"indices": np.load(io.BytesIO(read_bounded(path, LARGEST_FILE)), allow_pickle=False)}
    except UserError:
        raise
    except Exception as error:  # NumPy raises whatever a damaged file leads it to
        raise UserError(f"{path}: not a readable .npy of plain numbers, or truncated ({error})") from error


def _read_npz(path: Path) -> Mapping[str, Any]:
    there = names_in(path)
    name = next((name for name in _INDICES if name in there), there[0] if len(there) == 1 else "")
    require(name != "", f"{path}: expected the array 'indices' or one alone, there are: {', '.join(there) or 'none'}")
    beside = [other for other in ("labels", "images") if other in there and other != name]
    arrays = read_npz(path, (name, *beside))
    images = arrays.get("images")
    known = {"indices": arrays[name], "labels": arrays.get("labels")}
    return known | ({} if images is None or images.ndim else {"images": images.item()})


def _read_txt(path: Path) -> Mapping[str, Any]:
    text = read_bounded(path, LARGEST_FILE).decode(errors="replace")
    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    odd = [word for word in words if not word.isascii() or not word.isdecimal() or len(word) > 12]
    require(not odd, f"{path}: expected whole numbers between white space, got '{''.join(odd[:1])[:40]}'")
    return {"indices": [int(word) for word in words]}


def _read_json(path: Path) -> Mapping[str, Any]:
    content = parse_json(read_bounded(path, LARGEST_FILE), where=path)
    if isinstance(content, list):
        return {"indices": content}
    whole = isinstance(content, dict)
    if whole and "indices" in content:
        return {name: content.get(name) for name in ("indices", "labels", "images")}
    parts = [content.get(name) for name in ("train", "held_out")] if whole else []
    lists = bool(parts) and all(isinstance(part, list) for part in parts)
    require(lists, f"{path}: expected a list of indices, an object with 'indices', or a run's indices.json")
    return {"indices": [index for part in parts for index in part or ()]}


def _whole_numbers(values: Any, what: str) -> Int[Tensor, " n"]:
    """Return whole numbers as a tensor, or raise ``UserError``."""
    try:
        array: NDArray[Any] = np.asarray(values)
    except (ValueError, OverflowError):
        array = np.asarray(["odd"])
    plain = array.dtype.kind in "iu" or array.size == 0
    require(plain and array.ndim <= 2, f"{what}: expected whole numbers, got {array.dtype} of shape {array.shape}")
    flat = array.reshape(-1)
    require(array.ndim == 1 or array.shape[1:] == (1,), f"{what}: expected one axis, got shape {array.shape}")
    require(flat.size == 0 or int(flat.max()) < 1 << 62, f"{what}: expected whole numbers, got one beyond 64 bits")
    return torch.from_numpy(flat.astype(np.int64))
