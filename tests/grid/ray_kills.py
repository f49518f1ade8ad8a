"""A grid on a local Ray cluster whose workers are killed at random, compared with the same grid run serially.

python tests/grid/ray_kills.py [KILLS] [EPOCHS] [RUNS]
"""

import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from srat.attacks import PGD
from srat.config.composition import compose
from srat.core.signals import Interruption
from srat.grid.engine import Watcher, run_grid
from srat.grid.local import Serial
from srat.grid.on_ray import OnRay
from srat.grid.plan import Job, jobs_of
from srat.recipes.base import Cell
from srat.recipes.making import ADVERSARIAL

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - its name; else what goes on beside it has the cores
RESULTS = ("config.json", "indices.json", "metrics.csv", "model.safetensors", "evaluation.json", "examples.safetensors")


def jobs_in(folder: Path, *, epochs: int, runs: int) -> list[Job]:
    """Return runs of the methods on digits, with small steps."""
    base = replace(compose(epochs=epochs), evaluation=PGD(epsilon=0.1, step_size=0.025, steps=5))
    base = replace(base, attack=PGD(epsilon=0.1, step_size=0.05, steps=3))
    cells = [Cell(row=name, column="step-10", config=compose(base, method=name)) for name in ADVERSARIAL[-runs:]]
    return jobs_of(cells, [0], folder, mapped=False)


class Killer(Watcher):
    """Kills a worker of a run that goes on, after a while that is drawn anew each time."""

    def __init__(self, logs: Path, kills: int, first: float, seed: int = 0) -> None:
        self.logs, self.left, self.killed = logs, kills, 0
        self.random = random.Random(seed)
        self.next = time.monotonic() + first

    def looked(self, running: list[Job]) -> None:
        """Kill, if it is time."""
        training = [job for job in running if job.folder.checkpoints.exists()]
        if not self.left or not training or time.monotonic() < self.next:
            return
        marker = self.logs / f"{self.random.choice(training).config.id}.running"
        try:
            os.kill(int(marker.read_text().split()[0]), signal.SIGKILL)
        except (OSError, ValueError, IndexError):  # it has just ended
            return
        self.left, self.killed = self.left - 1, self.killed + 1
        self.next = time.monotonic() + self.random.uniform(1, 8)


def differing(one: list[Job], other: list[Job]) -> list[str]:
    """Return the files that are not equal to the byte."""
    return [
        f"{here.label}: {name}"
        for here, there in zip(one, other, strict=True)
        for name in RESULTS
        if (here.folder.path / name).read_bytes() != (there.folder.path / name).read_bytes()
    ]


def compared(kills: int, epochs: int, runs: int, first: float = 10.0) -> tuple[int, list[str], list[str]]:
    """Return how often a worker was killed, the first time after so many seconds, what failed, and what differs."""
    with tempfile.TemporaryDirectory() as temporary:
        here, there = Path(temporary) / "serial", Path(temporary) / "ray"
        serial, on_ray = (jobs_in(folder, epochs=epochs, runs=runs) for folder in (here, there))
        failures = run_grid(
            serial, Serial(slots=2, threads=1, device="cpu"), Interruption(), Watcher(), logs=here / "logs"
        )
        executor = OnRay(address=None, cpus=1, gpus=0, retries=kills + 1, device="cpu")
        killer = Killer(there / "logs", kills, first)
        try:
            failures += run_grid(on_ray, executor, Interruption(), killer, logs=there / "logs")
        finally:
            executor.close()
        errors = [f"{failure.job.label}: {failure.error}" for failure in failures]
        return killer.killed, errors, [] if errors else differing(serial, on_ray)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    killed, failed, different = compared(*[*numbers, *(5, 30, 6)[len(numbers) :]])
    print(f"{killed} kills; failed: {failed or 'none'}; not equal to the byte: {different or 'none'}")
    sys.exit(bool(failed or different))
