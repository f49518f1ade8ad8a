"""What a training's numbers say that its user should know while something can still be done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from srat.attacks import PGD, Natural
from srat.attacks.budgets import UniformBudget
from srat.config.config import Config
from srat.core.words import counted, few
from srat.data.sampling import Shuffled
from srat.runs.metrics import Row
from srat.weightings import Uniform

EARLIEST = 3
"""Epochs before which nothing is said, unless the run has fewer: most trainings begin with some of this."""
FALLEN = 0.995
"""Of the first epoch's loss; one that was never below has not fallen."""
APART = 0.25
"""How much higher the accuracy on training images may be than on held-out ones."""
WHOLE = 0.99
"""Part of a class's images that are right where the model predicts it for all images."""
LEARNT = 0.5
"""Accuracy on training images below which a model has not learnt enough to overfit."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that is wrong with a training."""

    name: str
    """In two or three words, for a list."""
    text: str
    """A sentence, with what to try."""


def troubles(config: Config, history: Sequence[Row], *, silent: Sequence[str] = ()) -> list[Trouble]:
    """Return what is wrong with a training after its last epoch so far; nothing before `EARLIEST` epochs.

    Args:
        config: the run.
        history: a row an epoch.
        silent: names of the classes of which no held-out image is right, where they are known.
    """
    if len(history) < min(EARLIEST, config.epochs) or not history:
        return []
    return [*_silence(config, history[-1], silent), *_standstill(config, history), *_overfitting(config, history[-1])]


def arisen(config: Config, history: Sequence[Row], *, silent: Sequence[str] = ()) -> list[Trouble]:
    """Return what is wrong after the last epoch, and was not after the one before; arguments as of `troubles`."""
    before = {each.name for each in troubles(config, history[:-1])}
    return [each for each in troubles(config, history, silent=silent) if each.name not in before]


def _silence(config: Config, row: Row, silent: Sequence[str]) -> Iterator[Trouble]:
    """Yield that the model says one class for all held-out images, or never a certain one rightly."""
    if "held_out_classes_silent" not in row:
        return
    none, some = int(row["held_out_classes_silent"]), int(row["held_out_classes_right"])
    smaller = "" if isinstance(config.attack, Natural) else " or a smaller `attack.epsilon`"
    if none and some == 1 and float(row["held_out_clean"]) * (none + some) > WHOLE:
        steps = f"a lower `optimizer.learning_rate`, some epochs of `schedule.warmup`{smaller}"
        yield Trouble(name="one class for all", text=f"the model predicts one class for all images; try {steps}")
    elif none:
        which = few(silent) if silent else f"{none} of {counted(none + some, 'class', 'classes')}"
        yield Trouble(
            name="classes never right",
            text=f"no held-out image of {which} is classified correctly; {_for_the_silent(config, row, smaller)}",
        )


def _for_the_silent(config: Config, row: Row, smaller: str) -> str:
    first = config.schedule.reweight_epoch_of(config.epochs)
    if not isinstance(config.weighting, Uniform):
        if first > row["epoch"] + 1:
            return f"class weights apply from epoch {first + 1} on and may help"
    elif not config.loss.balances:
        return "a method that knows the class counts may help, such as `method` fast-bsl"
    return f"try more `epochs`{smaller}"


def _standstill(config: Config, history: Sequence[Row]) -> Iterator[Trouble]:
    """Yield that the loss has never fallen below the first epoch's, unless it began low, or the task changes."""
    if config.starts_trained or config.before.members or config.budget.ramp:
        return
    losses = [float(row["loss"]) for row in history]
    if len(losses) > 1 and min(losses[1:]) >= FALLEN * losses[0]:
        said = f"the loss does not fall ({losses[0]:.3f} in epoch 1, {losses[-1]:.3f} in epoch {len(losses)})"
        yield Trouble(name="loss not falling", text=f"{said}; try another `optimizer.learning_rate`")


def _overfitting(config: Config, row: Row) -> Iterator[Trouble]:
    """Yield that training images are right far more often than held-out ones, where the two are comparable."""
    if "held_out_as_trained" not in row or not _comparable(config, int(row["epoch"])):
        return
    trained, held_out = float(row["train_accuracy"]), float(row["held_out_as_trained"])
    if trained >= LEARNT and trained - held_out > APART:
        rates = f"{100 * trained:.0f} % of the training images are right, {100 * held_out:.0f} % of held-out ones"
        under = "" if isinstance(config.attack, Natural) else " under attack"
        yield Trouble(
            name="overfitting",
            text=f"{rates}{under}: the model overfits; try a stronger `augmentation` or fewer `epochs`",
        )


def _comparable(config: Config, epoch: int) -> bool:
    """Return whether images are drawn as they are, and attacked within the ball of the evaluation, or none at all."""
    attack, threat = config.at(epoch).attack, config.evaluation
    if isinstance(attack, Natural):
        same = isinstance(config.attack, Natural)
    else:
        same = isinstance(attack, PGD) and (attack.norm, attack.epsilon) == (threat.norm, threat.epsilon)
    return same and config.budget == UniformBudget() and isinstance(config.sampling, Shuffled)
