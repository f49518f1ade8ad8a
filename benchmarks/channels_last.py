"""Images per second of a training step, weights in the usual layout and in channels last, side by side.

usage: python benchmarks/channels_last.py [THREADS]
"""

import sys
import time
from dataclasses import replace
from functools import partial

import torch

from srat.composition import compose
from srat.data import Dataset
from srat.devices import make_fabric
from srat.models.resnet import ResNet18
from srat.models.small_cnn import SmallCNN
from srat.random import generator
from srat.trainer import train_step
from srat.training import set_up

BATCH, STEPS = 128, 3


def images_per_second(model: SmallCNN | ResNet18, layout: torch.memory_format) -> float:
    """Return the rate over a few steps of SRAT-LDAM with PGD-10 on random 3 × 32 × 32 images, after one warm-up."""
    config = replace(compose(method="srat-ldam", data="cifar10"), model=model)
    images = torch.randint(256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    data = Dataset(images, torch.arange(BATCH) % 10, tuple("0123456789"))
    training = set_up(config, make_fabric("cpu"), data, None, None)
    training.module.to(memory_format=layout)  # type: ignore[call-overload]
    step = partial(train_step, training, torch.arange(BATCH), training.class_weights)
    step(partial(generator, 0))
    start = time.perf_counter()
    for number in range(1, STEPS + 1):
        step(partial(generator, 0, step=number))
    return BATCH * STEPS / (time.perf_counter() - start)


torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
for model in (SmallCNN(), ResNet18(width=8)):
    usual, last = (images_per_second(model, layout) for layout in (torch.contiguous_format, torch.channels_last))
    print(f"{model}: {usual:.0f} → {last:.0f} images/s, ratio {last / usual:.2f}")
