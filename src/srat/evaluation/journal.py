"""How far an evaluation is, image by image, so that one that was killed goes on where it was."""

import glob
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from safetensors import SafetensorError
from torch import Tensor

from srat.core.cadence import Cadence, Every
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.tensor_file import open_tensors, write_tensors
from srat.evaluation.outcome import NEVER, Outcome


class Progress(NamedTuple):
    """How far each image is. An attack has rounds: the look at the untouched images, then each start or stage."""

    rounds: Int[Tensor, " n"]
    """Rounds that an image is through with; it broke in the last of them, or in none."""
    broken_at: Int[Tensor, " n"]
    """As in `Outcome`; never, so far."""
    predicted: Int[Tensor, " n"]
    """As in `Outcome`."""

    @classmethod
    def none(cls, labels: Int[Tensor, " n"]) -> "Progress":
        """Return the progress before any of the images, whose labels these are, has been looked at."""
        return cls(torch.zeros_like(labels), torch.full_like(labels, NEVER), labels.clone())

    @property
    def outcome(self) -> Outcome:
        """What became of the images so far."""
        return Outcome(self.broken_at, self.predicted)

    def at(self, images: Int[Tensor, " some"]) -> "Progress":
        """Return that of some images."""
        return Progress(*(column[images] for column in self))

    def to(self, device: torch.device) -> "Progress":
        """Return it on a device."""
        return Progress(*(column.to(device) for column in self))

    def plausible(self, *, rounds: int, classes: int) -> bool:
        """Return whether this can be that of an attack of so many rounds, on so many classes."""
        within = ((self.rounds, 0, rounds), (self.predicted, 0, classes - 1))
        inside = all(bool(((column >= low) & (column <= high)).all()) for column, low, high in within)
        return inside and bool((self.broken_at >= NEVER).all())

    def through(self, rounds: int) -> Bool[Tensor, " n"]:
        """Return which images an attack of so many rounds is done with."""
        return (self.broken_at != NEVER) | (self.rounds == rounds)

    def standing(self, number: int) -> Int[Tensor, " standing"]:
        """Return the images that rounds before ``number`` have not broken, whatever this round has done since."""
        return ((self.broken_at == NEVER) | (self.rounds > number)).nonzero().flatten()

    def waiting(self, number: int) -> Bool[Tensor, " n"]:
        """Return which images round ``number`` has still to try."""
        return (self.broken_at == NEVER) & (self.rounds == number)

    def noted(self, images: Int[Tensor, " some"], number: int, found: Outcome) -> "Progress":
        """Return it with what round ``number`` has made of some images: whole at every moment, whatever interrupts."""
        rounds = torch.full_like(found.broken_at, number + 1)
        new = zip(self, (rounds, *found), strict=True)
        return Progress(*(column.index_copy(0, images, values) for column, values in new))


def furthest(those: Sequence[Progress]) -> Progress:
    """Return of each image what the one knows that has it furthest."""
    ahead = torch.stack([each.rounds for each in those]).argmax(dim=0, keepdim=True)
    return Progress(*(torch.stack(column).gather(0, ahead)[0] for column in zip(*those, strict=True)))


class Journal:
    """Keeps the progress of an evaluation; this one keeps nothing."""

    def read(self) -> Progress | None:
        """Return how far the evaluation was, on the CPU; None if it has not begun."""
        return None

    def tick(self, progress: Progress) -> None:
        """Write, if it is time to."""

    def write(self, progress: Progress) -> None:
        """Write at once."""

    def remove(self) -> None:
        """Keep nothing any more: the evaluation has ended."""


class FileJournal(Journal):
    """Files of progress, one for each process that takes part, written as often as costs a hundredth of the time.

    Args:
        folder: where they are; it need not exist.
        name: the result's name.
        rank: this process's number.
        identity: what else has to be the same for the evaluation to be the same one, JSON-able.
        images: how many there are.
        notice: called with what cannot be used.
    """

    @checked
    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        rank: int,
        identity: Mapping[str, Any],
        images: int,
        notice: Callable[[str], None],
    ) -> None:
        self._folder, self._name, self._rank = folder, name, rank
        self._identity, self._images, self._notice = json.loads(json.dumps(identity)), images, notice
        self._cadence = Cadence(Every())

    def read(self) -> Progress | None:
        """Return how far those came who began the same evaluation, however many they were."""
        found = [progress for path in self._files() if (progress := self._of(path)) is not None]
        return furthest(found) if found else None

    def tick(self, progress: Progress) -> None:
        """Write, if enough time has passed since the last time."""
        if self._cadence.step():
            self.write(progress)

    def write(self, progress: Progress) -> None:
        """Write this process's file, whole or not at all."""
        began = time.monotonic()
        path = self._folder / f"{self._name}.{self._rank}.safetensors"
        tensors = {name: tensor.int() for name, tensor in progress._asdict().items()}
        for attempt in range(3):
            try:
                self._folder.mkdir(exist_ok=True)
                write_tensors(path, tensors, {"identity": self._identity})
                break
            except FileNotFoundError:  # another evaluation has ended, and removed the folder at that moment
                if attempt == 2:
                    raise
        self._cadence.saved(cost=time.monotonic() - began)

    def remove(self) -> None:
        """Remove the files of all processes, what killed ones left of them, and the folder if nothing else is in it."""
        for path in (*self._files(), *self._folder.glob(f".{glob.escape(self._name)}.*.tmp")):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # not there, or in use by another evaluation
            self._folder.rmdir()

    def _files(self) -> list[Path]:
        ours = re.compile(rf"{re.escape(self._name)}\.\d+\.safetensors")
        return sorted(path for path in self._folder.glob("*.safetensors") if ours.fullmatch(path.name))

    def _of(self, path: Path) -> Progress | None:
        try:
            file = open_tensors(path)
            if file.facts.get("identity") != self._identity:
                self._notice(f"{path}: of another evaluation; starting over")
                return None
            shapes = dict.fromkeys(Progress._fields, (self._images,))
            require(file.shapes == shapes, f"{path}: expected tensors {shapes}, got {file.shapes}")
            return Progress(**{name: tensor.long() for name, tensor in file.tensors().items()})
        except (UserError, OSError, SafetensorError) as error:
            self._notice(f"{error}; starting over")
            return None
