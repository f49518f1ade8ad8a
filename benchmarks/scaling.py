"""How a training step's cost grows: with the batch, with the classes, with the attack's steps, and with processes.

The small CNN, SRAT-LDAM and CIFAR's shape throughout; an exponent is the slope of a straight line, by least squares,
through the logarithms of the medians. One and two processes take the same batch, each with a single thread.

usage: python benchmarks/scaling.py --out FILE.svg    (the numbers go to FILE.json beside it)
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from measuring import (
    VARIANTS,
    Function,
    Spread,
    Work,
    environment,
    interleaved,
    one_batch,
    random_images,
    set_threads,
    step_config,
    stepper,
)

from srat.attacks import PGD
from srat.runtime.fabric import make_fabric
from srat.runtime.machine import keep_freed_memory
from srat.runtime.processes import join

BLUE, ORANGE = "#0072b2", "#d55e00"
"""Of Okabe and Ito's palette, told apart by all."""
PATIENCE = 600
"""Seconds that a worker may take."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Something measured against the size of something."""

    title: str
    across: str
    up: str
    sizes: tuple[int, ...]
    spreads: tuple[Spread, ...]

    @property
    def exponent(self) -> float:
        """Slope of the logarithms."""
        return self._line()[0]

    @property
    def fitted(self) -> list[float]:
        """The line's heights at the sizes."""
        slope, offset = self._line()
        return [float(np.exp(offset) * size**slope) for size in self.sizes]

    def figures(self) -> dict[str, object]:
        """Return the numbers as JSON-able values."""
        values = {str(size): spread._asdict() for size, spread in zip(self.sizes, self.spreads, strict=True)}
        return {"against": self.across, "of": self.up, "exponent": self.exponent, "values": values}

    def _line(self) -> tuple[float, float]:
        medians = [spread.median for spread in self.spreads]
        slope, offset = np.polyfit(np.log(self.sizes), np.log(medians), 1)
        return float(slope), float(offset)


def step_of(width: int, batch: int, classes: int, attack_steps: int) -> Function:
    """Return a training step on the CPU."""
    config = step_config("srat-ldam", "small-cnn", width, batch)
    config = replace(config, attack=PGD(steps=attack_steps))
    training = Work(config=config, data=random_images(max(batch, classes), classes), device="cpu").training(
        VARIANTS["fp32"]
    )
    return stepper(training, one_batch(training))


def times(title: str, across: str, sizes: Sequence[int], step: Callable[[int], Function], rounds: int) -> Panel:
    """Return the seconds of a step at each size, the sizes taking turns."""
    steps = {str(size): step(size) for size in sizes}
    taken = interleaved(steps, rounds=rounds, device="cpu", warm_up=1)
    spreads = tuple(map(Spread.of, taken.values()))
    return Panel(title=title, across=across, up="seconds of a step", sizes=tuple(sizes), spreads=spreads)


def rates(options: argparse.Namespace) -> Panel:
    """Return the images per second of one process and of two, in turns."""
    counts = (1, 2)
    measured: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(options.rounds):
        for count in counts:
            measured[count].append(options.batch / job(count, options))
    spreads = tuple(map(Spread.of, measured.values()))
    return Panel(title="processes", across="processes", up="images per second", sizes=counts, spreads=spreads)


def job(count: int, options: argparse.Namespace) -> float:
    """Return the median seconds of a step that some processes do together, started as torchrun would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked = ("--worker", "--batch", str(options.batch), "--width", str(options.width), "--steps", str(options.steps))
    workers = []
    for rank in range(count):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        workers.append(
            subprocess.Popen(  # noqa: S603
                [sys.executable, __file__, *asked],
                env=os.environ | {name: str(value) for name, value in place.items()},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [worker.communicate(timeout=PATIENCE)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return float(said[0].splitlines()[-1])


def work_as_one_of_several(options: argparse.Namespace) -> None:
    """Print the median seconds of a step that this process does together with the others."""
    make_fabric("cpu")
    processes = join()
    config = step_config("srat-ldam", "small-cnn", options.width, options.batch)
    data = random_images(options.batch)
    training = Work(config=config, data=data, device="cpu", processes=processes).training(VARIANTS["fp32"])
    taken = interleaved({"step": stepper(training, one_batch(training))}, rounds=options.steps, device="cpu")
    if processes.first:
        print(Spread.of(taken["step"]).median)


def draw(panels: Sequence[Panel], out: Path) -> None:
    """Draw the panels, a figure of two by two."""
    mpl.rcParams["svg.hashsalt"] = "srat"
    figure = Figure(figsize=(9, 7), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 2).flat, panels, strict=True):
        plot(axes, panel)
    figure.savefig(out, metadata={"Date": None})


def plot(axes: Axes, panel: Panel) -> None:
    """Draw medians with their range, and the fitted line."""
    medians, lows, highs = (np.array(values) for values in zip(*panel.spreads, strict=True))
    axes.plot(panel.sizes, panel.fitted, "--", color=ORANGE, label=f"fit, slope {panel.exponent:.2f}")
    axes.errorbar(
        panel.sizes, medians, (medians - lows, highs - medians), fmt="o", color=BLUE, capsize=3, label="median, range"
    )
    axes.set(xscale="log", yscale="log", xlabel=panel.across, ylabel=panel.up)
    axes.set_title(f"{panel.title}: exponent {panel.exponent:.2f}")
    axes.set_xticks(panel.sizes, [f"{size:,}" for size in panel.sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    # Room for two ticks of 1, 2, 5, … at least: what hardly grows is to look flat.
    axes.set_ylim(min(*lows, *panel.fitted) / 2.3, max(*highs, *panel.fitted) * 2.3)
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    """Measure, draw and write."""
    options = parser().parse_args()
    set_threads(options)
    keep_freed_memory()  # as ``srat train`` does
    if options.worker:
        work_as_one_of_several(options)
        return
    width, rounds = options.width, options.rounds
    panels = [
        times("batch", "images in a batch", options.batches, lambda n: step_of(width, n, 10, 10), rounds),
        times("classes", "classes", options.classes, lambda n: step_of(width, options.batch, n, 10), rounds),
        times("attack", "attack steps", options.attack_steps, lambda n: step_of(width, options.batch, 10, n), rounds),
        rates(options),
    ]
    asked = {name: getattr(options, name) for name in ("width", "batch", "rounds", "steps")}
    content = environment("cpu") | asked | {"panels": {panel.title: panel.figures() for panel in panels}}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    draw(panels, options.out)
    for panel in panels:
        values = ", ".join(f"{size}: {s.median:.4g}" for size, s in zip(panel.sizes, panel.spreads, strict=True))
        print(f"{panel.up} against {panel.across}: exponent {panel.exponent:.2f} ({values})")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, help="of the steps of one process; all by default")
    made.add_argument("--rounds", type=int, default=7, help="measurements of each")
    made.add_argument("--out", type=Path, default=Path("scaling.svg"), metavar="FILE.svg")
    made.add_argument("--width", type=int, default=32, help="channels of the first convolution")
    made.add_argument("--batch", type=int, default=128, help="images in a batch where the batch stays the same")
    made.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024])
    made.add_argument("--classes", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    made.add_argument("--attack-steps", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50])
    made.add_argument("--steps", type=int, default=10, help="training steps that the processes do in each round")
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
