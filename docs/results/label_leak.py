"""Does the training attack tell the features the label? The separation loss, by what images went through.

usage: python docs/results/label_leak.py RUN …      (folders with weights; SRAT_DATA_DIR names the folder of CIFAR-10)

On training images, in batches of the run's size: as they are; after the run's attack on cross-entropy alone; on both,
cross-entropy + w · the separation loss of the batch (w the run's `inner.feature_weight`, 1 where that is 0); and on the
separation loss alone. An attack is there to make things worse: where the loss is smaller after the attack that the run
was trained with than before it, the features read the label from the perturbation.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import srat
from srat.attacks import LossAt
from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.data import prepare, to_unit
from srat.feature_losses import Separation
from srat.methods.objective import reduce_anchors
from srat.models import lent

BATCHES = 20
separation = Separation(temperature=0.1)


def loss_at(model: nn.Module, labels: Tensor, on_label: float, on_features: float) -> LossAt:
    """Return a function of images: so much of their cross-entropy, and so much of their separation loss."""

    def loss(images: Tensor) -> Tensor:
        output = model(images)
        apart = separation(output.embedding, labels).values
        return on_label * srat.losses.cross_entropy(output.logits, labels) + on_features * apart

    return loss


print(f"{'run':<50}{'as they are':>12}{'on the label':>14}{'on both':>10}{'on features':>13}")
for folder in map(Path, sys.argv[1:]):
    config, model = Config.read(folder / "config.json"), srat.load(folder)
    train = prepare(config.data, config.imbalance, config.holdout, seed=config.seed).train
    order = torch.randperm(len(train), generator=generator(0, "label-leak"))
    weight, sums = config.inner.feature_weight, torch.zeros(4)
    for number, batch in enumerate(order.split(config.batch_size)[:BATCHES]):
        images, labels = to_unit(train.images[batch]), train.labels[batch]
        rng = generator(0, "label-leak/attack", step=number)

        with lent(model) as served:
            attacked = [
                config.attack(loss_at(served, labels, *parts), images, generator=rng)
                for parts in ((1.0, 0.0), (1.0, weight or 1.0), (0.0, 1.0))
            ]
        with torch.no_grad():
            sums += torch.stack([reduce_anchors(separation(model(x).embedding, labels)) for x in (images, *attacked)])
    means = (sums / min(BATCHES, number + 1)).tolist()
    trained = f"{config.feature_loss.name}, w = {weight:g}, seed {config.seed}"
    name = f"{config.method}, {config.data.name}, {trained}"
    print(f"{name:<50}{means[0]:>12.2f}{means[1]:>14.2f}{means[2]:>10.2f}{means[3]:>13.2f}", flush=True)
