"""Whom the trainer and the evaluator tell how far they are."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from srat.core.errors import printable

if TYPE_CHECKING:
    from srat.evaluation.counts import Counts


class Observer:
    """Told of progress; this one says nothing, but for notices. The report room has one that draws."""

    def ready(self) -> None:
        """Data and model are ready: nothing is in the way of the training any more."""

    def training(self, *, epochs: int, steps: int, done: int) -> None:
        """A run of ``epochs`` epochs of ``steps`` steps begins, or goes on after ``done`` steps in all."""

    def step(self) -> None:
        """A training step was handed to the device."""

    def images_done(self, count: int) -> None:
        """``count`` more images are read, or evaluated."""

    def held_out(self, clean: "Counts", robust: "Counts") -> None:
        """The epoch's weights get so many of each class right, of the held-out images as they are, and attacked."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch ended with these metrics."""

    def reading(self, *, images: int) -> None:
        """Image files begin to be read."""

    def evaluating(self, name: str, *, images: int) -> None:
        """The evaluation called ``name`` begins."""

    def notice(self, text: str) -> None:
        """Something happened that the user should know of, and that stops nothing."""
        logging.getLogger("srat").warning("%s", printable(text))

    def finished(self) -> None:
        """What began last has ended."""
