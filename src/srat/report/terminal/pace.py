"""How fast something goes, and how long it has still to go."""

import time
from collections.abc import Callable


class Pace:
    """Steps and the time that they take; the first one, which sets things up, does not count.

    Args:
        left: steps to come.
        clock: seconds from any moment on.
    """

    def __init__(self, left: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._clock = left, clock
        self._done = -1
        self._since = self._last = 0.0

    def step(self) -> None:
        """Note that a step was made."""
        self._last = self._clock()
        self._left, self._done = self._left - 1, self._done + 1
        if self._done == 0:
            self._since = self._last

    @property
    def elapsed(self) -> float:
        """Seconds from the first step's end to the last one's."""
        return self._last - self._since

    @property
    def seconds_left(self) -> float | None:
        """Seconds to come, if the steps to come take as long as those since the first; None before the second."""
        return None if self._done < 1 else self.elapsed / self._done * self._left
