"""A run's model, back from its files: it knows its classes, and reads photographs as its training did."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import taking_gradients
from srat.core.kinds import said
from srat.core.warn import warn
from srat.data import check_images, to_unit
from srat.data.image_folder.scan import told_briefly
from srat.data.reading.image_files import channels_first, together
from srat.evaluation.given import given_images
from srat.evaluation.serving import BATCH_SIZE
from srat.inference.prediction import check_top, likeliest
from srat.inference.reading import files_for, image_files, read_images
from srat.models import first_logits
from srat.models.asking import device_of, trainable
from srat.models.wrapping.wrapper import LOOKED_AT
from srat.runs.folder import Which
from srat.runs.run import ModelFacts, load_with_facts

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImagePrediction:
    """What a loaded model takes an image for."""

    path: Path | None
    """The file; None of an image that came without one."""
    class_name: str
    probability: float
    """What the model gives that class, in [0, 1]; trained models give too much."""
    top: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities, the likeliest first."""


class LoadedModel(nn.Module):
    """What `load` makes of a run's model, whose own class stays its first base: with class names, and `predict`."""

    _facts: ModelFacts

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self._facts.class_names

    @checked
    def predict(self, images: Any, *, top: int = 1) -> list[ImagePrediction]:
        """Return what the model takes images for, as ``srat predict`` does.

        Files and Pillow's images are turned upright, made grey or colour and resized as in training, a batch at a time.

        Args:
            images: paths of image files and of folders, whose images are taken at every depth; Pillow's images; one of
                these; or a tensor or an array (n, channels, height, width), uint8 or in [0, 1].
            top: how many of the likeliest classes each prediction has.

        Raises:
            UserError: if an image cannot be read (`srat.predict_files` goes on with the others), or there are fewer
                classes.

        Warns:
            UserWarning: if files of a folder are passed over.
        """
        check_top(top, self._facts.class_names)
        return [each for paths, pixels in self._read(images) for each in self._named(paths, pixels, top)]

    def _read(self, images: Any) -> Iterator[tuple[Sequence[Path | None], Tensor]]:
        """Yield images in batches, each with its path."""
        from PIL import Image

        one = isinstance(images, str | Path | Image.Image)
        given: list[Any] = [images] if one else list(images) if isinstance(images, Sequence) else []
        if isinstance(images, Tensor | np.ndarray):
            tensor = given_images(images)
            check_images(tensor)
            yield [None] * len(tensor), tensor
        elif given and all(isinstance(each, Image.Image) for each in given):
            files = files_for(self._facts.shape, self._facts.config.data)
            for batch in _batches(given):
                yield [None] * len(batch), channels_first(np.stack([files.pixels(image) for image in batch]))
        else:
            named = bool(given) and all(isinstance(each, str | Path) for each in given)
            require(named, f"images: expected paths, Pillow's images, or a tensor, got {said(images)}")
            for batch in _batches(_chosen(given)):
                read = read_images(batch, self._facts.shape, self._facts.config.data)
                if read.wrong:
                    raise together(read.wrong)
                yield read.paths, read.images[:]

    def _named(self, paths: Sequence[Path | None], pixels: Tensor, top: int) -> Iterator[ImagePrediction]:
        device, names = device_of(self, pixels.device), self._facts.class_names
        first_logits(trainable(self), to_unit(pixels[:LOOKED_AT]).to(device))
        ranked = likeliest(self, pixels, top=top, device=device, temperature=self._facts.temperature)
        for path, shares in zip(paths, ranked, strict=True):
            named = tuple((names[share.label], share.probability) for share in shares)
            yield ImagePrediction(path=path, class_name=named[0][0], probability=named[0][1], top=named)

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:
        """Return how a copy is made: its class has no name to be found by."""
        return _empty, (type(self).__bases__[0],), vars(self)


def _batches(things: Sequence[T]) -> Iterator[Sequence[T]]:
    yield from (things[start : start + BATCH_SIZE] for start in range(0, len(things), BATCH_SIZE))


def _chosen(paths: Sequence[Path | str]) -> tuple[Path, ...]:
    chosen = image_files([Path(path) for path in paths])
    if chosen.wrong:
        raise together(chosen.wrong)
    if chosen.passed:
        warn(f"not read: {told_briefly(chosen.passed, Path())}")
    return chosen.images


@taking_gradients
@checked
def load(
    path: Path | str,
    *,
    which: Which = "last",
    model: nn.Module | None = None,
    device: str | torch.device = "cpu",
) -> LoadedModel:
    """Return the trained model of a run, in eval mode: images in [0, 1] → Output(logits, features, embedding).

    It is a module like any other that knows its classes (``model.class_names``) and takes photographs, too:
    ``model.predict("photos", top=3)``.

    Args:
        path: the run's folder, or a file of weights from one, which needs nothing beside it.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, both averaged where
            the run averages its weights; "raw" for the last ones without the average.
        model: the model to put the weights into, where the run was of the user's own.
        device: where to put it: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.

    Raises:
        UserError: if there are no such weights, they are damaged or do not fit, or there is no such device.

    Warns:
        UserWarning: if the given model normalises by other numbers than the weights, whose are taken.
    """
    filled, facts = load_with_facts(path, which=which, model=model, device=device)
    if not isinstance(filled, LoadedModel):
        filled.__class__ = _loaded(type(filled))
    assert isinstance(filled, LoadedModel)
    filled._facts = facts
    return filled


def _mixed(kind: Any) -> type[LoadedModel]:
    """Return a class of loaded models: a class of models first, so that nothing that it has is hidden."""
    return type(kind.__name__, (kind, LoadedModel), {"__module__": kind.__module__, "__doc__": kind.__doc__})


_loaded: Callable[[Any], type[LoadedModel]] = cache(_mixed)
"""One class for each, so that models of one class stay so."""


def _empty(kind: type[nn.Module]) -> LoadedModel:
    """Return a loaded model of a class, to be filled with what a copied or pickled one has."""
    loaded = _loaded(kind)
    return loaded.__new__(loaded)
