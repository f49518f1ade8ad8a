"""RoBal's protocol."""

from srat.methods.protocol import Protocol, exponential
from srat.models.backbones.wide_resnet import WideResNet
from srat.optimization.optimizers import SGD

PROTOCOL = Protocol(
    title="RoBal's: WRN-34-10, 80 epochs, PGD-5 in training",
    source="Wu et al., 2021; code: configurations, train.py",
    differs=(
        "They take the last epoch. Their learning rate is multiplied once more in every epoch after a milestone; here"
        " it falls at 60 and 75.",
        "AutoAttack is APGD-CE and APGD-T with them. Groups: many-medium-few.",
    ),
    imbalances=exponential(cifar10=50, cifar100=10),
    model=WideResNet(),
    epochs=80,
    batch_size=64,
    optimizer=SGD(weight_decay=2e-4),
    milestones=(60, 75),
    epsilon=0.031,
    step_size=0.0078,
    steps=5,
)
