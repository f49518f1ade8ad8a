"""What a method is: a name for a choice of members, and what is to be known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from srat.attacks import PGD, Attack, Natural
from srat.attacks.budgets import Budget
from srat.core.checked import Checked
from srat.core.members import Member
from srat.data import Augmentation
from srat.data.sampling import Sampling
from srat.feature_losses import FeatureLoss, NoFeatureLoss
from srat.losses import CrossEntropy, Loss
from srat.methods.before import Before
from srat.models import Head
from srat.optimization.averaging import Averaging
from srat.optimization.weight_perturbations import WeightPerturbation
from srat.robust_losses import RobustLoss, Standard
from srat.weightings import Uniform, Weighting

ALWAYS = ("loss", "weighting", "feature_loss", "robust_loss")
"""What every method chooses, by its field in a configuration."""
SOMETIMES = ("augmentation", "sampling", "head", "budget", "averaging", "weight_perturbation", "before")
"""What a method chooses if it is a part of it; elsewhere what the run has there stays."""


@dataclass(frozen=True, kw_only=True)
class Method(Checked):
    """A row of the table: the members that a name stands for."""

    title: str
    """What it is, in a line."""
    source: str
    """Authors, year, title; and what of the authors' code was read."""
    formula: str
    """What is minimised; after a semicolon what the attack makes large, where that is not the cross-entropy."""
    differs: tuple[str, ...] = ()
    """Where paper and code part, and what is otherwise here; a sentence or two each."""

    loss: Loss = CrossEntropy()
    weighting: Weighting = Uniform()
    deferred: bool = False
    """Whether the weights wait for the schedule's ``reweight_from``."""
    feature_loss: FeatureLoss = NoFeatureLoss()
    robust_loss: RobustLoss = Standard()
    attack: Attack = PGD()
    """Its ball is the threat model's, the number of its steps the run's."""
    augmentation: Augmentation | None = None
    sampling: Sampling | None = None
    head: Head | None = None
    budget: Budget | None = None
    averaging: Averaging | None = None
    weight_perturbation: WeightPerturbation | None = None
    before: Before | None = None

    @property
    def attacked(self) -> bool:
        """Whether it trains on images under attack."""
        return not isinstance(self.attack, Natural)

    @property
    def members(self) -> dict[str, Member | Before]:
        """What it chooses, by the fields of a configuration; the attack aside, whose ball is not the method's."""
        chosen = {name: getattr(self, name) for name in (*ALWAYS, *SOMETIMES)}
        return {name: member for name, member in chosen.items() if member is not None}

    @property
    def attack_settings(self) -> dict[str, Any]:
        """What it asks of its attack that the attack would not do by itself."""
        usual = type(self.attack)()
        values = {field.name: getattr(self.attack, field.name) for field in fields(self.attack)}
        return {name: value for name, value in values.items() if value != getattr(usual, name)}

    @property
    def choices(self) -> int:
        """How much it chooses: of two methods that a configuration is, the one that says more names it."""
        return len(self.members) + self._attacks_its_own_way

    def describes(self, members: Mapping[str, Any]) -> bool:
        """Return whether a configuration's members are the method's, whatever their constants.

        Args:
            members: by their fields.
        """
        alike = all(_alike(member, members[name]) for name, member in self.members.items())
        return alike and (not self._attacks_its_own_way or self._attacks_as(members["attack"]))

    @property
    def _attacks_its_own_way(self) -> bool:
        """Whether its attack is another than PGD, which any search for a large loss may stand in for."""
        return not isinstance(self.attack, PGD)

    def _attacks_as(self, attack: Attack) -> bool:
        asked = self.attack_settings.items()
        return type(attack) is type(self.attack) and all(getattr(attack, name) == value for name, value in asked)


def _alike(wanted: Member | Before, got: Any) -> bool:
    if not isinstance(wanted, Before):
        return type(wanted) is type(got)
    return {name: type(member) for name, member in wanted.members.items()} == {
        name: type(member) for name, member in got.members.items()
    }
