"""Runs on this machine, one or a few at a time, each in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from srat.core.signals import LEADER
from srat.grid.engine import Executor, Handle
from srat.grid.plan import Job


def start_command(words: Sequence[str], log: Path, threads: int) -> subprocess.Popen[bytes]:
    """Start ``srat`` with these words; it saves its state and ends when this process does.

    Args:
        words: the command line.
        log: where it says what it does; what is there stays.
        threads: of the CPU.
    """
    with log.open("ab") as said:
        return subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-m", "srat", *words],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), LEADER: str(os.getpid())},
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            process_group=0,  # a Ctrl-C reaches this process alone, and goes from here to each of them once
        )


def close_stdin(process: subprocess.Popen[bytes]) -> None:
    """Let go of an ended process's standard input."""
    if process.stdin is not None:
        process.stdin.close()


class _Running(Handle):
    """A run's commands, one after the other."""

    def __init__(self, commands: Sequence[Sequence[str]], log: Path, threads: int) -> None:
        self._log, self._threads = log, threads
        self._left = list(commands)
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self.poll()

    def begun(self) -> bool:
        """Return whether it runs: at once."""
        return True

    def poll(self) -> int | None:
        """Return the exit code of what failed or was last, or None while it goes on."""
        code = 0 if self._process is None else self._process.poll()
        if code is not None and self._process is not None:
            close_stdin(self._process)
        if code == 0 and self._left and not self._stopping:
            self._process = start_command(self._left.pop(0), self._log, self._threads)
            return None
        return code

    def stop(self, number: int) -> None:
        """Pass a signal on."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if number == signal.SIGINT else number)


class Serial(Executor):
    """Runs on this machine.

    Args:
        slots: how many at a time.
        threads: of the CPU, for each.
        device: what they train on.
    """

    def __init__(self, *, slots: int, threads: int, device: str) -> None:
        self.slots = slots
        self._threads, self._device = threads, device

    def start(self, job: Job, log: Path) -> _Running:
        """Start what is left of a run."""
        return _Running(job.commands(self._device), log, self._threads)
