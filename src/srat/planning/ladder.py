"""What a run may be, from the cheapest to the dearest: network, size of images, method, whether an epoch is chosen."""

from dataclasses import dataclass

from srat.attacks.projections import NormName
from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.planning.facts import Facts

Network = SmallCNN | ResNet18
RUNGS: tuple[tuple[Network, int], ...] = (
    (SmallCNN(width=16), 32),
    (SmallCNN(width=32), 32),
    (ResNet18(width=16), 32),
    (ResNet18(width=16), 48),
    (ResNet18(width=32), 48),
    (ResNet18(width=32), 64),
    (ResNet18(width=64), 64),
)
"""Networks, and the side that images which are resized have at the most."""
DEEP_FROM = 16
"""Pixels to a side from which on a ResNet-18, which halves the image three times, has something to look at."""
FEW_IMAGES = 1_000
"""Training images below which a ResNet-18 is of the smallest width."""
FAST, FAST_L2, PATIENT = "fast-bsl", "bsl", "drcb-ldam"
"""Methods: of a single step of attack; the same loss where the ball is one of L2; where there is time for PGD-10."""


@dataclass(frozen=True)
class Setup:
    """What decides how long a step takes."""

    network: Network
    side: int | None
    """Pixels that images are resized to; None leaves them as they are."""
    method: str


@dataclass(frozen=True)
class Candidate:
    """What a run may be."""

    setup: Setup
    selects: bool
    """Whether a held-out part chooses the best epoch."""


def ladder(facts: Facts, norm: NormName) -> tuple[Candidate, ...]:
    """Return what a run may be, each better than the one before, and all of a setup together.

    A larger network is better, then larger images; then that an epoch is chosen, which costs time as well. On the last
    rung alone there is PGD-10: a larger network under one step is worth more than a smaller one under ten.

    Args:
        facts: of the data; they decide where it ends.
        norm: of the ball, for a single step is of L∞ alone.
    """
    fast = FAST if norm == "linf" else FAST_L2
    setups = dict.fromkeys(Setup(network, facts.side(side), fast) for network, side in RUNGS if suits(network, facts))
    last = list(setups)[-1]
    patient = [Setup(last.network, last.side, PATIENT)] if norm == "linf" else []
    return tuple(Candidate(setup, selects) for setup in (*setups, *patient) for selects in (False, True))


def suits(network: Network, facts: Facts) -> bool:
    """Return whether a network is not too large for the images, of their size and number."""
    if not isinstance(network, ResNet18):
        return True
    smallest = min(each.width for each, _ in RUNGS if isinstance(each, ResNet18))
    channels, height, width = facts.shape(facts.side(max(facts.sides, default=0)))
    del channels
    return min(height, width) >= DEEP_FROM and (facts.images >= FEW_IMAGES or network.width == smallest)
