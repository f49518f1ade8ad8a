"""What is asked of a configuration before it trains; not of each value, for commands make them choice by choice."""

from collections.abc import Container

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import require, require_field
from srat.core.words import number
from srat.data.mixing import NoMixing
from srat.feature_losses import NoFeatureLoss
from srat.models.heads import CosineHead
from srat.optimization.averaging import NoAveraging


def check(config: Config) -> None:
    """Raise ``UserError`` unless attack, average, labels and head are such as the losses need, in each part of the run.

    Args:
        config: the run.
    """
    config.before.check()
    _check_first_head(config)
    for stage, own in ((config.at(0), config.before.members), (config, ())):
        _check_start(stage, own)
        _check_joint_attack(stage)
        _check_single_labels(stage, own)
    _check_teacher(config)


def _place(family: str, own: Container[str]) -> str:
    """Return the path of a member: the first part of a run has its own of some families."""
    return f"before.{family}" if family in own else family


def _check_start(config: Config, own: Container[str]) -> None:
    """Raise ``UserError`` if an attack begins where the robust loss is flat."""
    robust, attack = config.robust_loss, config.attack
    where = f"`{_place('robust_loss', own)}` {robust.name}"
    flat = f"{where} is flat at the image itself, where an attack without one begins"
    started = attack.starts_beside or not robust.needs_start
    require(started, f"`{_place('attack', own)}`: expected one with a random start, got {attack.name}; {flat}")


def _check_teacher(config: Config) -> None:
    """Raise ``UserError`` if the average is to teach, and there is none, or none in the first steps."""
    robust, averaging = config.robust_loss, config.averaging
    if not robust.sees_teacher or robust.teacher_weights is not None:
        return
    taught = f"the teacher of `robust_loss` {robust.name}"
    require(not isinstance(averaging, NoAveraging), f"`averaging`: expected one, {taught}, got none")
    # One that does not move with the first step is the untrained network until it does.
    moves = averaging.share(0, steps=2, epochs=config.epochs) > 0
    require(moves, f"`averaging`: expected one that moves from the first step on, {taught}, got {averaging.name}")


def _check_single_labels(config: Config, own: Container[str]) -> None:
    """Raise ``UserError`` if features of mixed images are asked to be of one class."""
    place = f"`{_place('feature_loss', own)}`"
    wanted = f"none with {place} {config.feature_loss.name}, whose features are of one class each"
    single = isinstance(config.mixing, NoMixing) or isinstance(config.feature_loss, NoFeatureLoss)
    require_field(single, "mixing", wanted, config.mixing.name, advice=f"{place} none goes with any")


def _check_first_head(config: Config) -> None:
    """Raise ``UserError`` if the loss of the first part is made for another head than the run has."""
    served, first = config.head.resolve(config.loss.head), config.before.loss
    wanted = None if first is None else first.head
    if first is not None and isinstance(wanted, CosineHead):
        there = isinstance(served, CosineHead) and served.scale == wanted.scale
        made_for = f"a cosine head of scale {number(wanted.scale)}"
        require(there, f"`before.loss`: {first.name} is for {made_for}, and the run has another")


def _check_joint_attack(config: Config) -> None:
    """Raise ``UserError`` if the attack is to maximise a feature loss, and there is none, or it cannot."""
    weight = config.inner.feature_weight
    if weight == 0:
        return
    for family, member in (("feature_loss", config.feature_loss), ("attack", config.attack)):
        wanted = f"0 with `{family}` {member.name}, where there is none to maximise"
        require_field(not isinstance(member, NoFeatureLoss | Natural), "inner.feature_weight", wanted, weight, 0)
    starts = getattr(config.attack, "restarts", 1)
    alone = "1 with `inner.feature_weight`: an image's feature loss is that among the others of its start"
    require_field(starts == 1, "attack.restarts", alone, starts)
