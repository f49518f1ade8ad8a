"""The model that a robust loss learns from."""

import torch
from torch import nn

from srat.config.config import Config
from srat.core.errors import require
from srat.core.tensor_file import digest_of, require_named
from srat.core.words import few
from srat.data import Dataset
from srat.models import ImageShape
from srat.runs.run import image_shape, load_with_facts


def load_teacher(config: Config, train: Dataset, device: torch.device) -> nn.Module | None:
    """Return the model whose weights a configuration names as those of a teacher, in eval mode; None without such.

    Raises:
        UserError: if the weights are others than named, or those of a model of other classes or sizes.
    """
    weights = config.robust_loss.teacher_weights
    if weights is None:
        return None
    said = f"`robust_loss.teacher` '{weights.path}'"
    require_named(digest_of(weights.path), weights.sha256, said)
    teacher, facts = load_with_facts(weights.path, device=device)
    for wanted, got in ((train.class_names, facts.class_names), (image_shape(train), facts.shape)):
        require(wanted == got, f"{said}: expected a model of {_told(wanted)}, got one of {_told(got)}")
    return teacher.requires_grad_(False)


def _told(what: tuple[str, ...] | ImageShape) -> str:
    """Return what a message says of classes, or of the shape of images."""
    if isinstance(what, ImageShape):
        return f"images of {'×'.join(map(str, vars(what).values()))}"
    return f"{len(what)} classes ({few(what)})"
