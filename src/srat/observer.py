"""Whom the trainer and the evaluator tell how far they are."""

from collections.abc import Mapping
from typing import Any


class Observer:
    """Told of progress; this one says nothing. The report room has one that draws."""

    def training(self, *, epochs: int, done: int, steps: int) -> None:
        """A run of ``epochs`` epochs of ``steps`` steps begins, ``done`` of them done before."""

    def step(self) -> None:
        """A step, or a batch of an evaluation, was handed to the device."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch ended with these metrics."""

    def evaluating(self, name: str, *, batches: int) -> None:
        """The evaluation called ``name`` begins."""

    def finished(self) -> None:
        """What began last has ended."""
