"""What the guard does at the end of an epoch: it probes the weights, judges, and goes back to good ones if it must."""

from collections.abc import Callable

import torch

from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.evaluation.counts import Counts
from srat.runs.metrics import Row, guard_row
from srat.training.session import Training
from srat.training.stage import Stage

_SLACK = 1e-6
"""Share by which balls that are alike may differ, for rounding."""
PROBED = 256
"""Training images that are probed, at the most: as many of each class where there are as many."""


def probe(training: Training, counted: Callable[[Dataset], Counts]) -> Counts | None:
    """Return what is right of the guard's images; None where nothing is guarded.

    Args:
        training: the data.
        counted: images → what the weights themselves get right of them under attack.
    """
    return None if training.watch is None else counted(probed_images(training.train, training.config.seed))


def probed_images(train: Dataset, seed: int) -> Dataset:
    """Return the training images that a guard probes: the same all along, evenly of the classes, as they are.

    A collapse shows on them as on others, and on the few of a rare class sooner than on the fewer that are held out.
    """
    order = torch.randperm(len(train), generator=generator(seed, "guard"))
    labels, classes = train.labels.cpu()[order], len(train.class_names)
    chosen = [order[labels == c][: max(1, PROBED // classes)] for c in range(classes)]
    return train.subset(torch.cat(chosen).sort().values)


def end_guarded(training: Training, stage: Stage, probed: Counts | None, notice: Callable[[str], None]) -> Row:
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
    seen = watch.seen(probed.correct, probed.total, reached(training.config, stage))
    wrong, remedies = guard.judge(seen), int(watch.remedies)
    goes_back = bool(wrong) and guard.remedied(training.config.attack, remedies + 1) is not None
    if goes_back:
        watch.restore(training.module, training.parts)
        forget_momentum(training.optimizer)
        where = f"the weights after epoch {int(watch.kept)}" if int(watch.kept) else "the weights at the start"
        then = f"back to {where}, on with {training.attack_of(epoch + 1).label}"
    else:
        then = f"it went back {remedies} times already, and goes on as it is"
    if wrong:
        notice(f"catastrophic overfitting in epoch {epoch + 1} ({wrong}): {then}")
    elif not wrong and guard.is_good(seen):
        watch.keep(training.module, training.parts, epoch + 1)
    watch.close(seen)
    return guard_row(seen, remedies + goes_back, rolled_back=goes_back)


def reached(config: Config, stage: Stage) -> list[bool]:
    """Return of which classes the training attack's ball is at least as large as the one of the probe's attack."""
    attack, threat, classes = config.attack, config.evaluation, len(stage.weights)
    if getattr(attack, "norm", "linf") != threat.norm:
        return [False] * classes
    scales = [1.0] * classes if stage.scales is None else stage.scales.tolist()
    return [scale * getattr(attack, "epsilon", 0.0) >= threat.epsilon * (1 - _SLACK) for scale in scales]


def forget_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Drop all that an optimiser keeps of its parameters, as at the start of a run."""
    optimizer.load_state_dict({"state": {}, "param_groups": optimizer.state_dict()["param_groups"]})
