"""What the guard does at the end of an epoch: it probes the weights, judges, and goes back to good ones if it must."""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.core.words import counted
from srat.data import Batch, Dataset, Targets, to_unit
from srat.evaluation.counts import Counts
from srat.models import lent, logits_at
from srat.runs.metrics import Row, guard_row
from srat.training.inner import inner_loss
from srat.training.session import Training
from srat.training.stage import Stage

_SLACK = 1e-6
"""Share by which balls that are alike may differ, for rounding."""
PROBED = 256
"""Training images that are probed, at the most: as many of each class where there are as many."""


class Probed(NamedTuple):
    """What is right of the guard's images at the end of an epoch, in eval mode."""

    robust: Counts
    """Under the attack that chooses the best epoch."""
    trained: Counts
    """Under the training attack."""


def probe(training: Training, stage: Stage, count: Callable[[Dataset], Counts]) -> Probed | None:
    """Return what the weights themselves get right of the guard's images; None where nothing is guarded.

    An average of the weights would show a collapse of theirs late.

    Args:
        training: model and data.
        stage: of the epoch that ends.
        count: images → what the weights get right of them under the attack that chooses the best epoch.
    """
    if training.watch is None:
        return None
    images = probed_images(training.train, training.config.seed)
    return Probed(count(images), count_trained(training, stage, images))


def count_trained(training: Training, stage: Stage, dataset: Dataset) -> Counts:
    """Return what the weights get right of images under the training attack, in eval mode.

    Args:
        training: model and configuration.
        stage: of the epoch that ends, whose attack and budgets they are.
        dataset: the images.
    """
    config, model, processes = training.config, copy.copy(training.module), training.processes
    rng = partial(generator, config.seed, "guard", epoch=stage.epoch, rank=processes.rank, device=dataset.labels.device)
    survived = []
    for step, part in enumerate(torch.split(torch.arange(len(dataset)), config.batch_size)):
        own = processes.share(len(part))
        images = to_unit(dataset.subset(part[own]).images[:].to(dataset.labels.device))
        batch = Batch(images, Targets(dataset.labels[part.to(dataset.labels.device)]), own)
        with lent(model, "eval") as served:
            loss_at = inner_loss(training, stage, served, batch, training.taught(images))
            scale = stage.scale_of(batch.own_targets)
            attacked = stage.attack.perturb(loss_at, images, generator=rng(step=step), scale=scale)
            with torch.no_grad(), training.fabric.autocast():
                right = logits_at(served, attacked).argmax(dim=1) == batch.own_targets.labels
        survived.append(processes.gather(right.float()[:, None], len(part))[:, 0] > 0)
    return Counts.of(torch.cat(survived), dataset.labels, len(dataset.class_names))


def probed_images(train: Dataset, seed: int) -> Dataset:
    """Return the training images that a guard probes: the same all along, evenly of the classes, as they are.

    A collapse shows on them as on others, and on the few of a rare class sooner than on the fewer that are held out.
    """
    order = torch.randperm(len(train), generator=generator(seed, "guard"))
    labels, classes = train.labels.cpu()[order], len(train.class_names)
    chosen = [order[labels == c][: max(1, PROBED // classes)] for c in range(classes)]
    return train.subset(torch.cat(chosen).sort().values)


def end_guarded(training: Training, stage: Stage, probed: Probed | None, notice: Callable[[str], None]) -> Row:
    """Judge an epoch; go back to the last good state if it has gone wrong, or keep the state if it is good.

    Going back brings model and parts to where they were, and drops what the optimiser keeps of the weights that are
    left: its momentum would carry the collapse on. Returned is what is to be said of it in the metrics.

    Args:
        training: model, optimiser, parts; changed in place.
        stage: of the epoch that ends.
        probed: what is right of the guard's images; None where nothing is guarded.
        notice: told if it goes back.
    """
    watch, guard, epoch = training.watch, training.config.guard, stage.epoch
    if watch is None or probed is None:
        return {}
    robust, trained = probed
    seen = watch.seen((robust.total, robust.correct, trained.correct), comparable(training.config, stage))
    # A part of the run under more steps is none of its business, and has no remedy.
    wrong = guard.judge(seen) if guard.watches(training.config.attack) else ""
    remedies = int(watch.remedies)
    goes_back = bool(wrong) and guard.steps_in(remedies)
    found = f"catastrophic overfitting in epoch {epoch + 1} ({wrong})"
    if goes_back:
        watch.restore(training.module, training.parts)
        forget_momentum(training.optimizer)
        where = f"the weights after epoch {int(watch.kept)}" if int(watch.kept) else "the weights at the start"
        notice(f"{found}: back to {where}, on with {training.attack_of(epoch + 1).label}")
    elif wrong and not watch.resigned:
        watch.resigned.fill_(True)
        notice(f"{found}: after going back {counted(remedies, 'time')}, the run goes on as it is")
    elif not wrong and guard.is_good(seen):
        watch.keep(training.module, training.parts, epoch + 1)
    watch.close(seen)
    return guard_row(seen, remedies + goes_back, collapsed=bool(wrong), rolled_back=goes_back)


def comparable(config: Config, stage: Stage) -> list[bool]:
    """Return of which classes the training attack's ball is at least as large as the one of the probe's attack."""
    attack, threat, classes = config.attack, config.evaluation, len(stage.weights)
    if getattr(attack, "norm", "linf") != threat.norm:
        return [False] * classes
    scales = [1.0] * classes if stage.scales is None else stage.scales.tolist()
    return [scale * getattr(attack, "epsilon", 0.0) >= threat.epsilon * (1 - _SLACK) for scale in scales]


def forget_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Set all that an optimiser keeps of its parameters to 0, as at the start of a run; what begins later is there."""
    for kept in optimizer.state.values():
        for value in kept.values():
            if isinstance(value, torch.Tensor):
                value.zero_()
