"""AutoAttack, the standard ensemble, and a quicker part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from srat.attacks.apgd import APGDCE, APGDT
from srat.attacks.fab import FABT
from srat.attacks.searches import Search
from srat.attacks.square import Square


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
    """The beginning of AutoAttack, for work in progress: APGD-CE, and APGD-T towards five classes.

    What it breaks AutoAttack breaks, but for the random starts, and not the other way round: never report it as such.
    """

    @property
    @override
    def stages(self) -> Sequence[Search]:
        """Both, in their order."""
        norm, epsilon = self.norm, self.epsilon
        return APGDCE(norm=norm, epsilon=epsilon), APGDT(norm=norm, epsilon=epsilon, targets=5)
