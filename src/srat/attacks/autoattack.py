"""AutoAttack, the standard ensemble, and a quicker part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.attacks.apgd import APGDCE, APGDT
from srat.attacks.fab import FABT
from srat.attacks.pgd_margin import PGDMargin, margin_of
from srat.attacks.searches import Search
from srat.attacks.square import Square
from srat.attacks.walks import Steps, Walk

GAP = "autoattack-rapid is not AutoAttack: it may leave more images standing"


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Search, name="autoattack"):
    """The standard four, one after the other: APGD-CE, APGD-T, FAB-T and Square (Croce and Hein, 2020)."""

    @property
    @override
    def stages(self) -> Sequence[Search]:
        """All four, in the order of the standard version."""
        return tuple(kind(norm=self.norm, epsilon=self.epsilon) for kind in (APGDCE, APGDT, FABT, Square))


@dataclass(frozen=True, kw_only=True)
class RapidAutoAttack(Search, name="autoattack-rapid"):
    """For work in progress: PGD on the margin, and APGD-T towards five classes. Never report it as AutoAttack."""

    @property
    @override
    def stages(self) -> Sequence[Search]:
        """Both, the quick one first."""
        norm, epsilon = self.norm, self.epsilon
        return OnTheMargin(norm=norm, epsilon=epsilon), APGDT(norm=norm, epsilon=epsilon, targets=5)

    @override
    def note(self, classes: int) -> str:
        said = super().note(classes)
        return f"{said}; {GAP}" if said else GAP


@dataclass(frozen=True, kw_only=True)
class OnTheMargin(Search):
    """Twenty steps of ε/4 on the margin, from a random start, as a stage."""

    name: ClassVar[str] = "pgd-margin"

    @override
    def walks(self, classes: int) -> Sequence[Walk]:
        del classes
        attack = PGDMargin(norm=self.norm, epsilon=self.epsilon, step_size=self.epsilon / 4, steps=20)
        return (Steps(attack=attack, usual=margin_of),)
