"""Evaluating a model, ours or any other."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from srat.attacks import PGD, AnyAttack, Natural
from srat.attacks.named import named
from srat.data import Dataset, to_unit
from srat.errors import require
from srat.evaluation.counts import count
from srat.evaluation.record import Evaluation, Result, describe_attack
from srat.models import attacked, logits_of
from srat.observer import Observer
from srat.processes import ALONE, Processes


def evaluate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: AnyAttack | str | None = None,
    batch_size: int = 250,
    seed: int = 0,
) -> Result:
    """Return the model's correct and all examples of each class, clean or under an attack.

    Args:
        model: images in [0, 1] → logits (batch, classes), or an output that has them; it normalises by itself.
        images: (n, channels, height, width), uint8 or in [0, 1].
        labels: (n,), integers in [0, classes).
        attack: an attack, a name such as "pgd-20" or "autoattack" (ε = 8/255, α = 2/255), or None for clean accuracy.
        batch_size: images in a batch.
        seed: of the attack's randomness.

    Raises:
        UserError: if images are outside [0, 1] (normalised ones are), or labels outside the classes.
    """
    require(len(images) > 0, "images: expected at least one")
    require(not labels.is_floating_point(), f"labels: expected integers, got {labels.dtype}")
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), images.device)
    classes = _class_count(model, images[:1].to(device))
    dataset = Dataset(images, labels.long(), tuple(str(c) for c in range(classes))).to(device)
    chosen = named(attack, PGD()) if isinstance(attack, str) else attack or Natural()
    counts = count(model, dataset, chosen, seed=seed, batch_size=batch_size)
    return Result(counts=counts, attack=describe_attack(chosen, classes))


def evaluate_all(
    model: nn.Module,
    dataset: Dataset,
    attacks: Mapping[str, AnyAttack],
    evaluation: Evaluation,
    *,
    seed: int,
    processes: Processes = ALONE,
    observer: Observer | None = None,
) -> Evaluation:
    """Return ``evaluation`` with the results under each attack put in.

    Args:
        model: the model.
        dataset: the test set, on the model's device.
        attacks: what to evaluate under, by the name of the result; ``Natural()`` for clean accuracy.
        evaluation: results so far.
        seed: of the attacks' randomness.
        processes: those that share the images.
        observer: told of progress.
    """
    classes = len(dataset.class_names)
    for name, attack in attacks.items():
        counts = count(model, dataset, attack, seed=seed, processes=processes, observer=observer)
        evaluation = evaluation.with_result(name, Result(counts=counts, attack=describe_attack(attack, classes)))
    return evaluation


def _class_count(model: nn.Module, image: Tensor) -> int:
    with torch.no_grad(), attacked(model) as served:
        return logits_of(served(to_unit(image))).shape[1]
