"""A run in two stages: what its first part is trained with in the place of its own members."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from srat.attacks import Attack
from srat.core.checked import Checked
from srat.core.errors import UserError, require, require_field
from srat.core.members import Member
from srat.feature_losses import FeatureLoss
from srat.losses import Loss
from srat.robust_losses import RobustLoss


@dataclass(frozen=True, kw_only=True)
class Before(Checked):
    """The first part of a run, which other members train than the rest: TAET begins with cross-entropy, for one."""

    part: float = 0.0
    """Part of the run, from its start on, that is trained with the members named here; 0 for none."""
    attack: Attack | None = None
    """Its training attack; the run's own unless given."""
    loss: Loss | None = None
    """Its prediction loss; likewise."""
    robust_loss: RobustLoss | None = None
    """What it compares the logits under attack with; likewise."""
    feature_loss: FeatureLoss | None = None
    """Its feature loss; likewise."""

    def __post_init__(self) -> None:
        require_field(0 <= self.part < 1, "before.part", "0 or more and less than 1", self.part, 0, 1)

    @property
    def members(self) -> Mapping[str, Member]:
        """The members that differ, by their fields in the configuration."""
        named = {field.name: getattr(self, field.name) for field in of_members(self)}
        return {name: member for name, member in named.items() if member is not None}

    def check(self) -> None:
        """Raise ``UserError`` if there are members without a part of the run, or such as have state of their own."""
        if not self.part and self.members:
            family, member = next(iter(self.members.items()))
            above = f"above 0, the part of the run that `before.{family}` {member.name} is for"
            require_field(False, "before.part", above, self.part, 0, 1)
        there = ", ".join(f"`before.{field.name}`" for field in of_members(self))
        require(not self.part or bool(self.members), f"`before.part` {self.part:g}: expected one of {there} with it")
        robust, feature = self.robust_loss, self.feature_loss
        if robust is not None and (robust.sees_teacher or robust.feedback(classes=1)):
            raise UserError(f"`before.robust_loss`: expected one without teacher and feedback, got {robust.name}")
        if feature is not None and (feature.projection or feature.memory(dimensions=1, classes=1)):
            wanted = "expected one without a projection and a memory, which are the run's own"
            raise UserError(f"`before.feature_loss`: {wanted}, got {feature.name}")

    def epochs(self, epochs: int) -> int:
        """Return how many epochs it has; the last one is always the run's own.

        Args:
            epochs: of the run.
        """
        return min(round(self.part * epochs), epochs - 1)


def of_members(before: Before | type[Before]) -> list[Field[Any]]:
    """Return the fields that hold members, by the names that they have in a configuration."""
    return [field for field in fields(before) if field.name != "part"]
