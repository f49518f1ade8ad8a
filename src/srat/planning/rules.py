"""The rules of a plan: what is chosen, why, and what speaks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from srat.attacks.base import IterativeAttack
from srat.config.passes import relative_passes
from srat.core.words import counted
from srat.data.feed import count_batches
from srat.models.backbones.resnet import ResNet18
from srat.planning.deciding import Decision
from srat.planning.ladder import FAST, FEW_IMAGES, PATIENT, Network
from srat.planning.settings import (
    BATCHES,
    FEWEST_EPOCHS,
    SMALL_CLASS,
    SMALL_SIDE,
    VARIED_FROM,
    enough_epochs,
    held_out,
    most_epochs,
    trained_on,
)

JUDGED = "our judgement, not measured"
Said = Callable[[Decision], str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a setting is chosen."""

    what: str
    """The setting."""
    says: str
    """The rule."""
    evidence: str
    """What speaks for it, in Markdown."""
    value: Said
    """What it chose in a plan."""
    reason: Said
    """Why, there."""


def network_named(network: Network) -> str:
    """Return what a network is called: "ResNet-18 of width 16"."""
    return f"{'ResNet-18' if isinstance(network, ResNet18) else 'small CNN'} of width {network.width}"


def _images(decision: Decision) -> str:
    channels, height, width = decision.facts.shape(decision.chosen.candidate.setup.side)
    return f"{height} × {width}, {'grey' if channels == 1 else 'colour'}"


def _why_images(decision: Decision) -> str:
    side, facts = decision.chosen.candidate.setup.side, decision.facts
    if side is None:
        return "as the images are"
    if side == max(facts.sides):
        return "half of the images have that many pixels to a side, or more" if side > min(facts.sides) else "the least"
    return f"half of the images have {max(facts.sides)}, which takes {(max(facts.sides) / side) ** 2:.3g} × the time"


def _why_network(decision: Decision) -> str:
    enough, better, facts = enough_epochs(decision.facts.images), decision.better, decision.facts
    if decision.epochs < enough:
        return f"the smallest; {enough} epochs would be better"
    if better is not None:
        setup, fits = better.candidate.setup, max(0, better.costs.epochs_within(decision.seconds))
        size = "" if setup.side == decision.chosen.candidate.setup.side else f" at {setup.side} × {setup.side}"
        named = f"{network_named(setup.network)}{size}"
        named = f"{named} under {setup.method}" if setup.method == PATIENT else named
        return f"{named} would get {counted(fits, 'epoch')} of the {enough} that it needs"
    if decision.chosen.candidate.setup.method == PATIENT:
        return "the largest for these images"
    return f"the largest for {facts.images:,} images" if facts.images < FEW_IMAGES else "the largest of those tried"


def _why_method(decision: Decision) -> str:
    config, facts = decision.chosen.config, decision.facts
    cost = f"{relative_passes(config):.2g} × the passes of PGD-10"
    uneven = f"classes differ by {facts.ratio:.3g} : 1"
    if decision.chosen.candidate.setup.method == PATIENT:
        return f"{uneven}; there is time for PGD-10, which this method makes most of"
    if decision.chosen.candidate.setup.method == FAST:
        return f"{uneven}; one step of attack takes {cost}"
    return f"{uneven}; a single step is of L∞ alone"


def _method(decision: Decision) -> str:
    config = decision.chosen.config
    steps = config.attack.iterations if isinstance(config.attack, IterativeAttack) else 0
    return f"{decision.chosen.candidate.setup.method}, {counted(steps, 'inner step')}"


def _why_batch(decision: Decision) -> str:
    config, facts = decision.chosen.config, decision.facts
    steps = count_batches(trained_on(facts, config.holdout), config.batch_size)
    return f"{counted(steps, 'step')} an epoch for {counted(facts.images, 'image')}"


def _why_epochs(decision: Decision) -> str:
    if decision.epochs == most_epochs(decision.facts.images):
        return "more gain nothing for so many images; the rest of the time is left"
    return "as many as fit"


def _why_augmentation(decision: Decision) -> str:
    config, (_, *sides) = decision.chosen.config, decision.facts.shape(decision.chosen.candidate.setup.side)
    if config.augmentation.mirrors:
        return "mirrored, too: where a mirror image is of another class (signs, letters), use `augmentation` none"
    if config.augmentation.name == config.data.suggested.augmentation:
        return "as these data suggest"
    return "images so small are not shifted" if min(sides) < SMALL_SIDE else f"fewer than {VARIED_FROM} epochs"


def _held_out(decision: Decision) -> str:
    count = held_out(decision.facts, decision.chosen.config.holdout)
    return counted(count, "image") if count else "none"


def _why_held_out(decision: Decision) -> str:
    if decision.chosen.candidate.selects:
        own = "the validation part of the data chooses" if decision.facts.validation else "they choose"
        return f"{own} the best epoch"
    return "all images train and the last epoch counts: checks would leave too few epochs"


def _why_rate(decision: Decision) -> str:
    return f"0.1 · √(batch / 128), rising and falling once over {counted(decision.epochs, 'epoch')}"


RULES: Sequence[Rule] = (
    Rule(
        what="images",
        says="As they are where all have one square size up to 64 pixels; else 32, 48 or 64 pixels to a side, none of "
        "them blown up, the larger ones once a ResNet-18 has enough epochs on the smaller ones.",
        evidence=JUDGED,
        value=_images,
        reason=_why_images,
    ),
    Rule(
        what="network",
        says="The largest that gets enough epochs: 12, or as many as make 1,500 updates, 40 at the most. A smaller one "
        f"is better than fewer. No ResNet-18 below 16 pixels, only that of width 16 below {FEW_IMAGES:,} images.",
        evidence="a small CNN learns in 10 epochs of Fashion-MNIST, a ResNet-18 of width 16 in 30 of CIFAR-10 "
        "([the scales](../reproduction.md#the-scale)); the numbers are our judgement",
        value=lambda decision: network_named(decision.chosen.candidate.setup.network),
        reason=_why_network,
    ),
    Rule(
        what="method",
        says=f"`{FAST}`, the balanced softmax under a single step; `bsl` in L2; `{PATIENT}` under PGD-10 once the "
        "largest network for the images has enough epochs under that.",
        evidence=f"[`{FAST}`](../ours.md#what-it-gives) cannot be told from the balanced softmax under PGD-10, at 0.22 "
        f"of its passes; with PGD-10 `{PATIENT}` is better on Fashion-MNIST, and not on CIFAR-10",
        value=_method,
        reason=_why_method,
    ),
    Rule(
        what="batch",
        says="; ".join(f"{batch} from {images:,} images on" for batch, images in BATCHES.items() if images)
        + f"; {min(BATCHES)} below.",
        evidence="five epochs of 13,500 traffic signs reach 17.5 % under PGD-20 in batches of 32, and 13.0 in those of "
        "128 (means over classes); of 3,000 images of CIFAR-10, 32 is better than 64 ([log](../log.md))",
        value=lambda decision: f"{decision.chosen.config.batch_size}",
        reason=_why_batch,
    ),
    Rule(
        what="epochs",
        says="As many as fit: 60 at the most, or as many as make 6,000 updates, 200 at the most; never fewer than "
        f"{FEWEST_EPOCHS}.",
        evidence="after the rate has fallen, more epochs overfit to the attack (Rice et al., 2020); the numbers are "
        "our judgement",
        value=lambda decision: f"{decision.epochs}",
        reason=_why_epochs,
    ),
    Rule(
        what="rate",
        says="One cycle up to 0.1 · √(batch / 128).",
        evidence="0.1 with batches of 128 at the medium scale, 0.05 with 32 at the small one "
        "([Reproduction](../reproduction.md#the-scale))",
        value=lambda decision: f"{decision.chosen.config.optimizer.learning_rate:g}, one cycle",
        reason=_why_rate,
    ),
    Rule(
        what="augmentation",
        says=f"From {VARIED_FROM} epochs on what the data suggest: for a folder, shifts by an eighth of the side and "
        f"mirror images; none for arrays and digits. None below {SMALL_SIDE} pixels.",
        evidence="five epochs of traffic signs reach 32.6 % under PGD-20 without, and 17.5 with it (means over "
        "classes; [log](../log.md)); RandAugment takes 4 to 17 points from the rare classes of short runs "
        "([Our own method](../ours.md#what-did-not-pay)); where it begins to pay is our judgement",
        value=lambda decision: decision.chosen.config.augmentation.name,
        reason=_why_augmentation,
    ),
    Rule(
        what="held out",
        says="500 images, or 10 for each class, a tenth at the most, choose the best epoch; where the rarest class has "
        f"fewer than {SMALL_CLASS}, a tenth of it. Nothing where the checks would leave too few epochs.",
        evidence="500 images measure to ± 4 points; a check of 500 under PGD-10 costs as much as 1,500 images of "
        "training by a single step (`srat.config.passes`)",
        value=_held_out,
        reason=_why_held_out,
    ),
)
"""In the order in which a plan tells of them."""
