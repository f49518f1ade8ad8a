"""The traced estimate of a step's memory beside what real steps take on this CPU.

python benchmarks/memory_estimate.py [WIDTH] [BATCH]
"""

import resource
import sys
from dataclasses import replace
from functools import partial

import torch

import srat
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.models.backbones.resnet import ResNet18
from srat.runtime.fabric import make_fabric
from srat.training.memory_estimate import blank_batch, step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step


def peak() -> float:
    """Return the most memory that this process has had, in bytes."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


width, batch = (int(word) for word in [*sys.argv[1:], "16", "128"][:2])
config = replace(srat.compose(method="srat-ldam", data="cifar10"), model=ResNet18(width=width))
data = Dataset(torch.zeros(1_000, 3, 32, 32, dtype=torch.uint8), torch.arange(1_000) % 10, tuple("0123456789"))
training = set_up(config, make_fabric("cpu"), data, None, None)
traced = step_bytes(training, batch_size=batch)
before = peak()
for step in range(3):
    train_step(training, blank_batch(training, batch), training.stage(0), partial(generator, 0, step=step))
taken = peak() - before
print(f"ResNet-18 width {width}, batch {batch}: traced {traced / 1e6:.0f} MB, taken {taken / 1e6:.0f} MB")
