"""Runs that are stopped, and what they leave."""

import shutil
import signal

from srat.core.signals import Interrupted
from srat.evaluation.observer import Observer
from srat.training.checkpoint import list_checkpoints, position_of
from srat.training.fitting import fit


class StopAfter(Observer):
    """Stops a run after so many steps, as a signal does."""

    def __init__(self, steps):
        self.left = steps

    def step(self):
        self.left -= 1
        if self.left == 0:
            raise Interrupted(signal.SIGTERM)


class CopiedAfter(Observer):
    """Copies a run's folder as it is after so many steps, each with its checkpoint."""

    def __init__(self, steps, folder, to):
        self.left, self.folder, self.to = steps, folder, to

    def step(self):
        if self.left == 0:
            shutil.copytree(self.folder, self.to)
        self.left -= 1


def content(folder):
    """Return everything that a run leaves, but for how long it took."""
    files = [*folder.glob("*.safetensors"), folder / "metrics.csv", folder / "config.json"]
    return {path.name: path.read_bytes() for path in files}


def whole_and_cut(config, folder, after=4, where="epoch 2, step 1"):
    """Return what a run leaves, and what it leaves that goes on from where it was once, as if it had been killed there.

    Args:
        config: the run.
        folder: where both are written.
        after: steps that were done then.
        where: the same, in the words of its checkpoint.
    """
    whole, cut = folder / "whole", folder / "cut"
    options = {"device": "cpu", "compiled": "off"}
    fit(config, out=whole, observer=CopiedAfter(after, whole, cut), checkpoint_every="1", **options)
    assert position_of(list_checkpoints(cut / "checkpoints")[-1]) == where
    fit(config, out=cut, **options)
    return content(whole), content(cut)
