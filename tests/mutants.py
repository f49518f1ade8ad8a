"""Plant faults in the package, one at a time, and see that the tests of that room catch each.

    make mutants                                      all of them, in as many processes as there are cores
    python tests/mutants.py [AREA …] [--workers N] [--folder FOLDER] [--matching WORDS]

A fault is a few lines of a file and what a slip would make of them, with the tests that must see it
(``faults/AREA.toml``). Each worker has a checkout of its own, so that the working tree stays as it is; faults are
planted in what is committed. What was found stands in ``FOLDER/found.jsonl``: a fault is tried again only when its
file, its tests or itself have changed, so that a run which was stopped goes on. Types are not checked meanwhile: what
catches a fault is a test.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAULTS = Path(__file__).parent / "faults"
PATIENCE = 600
"""Seconds after which tests that hang are stopped; a fault that hangs them is caught. Controls have ten times that."""
CAUGHT, SURVIVED, HUNG, BROKEN = "caught", "survived", "caught: hangs", "cannot be planted"
CONTROL = "control"
# Imported once, and had by all who are forked from here: what takes longest, and has no line of ours.
PRELOADED = (
    *("torch", "torch.export", "torch._dynamo", "numpy", "scipy.stats", "sklearn.datasets", "safetensors.torch"),
    *("lightning_fabric", "beartype", "jaxtyping", "typeguard", "tyro", "cattrs", "rich.progress", "PIL.Image"),
    *("pytest", "_pytest.assertion.rewrite", "hypothesis.strategies", "pyautoattack", "pooch", "requests"),
)


@dataclass(frozen=True)
class Fault:
    """A slip in a file, and the tests that must see it."""

    area: str
    what: str
    """The slip in words."""
    file: str
    """Below ``src/srat``."""
    old: str
    """Lines of the file, found once there."""
    new: str
    """What they become."""
    tests: tuple[str, ...]
    """Files of tests below ``tests``, or single tests of them."""

    def planted(self, source: str) -> str:
        """Return a file's text with the fault in it.

        Raises:
            ValueError: unless the lines are there just once.
        """
        if self.old == self.new:
            return source
        if (times := source.count(self.old)) != 1:
            raise ValueError(f"{self.file} has {self.old!r} {times} times, not once")
        return source.replace(self.old, self.new)

    def digest(self, root: Path) -> str:
        """Return what names the fault, its file and its tests, as they are."""
        hashed = hashlib.sha256(json.dumps([self.file, self.old, self.new, self.tests]).encode())
        for path in (root / "src/srat" / self.file, *(root / "tests" / test.partition("::")[0] for test in self.tests)):
            hashed.update(path.read_bytes())
        return hashed.hexdigest()[:16]


def faults(areas: Sequence[str] = ()) -> list[Fault]:
    """Return the faults of some areas, by default of all."""
    return [
        Fault(area=path.stem, **{**fault, "tests": tuple(fault["tests"])})
        for path in sorted(FAULTS.glob("*.toml"))
        if not areas or path.stem in areas
        for fault in tomllib.loads(path.read_text())["fault"]
    ]


def controls(asked: Sequence[Fault]) -> list[Fault]:
    """Return what is no fault at all, once for each area: all of its tests must pass."""
    areas: dict[str, list[Fault]] = {}
    for fault in asked:
        areas.setdefault(fault.area, []).append(fault)
    return [
        Fault(
            area=CONTROL,
            what=f"the tests of {area} without a fault",
            file=faults[0].file,
            old="",
            new="",
            tests=tuple(dict.fromkeys(test for fault in faults for test in fault.tests)),
        )
        for area, faults in areas.items()
    ]


def tested(fault: Fault, checkout: Path) -> None:
    """Run the fault's tests in a checkout, and exit as pytest does."""
    os.chdir(checkout)
    sys.path[:0] = [str(checkout / "src"), str(checkout / "tests")]
    os.environ |= {"PYTHONPATH": f"{checkout / 'src'}", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ["UNCHECKED"] = "1"  # see conftest.py
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    import pytest
    import torch

    torch.set_num_threads(1)
    tests = [str(checkout / "tests" / test) for test in fault.tests]
    told = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of plugins that were imported above
    os._exit(pytest.main(["-x", "-q", *told, "-p", "no:cacheprovider", "-p", "no:xdist", *tests]))


class Worker:
    """A checkout in which one fault after another is planted."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        git("worktree", "prune")
        if not checkout.exists():
            git("worktree", "add", "--quiet", "--detach", str(checkout), "HEAD")
        git("checkout", "--quiet", "--force", "--detach", git("rev-parse", "HEAD"), at=checkout)
        self.process: multiprocessing.Process | None = None

    def plant(self, fault: Fault) -> bool:
        """Plant a fault and start its tests; return whether it could be."""
        self.fault, self.started = fault, time.monotonic()
        self.path = self.checkout / "src/srat" / fault.file
        self.source = self.path.read_text()
        try:
            self.path.write_text(fault.planted(self.source))
        except ValueError:
            return False
        self.process = multiprocessing.get_context("fork").Process(target=tested, args=(fault, self.checkout))
        self.process.start()
        return True

    def found(self) -> str | None:
        """Return what became of the fault, and pull it out; None while its tests run."""
        assert self.process is not None
        patience = PATIENCE * (10 if self.fault.area == CONTROL else 1)
        if self.process.is_alive() and time.monotonic() - self.started < patience:
            return None
        hung = self.process.is_alive()
        self.process.kill()
        self.process.join()
        self.path.write_text(self.source)
        # 1: a test failed. 2 and more: nothing could be collected, which is seen as well.
        code, self.process = self.process.exitcode, None
        return HUNG if hung else SURVIVED if code == 0 else CAUGHT


def git(*words: str, at: Path | None = None) -> str:
    """Return what a command of Git says, in the project or in a checkout of it."""
    done = subprocess.run(["git", *words], cwd=at or ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def hunt(asked: Sequence[Fault], workers: Sequence[Worker]) -> Iterator[tuple[Fault, str, float]]:
    """Try each fault; yield what became of it, in the order of the ends, and how many seconds that took."""
    waiting, idle = list(reversed(asked)), list(workers)
    busy: list[Worker] = []
    while waiting or busy:
        while waiting and idle:
            fault = waiting.pop()
            worker = idle.pop()
            if worker.plant(fault):
                busy.append(worker)
            else:
                idle.append(worker)
                yield fault, BROKEN, 0.0
        for worker in list(busy):
            if (found := worker.found()) is not None:
                busy.remove(worker)
                idle.append(worker)
                yield worker.fault, found, time.monotonic() - worker.started
        time.sleep(0.05)


def main() -> int:
    """Hunt, print what came of it, and return 1 if a fault survived or could not be planted."""
    there = sorted(path.stem for path in FAULTS.glob("*.toml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(there)}; by default all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=ROOT / ".mutants", help="for checkouts and what was found")
    parser.add_argument("--matching", default="", help="only faults that have this in their words or file")
    options = parser.parse_args()
    if unknown := set(options.areas) - set(there):
        parser.error(f"expected areas of {', '.join(there)}; got {min(unknown)}")
    if changed := git("status", "--porcelain", "src", "tests"):
        parser.error(f"faults are planted in what is committed, and this is not: {changed.split()[1]}")
    asked = [fault for fault in faults(options.areas) if options.matching in f"{fault.what} {fault.file}"]
    asked = [*controls(asked), *asked]
    options.folder.mkdir(parents=True, exist_ok=True)
    journal = options.folder / "found.jsonl"
    known: dict[str, str] = {}
    with suppress(FileNotFoundError):
        known = dict(json.loads(line) for line in journal.read_text().splitlines())
    digests = {fault: fault.digest(ROOT) for fault in asked}
    left = [fault for fault in asked if digests[fault] not in known]
    for name in PRELOADED:
        __import__(name)
    workers = [Worker(options.folder.resolve() / f"checkout-{n}") for n in range(min(options.workers, len(left)))]
    with journal.open("a") as file:
        for number, (fault, found, seconds) in enumerate(hunt(left, workers), start=1):
            known[digests[fault]] = found
            if found != BROKEN:
                file.write(json.dumps([digests[fault], found]) + "\n")
                file.flush()
            where = f"{fault.file}: " * (fault.area != CONTROL)
            print(f"{number:4}/{len(left)}  {seconds:5.1f} s  {found:17} {where}{fault.what}", flush=True)
    return report({fault: known[digests[fault]] for fault in asked})


def report(found: Mapping[Fault, str]) -> int:
    """Print caught and planted by area, and what is not as it should be; return 1 if there is any."""
    areas = [fault.area for fault in found if fault.area != CONTROL]
    caught = Counter(fault.area for fault, what in found.items() if fault.area != CONTROL and what in (CAUGHT, HUNG))
    width = max(map(len, ["area", *areas]))
    print(f"\n{'area':{width}}  caught  planted")
    for area, planted in Counter(areas).items():
        print(f"{area:{width}}  {caught[area]:6}  {planted:7}")
    print(f"{'all':{width}}  {caught.total():6}  {len(areas):7}")
    wrong = [
        f"{fault.what}: {what}, expected to pass"
        for fault, what in found.items()
        if fault.area == CONTROL and what != SURVIVED
    ]
    wrong += [
        f"{what}: {fault.file}: {fault.what}"
        for fault, what in found.items()
        if fault.area != CONTROL and what in (SURVIVED, BROKEN)
    ]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
