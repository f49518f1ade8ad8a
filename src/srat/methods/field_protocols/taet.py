"""TAET's protocol."""

from srat.methods.protocol import Protocol, exponential

PROTOCOL = Protocol(
    title="TAET's: ResNet-18, 100 epochs",
    source="Wang et al., 2025 (TAET); code: TAET.ipynb",
    differs=(
        "Their test set is imbalanced as well and they report balanced accuracy, which is the accuracy on a balanced "
        "test set, as it is here.",
        "They train torchvision's ResNet at 224 pixels; here it is the network for small images at their own size. "
        "They take the last epoch, and their other ratios are 20, 50 and 100.",
    ),
    imbalances=exponential(cifar10=10, cifar100=10),
    epochs=100,
    milestones=(75, 90),
    epsilon=0.031,
    step_size=0.003,
    evaluation_step_size=1 / 255,
)
