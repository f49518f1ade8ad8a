"""What checkpoints cost: whole runs with a folder against whole runs without, in turns.

python benchmarks/checkpoint_cost.py [ROUNDS]

A folder means a lock, configuration, metrics, checkpoints as often as the default has them, and weights at the end.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import srat
from srat import Config
from srat.data.holdout import Holdout
from srat.data.imbalance import NoImbalance
from srat.models.backbones.resnet import ResNet18
from srat.models.backbones.small_cnn import SmallCNN
from srat.training import keeper as safekeeping
from srat.training.checkpoint import save_checkpoint

SAVES: list[float] = []


def timed_save(*arguments: Any, **options: Any) -> None:
    """Save a checkpoint, and keep how long it took."""
    start = time.perf_counter()
    save_checkpoint(*arguments, **options)
    SAVES.append(time.perf_counter() - start)


def seconds(config: Config, out: Path | None) -> float:
    """Return how long a run takes."""
    start = time.perf_counter()
    srat.fit(config, out=out, device="cpu")
    return time.perf_counter() - start


def main() -> None:
    """Time each kind of run in turns, and print the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    safekeeping.save_checkpoint = timed_save
    base = replace(srat.compose(method="srat-ldam"), imbalance=NoImbalance(), holdout=Holdout())
    configs = {
        "small CNN, 15 epochs of digits": replace(base, epochs=15, model=SmallCNN()),
        "ResNet-18 width 16, 2 epochs of digits": replace(base, epochs=2, model=ResNet18(width=16)),
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {rounds} rounds")
    for name, config in configs.items():
        seconds(config, None)
        ratios, whole, SAVES[:] = [], 0.0, []
        for turn in range(rounds):
            with tempfile.TemporaryDirectory() as temporary:
                order = (None, Path(temporary) / "run")
                took = {out: seconds(config, out) for out in (order if turn % 2 else order[::-1])}
            ratios.append(took[order[1]] / took[None])
            whole += took[order[1]]
        print(
            f"{name}: {statistics.median(ratios):.3f} times as long with a folder "
            f"(from {min(ratios):.3f} to {max(ratios):.3f}); {whole / rounds:.1f} s a run, "
            f"{len(SAVES) / rounds:.0f} checkpoints, {100 * sum(SAVES) / whole:.2f} % of the time in them"
        )


if __name__ == "__main__":
    main()
