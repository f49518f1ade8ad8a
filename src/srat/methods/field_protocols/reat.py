"""REAT's protocol."""

from srat.methods.protocol import Protocol, exponential

PROTOCOL = Protocol(
    title="REAT's: ResNet-18, 80 epochs",
    source="REAT (arXiv:2307.10205); code: train.py",
    differs=("They choose the epoch on the test set. WRN-28-10 is their other network. Groups: thirds.",),
    imbalances=exponential(cifar10=50, cifar100=10),
    epochs=80,
    milestones=(60, 75),
)
