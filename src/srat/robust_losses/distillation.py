"""Adversarial distillation: a teacher's prediction of the clean image is the target of the adversarial one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import require_field
from srat.core.members import NOT_IDENTITY
from srat.core.tensor_file import digest_of, weights_at
from srat.losses.base import Logits, PerExample
from srat.robust_losses.base import References, RobustLoss, TeacherWeights
from srat.robust_losses.divergence import kl_divergence

AVERAGE = Path("average")
"""The run's own averaged model as the teacher."""


@checked
def teacher_divergence(teacher: Logits, logits: Logits, temperature: float = 1.0) -> PerExample:
    """Return T² · KL(softmax(z_t / T) ‖ softmax(z / T)) of each example, in fp32 at least.

    With T² the gradient keeps its size whatever T is.

    Args:
        teacher: z_t, (batch, classes), of images without the attack.
        logits: z, (batch, classes), of adversarial images.
        temperature: T, 0.01 to 1,000.

    Returns:
        (batch,), in nats times T², 0 or more.

    Raises:
        UserError: if the temperature is out of range.

    Source: Hinton et al., 2015, Section 2; of adversarial images Zi et al., 2021 (RSLAD), with T = 1.
    """
    check_temperature(temperature, "temperature")
    return temperature**2 * kl_divergence(teacher / temperature, logits / temperature)


def check_temperature(temperature: float, where: str) -> None:
    """Raise ``UserError`` unless a temperature is one; ``where`` says whose."""
    require_field(0.01 <= temperature <= 1000, where, "0.01 to 1,000", temperature, 0.01, 1000)


@dataclass(frozen=True, kw_only=True)
class Distillation(RobustLoss, name="distillation"):
    """Distillation from a teacher: (1 − w) · ℓ(z(x'), y) + w · T² · KL(p_teacher(x) ‖ p(x')), both p at T.

    The teacher is in eval mode and has no gradient. Class weights multiply both terms.
    """

    teacher: Path = field(default=AVERAGE, metadata=NOT_IDENTITY)
    """Folder of a run that has ended, or a file of its weights; average for the run's own averaged model."""
    teacher_sha256: str = ""
    """Checksum of the teacher's weights, which says which they are wherever they lie; read from them unless given."""
    weight: float = 0.5
    """w, the part of the divergence, in [0, 1]."""
    temperature: float = 1.0
    """T, which divides the logits of both."""
    maximises: Literal["prediction", "divergence"] = "prediction"
    """What the attack makes large: the prediction loss, or the divergence from the teacher (RSLAD)."""

    sees_teacher: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_field(0 <= self.weight <= 1, "robust_loss.weight", "0 to 1", self.weight, 0, 1)
        check_temperature(self.temperature, "robust_loss.temperature")
        digest = self.teacher_sha256
        if self.teacher == AVERAGE:
            require_field(digest == "", "robust_loss.teacher_sha256", "none with the teacher average", digest)
        elif not digest:
            file = weights_at(self.teacher)
            wanted = "the folder of a run that has ended, a file of its weights, or average"
            require_field(file.is_file(), "robust_loss.teacher", wanted, str(self.teacher))
            object.__setattr__(self, "teacher", file.absolute())
            object.__setattr__(self, "teacher_sha256", digest_of(file))

    @property
    @override
    def attacks_prediction(self) -> bool:
        return self.maximises != "divergence"

    @property
    @override
    def teacher_weights(self) -> TeacherWeights | None:
        return TeacherWeights(self.teacher, self.teacher_sha256) if self.teacher_sha256 else None

    @override
    def inner(self, logits: Logits, references: References) -> PerExample:
        if self.maximises == "divergence":
            return teacher_divergence(references.of_teacher(), logits, self.temperature)
        return super().inner(logits, references)

    @override
    def outer(self, logits: Logits, references: References) -> PerExample:
        divergence = teacher_divergence(references.of_teacher(), logits, self.temperature)
        return (1 - self.weight) * references.prediction(logits) + self.weight * divergence
