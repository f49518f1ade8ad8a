"""Two runs one after the other, each with all cores, against both at once, each with half of them.

What `srat grid` does by default (one run at a time) follows from this. Small scale, one epoch, importing not counted.

usage: python benchmarks/grid_threads.py [--data fashion-mnist|cifar10|digits] [--rounds 3]
"""

import argparse
import os
import subprocess
import sys
from dataclasses import replace

from srat.config.config import Config
from srat.data.imbalance import Step
from srat.recipes.making import imbalanced
from srat.recipes.scales import base_config
from srat.runtime.machine import cores

TRAIN = """
import sys
from srat import Config, fit
from srat.runtime.machine import keep_freed_memory
keep_freed_memory()
print(fit(Config.from_json(sys.stdin.read()), device="cpu").seconds)
"""


def start(config: Config, threads: int) -> subprocess.Popen[str]:
    """Start a training in a process of its own."""
    process = subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", TRAIN],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(config.to_json())
    process.stdin.close()
    return process


def seconds_of(process: subprocess.Popen[str]) -> float:
    """Return how long a training took."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.wait()
    return float(said)


def main() -> None:
    """Measure in turns, and print the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = imbalanced(base_config("small", arguments.data), "step-100")
    config = replace(
        config, epochs=1, imbalance=Step(ratio=100.0, cap=500), schedule=replace(config.schedule, milestones=())
    )
    ratios = []
    for number in range(1, arguments.rounds + 1):
        after_another = sum(seconds_of(start(config, cores())) for _ in range(2))
        pair = [start(config, max(1, cores() // 2)) for _ in range(2)]
        at_once = max(seconds_of(process) for process in pair)
        ratios.append(at_once / after_another)
        print(f"round {number}: one after the other {after_another:.1f} s, both at once {at_once:.1f} s", flush=True)
    print(
        f"both at once takes {min(ratios):.2f} to {max(ratios):.2f} times as long ({cores()} cores, {arguments.data})"
    )


if __name__ == "__main__":
    main()
