"""The settings that follow from the data: batch, epochs, rate, held-out part, augmentation; and the whole run."""

import math
from dataclasses import replace

from srat.config.composition import compose
from srat.config.config import Config
from srat.data import Augmentation, Holdout
from srat.data.augmentation.crop_flip import CropFlip
from srat.data.augmentation.no_augmentation import NoAugmentation
from srat.data.feed import count_batches
from srat.optimization.optimizers import SGD
from srat.planning.facts import Facts
from srat.planning.ladder import Candidate
from srat.runtime.precision import PrecisionName

BATCHES = {128: 32_000, 64: 16_000, 32: 2_000, 16: 0}
"""Batches, and the training images from which on each is taken: an epoch has 250 steps, or some 60 of few images."""
USUAL_RATE, USUAL_BATCH = 0.1, 128
HELD_OUT, HELD_OUT_OF_EACH = 500, 10
"""Images, and images of a class in the mean, that tell epochs apart."""
SMALL_CLASS = 50
"""Training images of a class below which a tenth of it is held out, in the place of five images."""
FEWEST_EPOCHS = 3
"""Of any plan."""
_FEW_UPDATES, _FEW_EPOCHS = 1_500, (12, 40)
_MOST_UPDATES, _MOST_EPOCHS = 6_000, (60, 200)
SHIFTED = 8
"""An image is shifted by this part of its side at the most: 4 of 32 pixels, as is usual."""
SMALL_SIDE = 24
"""Pixels to a side below which images are not shifted."""
VARIED_FROM = 30
"""Epochs from which on images are augmented: fewer do not even suffice for the images as they are."""


def batch_size(images: int) -> int:
    """Return the largest batch, from 16 to 128, that leaves an epoch of so many images enough steps."""
    return next(batch for batch, least in BATCHES.items() if images >= least)


def learning_rate(batch: int) -> float:
    """Return the highest rate of the cycle, 0.1 · √(batch / 128), to two digits."""
    return float(f"{USUAL_RATE * math.sqrt(batch / USUAL_BATCH):.2g}")


def enough_epochs(images: int) -> int:
    """Return the epochs that a larger network has to get: 12, or as many as make 1,500 updates, 40 at the most."""
    return _for_updates(_FEW_UPDATES, images, _FEW_EPOCHS)


def most_epochs(images: int) -> int:
    """Return the epochs after which there is nothing to gain: 60, or as many as make 6,000 updates, 200 at the most."""
    return _for_updates(_MOST_UPDATES, images, _MOST_EPOCHS)


def _for_updates(updates: int, images: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    return min(max(math.ceil(updates / count_batches(images, batch_size(images))), least), most)


def holdout(facts: Facts, *, selects: bool) -> Holdout:
    """Return what is held out: as many images as tell epochs apart, a tenth at the most; nothing if none is chosen.

    A validation part of the data's own is held out whole.
    """
    if not selects or facts.validation:
        return Holdout() if selects else Holdout(fraction=0.0)
    wanted = max(HELD_OUT, HELD_OUT_OF_EACH * len(facts.counts))
    fraction = min(math.ceil(100 * wanted / facts.images) / 100, Holdout().fraction)
    minimum = Holdout().minimum if facts.rarest >= SMALL_CLASS else max(1, facts.rarest // 10)
    return Holdout(fraction=fraction, minimum=minimum)


def held_out(facts: Facts, part: Holdout) -> int:
    """Return how many images choose the best epoch: those of the data's own validation part, or of the training's."""
    return facts.validation if facts.validation and part.fraction else sum(map(part.of_class, facts.counts))


def trained_on(facts: Facts, part: Holdout) -> int:
    """Return how many images the weights learn from."""
    return facts.images if facts.validation else facts.images - held_out(facts, part)


def augmented(suggested: Augmentation, shape: tuple[int, int, int], epochs: int) -> Augmentation:
    """Return the augmentation of a run: shifts that go with the images' size; none of small ones, nor of few epochs.

    Args:
        suggested: by the data.
        shape: channels, height and width.
        epochs: of the run.
    """
    side = min(shape[1:])
    if epochs < VARIED_FROM or side < SMALL_SIDE:
        return NoAugmentation()
    return replace(suggested, padding=side // SHIFTED) if isinstance(suggested, CropFlip) else suggested


def threat_of(config: Config) -> Config:
    """Return a run of the same data, imbalance, seed and threat model, and else as the data suggest."""
    threat = config.evaluation
    base = compose(
        data=config.data,
        imbalance=config.imbalance,
        seed=config.seed,
        norm=threat.norm,
        epsilon=threat.epsilon,
        step_size=threat.step_size,
    )
    return replace(base, evaluation=threat)


def configured(
    config: Config, facts: Facts, candidate: Candidate, *, epochs: int, precision: PrecisionName = "fp32"
) -> Config:
    """Return the run that a candidate is.

    Args:
        config: its data, imbalance, seed and threat model stay.
        facts: of the data.
        candidate: network, size, method, whether an epoch is chosen.
        epochs: of the run.
        precision: that the device is fastest in.
    """
    base, setup, batch = threat_of(config), candidate.setup, batch_size(facts.images)
    source = base.data if setup.side is None else replace(base.data, size=setup.side)  # type: ignore[call-arg]
    composed = compose(base, method=setup.method, data=source, model=setup.network, schedule="one-cycle")
    return replace(
        composed,
        epochs=epochs,
        batch_size=batch,
        optimizer=SGD(learning_rate=learning_rate(batch)),
        holdout=holdout(facts, selects=candidate.selects),
        augmentation=augmented(composed.augmentation, facts.shape(setup.side), epochs),
        precision=precision,
    )
