"""Whether a model can be trained on these images at all: it is tried on a few before anything is written."""

import math

import torch
from torch import nn

from srat.data import Dataset, to_unit
from srat.errors import UserError, require
from srat.machine import is_out_of_memory
from srat.models import Classifier, Output, attacked
from srat.models.base import AttackMode


def check_fit(model: nn.Module, train: Dataset) -> None:
    """Raise ``UserError`` unless the user's model takes these images and gives a logit for each class."""
    require(isinstance(model, Classifier), f"model: expected srat.models.wrap(…) around a {type(model).__name__}")
    require(any(True for _ in model.parameters()), "model: it has no parameters to train")
    output, failed = tried(model, train, 1, "eval")
    require(output is not None, f"model: it cannot take one of these images ({failed})")
    logits, classes = output.logits, len(train.class_names)  # type: ignore[union-attr]
    shape, wanted = "×".join(map(str, logits.shape)), f"{classes} logits, one for each class"
    require(logits.ndim == 2, f"model: expected {wanted}, of each image (1×{classes} of one), got {shape}")
    require(logits.shape[1] == classes, f"model: expected {wanted}, got {logits.shape[1]}")


def check_shares(model: nn.Module, train: Dataset, *, batch_size: int, processes: int) -> None:
    """Raise ``UserError`` unless the model, in training, takes the smallest share of a batch that a process gets.

    BatchNorm cannot take one image where its maps have one pixel: it has no spread.

    Args:
        model: the model.
        train: the images.
        batch_size: of all processes together.
        processes: how many share a batch.
    """
    share = smallest_batch(len(train), batch_size) // processes
    output, failed = tried(model, train, share, "train_frozen_stats")
    if output is not None:
        return
    if share == 1 and len(train) > 1 and tried(model, train, 2, "train_frozen_stats")[0] is not None:
        one = "some batches have" if processes == 1 else f"of some batches one of {processes} processes gets"
        advice = _advice(len(train), batch_size, processes)
        raise UserError(
            f"--batch-size {batch_size}: {one} one image, which this model's layers cannot train on; {advice}"
        )
    raise UserError(f"the model cannot be trained on batches of {share} of these images ({failed})")


def smallest_batch(images: int, batch_size: int) -> int:
    """Return how many images the smallest batch of an epoch has; see `srat.data.batches.epoch_batches`."""
    return images // math.ceil(images / batch_size)


def tried(model: nn.Module, train: Dataset, images: int, mode: AttackMode) -> tuple[Output | None, str]:
    """Return what the model says of the first images, or None and what it raises; it is left as it was.

    Running out of memory is raised: it is no matter of the model alone.
    """
    device = next(model.parameters()).device
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            attacked(model, mode) as served,
        ):
            return served(to_unit(train.images[:images].to(device))), ""
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None, f"{type(error).__name__}: {error}"
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def _advice(images: int, batch_size: int, processes: int) -> str:
    larger = (size for size in range(batch_size + 1, images + 1) if smallest_batch(images, size) // processes > 1)
    fitting = next(larger, None)
    return f"{images} training images are too few" if fitting is None else f"--batch-size {fitting} is large enough"
