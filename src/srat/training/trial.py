"""Whether a model can be trained on these images at all: it is tried on a few before anything is written."""

from collections.abc import Callable

import torch
from torch import nn

from srat.config.config import Config
from srat.core.errors import UserError, require, require_field
from srat.core.gradients import is_inference
from srat.data import Dataset, to_unit
from srat.data.feed import smallest_batch
from srat.models import Classifier, Output, first_logits, lent
from srat.models.asking import device_of, doubts_about
from srat.models.lending import AttackMode, unmoved
from srat.models.wrapping.wrapper import LOOKED_AT
from srat.runtime.machine import is_out_of_memory
from srat.runtime.precision import PrecisionName, compute_dtype


def check_fit(config: Config, model: nn.Module, train: Dataset, notice: Callable[[str], None]) -> None:
    """Raise ``UserError`` unless the user's model takes these images, gives a logit for each class, and can learn.

    Args:
        config: the run.
        model: the user's.
        train: what it is to learn from.
        notice: told of what is lost in half precision, and of outputs that do not look like logits.
    """
    require(isinstance(model, Classifier), f"model: expected srat.models.wrap(…) around a {type(model).__name__}")
    asked, none = config.feature_loss.projection, "0 with a model of your own, which has no projection"
    missing = asked > 0 and isinstance(model.projection, nn.Identity)
    require_field(not missing, "feature_loss.projection_dimensions", none, asked)
    kept = "0 with a model of your own, whose head stays as it is"
    require_field(config.head.tau == 0, "head.tau", kept, config.head.tau, 0)
    images = to_unit(train.images[:LOOKED_AT]).to(device_of(model, torch.device("cpu")))
    logits, classes = first_logits(model, images), len(train.class_names)
    require(logits.shape[1] == classes, f"model: expected {classes} logits, one for each class, got {logits.shape[1]}")
    for doubt in doubts_about(model, logits, training=True):
        notice(doubt)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    require(bool(learning), "model: expected a parameter to train, got none that requires a gradient")
    require(not any(map(is_inference, model.parameters())), "model: expected one made outside of torch.inference_mode")
    check_types(config.precision, {parameter.dtype for parameter in learning}, notice)


def check_types(precision: PrecisionName, types: set[torch.dtype], notice: Callable[[str], None]) -> None:
    """Refuse mixed precision over weights that are not fp32, and tell of what half precision loses of an update."""
    other = sorted(str(dtype).removeprefix("torch.") for dtype in types - {torch.float32})
    mixed = compute_dtype(precision) != torch.float32
    said = f"`precision` {precision}: expected a model with fp32 weights, got {', '.join(other)}"
    require(not (mixed and other), f"{said}; `precision` fp32 leaves them as they are, model.float() makes them fp32")
    for dtype in (torch.float16, torch.bfloat16):
        if dtype in types:
            part = round(2 / torch.finfo(dtype).eps)
            lost = f"updates of less than 1/{part:,} of a weight are lost" + ", and so are small gradients" * (
                dtype is torch.float16
            )
            short = "fp16" if dtype is torch.float16 else "bf16"
            notice(f"the weights are {short}: {lost}; model.float() with `precision` {short} loses neither")


def check_shares(model: nn.Module, train: Dataset, *, batch_size: int, processes: int) -> Output:
    """Return what the model, in training, says of the smallest share of a batch that a process gets.

    BatchNorm cannot take one image where its maps have one pixel: it has no spread.

    Args:
        model: the model.
        train: the images.
        batch_size: of all processes together.
        processes: how many share a batch.

    Raises:
        UserError: if it does not take so few images.
    """
    share = smallest_batch(len(train), batch_size) // processes
    output, failed = tried(model, train, share, "train_frozen_stats")
    if output is not None:
        return output
    if share == 1 and len(train) > 1 and tried(model, train, 2, "train_frozen_stats")[0] is not None:
        one = "some batches have" if processes == 1 else f"in some batches, one of {processes} processes gets"
        advice = _advice(len(train), batch_size, processes)
        raise UserError(
            f"`batch_size` {batch_size}: {one} one image, which this model's layers cannot train on; {advice}"
        )
    raise UserError(f"the model cannot be trained on batches of {share} of these images ({failed})")


def tried(model: nn.Module, train: Dataset, images: int, mode: AttackMode) -> tuple[Output | None, str]:
    """Return what the model says of the first images, or None and what it raises; it is left as it was.

    Running out of memory is raised: it is no matter of the model alone.
    """
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), unmoved(model), lent(model, mode) as served:
            return served(to_unit(train.images[:images].to(device))), ""
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None, f"{type(error).__name__}: {error}"


def _advice(images: int, batch_size: int, processes: int) -> str:
    larger = (size for size in range(batch_size + 1, images + 1) if smallest_batch(images, size) // processes > 1)
    fitting = next(larger, None)
    return f"{images} training images are too few" if fitting is None else f"`batch_size` {fitting} is large enough"
