"""AT-BSL's protocol."""

from srat.methods.protocol import Protocol, exponential

PROTOCOL = Protocol(
    title="AT-BSL's: ResNet-18, 100 epochs",
    source="Yue et al., 2024 (AT-BSL); code: train_at_bsl_cifar10.py",
    differs=(
        "They choose the epoch, from 75 on, by PGD-20 on the test set; WRN-34-10 is their other network, and "
        "PreActResNet-18 that for Tiny-ImageNet.",
        "AutoAttack is torchattacks' with them, of a batch at a time.",
    ),
    imbalances=exponential(cifar10=50, cifar100=10, tiny_imagenet=10),
    epochs=100,
    milestones=(74, 89, 99),
)
