"""What a protocol is: the settings under which a group of authors compares methods."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from srat.core.checked import Checked
from srat.core.members import plain
from srat.data import Imbalance
from srat.data.imbalance import Exponential
from srat.models import Architecture
from srat.models.backbones.resnet import ResNet18
from srat.optimization.optimizers import SGD


@dataclass(frozen=True, kw_only=True)
class Protocol(Checked):
    """Data, imbalance, network, epochs, learning rate, attacks and augmentation of a paper; the method is chosen apart.

    Nothing is chosen on the test set, whatever the authors do: a held-out part chooses the epoch, or the last one
    counts (`holdout.fraction` 0).
    """

    title: str
    """Whose it is."""
    source: str
    """What was read."""
    differs: tuple[str, ...]
    """How they select and group, and what of theirs is not done."""
    imbalances: Mapping[str, Imbalance]
    """For each data set, by its name, the imbalance that their main table has."""
    model: Architecture = ResNet18()
    epochs: int
    batch_size: int = 128
    optimizer: SGD = SGD()
    milestones: tuple[int, ...]
    """Epochs, counted from 0, from which on the learning rate is the smaller one."""
    factor: float = 0.1
    """What it is multiplied by at each."""
    epsilon: float = 8 / 255
    """ε of both attacks."""
    step_size: float | None = 2 / 255
    """Of the training attack; None for the data's own, of both attacks."""
    steps: int = 10
    """Of the training attack."""
    evaluation_step_size: float = 2 / 255
    """Of PGD-20, the evaluation's attack."""
    augmentation: str | None = "crop-flip"
    """Of methods that have none of their own; None for the data's."""


def exponential(**ratios: float) -> Mapping[str, Imbalance]:
    """Return Exp imbalances: ratios by the data set, with an underscore for a dash."""
    return {plain(data): Exponential(ratio=ratio) for data, ratio in ratios.items()}


@cache
def protocols() -> Mapping[str, Protocol]:
    """Return every protocol by its name, the paper's first."""
    folder = Path(__file__).parent / "field_protocols"
    names = sorted((module.name for module in pkgutil.iter_modules([str(folder)])), key=lambda name: name != "srat")
    return {plain(name): importlib.import_module(f"srat.methods.field_protocols.{name}").PROTOCOL for name in names}
