"""What a model takes images for, and whether that holds under attack."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srat.attacks import AnyAttack, Natural, tell_doubts
from srat.attacks.named import named
from srat.core.checked import checked
from srat.core.errors import UserError, require_field
from srat.core.gradients import taking_gradients
from srat.data import Dataset, to_unit
from srat.data.reading.image_files import together
from srat.evaluation.evaluate import examine
from srat.evaluation.observer import Observer
from srat.evaluation.serving import BATCH_SIZE, lent_exactly
from srat.inference.reading import Images, ReadFiles, how_read, image_files, read_images
from srat.models import first_logits, logits_at
from srat.models.asking import trainable
from srat.models.wrapping.wrapper import LOOKED_AT
from srat.runs.folder import Which
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device


class Share(NamedTuple):
    """A class, and what the model gives it."""

    label: int
    """The class."""
    probability: float
    """In [0, 1]; trained models give their favourite too much."""


def in_plain(shares: Sequence[Share], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return classes by name with their probabilities, for JSON; None for what is no number."""
    known = (round(each.probability, 6) if math.isfinite(each.probability) else None for each in shares)
    return [{"class": class_names[each.label], "probability": p} for each, p in zip(shares, known, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model takes an image for."""

    top: tuple[Share, ...]
    """The likeliest classes, the likeliest first; at least one."""
    holds: bool | None
    """Whether the attack changes it nowhere on its way; None if there was no attack."""
    attacked: int | None
    """The class that it is taken for where the attack succeeds; the same where it does not."""

    @property
    def label(self) -> int:
        """The class."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """What the model gives it, in [0, 1]; trained models give too much."""
        return self.top[0].probability


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
    top: int = 1,
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
        top: how many of the likeliest classes each prediction has.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress, and of what can hardly be meant.
        told: told how many of how many files were read, and what is to be said of them.

    Raises:
        UserError: if there is no such run or attack, it has fewer classes, or no file can be read.
    """
    parts = list(
        predict_in_parts(
            run,
            paths,
            attack=attack,
            epsilon=epsilon,
            top=top,
            which=which,
            model=model,
            device=device,
            observer=observer,
            told=told,
        )
    )
    return FilePredictions(
        class_names=parts[0].class_names,
        attack=parts[0].attack,
        paths=tuple(path for part in parts for path in part.paths),
        predictions=tuple(each for part in parts for each in part.predictions),
        wrong=tuple(error for part in parts for error in part.wrong),
    )


def predict_in_parts(
    run: Path | str,
    paths: Sequence[Path | str],
    *,
    attack: AnyAttack | str | None,
    epsilon: float | None,
    top: int,
    which: Which,
    model: nn.Module | None,
    device: str | torch.device,
    observer: Observer | None,
    told: Callable[[str], None],
) -> Iterator[FilePredictions]:
    """Yield what `predict_files` returns in parts, of which one at a time is in memory; arguments as for that.

    Under attack there is one part alone, whose images stay in their files where they are many: the random numbers of an
    image follow from its place among all.

    Raises:
        UserError: as `predict_files` does; where no file can be read, in the place of the last part.
    """
    observer = observer or Observer()
    chosen = image_files([Path(path) for path in paths])
    there = as_device(device)
    model, facts = load_with_facts(run, which=which, model=model, device=there)
    check_top(top, facts.class_names)
    own, shape = facts.config.evaluation, facts.shape
    threat = own if epsilon is None else replace(own, epsilon=epsilon)
    under = named(attack, threat) if isinstance(attack, str) else attack or threat
    tell_doubts((under,), (shape.channels, shape.height, shape.width), observer.notice)
    step = BATCH_SIZE if isinstance(under, Natural) else len(chosen.images)
    read: list[ReadFiles] = []
    wrong = chosen.wrong
    observer.reading(images=len(chosen.images))
    for start in range(0, len(chosen.images), step):
        part = chosen.images[start : start + step]
        files = read_images(part, shape, facts.config.data, observer=observer)
        read.append(files.without_images())
        if start + step >= len(chosen.images):
            observer.finished()
            if not any(each.paths for each in read):
                raise together([*chosen.wrong, *(error for each in read for error in each.wrong)])
            for line in how_read(chosen, read, facts.config.data):
                told(line)
            if facts.temperature != 1:
                told(f"probabilities are those of the temperature {facts.temperature:.3g} (srat calibrate)")
        found = predict(
            model,
            files.images,
            under,
            class_names=facts.class_names,
            top=top,
            temperature=facts.temperature,
            device=str(there),
            observer=observer,
        )
        yield FilePredictions(
            class_names=facts.class_names,
            attack=under,
            paths=files.paths,
            predictions=tuple(found),
            wrong=(*wrong, *files.wrong),
        )
        wrong = ()


def check_top(top: int, class_names: Sequence[str]) -> None:
    """Raise ``UserError`` unless there are as many classes as are asked for."""
    classes = len(class_names)
    require_field(1 <= top <= classes, "top", f"1 to {classes} classes", top)


@taking_gradients
@checked
def predict(
    model: nn.Module,
    images: Images,
    attack: AnyAttack,
    *,
    class_names: tuple[str, ...],
    top: int = 1,
    temperature: float = 1.0,
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
        top: how many of the likeliest classes each prediction has.
        temperature: T; probabilities are softmax(z / T).
        device: where to compute.
        seed: of the attack's randomness.
        observer: told of progress.

    Raises:
        UserError: if the model does not take the images, or has fewer classes.
    """
    check_top(top, class_names)
    if not len(images):
        return []
    first_logits(trainable(model), to_unit(images[:LOOKED_AT]).to(device))
    ranked = likeliest(model, images, top=top, device=device, temperature=temperature)
    if isinstance(attack, Natural):
        return [Prediction(top=shares, holds=None, attacked=None) for shares in ranked]
    labels = torch.tensor([shares[0].label for shares in ranked])
    dataset = Dataset(images, labels, class_names).to(device)
    found = examine(model, dataset, attack, seed=seed, observer=observer)
    return [
        Prediction(top=shares, holds=holds, attacked=attacked)
        for shares, holds, attacked in zip(ranked, found.survived.tolist(), found.predicted.tolist(), strict=True)
    ]


def likeliest(
    model: nn.Module, images: Images, *, top: int, device: str | torch.device, temperature: float = 1.0
) -> list[tuple[Share, ...]]:
    """Return the likeliest classes of each image, the likeliest first.

    Args:
        model: images in [0, 1] → logits, or an output that has them; on the device.
        images: (n, channels, height, width), uint8 or in [0, 1]; or files of images.
        top: how many of the classes.
        device: where to compute.
        temperature: T; probabilities are softmax(z / T).
    """
    ranked: list[tuple[Share, ...]] = []
    with lent_exactly(model) as lent, torch.no_grad():
        for chosen in torch.split(torch.arange(len(images)), BATCH_SIZE):
            batch = to_unit(images[chosen].to(device))
            ranked += _ranked((logits_at(lent, batch) / temperature).softmax(dim=1), top)
    return ranked


def _ranked(probabilities: Tensor, top: int) -> list[tuple[Share, ...]]:
    """Return the likeliest classes of each row; of equals the first."""
    values, labels = (each[:, :top].tolist() for each in probabilities.sort(dim=1, descending=True, stable=True))
    return [tuple(map(Share, *row)) for row in zip(labels, values, strict=True)]
