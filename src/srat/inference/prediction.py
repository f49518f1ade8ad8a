"""What a model takes images for, and whether that holds under attack."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from srat.attacks import AnyAttack, Natural, tell_doubts
from srat.attacks.named import named
from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.gradients import taking_gradients
from srat.core.words import counted
from srat.data import Dataset, Source, to_unit
from srat.data.image_folder.images import reading_notes
from srat.data.image_folder.levels import dark_notes, dull_notes, levels_used
from srat.data.image_folder.scan import Passed, not_an_image, scan, told_briefly
from srat.data.reading.decoding import Header, read_header
from srat.data.reading.image_files import ImageFiles, read_each, together
from srat.data.sources.folder import Folder
from srat.evaluation.evaluate import examine
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE, lent_exactly
from srat.models import ImageShape, first_logits, logits_at
from srat.models.asking import trainable
from srat.models.wrapping.wrapper import LOOKED_AT
from srat.runs.folder import Which
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device, free_memory

Images = Tensor | ImageFiles

_FILES = Folder()
"""How files are read where the model was trained on none."""
_NIGHT = 0.25
"""Share of white: values of 14 bits in channels of 16 are no larger."""
_AS_TRAINED = "scale them as the training images were"


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


@dataclass(frozen=True, kw_only=True)
class FilePredictions:
    """What a run's model takes image files for."""

    class_names: tuple[str, ...]
    attack: AnyAttack
    """What the predictions are to hold under."""
    paths: tuple[Path, ...]
    """The files that could be read."""
    predictions: tuple[Prediction, ...]
    """One for each."""
    wrong: tuple[UserError, ...] = ()
    """What is wrong with each of the other files."""


@checked
def predict_files(
    run: Path | str,
    paths: Sequence[Path | str],
    *,
    attack: AnyAttack | str | None = None,
    epsilon: float | None = None,
    which: Which = "last",
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> FilePredictions:
    """Return what a run's model takes image files for, and whether each prediction holds under attack.

    Args:
        run: the run's folder, or a file of its weights.
        paths: of image files, and of folders, whose images are taken at every depth.
        attack: an attack, or a word such as "pgd-50", which gets norm and ε from the run's own threat model; by default
            the attack that the run was evaluated under. "natural" attacks nothing.
        epsilon: ε of an attack that is not given as such, in [0, 1] pixel units; the run's unless given.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress, and of what can hardly be meant.
        told: told how many of how many files were read, and what is to be said of them.

    Raises:
        UserError: if there is no such run, attack or file, or no file can be read.
    """
    observer = observer or Observer()
    chosen = image_files([Path(path) for path in paths])
    there = as_device(device)
    model, facts = load_with_facts(run, which=which, model=model, device=there)
    own = facts.config.evaluation
    threat = own if epsilon is None else replace(own, epsilon=epsilon)
    under = named(attack, threat) if isinstance(attack, str) else attack or threat
    files = read_images(chosen.images, facts.shape, facts.config.data, observer=observer)
    for line in (how_many(chosen, files), *files.notes):
        told(line)
    tell_doubts((under,), files.images.shape[1:], observer.notice)
    found = predict(model, files.images, under, class_names=facts.class_names, device=str(there), observer=observer)
    return FilePredictions(
        class_names=facts.class_names, attack=under, paths=files.paths, predictions=tuple(found), wrong=files.wrong
    )


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

    Raises:
        UserError: if the model does not take the images.
    """
    first_logits(trainable(model), to_unit(images[:LOOKED_AT]).to(device))
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
    with lent_exactly(model) as lent, torch.no_grad():
        for chosen in torch.split(torch.arange(len(images)), BATCH_SIZE):
            batch = to_unit(images[chosen].to(device))
            shares.append(logits_at(lent, batch).softmax(dim=1).max(dim=1))
    return torch.cat([each.indices for each in shares]), torch.cat([each.values for each in shares])


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The image files that paths name, and the files in the folders among them that are passed over."""

    images: tuple[Path, ...]
    passed: tuple[Passed, ...] = ()


@checked
def image_files(paths: Sequence[Path]) -> Chosen:
    """Return the image files that paths name, each once.

    Args:
        paths: of files, which are taken as they are, and of folders, whose images are taken at every depth.

    Raises:
        UserError: if there is no such path, or no image in a folder.
    """
    found = [_named_by(path) for path in paths]
    images = dict.fromkeys(path for each in found for path in each.images)
    passed = {other.path: other for each in found for other in each.passed if other.path not in images}
    return Chosen(images=tuple(images), passed=tuple(passed.values()))


def _named_by(path: Path) -> Chosen:
    require(path.exists(), _not_there(path))
    require(path.is_file() or path.is_dir(), f"'{path}': expected a file or a folder, got a device or a pipe")
    if not path.is_dir():
        return Chosen(images=(path,))
    branch = scan(path)
    tables = [Passed(path=each, kind="foreign", why=f"not an image ({each.suffix})") for each in branch.all_tables]
    chosen = Chosen(images=branch.all_images, passed=(*branch.all_passed, *tables))
    why = f", only other files: {told_briefly(chosen.passed, path)}" if chosen.passed else ""
    require(bool(chosen.images), f"'{path}' has no image in it{why}")
    return chosen


def _not_there(path: Path) -> str:
    if path.is_symlink():
        return f"'{path}' is a link to '{path.readlink()}', which does not exist"
    return f"there is no file or folder '{path}'"


@dataclass(frozen=True, kw_only=True)
class ReadFiles:
    """Image files that could be read, as a model takes them, and what is wrong with the others."""

    paths: tuple[Path, ...]
    """The files that could be read."""
    images: Images
    """Decoded, as bytes; or still in their files where all of them are more than memory bears."""
    notes: tuple[str, ...]
    """What to say of how they are read."""
    unread: tuple[Path, ...] = ()
    wrong: tuple[UserError, ...] = ()
    """An error for each of the unread."""


@checked
def read_images(
    paths: Sequence[Path], shape: ImageShape, source: Source = _FILES, *, observer: Observer | None = None
) -> ReadFiles:
    """Read image files, each once, several at a time, as images of a shape; those that cannot be read cost no other.

    They become what training makes of a folder's images: turned upright, grey or colour as the model wants it, resized
    to its height and width.

    Args:
        paths: of image files.
        shape: channels, height and width that the model takes.
        source: what the model was trained on: files are read as its own are.
        observer: told of progress.

    Raises:
        UserError: if no file can be read, or the model takes neither grey nor colour images.
    """
    reading = source if isinstance(source, Folder) else _FILES
    files = _files(paths, shape, reading)
    looked = _looked_into(files, observer or Observer())
    good = [each for each in looked if each.header is not None]
    bad = [(each.path, each.error) for each in looked if each.error is not None]
    if not good:
        raise together([error for _, error in bad])
    headers = [each.header for each in good if each.header is not None]
    kept = [each.pixels for each in good if each.pixels is not None]
    names = tuple(each.path for each in good)
    return ReadFiles(
        paths=names,
        images=torch.cat(kept) if len(kept) == len(good) else replace(files, paths=names),
        notes=(*reading_notes(headers, names, reading.background), *_dark_notes(headers, names, reading)),
        unread=tuple(path for path, _ in bad),
        wrong=tuple(error for _, error in bad),
    )


def how_many(chosen: Chosen, files: ReadFiles) -> str:
    """Return how many of all files were read, and why the others were not."""
    unread = (Passed(path=path, kind="unreadable", why="cannot be read") for path in files.unread)
    read, passed = len(files.paths), [*chosen.passed, *unread]
    others = f"; not read: {told_briefly(passed, Path())}" if passed else ""
    return f"read {read:,} of {counted(read + len(passed), 'file')}{others}"


def _dark_notes(headers: Sequence[Header], paths: Sequence[Path], reading: Folder) -> Iterator[str]:
    """Yield what is to be said of dark files; of eight bits a channel, those that no camera makes so dark by night."""
    levels, there = levels_used(headers, paths, reading.threads)
    yield from dark_notes(levels, there, reading.white_level, way=_AS_TRAINED)
    yield from dull_notes(headers, paths, reading.background, most=_NIGHT, way=_AS_TRAINED)


def _files(paths: Sequence[Path], shape: ImageShape, reading: Folder) -> ImageFiles:
    require(shape.channels in (1, 3), f"the model takes images of {shape.channels} channels, which files do not have")
    return ImageFiles(
        paths=tuple(paths),
        mode="L" if shape.channels == 1 else "RGB",
        height=shape.height,
        width=shape.width,
        resize=True,
        background=reading.background,
        white_level=reading.white_level,
        streaming="always",
        workers=reading.threads,
    )


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """A file, decoded to see whether that can be done."""

    path: Path
    header: Header | None = None
    pixels: Tensor | None = None
    error: UserError | None = None


def _looked_into(files: ImageFiles, observer: Observer) -> list[_Looked]:
    """Decode each file once; the pixels are kept as long as all of them fit into a part of the memory that is free."""
    observer.reading(images=len(files))
    fit = 2 * files.nbytes <= free_memory() // 2  # they are there twice while they are joined
    looked: list[_Looked] = []
    for start in range(0, len(files), BATCH_SIZE):
        block = range(start, min(start + BATCH_SIZE, len(files)))
        looked += read_each(partial(_look, files, keep=fit), block, files.workers)
        observer.images_done(len(block))
    observer.finished()
    return looked


def _look(files: ImageFiles, position: int, *, keep: bool) -> _Looked:
    path = files.paths[position]
    try:
        if passed := not_an_image(path):
            raise UserError(f"{path}: not read: {passed.why}")
        pixels = files[position : position + 1]
        header = read_header(path, upright=False)
    except UserError as error:
        return _Looked(path=path, error=error)
    return _Looked(path=path, header=header, pixels=pixels if keep else None)
