"""Several processes on this machine: started, watched, and ended together."""

import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from srat.core.errors import LOST_PEER, require
from srat.core.signals import GRACE, LEADER, STOPPING, Interruption, deferring_signals
from srat.runtime.cores import cores

MOST = 1_024
"""Processes on one machine."""
SEVERAL = ("train", "evaluate")
"""Commands that take ``--devices``."""
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""One of these is there wherever Linux has a GPU for torch: NVIDIA's, AMD's, Windows' below it."""


def processes_to_launch(args: Sequence[str]) -> int:
    """Return how many processes the words ask for, 1 in a process that was started as one of several."""
    if "RANK" in os.environ or "--help" in args or "-h" in args:
        return 1
    try:
        return int(value_of("--devices", args) or 1)
    except ValueError:  # which the command itself tells of
        return 1


def value_of(flag: str, args: Sequence[str]) -> str | None:
    """Return the value that the words give to a flag, the last one of several; None if they give none."""
    found = None
    for word, following in itertools.pairwise([*args, ""]):
        if word == flag and following:
            found = following
        if word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


def launch(args: Sequence[str], processes: int) -> int:
    """Run ``srat`` with these words in several processes, and return the exit code of the job.

    The first process speaks. When one fails the others are ended, and its error is told. Signals go to all.

    Args:
        args: the command line.
        processes: how many.

    Raises:
        UserError: if this machine has too few cores or GPUs for them.
    """
    require(1 <= processes <= MOST, f"--devices: expected 1 to {MOST:,} processes, got {processes}")
    require_room(processes, value_of("--device", args) or "auto", oversubscribe="--oversubscribe" in args)
    environment = _environment(processes)
    with ExitStack() as open_files, deferring_signals() as interruption:
        said = [open_files.enter_context(tempfile.TemporaryFile()) for _ in range(processes)]
        job = [_start(args, rank, environment, said[rank]) for rank in range(processes)]
        try:
            ended = _watch(job, interruption)
        finally:
            for process in job:
                if process.poll() is None:
                    process.kill()
                process.wait()
        return _verdict(job, ended, said)


def require_room(processes: int, device: str, *, oversubscribe: bool) -> None:
    """Raise ``UserError`` unless this machine has a GPU, or a core of the CPU, for each process.

    Args:
        processes: how many.
        device: what ``--device`` says.
        oversubscribe: whether several may share a core; a GPU they cannot share.
    """
    kind = device.partition(":")[0]
    there = gpus() if kind in ("auto", "cuda") else 0
    require(there > 0 or kind != "cuda", f"--device {device}: there is no such CUDA device here; try --device cpu")
    if there:
        most, of, advice = there, "GPU", "" if kind == "cuda" else "; --device cpu takes the CPU's cores instead"
    else:
        most = MOST if oversubscribe else cores()
        of, advice = "core of the CPU that may be used", "; --oversubscribe allows more"
    require(processes <= most, f"--devices {processes}: expected at most {most}, one process for each {of}{advice}")


def gpus() -> int:
    """Return how many GPUs torch may use; it is not imported where there is no driver of one."""
    if sys.platform == "linux" and not any(map(os.path.exists, _DRIVERS)):
        return 0
    import torch

    return torch.cuda.device_count()


def _environment(processes: int) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "OMP_NUM_THREADS": str(max(1, cores() // processes)),
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        LEADER: str(os.getpid()),
    }


def _start(args: Sequence[str], rank: int, environment: dict[str, str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "srat", *args],
        env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        stdin=subprocess.PIPE,
        stdout=None if rank == 0 else subprocess.DEVNULL,
        stderr=None if rank == 0 else said,
        process_group=0,  # a Ctrl-C reaches this process alone, and goes from here to each of them once
    )


def _watch(job: Sequence[subprocess.Popen[bytes]], interruption: Interruption) -> list[int]:
    """Wait until all have ended, and return their ranks in the order in which they did."""
    ended: list[int] = []
    passed_on, deadline = False, None
    while len(ended) < len(job):
        for rank, process in enumerate(job):
            if rank not in ended and process.poll() is not None:
                ended.append(rank)
                # One that a signal has stopped in good order is no failure: the others are about to do the same.
                orderly = process.returncode in (0, *(128 + number for number in STOPPING))
                deadline = deadline if orderly else deadline or time.monotonic() + GRACE
        if interruption.received and not passed_on:
            passed_on = True
            for process in job:
                process.send_signal(interruption.received)
        if deadline is not None and time.monotonic() > deadline:
            return ended
        time.sleep(0.05)
    return ended


def _verdict(job: Sequence[subprocess.Popen[bytes]], ended: list[int], said: Sequence[IO[bytes]]) -> int:
    codes = [128 - process.returncode if process.returncode < 0 else process.returncode for process in job]
    causes = [rank for rank in ended if codes[rank] not in (0, LOST_PEER)]
    if not causes:
        return max(codes)
    # The first process tells of its errors itself.
    if 0 not in causes or job[0].returncode < 0:
        cause = causes[0]
        said[cause].seek(0)
        text = said[cause].read().decode(errors="replace").strip()
        by_signal = f"was ended by signal {-job[cause].returncode}"
        print(text or f"srat: error: process {cause} of {len(job)} {by_signal}", file=sys.stderr)
        return codes[cause]
    return codes[0]
