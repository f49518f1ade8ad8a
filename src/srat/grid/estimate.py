"""How long runs will take on this machine, from the time of one pass through each network."""

import time

import torch
from torch.nn import functional as F

from srat.config.config import Config
from srat.config.passes import FORWARD, TO_IMAGES, TO_WEIGHTS, passes
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.data import prepare
from srat.data.dataset import FileSource
from srat.runs.run import build_model, image_shape

_TIMED = 3
"""Passes that are timed after a first one; the quickest counts."""


class Estimator:
    """Tells how long runs will take; what several have in common is looked at once.

    Args:
        device: what they train on.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._seconds: dict[str, float] = {}

    def seconds(self, config: Config, epochs_done: int = 0) -> float | None:
        """Return how long what is left of a run will take, training and evaluation; None if its data is not there.

        Args:
            config: the run.
            epochs_done: how many of its epochs have ended.
        """
        try:
            if isinstance(config.data, FileSource) and config.data.find() is None:
                return None  # a list is no reason to fetch it
            of_pass = self._of_pass(config)
            train, test = self._sizes[_of_data(config)]
        except UserError:  # which the run itself will tell of
            return None
        epochs = config.epochs - epochs_done
        searched = 2 * FORWARD + config.evaluation.restarts * config.evaluation.steps * (FORWARD + TO_IMAGES)
        evaluated = test * searched * (1 + (config.holdout.fraction > 0))
        return of_pass * (epochs * train * passes(config) + evaluated)

    def _of_pass(self, config: Config) -> float:
        """Return the seconds of one pass through the network for one image."""
        key = f"{_of_data(config)} {config.model} {config.head} {config.batch_size}"
        if key not in self._seconds:
            parts = config.data.parts()
            data = prepare(parts, config.imbalance, config.holdout, seed=config.seed)
            self._sizes[_of_data(config)] = len(data.train), len(parts.test())
            shape, classes, batch = image_shape(data.train), len(data.train.class_names), config.batch_size
            ones = torch.ones(shape.channels)
            counts = (1,) * classes
            model = build_model(config, shape=shape, classes=classes, mean=ones, std=ones, class_counts=counts)
            model = model.to(self._device).train()
            size = min(batch, len(data.train))
            drawn = torch.rand(size, shape.channels, shape.height, shape.width, generator=generator(0, "estimate"))
            images, labels = drawn.to(self._device), torch.zeros(size, dtype=torch.long, device=self._device)
            times = []
            for _ in range(1 + _TIMED):
                start = time.perf_counter()
                torch.autograd.backward(F.cross_entropy(model(images).logits, labels))
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)
                times.append(time.perf_counter() - start)
            self._seconds[key] = min(times[1:]) / (FORWARD + TO_WEIGHTS) / size
        return self._seconds[key]


def _of_data(config: Config) -> str:
    return f"{config.data} {config.imbalance} {config.holdout}"
