"""Files of tensors: written whole, with a checksum and without pickle: safetensors with facts in the header."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from srat.core.errors import UserError, require
from srat.core.files import parse_json, write_atomically

Tensors = Mapping[str, Tensor]
Facts = Mapping[str, Any]
LAST = "model.safetensors"
"""A run's weights of the last epoch, in its folder."""
_NOT_FACTS = ("format", "sha256")
_LONGEST_HEADER = 100_000_000
_BLANK = b"0" * 64
_DIGEST = re.compile(rb'"sha256": "([0-9a-f]{64})"')


class DamagedError(UserError):
    """A file that is not what was written: truncated, changed, or never ours."""


def write_tensors(path: Path, tensors: Tensors, facts: Facts) -> None:
    """Write tensors and JSON-able facts to one safetensors file, whole or not at all.

    The header's ``sha256`` is that of the whole file with sixty-four zeros in its place.
    """
    raw = memoryview(save(_unshared(tensors)))
    length = int.from_bytes(raw[:8], "little")
    # The library writes metadata in an order of its own mood; the same run shall give the same bytes.
    metadata = {"format": "pt", "sha256": _BLANK.decode(), **{name: json.dumps(fact) for name, fact in facts.items()}}
    header = json.dumps({"__metadata__": metadata, **json.loads(bytes(raw[8 : 8 + length]))}).encode()
    header += b" " * (-len(header) % 8)
    head, body = len(header).to_bytes(8, "little") + header, raw[8 + length :]
    digest = hashlib.sha256(head)
    digest.update(body)
    write_atomically(path, (head.replace(_BLANK, digest.hexdigest().encode(), 1), body))


@dataclass(frozen=True)
class TensorFile:
    """A file of `write_tensors` whose checksum is right; its tensors are not read yet."""

    path: Path
    facts: Facts
    shapes: Mapping[str, tuple[int, ...]]

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors."""
        with safe_open(str(self.path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in self.shapes}


def open_tensors(path: Path) -> TensorFile:
    """Return what `write_tensors` wrote, but for the tensors.

    Raises:
        DamagedError: if the file is missing, is not ours, or a bit of it has changed.
    """
    try:
        _digest(path)
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            facts = {
                name: parse_json(text, where=name, finite=False)  # the accuracy of no image is no number
                for name, text in metadata.items()
                if name not in _NOT_FACTS
            }
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
    except OSError as error:  # of the disk, or a permission: the file itself may be whole
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise DamagedError(f"{path}: not a readable file of tensors, or damaged ({error})") from error
    return TensorFile(path, facts, shapes)


def digest_of(path: Path) -> str:
    """Return the checksum of a file.

    Raises:
        UserError: if it is not what its header says, or the file cannot be read.
    """
    try:
        return _digest(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise UserError(f"{path}: not a readable file of tensors, or damaged ({error})") from error


def weights_at(place: Path) -> Path:
    """Return the file of weights that a path means: itself, or that of the last epoch in the folder of a run."""
    return place / LAST if place.is_dir() else place


def content_of(path: Path) -> str:
    """Return what names the content of any file of weights: our own checksum, or the SHA-256 of a stranger's bytes.

    Raises:
        UserError: if the file cannot be read, or is ours and damaged.
    """
    try:
        with path.open("rb") as file:
            ours = _DIGEST.search(_head(file)) is not None
        return digest_of(path) if ours else sha256_of(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_named(there: str, named: str, where: str) -> None:
    """Raise ``UserError`` unless weights have the checksum by which a configuration names them."""
    require(there == named, f"{where}: expected weights with the checksum {named}, got {there}")


def _head(file: BinaryIO) -> bytes:
    """Return the length and the header that a file of safetensors begins with."""
    length = file.read(8)
    return length + file.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER))


def _digest(path: Path) -> str:
    """Return a file's checksum; raise ``ValueError`` or ``OSError`` unless it is what its header says."""
    require(path.is_file(), "no such file")
    with path.open("rb") as file:
        head = _head(file)
        found = _DIGEST.search(head)
        if found is None:
            raise ValueError("there is no checksum in its header, or it is truncated")
        digest = hashlib.sha256(head[: found.start(1)] + _BLANK + head[found.end(1) :])
        while piece := file.read(1 << 20):
            digest.update(piece)
    said = found[1].decode()
    require(digest.hexdigest() == said, "its checksum is wrong: it is truncated, or has been changed")
    return said


def _unshared(tensors: Tensors) -> dict[str, Tensor]:
    # Tied weights lie in one storage, which safetensors does not write twice.
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        address = value.untyped_storage().data_ptr()
        plain[name] = value.clone() if address in seen else value
        seen.add(address)
    return plain
