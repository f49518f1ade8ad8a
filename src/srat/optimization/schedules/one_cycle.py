"""The learning rate rises once and falls once."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.schedules.base import Schedule
from srat.optimization.schedules.cosine import half_cosine


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule, name="one-cycle"):
    """The learning rate rises once and falls once, each along half a cosine (Smith and Topin, 2018).

    It goes from first · γ to γ over the first part of the run, and from there to last · γ.
    """

    rise: float = 0.3
    """Part of the run over which it rises."""
    first: float = 0.04
    """What γ is multiplied by at the start."""
    last: float = 0.0
    """What γ is multiplied by at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(0 < self.rise < 1, "schedule.rise", "a number between 0 and 1", self.rise, 0, 1)
        for name in ("first", "last"):
            value = getattr(self, name)
            require_field(0 <= value <= 1, f"schedule.{name}", "0 to 1", value, 0, 1)

    @override
    def share(self, time: float, *, epochs: int) -> float:
        part = time / epochs
        if part < self.rise:
            return half_cosine(self.first, 1.0, part / self.rise)
        return half_cosine(1.0, self.last, (part - self.rise) / (1 - self.rise))

    @override
    def described(self, epochs: int) -> str:
        return f"one cycle, highest after {self.rise * epochs:g} epochs"
