"""How often a checkpoint is written."""

import re
import time
from dataclasses import dataclass

from srat.core.errors import FieldError

COST = 0.01
"""Unless told otherwise, checkpoints take this share of the time, …"""
LONGEST = 600.0
"""… but are never further apart than this many seconds, should the disk once be slow."""


@dataclass(frozen=True, kw_only=True)
class Every:
    """A number of steps, or of seconds; neither: as often as costs a hundredth of the time."""

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Return what "auto", "200" (steps) or "10m" (minutes) says.

        Raises:
            UserError: if ``text`` is none of these.
        """
        if text == "auto":
            return cls()
        match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?) ?(m|min|minutes?|steps?)?", text)
        number, unit = (float(match[1]), match[2] or "steps") if match else (0.0, "")
        in_minutes = unit.startswith("m")
        if number <= 0 or not (in_minutes or number.is_integer()):
            raise FieldError("checkpoint_every", "auto, a number of steps (200) or minutes (10m)", text)
        return cls(seconds=60 * number) if in_minutes else cls(steps=int(number))


class Cadence:
    """Says when the next checkpoint is due.

    Args:
        every: how often.
    """

    def __init__(self, every: Every) -> None:
        self._every = every
        self._steps = 0
        self._saved = time.monotonic()
        self._cost = 0.0

    def step(self) -> bool:
        """Count a step, and return whether a checkpoint is due after it."""
        self._steps += 1
        if self._every.steps is not None:
            return self._steps >= self._every.steps
        pause = self._every.seconds if self._every.seconds is not None else min(self._cost / COST, LONGEST)
        return time.monotonic() - self._saved >= pause

    def saved(self, *, cost: float) -> None:
        """Take note that a checkpoint was written, which took ``cost`` seconds."""
        self._steps, self._saved, self._cost = 0, time.monotonic(), cost
