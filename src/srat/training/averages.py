"""What is done with an average of the weights at the end of an epoch, before it is evaluated or kept."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.core.keyed_random import generator
from srat.models import lent
from srat.models.classifier import BatchNorm
from srat.optimization.averaging import blend_
from srat.training.inner import inner_loss
from srat.training.session import Training
from srat.training.stage import Stage

BATCHES = 50
"""Of an epoch, at the most, that statistics are estimated on: thousands of images tell a mean and a variance."""


def finish_average(training: Training, stage: Stage, worst_class: Callable[[], float]) -> None:
    """Move the average and estimate its BatchNorm, where that is asked for; once an epoch, whatever stops the run.

    Args:
        training: model, average, data.
        stage: of the epoch that ends.
        worst_class: asked for the accuracy under attack of the weights' worst class on the held-out part.
    """
    ends, averaging = training.ends, training.config.averaging
    if ends is None or int(ends.done) > stage.epoch:
        return
    if averaging.sees_held_out:
        share, begun = averaging.share_of_epoch(worst_class(), begun=bool(ends.begun))
        blend_(training.parts["average"], training.module, share)
        ends.begun.fill_(begun)
    tracked = tracking(training.module) and not training.config.is_frozen(stage.epoch)
    looked_at = training.held_out is not None or stage.epoch + 1 == training.config.epochs
    if averaging.statistics != "averaged" and looked_at and tracked:
        ends.moved.copy_(estimate_statistics(training, stage, attacked=averaging.statistics == "attacked"))
    ends.done.fill_(stage.epoch + 1)


def estimate_statistics(training: Training, stage: Stage, *, attacked: bool) -> Float[Tensor, ""]:
    """Give the average the BatchNorm statistics that it has on training images: the mean over batches of the epoch.

    Only BatchNorm is in train mode; the statistics are in fp32. The attack is the training's, on the average as it was.
    Returned is how far the means have moved: |μ' − μ| / σ, in the mean over channels and layers.

    Args:
        training: the average, the data, the attack.
        stage: of the epoch.
        attacked: whether the images are attacked.
    """
    average, config = training.parts["average"], training.config
    fresh = copy.deepcopy(average)
    for norm in tracking(fresh):
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    rank, device = training.processes.rank, training.fabric.device
    rng = partial(generator, config.seed, "statistics", epoch=stage.epoch, rank=rank, device=device)
    for step, batch in enumerate(islice(training.feed.epoch(stage.epoch), BATCHES)):
        images, own = batch.images, batch.own_targets
        if attacked:
            with lent(average, config.inner.batch_norm) as served:
                loss_at = inner_loss(training, stage, served, batch, training.taught(images))
                images = stage.attack.perturb(loss_at, images, generator=rng(step=step), scale=stage.scale_of(own))
        with torch.no_grad():
            fresh(images)
    estimated, present = statistics_of(fresh), statistics_of(average)
    training.processes.average_(estimated)
    moved = distance(tracking(average), tracking(fresh))
    torch._foreach_copy_(present, estimated)
    return moved


def distance(before: Sequence[BatchNorm], after: Sequence[BatchNorm]) -> Float[Tensor, ""]:
    """Return |μ' − μ| / σ, in the mean over channels and layers; running means and deviations.

    Args:
        before: layers with μ and σ.
        after: the same with μ'.
    """
    layers = []
    for one, other in zip(before, after, strict=True):
        mean, variance, now = (cast(Tensor, each) for each in (one.running_mean, one.running_var, other.running_mean))
        layers.append(((now - mean).abs() / (variance + one.eps).sqrt()).mean())
    return torch.stack(layers).mean()


def tracking(model: nn.Module) -> list[BatchNorm]:
    """Return the BatchNorm layers that have running statistics."""
    return [each for each in model.modules() if isinstance(each, BatchNorm) and each.running_mean is not None]


def statistics_of(model: nn.Module) -> list[Tensor]:
    """Return the running statistics of BatchNorm."""
    return [buffer for norm in tracking(model) for buffer in norm.buffers() if buffer.is_floating_point()]
