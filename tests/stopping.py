"""Runs that are stopped, and what they leave."""

import signal

from srat.core.signals import Interrupted
from srat.evaluation.observer import Observer


class StopAfter(Observer):
    """Stops a run after so many steps, as a signal does."""

    def __init__(self, steps):
        self.left = steps

    def step(self):
        self.left -= 1
        if self.left == 0:
            raise Interrupted(signal.SIGTERM)


def content(folder):
    """Return everything that a run leaves, but for how long it took."""
    files = [*folder.glob("*.safetensors"), folder / "metrics.csv", folder / "config.json"]
    return {path.name: path.read_bytes() for path in files}
