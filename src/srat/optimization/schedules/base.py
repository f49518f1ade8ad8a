"""What a schedule is: the learning rate of each step, and the first epoch with class weights. Both count from 0."""

from dataclasses import dataclass, field

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.core.members import Member, since
from srat.core.words import counted

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


@dataclass(frozen=True, kw_only=True)
class Schedule(Member, unnamed="steps"):
    """How the learning rate moves, and from which epoch the weights apply."""

    reweight_from: int | None = None
    """First epoch with class weights (0: from the start); unless given, the first milestone, or 80 % of the run."""
    warmup: float = field(default=0.0, metadata=since(0.0))
    """Epochs, or parts of one, over which the rate first rises in a line."""

    def __post_init__(self) -> None:
        first, warmup = self.reweight_from, self.warmup
        require_field(first is None or first >= 0, "schedule.reweight_from", "0 or more", first)
        require_field(0 <= warmup < float("inf"), "schedule.warmup", "0 or more epochs", warmup, 0)

    def check(self, epochs: int) -> None:
        """Raise ``UserError`` if the schedule names an epoch that a run of ``epochs`` does not have."""
        late = tuple(epoch for epoch in (*self.named_epochs, self.reweight_from or 0) if epoch >= epochs)
        require_field(not late, "schedule", f"epochs below `epochs` {epochs}", late[:1])
        most = f"at most the run's {counted(epochs, 'epoch')}"
        require_field(self.warmup <= epochs, "schedule.warmup", most, self.warmup, epochs)

    @property
    def named_epochs(self) -> tuple[int, ...]:
        """Epochs that the settings name, beside ``reweight_from``."""
        return ()

    def share(self, time: float, *, epochs: int) -> float:
        """Return what the learning rate is multiplied by, warm-up aside.

        Args:
            time: epochs done, in [0, epochs), with the part of the one that goes on.
            epochs: of the run.
        """
        raise NotImplementedError

    def learning_rate(self, step: int, *, steps: int, epochs: int, base: float) -> float:
        """Return the learning rate of a step, base · share · min(1, (step + 1) / (warmup · steps)).

        It is computed from the base each time, so that nothing can compound.

        Args:
            step: of the run, counted from 0.
            steps: of an epoch.
            epochs: of the run.
            base: γ, the optimiser's.
        """
        rate = base * self.share(step / steps, epochs=epochs)
        rising = self.warmup * steps
        return rate * (step + 1) / rising if step + 1 < rising else rate

    def reweight_epoch_of(self, epochs: int) -> int:
        """Return the first epoch with class weights.

        Unless given, it is that of the first milestone ("before annealing the learning rate" there are no weights,
        Section 4.3) or, without milestones, the paper's 160 of 200, scaled; never later than the last one.
        """
        if self.reweight_from is not None:
            return self.reweight_from
        first = min(self.milestones_of(epochs), default=scaled(PAPER_MILESTONES[0], epochs))
        return min(first, epochs - 1)

    def milestones_of(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs of a run of ``epochs`` at which the rate falls at once."""
        del epochs
        return ()

    def weights_apply(self, epoch: int, *, epochs: int) -> bool:
        """Return whether class weights apply in an epoch."""
        return epoch >= self.reweight_epoch_of(epochs)

    def described(self, epochs: int) -> str:
        """Return how the rate moves in a run of ``epochs``, for a line such as "rate 0.1, half a cosine"; or ""."""
        raise NotImplementedError
