"""What attacks of one sign step in L∞ have in common: a ball, and a step of a size of their own."""

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from srat.attacks.base import Images, IterativeAttack, Scale, scaled
from srat.attacks.doubts import doubts_of_ball, doubts_of_steps, named_doubts
from srat.attacks.pgd import ascend, check_budget
from srat.attacks.projections import Shape, check_length
from srat.core.errors import require_field


@dataclass(frozen=True, kw_only=True)
class SingleStep(IterativeAttack):
    """One sign step in L∞."""

    epsilon: float = 8 / 255
    """ε, the L∞ radius, in [0, 1] pixel units."""
    step_size: float | None = None
    """α; the attack's own multiple of ε unless given."""

    own: ClassVar[frozenset[str]] = frozenset({"step_size"})

    def __post_init__(self) -> None:
        check_budget(self.epsilon, "linf")
        step = self.step_size
        require_field(step is None or step > 0, "step_size", "a positive number", step, 0)

    @property
    def usual_step(self) -> float:
        """The size of the step where none is given."""
        raise NotImplementedError

    @property
    @override
    def alpha(self) -> float:
        return self.usual_step if self.step_size is None else self.step_size

    @property
    @override
    def iterations(self) -> int:
        return 1

    @override
    def step(self, adversarial: Images, gradient: Images, images: Images, scale: Scale | None = None) -> Images:
        check_length("step_size", self.alpha, images)
        epsilon, step_size = scaled(self.epsilon, scale), scaled(self.alpha, scale)
        return ascend(adversarial, gradient, images, norm="linf", epsilon=epsilon, step_size=step_size)

    @override
    def doubts(self, shape: Shape) -> tuple[str, ...]:
        steps = doubts_of_steps(self.epsilon, self.alpha, 1)
        return named_doubts(self.label, doubts_of_ball("linf", self.epsilon, shape), steps)
