"""A guard against catastrophic overfitting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from srat.attacks import Attack, IterativeAttack
from srat.attacks.refined import Refined
from srat.core.checked import checked
from srat.core.errors import require_field
from srat.core.words import percent
from srat.guards.base import Guard, Right, Seen
from srat.statistics.intervals import Sum, weighted_sum, wilson

Z99 = 2.5758293035489004
"""The 99.5 % point of the standard normal distribution: that of an interval which is right 99 times of 100."""


@checked
def surely_less(one: Right, other: Right, share: float = 1.0) -> bool:
    """Return whether one accuracy is below a share of another by more than chance.

    That is where the 99 % interval of share · other − one (`srat.statistics.intervals.weighted_sum`, of Wilson's) is
    above 0. Of the same images it is rather too wide.

    Args:
        one: right and all images; without any nothing is sure.
        other: likewise.
        share: 0 or more.
    """
    if not (one.total and other.total):
        return False
    return weighted_sum((share, -1.0), (Sum(*wilson(*other, Z99)), Sum(*wilson(*one, Z99)))).low > 0


@checked
def has_fallen(best: Right, now: Right, trained: Right, *, guess: float, drop: float = 0.2) -> bool:
    """Return whether the accuracy under PGD has collapsed: it is surely below its best and below the training attack's.

    Both by more than min(drop, best / 2). Where it falls with all others, the weights are unsteady, as at high learning
    rates, but not overfitted to the attack. A best that is not surely above guessing does not count: in their first
    epochs models name one class for all, which no attack can change.

    Args:
        best: the most that were right under PGD so far, of the same images.
        now: those that are right.
        trained: those that are right under the training attack.
        guess: accuracy of always naming the same class, in [0, 1].
        drop: in [0, 1].

    Source: Wong et al., 2020, who compare with the epoch before, in train mode, and stop at 20 points.
    """
    if not now.total or not best.total or wilson(*best, Z99).low <= guess:
        return False
    least = min(drop, best.accuracy / 2)
    return all(one.accuracy - now.accuracy > least and surely_less(now, one) for one in (best, trained))


@dataclass(frozen=True, kw_only=True)
class CollapseGuard(Guard, name="collapse"):
    """Undo an epoch of catastrophic overfitting: robust against the training attack's few steps, and nothing else.

    It compares PGD, the evaluation's of ten steps at the most, with the training attack, on 256 fixed training images,
    in eval mode. Of all classes, the well- and the under-represented ones, each by itself, one has to show, by more
    than chance, that PGD leaves less than at best so far (`drop`); less than a part of what the training attack leaves
    (`share`); or less than half of that while the training's images are right more often after the attack than before
    it (`ratio`). The run goes back to the last good epoch, and on with the remedy.
    """

    below: int = 3
    """It looks after training attacks of fewer steps than this."""
    drop: float = 0.2
    """How far the accuracy under PGD falls in a collapse, or by half of the best where that is less."""
    share: float = 1 / 3
    """Part of the accuracy under the training attack that PGD leaves at the least, in balls no larger than its own."""
    ratio: float = 1.1
    """Images right after the training attack for each right where it begins, above which it tells the label."""
    remedy: Literal["more-steps", "smaller-step"] = "more-steps"
    """Two steps, the next time three, …; or first of all a smaller step (`factor`)."""
    reach: float = 1.5
    """What more steps come to together, in sizes of the one before: 1.5 makes two of 0.75 or three of 0.5, which can
    turn within the ball. 1 of an attack without a ball, as n-fgsm: two of half the size."""
    factor: float = 0.8
    """What a smaller step is of the whole."""
    most: int = 4
    """How often it goes back, at the most: a run that still collapses has another trouble."""

    def __post_init__(self) -> None:
        require_field(self.below >= 1, "guard.below", "1 or more", self.below)
        for name, value in (("drop", self.drop), ("share", self.share), ("factor", self.factor)):
            require_field(0 < value < 1, f"guard.{name}", "above 0 and less than 1", value, 0, 1)
        require_field(1 <= self.reach <= 2, "guard.reach", "1 to 2", self.reach, 1, 2)
        require_field(1 <= self.ratio < float("inf"), "guard.ratio", "1 or more", self.ratio, 1)
        require_field(self.most >= 0, "guard.most", "0 or more", self.most)

    @override
    def watches(self, attack: Attack) -> bool:
        """Return whether an attack goes by fewer steps than `below`, and has a step size that can be changed."""
        return isinstance(attack, IterativeAttack) and attack.alpha is not None and attack.iterations < self.below

    @override
    def judge(self, seen: Mapping[str, Seen]) -> str:
        found = ((group, self._sign(one)) for group, one in seen.items())
        return next((f"{group} classes: {sign}" if group else sign for group, sign in found if sign), "")

    def _sign(self, seen: Seen) -> str:
        """Return what tells that a group of classes has collapsed; "" if nothing does."""
        probe, trained = seen.probe, seen.trained
        said = f"{percent(probe.accuracy)} right under PGD, {percent(trained.accuracy)} under the training attack"
        if has_fallen(seen.best, probe, trained, guess=seen.guess, drop=self.drop):
            return f"{said}, after {percent(seen.best.accuracy)} under PGD"
        if seen.comparable and surely_less(probe, trained, self.share):
            return said
        leaks = surely_less(seen.started, seen.attacked, 1 / self.ratio)
        if leaks and surely_less(probe, trained, 0.5):
            return f"{said}, which turns {seen.ratio:.2f} images right for each that was right before it"
        return ""

    @override
    def is_good(self, seen: Mapping[str, Seen]) -> bool:
        """Return whether no group is below its best by more than chance: a collapse may take two epochs."""
        return not any(surely_less(one.probe, one.best) for one in seen.values())

    @override
    def steps_in(self, remedies: int) -> bool:
        return remedies < self.most

    @override
    def remedied(self, attack: Attack, remedies: int) -> Attack:
        if remedies == 0 or not isinstance(attack, IterativeAttack) or not self.watches(attack):
            return attack
        smaller = self.remedy == "smaller-step"
        if smaller and remedies == 1:
            return Refined(attack=attack, share=self.factor)
        return Refined(attack=attack, parts=remedies + 1 - smaller, share=self.reach if attack.bounded else 1.0)
