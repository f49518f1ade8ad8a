"""AutoAttack by the code of those who made it (the package ``pyautoattack``), for the purist."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.attacks.apgd import APGDT
from srat.attacks.base import Images
from srat.attacks.searches import MOST_TARGETS, Search
from srat.attacks.walks import Ask, Labels
from srat.core.gradients import ordinary
from srat.core.keyed_random import kept_streams

_NORMS = {"linf": "Linf", "l2": "L2"}


@dataclass(frozen=True, kw_only=True)
class ReferenceStage(Search):
    """A stage of the reference. It draws for a batch as a whole, so that its results depend on the batches."""

    make: Callable[..., Any]
    """Logits' function, number of classes and settings → the reference's object."""

    @override
    def attacked(
        self, logits_at: Ask, images: Images, labels: Labels, numbers: Int[Tensor, " batch"], *, classes: int, seed: int
    ) -> Images:
        """Return what it makes of a batch; torch's global generators are as they were afterwards."""
        del numbers
        with kept_streams():
            made = self.make(
                # A copy, for Square writes into what it is given.
                lambda x: logits_at(x).float().clone(),
                classes,
                n_restarts=1,
                norm=_NORMS[self.norm],
                eps=self.epsilon,
                seed=seed,
                verbose=False,
                device=images.device,
            )
            found: Tensor = made.perturb(ordinary(images), ordinary(labels))
        return found.detach()


@dataclass(frozen=True, kw_only=True)
class ReferenceAutoAttack(Search, name="autoattack-reference"):
    """AutoAttack's standard version by its authors' code, batch by batch."""

    @property
    @override
    def stages(self) -> Sequence[ReferenceStage]:
        """All four, in the order of the standard version."""
        return tuple(
            ReferenceStage(norm=self.norm, epsilon=self.epsilon, make=make)
            for make in (_apgd_ce, _apgd_t, _fab_t, _square)
        )

    @override
    def note(self, classes: int) -> str:
        return APGDT().note(classes)


def _apgd_ce(logits_at: Ask, classes: int, **settings: Any) -> Any:
    del classes
    from pyautoattack.autopgd_base import APGDAttack

    return APGDAttack(logits_at, n_iter=100, loss="ce", eot_iter=1, rho=0.75, **settings)


def _apgd_t(logits_at: Ask, classes: int, **settings: Any) -> Any:
    from pyautoattack.autopgd_base import APGDAttack_targeted

    kind = APGDAttack_targeted if classes >= APGDT.needs else _on_the_margin(APGDAttack_targeted)
    return kind(logits_at, n_iter=100, eot_iter=1, rho=0.75, n_target_classes=_targets(classes), **settings)


def _fab_t(logits_at: Ask, classes: int, **settings: Any) -> Any:
    from pyautoattack.fab_pt import FABAttack_PT

    return FABAttack_PT(logits_at, n_iter=100, targeted=True, n_target_classes=_targets(classes), **settings)


def _square(logits_at: Ask, classes: int, **settings: Any) -> Any:
    del classes
    from pyautoattack.square import SquareAttack

    return SquareAttack(logits_at, p_init=0.8, n_queries=5000, resc_schedule=False, **settings)


def _targets(classes: int) -> int:
    return min(MOST_TARGETS, classes - 1)


def _on_the_margin(targeted: Any) -> Any:
    """Return APGD-T with z_target − z_y for its loss: the targeted DLR loss divides by the fourth largest logit."""

    class OnTheMargin(targeted):  # type: ignore[misc]
        def dlr_loss_targeted(self, logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> Tensor:
            target = logits.gather(1, self.y_target[:, None]).squeeze(1)
            return target - logits.gather(1, labels[:, None]).squeeze(1)

    return OnTheMargin
