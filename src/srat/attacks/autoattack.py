"""The attacks of AutoAttack, by the code of those who made them (the package ``pyautoattack``)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from srat.attacks.base import Adversary, Images
from srat.attacks.doubts import doubts_of_ball, named_doubts, tell_doubts
from srat.attacks.pgd import check_budget
from srat.attacks.projections import NormName, Shape
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.gradients import ordinary, taking_gradients
from srat.core.warn import warn
from srat.data.pixels import check_attackable

LogitsAt = Callable[[Tensor], Tensor]
"""Images (batch, channels, height, width) → logits, (batch, classes)."""
_NORMS = {"linf": "Linf", "l2": "L2"}
_MOST_TARGETS = 9


@dataclass(frozen=True, kw_only=True)
class ReferenceAttack(Adversary):
    """An attack that brings losses of its own: it is given logits and labels, and returns images within its budget.

    Of several stages each tries what the ones before have not broken.
    """

    norm: NormName = "linf"
    """The ball: linf or l2."""
    epsilon: float = 8 / 255
    """ε, the ball's radius, in [0, 1] pixel units."""

    needs: ClassVar[int] = 2
    """Classes below which it takes the margin for its loss."""

    def __post_init__(self) -> None:
        check_budget(self.epsilon, self.norm)

    @property
    def stages(self) -> "Sequence[ReferenceAttack]":
        """The attacks that are made one after the other; itself alone, but for AutoAttack."""
        return (self,)

    def doubts(self, shape: Shape) -> tuple[str, ...]:
        """Return what can hardly be meant about the ball, on images of a shape (channels, height, width)."""
        return named_doubts(self.label, doubts_of_ball(self.norm, self.epsilon, shape))

    def note(self, classes: int) -> str:
        """Return what is to be said of its results on so many classes; nothing, as a rule."""
        changed = [stage.name for stage in self.stages if classes < stage.needs]
        return f"{', '.join(changed)}: on {classes} classes DLR is undefined, the margin took its place" * bool(changed)

    @taking_gradients
    @checked
    def __call__(
        self, logits_at: LogitsAt, images: Tensor, labels: Int[Tensor, " batch"], *, classes: int, seed: int
    ) -> Images:
        """Return adversarial images; torch's global generators are as they were afterwards.

        Args:
            logits_at: images → logits, (batch, classes); of the parameters none may want a gradient.
            images: (batch, channels, height, width), in [0, 1], each classified rightly.
            labels: (batch,).
            classes: how many there are.
            seed: of all randomness.

        Returns:
            Images of the same shape, in [0, 1] and within the budget.

        Raises:
            UserError: if the images are not floating point in [0, 1], or the labels not one for each.

        Warns:
            UserWarning: on a ball that can hardly be meant.
        """
        check_attackable(images)
        require(len(labels) == len(images), f"labels: expected one for each of {len(images)} images, got {len(labels)}")
        tell_doubts((self,), images.shape[1:], warn)
        return self.perturb(logits_at, images, labels, classes=classes, seed=seed)

    def perturb(
        self, logits_at: LogitsAt, images: Images, labels: Int[Tensor, " batch"], *, classes: int, seed: int
    ) -> Images:
        """Do what a call does, for images and labels that were looked at before."""
        devices = [images.device] if images.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            made = self._made(
                # A copy, for Square writes into what it is given.
                lambda x: logits_at(x).float().clone(),
                classes,
                norm=_NORMS[self.norm],
                eps=self.epsilon,
                seed=seed,
                verbose=False,
                device=images.device,
            )
            found: Tensor = made.perturb(ordinary(images), ordinary(labels))
        return found.detach()

    def _made(self, logits_at: LogitsAt, classes: int, **settings: Any) -> Any:
        """Return the reference's object, with the settings of AutoAttack's standard version."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class APGDCE(ReferenceAttack, name="apgd-ce"):
    """Auto-PGD on cross-entropy, 100 steps (Croce and Hein, 2020)."""

    def _made(self, logits_at: LogitsAt, classes: int, **settings: Any) -> Any:
        del classes
        from pyautoattack.autopgd_base import APGDAttack

        return APGDAttack(logits_at, n_restarts=1, n_iter=100, loss="ce", eot_iter=1, rho=0.75, **settings)


@dataclass(frozen=True, kw_only=True)
class APGDT(ReferenceAttack, name="apgd-t"):
    """Auto-PGD on the targeted DLR loss, 100 steps towards each of nine classes (Croce and Hein, 2020)."""

    needs: ClassVar[int] = 4

    def _made(self, logits_at: LogitsAt, classes: int, **settings: Any) -> Any:
        from pyautoattack.autopgd_base import APGDAttack_targeted

        kind = APGDAttack_targeted if classes >= self.needs else _on_the_margin(APGDAttack_targeted)
        targets = min(_MOST_TARGETS, classes - 1)
        return kind(logits_at, n_restarts=1, n_iter=100, eot_iter=1, rho=0.75, n_target_classes=targets, **settings)


@dataclass(frozen=True, kw_only=True)
class FABT(ReferenceAttack, name="fab-t"):
    """FAB towards each of nine classes, 100 steps (Croce and Hein, 2020)."""

    def _made(self, logits_at: LogitsAt, classes: int, **settings: Any) -> Any:
        from pyautoattack.fab_pt import FABAttack_PT

        targets = min(_MOST_TARGETS, classes - 1)
        return FABAttack_PT(logits_at, n_restarts=1, n_iter=100, targeted=True, n_target_classes=targets, **settings)


@dataclass(frozen=True, kw_only=True)
class Square(ReferenceAttack, name="square"):
    """Square, a black-box attack of 5,000 queries (Andriushchenko et al., 2020)."""

    queries: int = 5000
    """Of the model, for each image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.queries <= 10**9, f"queries: expected at least 1, got {self.queries}")

    @property
    def label(self) -> str:
        """The attack's name; another number of queries is part of it."""
        return super().label + (f"-{self.queries}" if self.queries != 5000 else "")

    def _made(self, logits_at: LogitsAt, classes: int, **settings: Any) -> Any:
        del classes
        from pyautoattack.square import SquareAttack

        return SquareAttack(
            logits_at, p_init=0.8, n_queries=self.queries, n_restarts=1, resc_schedule=False, **settings
        )


@dataclass(frozen=True, kw_only=True)
class AutoAttack(ReferenceAttack, name="autoattack"):
    """The standard four, one after the other: APGD-CE, APGD-T, FAB-T and Square (Croce and Hein, 2020)."""

    @property
    def stages(self) -> Sequence[ReferenceAttack]:
        """All four, in the order of the standard version."""
        return tuple(kind(norm=self.norm, epsilon=self.epsilon) for kind in (APGDCE, APGDT, FABT, Square))


def _on_the_margin(targeted: Any) -> Any:
    """Return APGD-T with z_target − z_y for its loss: the targeted DLR loss divides by the fourth largest logit."""

    class OnTheMargin(targeted):  # type: ignore[misc]
        def dlr_loss_targeted(self, logits: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> Tensor:
            target = logits.gather(1, self.y_target[:, None]).squeeze(1)
            return target - logits.gather(1, labels[:, None]).squeeze(1)

    return OnTheMargin


__all__ = ["APGDCE", "APGDT", "FABT", "AutoAttack", "LogitsAt", "ReferenceAttack", "Square"]
