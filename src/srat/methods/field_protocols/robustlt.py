"""RobustLT's protocol."""

from srat.methods.protocol import Protocol, exponential
from srat.models.backbones.wide_resnet import WideResNet
from srat.optimization.optimizers import SGD

PROTOCOL = Protocol(
    title="RobustLT's: WRN-28-10, 100 epochs, steps of 1/255 in testing",
    source="RobustLT (CVPR 2026, arXiv:2605.13395); code: configurations, core/",
    differs=(
        "They take the last epoch. AWP has 200 epochs with them (100, 150), RoBal batches of 64 and PGD-5 for 80 "
        "epochs, and AT-BSL alone an augmentation.",
        "Their Tiny-ImageNet-LT is the first 20 of the 200 classes; here it is all of them. Groups: rarest-80.",
    ),
    imbalances=exponential(cifar10=50, cifar100=10, tiny_imagenet=10),
    model=WideResNet(depth=28),
    epochs=100,
    optimizer=SGD(nesterov=True),
    milestones=(75, 90),
    evaluation_step_size=1 / 255,
)
