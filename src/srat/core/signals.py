"""Signals that ask a run to end: the step in flight is finished first, and the state saved."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C; the polite end, by schedulers too; Slurm's warning that the time is nearly over."""
LEADER = "SRAT_LEADER"
"""Environment variable of a process that is to end when the one which started it is gone."""

GRACE = 15.0
"""Seconds that a process has to end by itself, and save, when one that it cannot go on without has ended."""


class Interrupted(KeyboardInterrupt):
    """A signal has ended the work.

    Args:
        number: the signal.
        advice: how to go on.
    """

    def __init__(self, number: int, advice: str = "") -> None:
        self.signal = signal.Signals(number)
        self.advice = advice
        super().__init__(f"stopped by {self.signal.name}" + (f": {advice}" if advice else ""))

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 and the signal's number."""
        return 128 + self.signal


class Interruption:
    """Remembers the first signal that came, until it is convenient to obey."""

    def __init__(self) -> None:
        self._received: int | None = None

    def __call__(self, number: int, _: object) -> None:
        """Take a signal; a Ctrl-C after another one ends at once."""
        if self._received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or number
        if number == signal.SIGINT and sys.stderr is not None and sys.stderr.isatty():
            os.write(2, b"\nsrat: stopping after this step; Ctrl-C again ends at once\n")

    @property
    def received(self) -> int:
        """The signal that has come, 0 if none has."""
        return self._received or 0

    def check(self) -> None:
        """Raise ``Interrupted`` if a signal has come."""
        if self._received is not None:
            raise Interrupted(self._received)


@contextmanager
def deferring_signals() -> Iterator[Interruption]:
    """Keep the signals that come until `Interruption.check`, and put the handlers back; within itself, the same.

    A handler that raised would do so anywhere: in an import, or where Python swallows it.
    """
    interruption = next((h for h in map(signal.getsignal, STOPPING) if isinstance(h, Interruption)), Interruption())
    before = {}
    if threading.current_thread() is threading.main_thread():  # elsewhere Python admits no handlers
        before = {number: signal.getsignal(number) for number in STOPPING}
    # What is ignored stays so, as under nohup; None is a handler that Python knows nothing of.
    ours = [number for number, old in before.items() if old not in (signal.SIG_IGN, None)]
    try:
        for number in ours:
            signal.signal(number, interruption)
        yield interruption
    finally:
        for number in ours:
            signal.signal(number, before[number])


def follow_leader() -> None:
    """In a process that has ``LEADER``: end with it, whose end is that of standard input, as by SIGTERM.

    What does not obey within `GRACE`, as it waits for another process or does not hear signals, ends at once.
    """
    if os.environ.get(LEADER) is not None:

        def wait_for_the_end() -> None:
            while os.read(0, 1):
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(GRACE)
            os._exit(128 + signal.SIGTERM)

        threading.Thread(target=wait_for_the_end, daemon=True).start()
