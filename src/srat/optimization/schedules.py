"""What depends on the epoch: the learning rate, and whether the weights apply. Epochs count from 0."""

from collections.abc import Sequence
from dataclasses import dataclass

from srat.core.checked import Checked, checked
from srat.core.errors import require
from srat.core.words import number

PAPER_EPOCHS = 200
PAPER_MILESTONES = (160, 180)


@checked
def scaled(epoch: int, epochs: int) -> int:
    """Return where an epoch of the paper's 200 falls in a run of ``epochs``: epoch · epochs / 200, rounded.

    Args:
        epoch: of 200.
        epochs: of the run.
    """
    return round(epoch * epochs / PAPER_EPOCHS)


@checked
def learning_rate(epoch: int, *, base: float, milestones: Sequence[int], factor: float) -> float:
    """Return the learning rate of an epoch, base · factor^(milestones reached).

    It is computed from the base each time, so that nothing can compound.

    Args:
        epoch: counted from 0.
        base: the rate of epoch 0.
        milestones: epochs from which on the rate is lower by one more factor.
        factor: of each milestone; the paper's "ratio 0.01".
    """
    return base * factor ** sum(epoch >= milestone for milestone in milestones)


@dataclass(frozen=True, kw_only=True)
class Schedule(Checked):
    """When the learning rate falls, and from which epoch the weights apply."""

    milestones: tuple[int, ...] | None = None
    """Epochs at which the rate falls; unless given, the paper's 160 and 180 of 200, scaled."""
    factor: float = 0.01
    """What the rate is multiplied by at each."""
    reweight_from: int | None = None
    """First epoch with class weights (0: from the start); unless given, that of the first milestone."""

    def __post_init__(self) -> None:
        require(
            0 < self.factor <= 1,
            f"--schedule.factor: expected a number above 0 and at most 1, got {number(self.factor, 0, 1)}",
        )
        steps = self.milestones or ()
        require(
            list(steps) == sorted(set(steps)) and min(steps, default=1) >= 1,
            f"--schedule.milestones: expected rising epochs from 1 on, got {steps}",
        )
        require(
            self.reweight_from is None or self.reweight_from >= 0,
            f"--schedule.reweight-from: expected 0 or more, got {self.reweight_from}",
        )

    def milestones_of(self, epochs: int) -> tuple[int, ...]:
        """Return the milestones of a run of ``epochs``."""
        return self.milestones if self.milestones is not None else tuple(scaled(m, epochs) for m in PAPER_MILESTONES)

    def reweight_epoch_of(self, epochs: int) -> int:
        """Return the first epoch with class weights; of a deferral that is not given, never later than the last one."""
        if self.reweight_from is not None:
            return self.reweight_from
        # "Before annealing the learning rate" there are none (Section 4.3).
        first = min(self.milestones_of(epochs), default=scaled(PAPER_MILESTONES[0], epochs))
        return min(first, epochs - 1)

    def learning_rate(self, epoch: int, *, epochs: int, base: float) -> float:
        """Return `learning_rate` of an epoch."""
        return learning_rate(epoch, base=base, milestones=self.milestones_of(epochs), factor=self.factor)

    def weights_apply(self, epoch: int, *, epochs: int) -> bool:
        """Return whether class weights apply in an epoch."""
        return epoch >= self.reweight_epoch_of(epochs)
