"""Fast adversarial training."""

from srat.attacks import FGSM
from srat.methods.base import Method

METHOD = Method(
    title="Adversarial training with one step from a random start",
    source="Wong et al., 2020, Fast Is Better than Free; code: train_fgsm.py",
    formula="CE(z(x'), y); the attack: one step of 1.25 ε from a random point of the ball",
    differs=(
        "Their code has BatchNorm in train mode in the attack and tests for an overfit attack on a training batch in "
        "train mode, against the last epoch.",
        "They train 15 epochs with a cyclic learning rate: `schedule` one-cycle.",
        "`attack` n-fgsm (de Jorge et al., 2022) is as cheap, and overfits less.",
    ),
    attack=FGSM(random_start=True),
)
