"""The paper's own protocol."""

from srat.data.imbalance import Step
from srat.methods.protocol import Protocol

PROTOCOL = Protocol(
    title="The paper's: CIFAR-10 and SVHN, Step and Exp, 10 and 100 : 1, ResNet-18",
    source="Wang et al., 2021 (arXiv:2107.13639), Section 5.1",
    differs=(
        "`imbalance` exp and `ratio` 10 are the other settings of its tables.",
        "Batch size, weight decay, and how the epoch was chosen are not in the paper. Groups: half.",
    ),
    imbalances={"cifar10": Step(ratio=100), "svhn": Step(ratio=100)},
    epochs=200,
    milestones=(160, 180),
    factor=0.01,
    step_size=None,
    augmentation=None,
)
