"""Model, optimiser and data of a run, on its device."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from srat.config import Config
from srat.data import Dataset, to_unit
from srat.errors import require
from srat.evaluation import Groups, groups
from srat.models import Classifier, attacked, channel_statistics
from srat.run import build_model, image_shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What stays the same while a run goes on, on its device."""

    config: Config
    fabric: Fabric
    model: nn.Module
    """The model as Fabric wraps it; ``module`` is ours."""
    optimizer: torch.optim.Optimizer
    train: Dataset
    held_out: Dataset | None
    groups: Groups
    class_counts: Int[Tensor, " classes"]
    class_weights: Float[Tensor, " classes"]
    under: Bool[Tensor, " classes"]
    """Which classes are under-represented."""

    @property
    def module(self) -> nn.Module:
        """The model itself, which the attack sees."""
        return cast(nn.Module, self.model.module)


def set_up(
    config: Config, fabric: Fabric, train: Dataset, held_out: Dataset | None, model: nn.Module | None
) -> Training:
    """Return model, optimiser and data on the device."""
    if model is None:
        mean, std = channel_statistics(train.images)
        model = build_model(config, shape=image_shape(train), classes=len(train.class_names), mean=mean, std=std)
    else:
        check_fit(model, train)
    wrapped, optimizer = fabric.setup(model, make_optimizer(config, model))
    rare = groups(train.counts)
    return Training(
        config=config,
        fabric=fabric,
        model=wrapped,
        optimizer=optimizer,
        train=train.to(fabric.device),
        held_out=held_out.to(fabric.device) if held_out is not None else None,
        groups=rare,
        class_counts=torch.tensor(train.counts, device=fabric.device),
        class_weights=config.weighting.weights(train.counts).to(fabric.device),
        under=torch.tensor([c in rare.under for c in range(len(train.counts))], device=fabric.device),
    )


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration."""
    sgd = config.optimizer
    return torch.optim.SGD(
        model.parameters(),
        lr=sgd.learning_rate,
        momentum=sgd.momentum,
        weight_decay=sgd.weight_decay,
        nesterov=sgd.nesterov,
    )


def check_fit(model: nn.Module, train: Dataset) -> None:
    """Raise ``UserError`` unless the user's model takes these images and gives a logit for each class."""
    require(isinstance(model, Classifier), f"model: expected srat.models.wrap(…) around a {type(model).__name__}")
    with torch.no_grad(), attacked(model) as served:
        device = next(model.parameters()).device
        logits = served(to_unit(train.images[:1]).to(device)).logits
    classes = len(train.class_names)
    require(logits.shape[1] == classes, f"model: expected {classes} logits, one for each class, got {logits.shape[1]}")
