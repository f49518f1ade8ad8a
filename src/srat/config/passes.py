"""What a run costs, in passes through the network, and what it keeps beside weights and optimiser."""

from srat.attacks.base import IterativeAttack
from srat.config.config import Config

FORWARD, TO_IMAGES, TO_WEIGHTS = 1, 1, 2
"""A pass forward; one back to the images; back to the weights, which is as long as both."""
_PGD10 = 10 * (FORWARD + TO_IMAGES) + FORWARD + TO_WEIGHTS


def passes(config: Config) -> float:
    """Return how many passes through the network a step takes, in the mean over the run's epochs.

    PGD-10 takes 23. A teacher counts as the network does; what is no pass, such as an augmentation, does not.

    Args:
        config: the run.
    """
    epochs = range(config.epochs)
    return sum(_in_epoch(config.at(epoch), epoch) for epoch in epochs) / len(epochs)


def relative_passes(config: Config) -> float:
    """Return `passes` as a multiple of those of adversarial training with PGD-10."""
    return passes(config) / _PGD10


def _in_epoch(config: Config, epoch: int) -> float:
    robust, epochs = config.robust_loss, config.epochs
    attack = config.attack.shortened(config.budget.effort(epoch, epochs=epochs))
    searching = 0
    if isinstance(attack, IterativeAttack):
        searching = attack.starts * attack.iterations * (FORWARD + TO_IMAGES) + FORWARD * robust.attack_sees_clean
    learning = (FORWARD + TO_WEIGHTS * (not config.is_frozen(epoch))) * (1 + robust.sees_clean)
    perturbed = config.weight_perturbation.applies(epoch, epochs=epochs)
    return searching + FORWARD * robust.sees_teacher + learning * (1 + perturbed)


def kept_state(config: Config) -> tuple[str, ...]:
    """Return what a run keeps beside weights and optimiser, a word or two each.

    Args:
        config: the run.
    """
    learning = {name: getattr(config, name).feedback(classes=2) for name in ("budget", "weighting", "robust_loss")}
    there = {
        "averaged weights": config.averaging.name != "none",
        "last good weights": config.is_guarded,
        "features": config.feature_loss.memory(dimensions=1, classes=2) is not None,
        **{f"{name.replace('_', ' ')} feedback": part is not None for name, part in learning.items()},
    }
    return tuple(name for name, kept in there.items() if kept)
