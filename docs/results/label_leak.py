"""Does the training attack tell the features the label? The separation loss, by what images went through.

usage: python docs/results/label_leak.py RUN …      (folders with weights; SRAT_DATA_DIR names the folder of CIFAR-10)

On training images, in batches of the run's size: as they are, after the attack that the run was trained with (on
cross-entropy), and after the same attack on the separation loss itself. An attack is there to make things worse: where
the loss is smaller after the training attack than before it, the features read the label from the perturbation.
"""

import sys
from pathlib import Path

import torch

import srat
from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.data import prepare, to_unit
from srat.feature_losses import Separation
from srat.methods.objective import reduce_anchors
from srat.models import lent

BATCHES = 20
separation = Separation(temperature=0.1)
print(f"{'run':<40}{'as they are':>14}{'attacked':>12}{'attacked there':>16}")
for folder in map(Path, sys.argv[1:]):
    config, model = Config.read(folder / "config.json"), srat.load(folder)
    train = prepare(config.data, config.imbalance, config.holdout, seed=config.seed).train
    order = torch.randperm(len(train), generator=generator(0, "label-leak"))
    sums = torch.zeros(3)
    for number, batch in enumerate(order.split(config.batch_size)[:BATCHES]):
        images, labels = to_unit(train.images[batch]), train.labels[batch]
        rng = generator(0, "label-leak/attack", step=number)
        with lent(model) as served:
            usual = config.attack(lambda x: srat.losses.cross_entropy(served(x).logits, labels), images, generator=rng)
            there = config.attack(lambda x: separation(served(x).embedding, labels).values, images, generator=rng)
        with torch.no_grad():
            sums += torch.stack(
                [reduce_anchors(separation(model(x).embedding, labels)) for x in (images, usual, there)]
            )
    means = sums / min(BATCHES, number + 1)
    name = f"{config.method}, {config.data.name}, {config.imbalance.name}"
    print(f"{name:<40}{means[0]:>14.2f}{means[1]:>12.2f}{means[2]:>16.2f}")
