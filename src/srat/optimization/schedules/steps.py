"""The learning rate falls at milestones."""

from dataclasses import dataclass

from typing_extensions import override

from srat.core.errors import require_field
from srat.optimization.schedules.base import PAPER_MILESTONES, Schedule, scaled


@dataclass(frozen=True, kw_only=True)
class Steps(Schedule, name="steps"):
    """The learning rate falls at milestones, γ · factor^(milestones reached)."""

    milestones: tuple[int, ...] | None = None
    """Epochs at which the rate falls; unless given, the paper's 160 and 180 of 200, scaled."""
    factor: float = 0.01
    """What the rate is multiplied by at each; the paper's "ratio 0.01"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        factor, steps = self.factor, self.milestones or ()
        require_field(0 < factor <= 1, "schedule.factor", "a number above 0 and at most 1", factor, 0, 1)
        rising = list(steps) == sorted(set(steps)) and min(steps, default=1) >= 1
        require_field(rising, "schedule.milestones", "rising epochs from 1 on", steps)

    @property
    @override
    def named_epochs(self) -> tuple[int, ...]:
        return self.milestones or ()

    @override
    def milestones_of(self, epochs: int) -> tuple[int, ...]:
        return self.milestones if self.milestones is not None else tuple(scaled(m, epochs) for m in PAPER_MILESTONES)

    @override
    def share(self, time: float, *, epochs: int) -> float:
        """Return factor^(milestones reached)."""
        return self.factor ** sum(time >= milestone for milestone in self.milestones_of(epochs))

    @override
    def described(self, epochs: int) -> str:
        milestones = [m for m in self.milestones_of(epochs) if m < epochs]
        return f"× {self.factor:g} after {' and '.join(map(str, milestones))}" if milestones else ""
