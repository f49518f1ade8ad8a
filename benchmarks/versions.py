"""The time of a training step of two checkouts, a step of the one and a step of the other in turn, on the same core.

usage: python benchmarks/versions.py BEFORE AFTER [--pairs 7]     folders of checkouts; each imports its own src
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

STEPS = """
import os, sys, time
os.sched_setaffinity(0, {0})  # two cores of a shared machine may differ by a quarter
from dataclasses import replace
import torch
from measuring import set_up, stepper
from srat.config.composition import compose
from srat.data import Dataset
from srat.models.backbones.small_cnn import SmallCNN
from srat.runtime.fabric import make_fabric
data = Dataset(torch.rand(256, 3, 32, 32), torch.arange(256) % 10, tuple("0123456789"))
config = replace(compose(method="srat-ldam", data="cifar10"), model=SmallCNN(width=16))
training = set_up(config, make_fabric("cpu"), data, None, None)
training.model.train()
step = stepper(training, training.feed.batch(torch.arange(128), training.feed.augmenting(0, 0)))
for _ in range(3):
    step()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, flush=True)
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    """Return a process that does a step of a checkout's code for each line that it is given."""
    paths = os.pathsep.join(str(folder / each) for each in ("src", "benchmarks"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", STEPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "ready":
        if process.poll() is not None:
            sys.exit(f"{folder}: no step can be measured")
    return process


def seconds_of(process: "subprocess.Popen[str]") -> float:
    """Return how long the next step takes."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def ratio_of(before: Path, after: Path, rounds: int) -> float:
    """Return the median ratio of two new processes' steps."""
    one, other = start(before.absolute()), start(after.absolute())
    ratios = []
    for number in range(rounds):
        took = {process.pid: seconds_of(process) for process in ((one, other) if number % 2 else (other, one))}
        ratios.append(took[other.pid] / took[one.pid])
    one.kill()
    other.kill()
    return statistics.median(ratios)


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=30, help="steps of each process")
    parser.add_argument("--pairs", type=int, default=7, help="of processes: of one code they differ by a quarter")
    arguments = parser.parse_args()
    ratios = sorted(ratio_of(arguments.before, arguments.after, arguments.rounds) for _ in range(arguments.pairs))
    print(
        f"after / before: {statistics.median(ratios):.3f} (median), each pair {', '.join(f'{r:.3f}' for r in ratios)}"
    )


if __name__ == "__main__":
    main()
