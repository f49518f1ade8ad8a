"""How the runs in this folder were made, once: those of version 0.1 by c656c91, those of 2026-11-26 by 89a5bcc.

They are to be opened for ever. Do not make them anew: code that cannot read them is at fault.

cd tests/compatibility && OMP_NUM_THREADS=1 python make.py VERSION
"""

import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from own import own
from PIL import Image
from srat.composition import compose
from srat.interruption import Interrupted
from srat.models.linear import Linear
from srat.observer import Observer

import srat
from srat.cli import main

CLASSES, PER_CLASS, SIDE = ("ant", "bee", "cat"), (12, 8, 6), 8


class StopAfter(Observer):
    """Stops a run as a signal does."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, count: int = 1) -> None:
        self.left -= 1
        if not self.left:
            raise Interrupted(signal.SIGTERM)


def tiny(method: str = "srat-ldam", **options) -> srat.Config:
    """Three steps an epoch of a linear model on some digits."""
    config = compose(method=method, ratio=5, epochs=2, batch_size=32, seed=4, **options)
    imbalance = replace(config.imbalance, cap=14)
    return replace(config, model=Linear(), imbalance=imbalance, attack=replace(config.attack, steps=3))


def pictures(folder: Path) -> None:
    """Write small pictures, each class of its own tint."""
    draw = torch.Generator().manual_seed(0)
    for label, (name, count) in enumerate(zip(CLASSES, PER_CLASS, strict=True)):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = torch.randint(0, 96, (SIDE, SIDE, 3), generator=draw)
            pixels[..., label] += 24
            Image.fromarray(pixels.byte().numpy()).save(folder / name / f"{index}.png")


def make(out: Path) -> None:
    """Make two runs that end, two that are interrupted (one of a wrapped module), and one on pictures."""
    torch.set_num_threads(1)
    for name, method in (("finished", "srat-ldam"), ("other", "ce")):
        srat.fit(tiny(method), out=out / name)
        main(["evaluate", str(out / name), "--attack", "pgd-2"])
    with suppress(Interrupted):
        srat.fit(tiny(), out=out / "interrupted", checkpoint_every="1", observer=StopAfter(4))
    with suppress(Interrupted):
        srat.fit(tiny("srat-ce"), out=out / "wrapped", model=own(), checkpoint_every="1", observer=StopAfter(4))
    folder = compose(method="srat-ldam", imbalance="none", epochs=1, batch_size=8, data="folder", data_dir="pictures")
    srat.fit(replace(folder, model=Linear()), out=out / "folder")
    main(["evaluate", str(out / "folder"), "--attack", "pgd-2"])


if __name__ == "__main__":
    if not Path("pictures").exists():
        pictures(Path("pictures"))
    make(Path(sys.argv[1]))
