"""Kill a run at random moments, go on each time, and compare what it ends in with a run that never stopped.

python tests/reliability/kill.py KILL|TERM [KILLS] [RUNS]

Steps are small and each writes a checkpoint, so that many kills come while one is written.
"""

import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

RUN = [
    "train",
    "--epochs",
    "10",
    "--method",
    "srat-ldam",
    "--attack.steps",
    "2",
    "--evaluation.steps",
    "3",
    "--device",
    "cpu",
]
RESULTS = (
    "config.json",
    "indices.json",
    "metrics.csv",
    "model.safetensors",
    "model-best.safetensors",
    "model-raw.safetensors",
    "evaluation.json",
    "evaluation-best.json",
    "examples.safetensors",
    "examples-best.safetensors",
)
# Sessions are forked from a process that has imported everything, so that kills fall into the run, not into imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["srat.cli.training", "srat.cli.commands.train", "srat.cli.commands.evaluate", "jinja2", "PIL.Image"]
)


def session(words: list[str], largest_file: int | None = None) -> None:
    """Run a command with one thread and without output, as a process of its own; files may have a largest size.

    AutoAttack, which only the tests ask for, is shortened; the memory of a step is not traced before it.
    """
    import torch

    from srat.cli import main
    from srat.training import fitting

    fitting.check_memory = lambda *_, **__: None
    torch.set_num_threads(1)
    if "autoattack" in words:
        from shortening import shorten_autoattack

        shorten_autoattack()
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        code = main(words)
    sys.stdout.flush()
    os._exit(code)


def run(folder: Path, words: list[str], largest_file: int | None = None) -> int:
    """Run to the end, and return the exit code."""
    return finished([*words, "--out", str(folder)], largest_file)


def finished(words: list[str], largest_file: int | None = None) -> int:
    """Run a command to the end, and return the exit code."""
    process = start_session(words, largest_file)
    process.join()
    return process.exitcode


def start_session(words: list[str], largest_file: int | None = None) -> multiprocessing.Process:
    """Start a command in a process of its own."""
    process = CONTEXT.Process(target=session, args=(words, largest_file))
    process.start()
    return process


def killed_run(
    folder: Path, words: list[str], *, kills: int, number: int, draw: random.Random, longest: float
) -> Counter:
    """Kill a run so many times, and let it end; return how often what was going on."""
    seen: Counter[str] = Counter()
    while seen["kills"] < kills:
        process = start_session([*words, "--out", str(folder)])
        time.sleep(longest * draw.random() ** 1.5)
        if process.exitcode is not None:
            break
        os.kill(process.pid, number)
        process.join()
        seen["kills"] += 1
        seen["while a file was written"] += bool(list(folder.rglob("*.tmp")))
        seen["before the first checkpoint"] += not list(folder.glob("checkpoints/*.safetensors"))
        seen["in the evaluation"] += (folder / "model.safetensors").exists()
        expected = {-signal.SIGKILL, 0} if number == signal.SIGKILL else {-number, 128 + number, 0}
        assert process.exitcode in expected, process.exitcode
    assert run(folder, words) == 0
    return seen


def different(one: Path, other: Path) -> list[str]:
    """Return the names of the results that are not equal to the byte; raw weights are there if others are averaged."""
    there = [name for name in RESULTS if "raw" not in name or (one / name).exists()]
    return [name for name in there if (one / name).read_bytes() != (other / name).read_bytes()]


def main() -> None:
    """Kill, compare, print."""
    number = getattr(signal, f"SIG{sys.argv[1]}")
    kills, runs = (int(word) for word in [*sys.argv[2:], "20", "3"][:2])
    words = [*RUN, "--checkpoint-every", "1", "--model.width", "16", "--batch-size", "16", "--evaluation.steps", "100"]
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        start = time.monotonic()
        assert run(whole, words) == 0
        longest = (time.monotonic() - start) / 7  # so that most sessions get somewhere, on a busy machine too
        print(f"kill at up to {longest:.1f} s, {kills} times a run", flush=True)
        for seed in range(runs):
            folder = Path(temporary) / str(seed)
            seen = killed_run(folder, words, kills=kills, number=number, draw=random.Random(seed), longest=longest)
            said = ", ".join(f"{count} {what}" for what, count in seen.items())
            print(f"seed {seed}: {said}; different: {', '.join(different(whole, folder)) or 'nothing'}", flush=True)


if __name__ == "__main__":
    main()
