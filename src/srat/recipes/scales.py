"""How large the runs are: the paper's size, and two for two CPU cores."""

from dataclasses import replace
from typing import Literal

from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import FieldError, require_field
from srat.data import Holdout
from srat.data.imbalance import Step
from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.schedules import Steps

Scale = Literal["paper", "medium", "small"]
LARGEST_RATIO = 100.0
"""The paper's, of the most frequent class to the rarest."""
_SMALL_DATA = {"cifar10": "fashion-mnist"}


def default_data(scale: Scale, papers: str) -> str:
    """Return the data set to take for a recipe, unless the user names one: the paper's, or a quicker one instead."""
    return _SMALL_DATA.get(papers, papers) if scale == "small" else papers


def base_config(scale: Scale, data: str) -> Config:
    """Return what all runs of a recipe start from.

    Nothing is held out, so that the classes have the paper's counts; it does not say how it chose an epoch, so the last
    one is shown. Its imbalance is the largest there is: what stands for the paper's 100 : 1.

    Raises:
        UserError: if there is no such scale for that data set.
    """
    config = replace(compose(method="ce", data=data), holdout=Holdout(fraction=0.0))
    return {"paper": _paper, "medium": _medium, "small": _small}[scale](config)


def _paper(config: Config) -> Config:
    """ResNet-18, 200 epochs, rate 0.1, × 0.01 at epochs 160 and 180, PGD-10, and PGD-20 in testing (Section 5.1)."""
    return replace(config, model=ResNet18(), epochs=200, imbalance=Step(ratio=LARGEST_RATIO))


def _medium(config: Config) -> Config:
    """CIFAR-10 with the paper's counts, a ResNet-18 of a quarter of its width, 30 epochs of single-step training.

    How the numbers were chosen: docs/reproduction.md.
    """
    require_field(config.data.name == "cifar10", "data", "one with a medium scale (cifar10)", config.data.name)
    return replace(
        compose(config, attack="n-fgsm", schedule="one-cycle"),
        model=ResNet18(width=16),
        imbalance=Step(ratio=LARGEST_RATIO),
        epochs=30,
        precision="bf16",
    )


def _small(config: Config) -> Config:
    """A small network and some tens of epochs at most, so that a run takes two cores about five minutes or less.

    How the numbers were chosen: docs/reproduction.md.
    """
    if config.data.name == "digits":
        return replace(
            config, imbalance=Step(ratio=LARGEST_RATIO), epochs=10, schedule=Steps(milestones=(6, 8), factor=0.1)
        )
    if config.data.name == "fashion-mnist":
        return replace(
            compose(config, epsilon=32 / 255, step_size=8 / 255),
            model=SmallCNN(width=16),
            imbalance=Step(ratio=LARGEST_RATIO, cap=2_000),
            epochs=10,
            optimizer=replace(config.optimizer, learning_rate=0.05),
            schedule=Steps(milestones=(6, 8), factor=0.1),
        )
    if config.data.name in ("cifar10", "svhn"):
        return replace(
            config,
            model=SmallCNN(width=16),
            imbalance=Step(ratio=5.0, cap=500),
            batch_size=32,
            epochs=30,
            optimizer=replace(config.optimizer, learning_rate=0.05),
            schedule=Steps(milestones=(18, 25), factor=0.1),
        )
    small = "one with a small scale (digits, fashion-mnist, cifar10, svhn)"
    raise FieldError("data", small, config.data.name)
