"""Evaluating a model, ours or any other."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from srat.attacks import PGD, AnyAttack, IterativeAttack, Natural, tell_doubts
from srat.attacks.named import check_evaluates, named
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import ordinary, taking_gradients
from srat.core.keyed_random import derive_seed
from srat.core.warn import warn
from srat.data import Dataset, to_unit
from srat.data.pixels import dark_note
from srat.evaluation.classification import taken_for
from srat.evaluation.counts import Counts
from srat.evaluation.expected import DRAWS, PROBED, Expected, drawn_of, expected, of_part, randomness
from srat.evaluation.given import Arrays, given_images, given_labels
from srat.evaluation.journal import Journal
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import Outcome
from srat.evaluation.probabilities import probabilities_of
from srat.evaluation.record import Result, describe_attack
from srat.evaluation.serving import BATCH_SIZE, lent_exactly
from srat.evaluation.survival import outcome
from srat.evaluation.trial import Trial
from srat.models import first_logits
from srat.models.asking import computed_in, device_of, doubts_about, trainable
from srat.models.wrapping.wrapper import LOOKED_AT
from srat.runtime.processes import ALONE, Processes


@taking_gradients
@checked
def evaluate(
    model: nn.Module,
    images: Arrays,
    labels: Arrays,
    *,
    attack: AnyAttack | str | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    draws: int = DRAWS,
    last_step: bool = False,
) -> Result:
    """Return the model's correct and all examples of each class, clean or under an attack.

    A model that answers at random is attacked, and judged, by the mean of several answers (see `Expected`).

    Args:
        model: images in [0, 1] → logits (batch, classes), or an output that has them; it normalises by itself.
        images: (n, channels, height, width), uint8 or in [0, 1]; a tensor, an array or a list.
        labels: (n,) or (n, 1), integers in [0, classes), likewise.
        attack: an attack, a name such as "pgd-20" or "autoattack" (ε = 8/255, α = 2/255), or None for clean accuracy.
        batch_size: images in a batch.
        seed: of the attack's randomness, and of a random model's.
        draws: answers of a random model that the mean is of.
        last_step: count, beside, what is right where the attack ends, whatever it has broken on its way
            (``.last_step``): each image that it breaks goes its way to the end, for up to as many passes again.

    Raises:
        UserError: if images are outside [0, 1] (normalised ones are) or of other axes, labels are no integers or
            outside the classes, there is no such attack, or it has no steps whose last one could count.

    Warns:
        UserWarning: on settings of the attack that can hardly be meant, and of a model that answers at random.
    """
    images = ordinary(given_images(images))
    labels = ordinary(given_labels(labels, images=len(images)))
    require(batch_size >= 1, f"batch_size: expected at least 1, got {batch_size}")
    model = trainable(model)
    device = device_of(model, images.device)
    logits = first_logits(model, to_unit(images[:LOOKED_AT].to(device)))
    for doubt in doubts_about(model, logits):
        warn(doubt)
    if not bool(logits.isfinite().all()):
        warn("the model returns NaN or infinity, which count as wrong")
    classes = logits.shape[1]
    dark = dark_note(float(images.max()), 255 if images.dtype == torch.uint8 else 1, most=1 / 255)
    if dark:
        warn(dark)
    dataset = Dataset(images, labels.long(), tuple(str(c) for c in range(classes))).to(device)
    chosen = named(attack, PGD()) if isinstance(attack, str) else attack or Natural()
    check_last_step(last_step, (chosen,))
    tell_doubts((chosen,), images.shape[1:], warn)
    kind = randomness(model, to_unit(images[:PROBED].to(device)))
    served = expected(model, kind, draws=draws, seed=seed, tell=warn)
    found = examine(served, dataset, chosen, seed=seed, batch_size=batch_size)
    last = examine(served, dataset, chosen, seed=seed, batch_size=batch_size, known=found) if last_step else None
    return Result(
        counts=Counts.of(found.survived, dataset.labels, classes),
        attack=describe_attack(chosen, classes) | drawn_of(served),
        outcome=found,
        dtype=computed_in(model, logits),
        last_step=None if last is None else Counts.of(last.survived, dataset.labels, classes),
        last_outcome=last,
        taken=taken_for(found, dataset.labels, classes),
        probabilities=probabilities_of(served, dataset, batch_size=batch_size) if isinstance(chosen, Natural) else None,
    )


def check_last_step(wanted: bool, attacks: Iterable[AnyAttack]) -> None:
    """Raise ``UserError`` if the last step is to be counted, and none of the attacks goes step by step."""
    attacks = tuple(attacks)
    there = any(isinstance(each, IterativeAttack) for each in attacks)
    names = ", ".join(each.label for each in attacks) or "none"
    require(there or not wanted, f"`last_step`: expected an attack that goes step by step, such as pgd-20, got {names}")


@taking_gradients
@checked
def examine(
    model: nn.Module,
    dataset: Dataset,
    attack: AnyAttack,
    *,
    seed: int,
    batch_size: int = BATCH_SIZE,
    processes: Processes = ALONE,
    observer: Observer | None = None,
    journal: Journal | None = None,
    known: Outcome | None = None,
) -> Outcome:
    """Return what becomes of each example, clean and at every point that an attack comes to, or at its last ones alone.

    The attack maximises cross-entropy (or its own loss) on the logits that are served, in fp32, with every module in
    eval mode; the modes come back afterwards. An image that is wrong once is not attacked any further. The images of an
    `Expected` model have draws of their own, batch by batch: so what becomes of one says nothing of another, and an
    interval of their counts is one over images and draws. No progress of it is kept.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        dataset: what to evaluate on, on the model's device.
        attack: the attack; ``Natural()`` for clean accuracy.
        seed: of the attack's randomness; each image has its own, in batches of any size.
        batch_size: images in a batch.
        processes: those that share the images; each gets the outcome of all.
        observer: told how many images are finished.
        journal: keeps the progress, and knows of that before.
        known: what becomes of each at every point of this attack, which goes step by step: then only the last point
            of each start counts, whatever has broken an image on the way.

    Raises:
        UserError: if an argument is of another type, the attack is for training alone, it has no steps whose last one
            could count, or there is no room for an image in a batch.
    """
    check_evaluates(type(attack))
    check_last_step(known is not None, (attack,))
    require(batch_size >= 1, f"batch_size: expected at least 1, got {batch_size}")
    observer, label = observer or Observer(), attack.label if known is None else f"{attack.label}, last step"
    if isinstance(model, Expected) and len(dataset) > batch_size:
        observer.evaluating(label, images=len(dataset))
        parts = torch.split(torch.arange(len(dataset)), batch_size)
        outcomes = [
            examine(
                of_part(model, number),
                dataset.subset(part),
                attack,
                seed=derive_seed(seed, "evaluation/part", step=number),
                batch_size=batch_size,
                processes=processes,
                observer=_OfParts(observer),
                known=None if known is None else known.at(part),
            )
            for number, part in enumerate(parts)
        ]
        observer.finished()
        return Outcome(*(torch.cat(column) for column in zip(*outcomes, strict=True)))
    with lent_exactly(model) as lent:
        trial = Trial(
            model=lent,
            dataset=dataset,
            seed=seed,
            batch_size=batch_size,
            observer=observer,
            processes=processes,
            in_place=isinstance(model, Expected),
        )
        observer.evaluating(label, images=len(trial.mine()))
        found = outcome(trial, attack, journal, known=known)
    observer.finished()
    return found


class _OfParts(Observer):
    """Tells another how many images are done, and nothing of where parts begin and end."""

    def __init__(self, told: Observer) -> None:
        self._told = told

    @override
    def images_done(self, count: int) -> None:
        self._told.images_done(count)


@checked
def count(model: nn.Module, dataset: Dataset, attack: AnyAttack, **how: Any) -> Counts:
    """Return how many examples of each class the model gets right under an attack; arguments as for `examine`."""
    found = examine(model, dataset, attack, **how)
    return Counts.of(found.survived, dataset.labels, len(dataset.class_names))
