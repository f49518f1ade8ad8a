"""What a robust loss is: L_i of an example, made of its logits under attack and what these are compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from srat.core.members import Member
from srat.feedback import Feedback
from srat.losses.base import Labels, Logits, PerExample


class References(NamedTuple):
    """What logits under attack are compared with."""

    labels: Labels
    """(batch,), the classes."""
    prediction: Callable[[Logits], PerExample]
    """Logits → the prediction loss of each example against its label."""
    clean: Logits | None
    """(batch, classes), of the images without the attack, where the loss asks for them."""
    teacher: Logits | None = None
    """(batch, classes), of the images without the attack by a teacher, where the loss asks for them."""
    weights: PerExample | None = None
    """(batch,), what the objective will multiply each example's number with; the attack has none."""
    factors: PerExample | None = None
    """(batch,), what the loss's own feedback has learnt of each example's class."""

    def of_clean(self) -> Logits:
        """Return the logits of the clean images, which a loss that ``sees_clean`` gets."""
        assert self.clean is not None
        return self.clean

    def of_teacher(self) -> Logits:
        """Return the teacher's logits, which a loss that ``sees_teacher`` gets."""
        assert self.teacher is not None
        return self.teacher

    def of_weights(self) -> PerExample:
        """Return the weights, which ``outer`` gets."""
        assert self.weights is not None
        return self.weights

    def of_factors(self) -> PerExample:
        """Return the factors, which ``outer`` of a loss with feedback gets."""
        assert self.factors is not None
        return self.factors


class TeacherWeights(NamedTuple):
    """Which weights a teacher has."""

    path: Path
    """The file."""
    sha256: str
    """Its checksum."""


@dataclass(frozen=True, kw_only=True)
class RobustLoss(Member):
    """What is compared with what: labels, what the model says of the clean image, what a teacher says."""

    sees_clean: ClassVar[bool] = False
    """Whether ``outer`` asks for the logits of the clean images."""
    attack_sees_clean: ClassVar[bool] = False
    """Whether ``inner`` asks for them, too."""
    sees_teacher: ClassVar[bool] = False
    """Whether it asks for a teacher's logits."""
    needs_start: ClassVar[bool] = False
    """Whether ``inner`` is flat at the image itself, so that an attack has to begin beside it."""

    @property
    def attacks_prediction(self) -> bool:
        """Whether ``inner`` is made of the prediction loss, so that ``inner.loss`` says of which."""
        return not self.attack_sees_clean

    @property
    def teacher_weights(self) -> TeacherWeights | None:
        """Which weights the teacher has; None for the average of the run's own."""
        return None

    def feedback(self, *, classes: int) -> Feedback | None:
        """Return what learns a factor of each class while the run goes on; None for nothing.

        Args:
            classes: how many there are.
        """
        del classes
        return None

    def inner(self, logits: Logits, references: References) -> PerExample:
        """Return what the training attack makes large, (batch,): the prediction loss, unless it has one of its own.

        Args:
            logits: of the images under attack, (batch, classes), from the model that the attack sees.
            references: ``prediction`` is what the run's ``inner.loss`` says; ``clean`` comes from the same model, and
                no gradient goes through it, nor through ``teacher``.
        """
        return references.prediction(logits)

    def outer(self, logits: Logits, references: References) -> PerExample:
        """Return L_i, (batch,), which the objective weighs, reduces and minimises.

        Args:
            logits: of the adversarial images, (batch, classes), from the model in train mode.
            references: ``prediction`` is the run's prediction loss; ``clean`` has its gradient.
        """
        raise NotImplementedError
