"""How long steps take on this machine."""

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch

from srat.config.config import Config
from srat.core.keyed_random import generator, kept_streams
from srat.data import Batch, Dataset, to_unit
from srat.evaluation.serving import last_points, lent_exactly
from srat.planning.costs import Speed
from srat.runtime.fabric import make_fabric_alone
from srat.runtime.precision import tensor_float
from srat.training.session import Training
from srat.training.setting_up import set_up
from srat.training.step import train_step

TIMED = 3
"""Steps whose median counts; the first one of all, which sets things up, does not."""
ASCENTS = 2
"""Steps of the evaluation's attack that are timed at once."""


def measure(
    config: Config,
    shape: tuple[int, int, int],
    *,
    classes: int,
    device: torch.device,
    seconds: float,
    clock: Callable[[], float],
) -> Speed:
    """Return how long an image takes in training, and in a step of the evaluation's attack.

    The steps are those of the training itself, on images of noise; each is timed at least once.

    Args:
        config: the run.
        shape: channels, height and width.
        classes: how many.
        device: where.
        seconds: after which no further step begins.
        clock: seconds from any moment on.
    """
    images = noise(shape, count=max(2 * config.batch_size, classes), classes=classes)
    with kept_streams():
        training = set_up(config, make_fabric_alone(device, config.precision), images, None, None, notice=_ignored)
        timed = partial(timed_steps, seconds=seconds / 2, clock=clock, synchronize=synchronizer(device))
        step = timed(steps_of(training))
        with lent_exactly(training.kept) as served:
            ascent = timed(ascents_of(training, served))
    return Speed(step=step, ascent=ascent / ASCENTS)


def timed_steps(
    steps: Iterator[int], *, seconds: float, clock: Callable[[], float], synchronize: Callable[[], None]
) -> float:
    """Return the median of the seconds that an image takes in some steps, the first one left out.

    Args:
        steps: makes a step whenever it is asked for one, and says of how many images it was.
        seconds: after which no further step begins, once one is timed.
        clock: seconds from any moment on.
        synchronize: waits until the device has done what it was asked to do.
    """
    began = clock()
    next(steps)
    found: list[float] = []
    while not found or (len(found) < TIMED and clock() - began < seconds):
        synchronize()
        before = clock()
        images = next(steps)
        synchronize()
        found.append((clock() - before) / images)
    return statistics.median(found)


def steps_of(training: Training) -> Iterator[int]:
    """Yield the number of images of each step of a training that it makes, epoch after epoch."""
    config, device = training.config, training.fabric.device
    training.model.train()
    # Of the last epoch: once weights apply and balls have grown.
    stage = training.stage(config.epochs - 1)
    batches: Iterator[Batch] = itertools.chain.from_iterable(map(training.feed.epoch, itertools.count()))
    for number, batch in enumerate(batches):
        rng = partial(generator, config.seed, step=number, device=device)
        with tensor_float(config.precision == "tf32"):
            train_step(training, batch, stage, rng)
        yield len(batch.images)


def ascents_of(training: Training, served: torch.nn.Module) -> Iterator[int]:
    """Yield the number of images that the evaluation's attack has moved some steps, again and again."""
    config, train = training.config, training.train
    attack = replace(config.evaluation, steps=ASCENTS, restarts=1)
    images, labels = to_unit(train.images[: config.batch_size]), train.labels[: config.batch_size]
    for number in itertools.count():
        rng = generator(config.seed, "attack", step=number, device=training.fabric.device)
        last_points(served, images, labels, attack, generator=rng)
        yield len(images)


def noise(shape: tuple[int, int, int], *, count: int, classes: int) -> Dataset:
    """Return images of noise, in turn of each class."""
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator(0, "noise"))
    return Dataset(pixels, torch.arange(count) % classes, tuple(map(str, range(classes))))


def synchronizer(device: torch.device) -> Callable[[], None]:
    """Return what waits for a device."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else _nothing


def _nothing() -> None:
    """Wait for a CPU, which has done what it was asked to do."""


def _ignored(text: str) -> None:
    del text
