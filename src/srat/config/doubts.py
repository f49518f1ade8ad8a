"""What can hardly be meant of a configuration. It is said, not refused: some is chosen on purpose."""

from collections.abc import Iterator, Sequence

import torch

from srat.attacks import PGD, Attack, Natural
from srat.attacks.budgets import UniformBudget
from srat.attacks.doubts import doubts_of_ball
from srat.config.config import Config
from srat.core.words import number
from srat.data.counts import ClassCounts
from srat.feature_losses import NoFeatureLoss
from srat.models.heads import CosineHead
from srat.models.wrapping.wrapper import Custom


def doubts_of(config: Config, shape: Sequence[int], class_counts: ClassCounts) -> list[str]:
    """Return what can hardly be meant of a run, a line each.

    Args:
        config: the run.
        shape: of an image, (channels, height, width).
        class_counts: (classes,), training examples of each class.
    """
    attacks = (config.attack, config.evaluation)
    of_attacks = (line for attack in attacks for line in (*attack.doubts(shape), *_of_norm(config, attack, shape)))
    of_members = (*_of_budget(config), *_of_losses(config), *_of_mirrors(config), *_of_freezing(config))
    return list(dict.fromkeys((*of_attacks, *of_members, *_twice(config, class_counts))))


def _of_norm(config: Config, attack: Attack, shape: Sequence[int]) -> Iterator[str]:
    """Yield that an attack in L2 has the budget that the data suggests for L∞, unless its size says so."""
    suggested = config.data.suggested.epsilon
    if not isinstance(attack, PGD) or attack.norm == "linf" or attack.epsilon != suggested:
        return
    if not doubts_of_ball(attack.norm, attack.epsilon, shape):
        yield f"{attack.label}: ε is {suggested:.4g}, as in L∞; budgets of another norm are of another size"


def _of_budget(config: Config) -> Iterator[str]:
    """Yield where a budget changes nothing, or leaves nothing."""
    budget, epochs = config.budget, config.epochs
    if all(isinstance(part.attack, Natural) for part in (config.at(0), config)):
        if budget != UniformBudget():
            yield f"`budget` {budget.name} has nothing to change: the run attacks no image"
    elif budget.grown(epochs - 1, epochs=epochs) == 0:
        never = "the balls never grow, and no image is attacked"
        yield f"`budget.ramp` {budget.ramp:g}: in a run of `epochs` {epochs} {never}"


def _of_losses(config: Config) -> Iterator[str]:
    """Yield where the head is not the one that a loss is made for, or where a loss has nothing to act on."""
    loss, robust, made_for = config.loss, config.robust_loss, config.loss.head
    if isinstance(made_for, CosineHead) and not isinstance(config.head.resolve(made_for), CosineHead):
        cosine = f"a cosine head of scale {number(made_for.scale)}"
        yield f"`loss` {loss.name} is made for {cosine}, not for `head` {config.head.name}"
    if config.inner.loss == "training":
        says_nothing = "`inner.loss` training says nothing with"
        if isinstance(config.attack, Natural) or type(config.attack).loss is not Attack.loss:
            yield f"{says_nothing} `attack` {config.attack.name}, which does not maximise it"
        elif not robust.attacks_prediction:
            yield f"{says_nothing} `robust_loss` {robust.name}, whose attack has a loss of its own"
    feature = config.feature_loss
    if not isinstance(feature, NoFeatureLoss) and not feature.projection and not config.model.learns_features:
        yield f"`feature_loss` {feature.name} moves nothing: the features of `model` {config.model.name} are the image"


def _of_mirrors(config: Config) -> Iterator[str]:
    """Yield that images are mirrored which are no longer of their class then."""
    if config.augmentation.mirrors and not config.data.suggested.mirrored:
        mirroring = f"`augmentation` {config.augmentation.name} mirrors images"
        yield f"{mirroring}, and a mirrored image of `data` {config.data.name} is no longer of its class"


def _of_freezing(config: Config) -> Iterator[str]:
    """Yield that a backbone is frozen before it has learnt anything, or that a loss cannot move it."""
    if not config.freeze:
        return
    if not config.starts_trained and not isinstance(config.model, Custom):
        yield f"`freeze` {config.freeze}: the backbone is frozen at random; `init` names weights to start from"
    feature = config.feature_loss
    whole = config.freeze == config.epochs
    if whole and not isinstance(feature, NoFeatureLoss) and not feature.projection:
        yield f"`feature_loss` {feature.name} moves nothing: the backbone is frozen for the whole run"


def _twice(config: Config, class_counts: ClassCounts) -> Iterator[str]:
    """Yield where the classes' counts are corrected for twice.

    Losses and class weights are told what an epoch draws: weights by count are even where a sampling has evened the
    classes out. Weights of another origin are not, and no loss knows of the weights.
    """
    loss, weighting, counts = config.loss, config.weighting, tuple(class_counts)
    if config.head.tau > 0 and loss.balances:
        yield f"`head.tau` and `loss` {loss.name} both correct for the classes' counts, which is once too often"
    twice = {"sampling": False, "loss": False}
    for epoch in (config.schedule.reweight_epoch_of(config.epochs), config.epochs - 1):
        drawn = config.sampling.drawn(counts, epoch=epoch, epochs=config.epochs)
        weights = weighting.weights(drawn)
        uneven = bool((weights != weights[0]).any())
        unaware = drawn != counts and torch.equal(weights, weighting.weights(counts))
        twice["sampling"] |= uneven and unaware
        twice["loss"] |= uneven and loss.balances
    for family, doubted in twice.items():
        if doubted:
            yield (
                f"`{family}` {getattr(config, family).name} and `weighting` {weighting.name} both correct for the "
                f"classes' counts, which is once too often; `weighting` uniform leaves it to the {family}"
            )
