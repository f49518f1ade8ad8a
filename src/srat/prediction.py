"""What a model takes images for, and whether that holds under attack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from srat.attacks import AnyAttack, Natural
from srat.checked import checked
from srat.data import Dataset, Source, to_unit
from srat.data.decoding import read_header
from srat.data.folder import Folder, reading_notes
from srat.data.image_files import ImageFiles, together
from srat.data.scan import Passed, scan, told_in_line
from srat.errors import UserError, require
from srat.evaluation import BATCH_SIZE, examine
from srat.evaluation.serving import served
from srat.gradients import taking_gradients
from srat.models import ImageShape, logits_at
from srat.observer import Observer

Images = Tensor | ImageFiles


_FILES = Folder()
"""How files are read where the model was trained on none."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model takes an image for."""

    label: int
    """The class."""
    probability: float
    """What the model gives it, in [0, 1]; trained models give too much."""
    holds: bool | None
    """Whether the attack changes it nowhere on its way; None if there was no attack."""
    attacked: int | None
    """The class that it is taken for where the attack succeeds; the same where it does not."""


@taking_gradients
@checked
def predict(
    model: nn.Module,
    images: Images,
    attack: AnyAttack,
    *,
    class_names: tuple[str, ...],
    device: str = "cpu",
    seed: int = 0,
    observer: Observer | None = None,
) -> list[Prediction]:
    """Return what a model takes images for; each prediction is attacked as the true class is in an evaluation.

    Args:
        model: images in [0, 1] → logits, or an output that has them; on the device.
        images: (n, channels, height, width), uint8 or in [0, 1]; or files of images.
        attack: what a prediction is to hold under; ``Natural()`` for none.
        class_names: the model's classes.
        device: where to compute.
        seed: of the attack's randomness.
        observer: told of progress.
    """
    labels, probabilities = _looked_at(model, images, device)
    plain = [(int(label), float(share)) for label, share in zip(labels, probabilities, strict=True)]
    if isinstance(attack, Natural):
        return [Prediction(label=label, probability=share, holds=None, attacked=None) for label, share in plain]
    dataset = Dataset(images, labels.cpu(), class_names).to(device)
    found = examine(model, dataset, attack, seed=seed, observer=observer)
    return [
        Prediction(label=label, probability=share, holds=holds, attacked=attacked)
        for (label, share), holds, attacked in zip(
            plain, found.survived.tolist(), found.predicted.tolist(), strict=True
        )
    ]


def _looked_at(model: nn.Module, images: Images, device: str) -> tuple[Tensor, Tensor]:
    """Return the class of each image, and its probability."""
    shares = []
    with served(model) as lent, torch.no_grad():
        for chosen in torch.split(torch.arange(len(images)), BATCH_SIZE):
            batch = to_unit(images[chosen].to(device))
            shares.append(logits_at(lent, batch).softmax(dim=1).max(dim=1))
    return torch.cat([each.indices for each in shares]), torch.cat([each.values for each in shares])


@checked
def image_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the image files that paths name, each once, and what is to be said of the files that are passed over.

    Args:
        paths: of files, which are taken as they are, and of folders, whose images are taken at every depth.

    Raises:
        UserError: if there is no such path, or no image in a folder.
    """
    found: list[Path] = []
    notes: list[str] = []
    for path in paths:
        require(path.exists(), f"there is no file or folder '{path}'")
        if not path.is_dir():
            found.append(path)
            continue
        branch = scan(path)
        tables = [Passed(path=table, why=f"not an image ({table.suffix})") for table in branch.all_tables]
        lines = told_in_line([*branch.all_passed, *tables], len(branch.all_images), path)
        require(bool(branch.all_images), f"'{path}' has no image in it{''.join(f' ({line})' for line in lines)}")
        found += branch.all_images
        notes += lines
    return list(dict.fromkeys(found)), notes


@checked
def read_images(
    paths: Sequence[Path], shape: ImageShape, source: Source = _FILES
) -> tuple[ImageFiles, list[str], list[UserError]]:
    """Return those of some image files that can be read, as images of a shape, with what is to be said of them.

    They become what training makes of a folder's images: turned upright, grey or colour as the model wants it, resized
    to its height and width.

    Args:
        paths: of image files.
        shape: channels, height and width that the model takes.
        source: what the model was trained on: files are read as its own are.

    Returns:
        The images, notes on how they are read, and what is wrong with the others.

    Raises:
        UserError: if no file can be read, or the model takes neither grey nor colour images.
    """
    require(shape.channels in (1, 3), f"the model takes images of {shape.channels} channels, which files do not have")
    reading = source if isinstance(source, Folder) else _FILES
    files = ImageFiles(
        paths=tuple(paths),
        mode="L" if shape.channels == 1 else "RGB",
        height=shape.height,
        width=shape.width,
        resize=True,
        background=reading.background,
        white_level=reading.white_level,
        streaming="always",
    )
    headers, wrong = [], []
    good = []
    for position, path in enumerate(paths):
        try:
            files[position : position + 1]
            headers.append(read_header(path, upright=False))
            good.append(path)
        except UserError as error:
            wrong.append(error)
    if not good:
        raise together(wrong)
    return replace(files, paths=tuple(good)), list(reading_notes(headers, good, reading.background)), wrong
