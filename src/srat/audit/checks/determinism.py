"""The same input twice."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from srat.audit.base import Check, Finding, Subject
from srat.core.words import percent
from srat.evaluation.expected import TOLERANCE, Expected, difference
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at


@dataclass(frozen=True, kw_only=True)
class Determinism(Check, name="determinism"):
    """Randomness at inference, and answers that differ where someone asks for a gradient, as only attacks do."""

    question: ClassVar[str] = "Does the same image give the same logits twice, with a gradient and without?"
    tolerance: float = TOLERANCE
    """Of the largest difference, over the logits' standard deviation; kernels that add up in any order stay below."""

    def examine(self, subject: Subject) -> Finding:
        """Ask for attacked images twice, the second time with a gradient, and compare."""
        with lent_exactly(subject.model) as lent:
            once = _answers(lent, subject)
            wanted = (images.clone().requires_grad_() for images in subject.attacked)
            again = torch.cat([logits_at(lent, images).detach() for images in wanted])
        found = compared(once, again, self.tolerance, "asked twice, once with a gradient")
        if found.verdict == "fail" or not isinstance(subject.model, Expected):
            return found
        with lent_exactly(subject.model.model) as lent:
            drawn = compared(_answers(lent, subject), _answers(lent, subject), self.tolerance, "asked twice")
        said = f"the model draws: {drawn.evidence}; attacks see the mean of {subject.model.draws} answers"
        return Finding(verdict="warn", evidence=said, figures=drawn.figures)


def _answers(lent: torch.nn.Module, subject: Subject) -> Tensor:
    with torch.no_grad():
        return torch.cat([logits_at(lent, images) for images in subject.attacked])


def compared(one: Tensor, other: Tensor, tolerance: float, what: str) -> Finding:
    """Return what two answers to the same images say."""
    apart = difference(one, other)
    turned = int((one.argmax(dim=1) != other.argmax(dim=1)).sum())
    return Finding(
        verdict="pass" if apart <= tolerance else "fail",
        evidence=(
            f"{what}, logits differ by up to {apart:.2g} of their standard deviation, and "
            f"{percent(turned, len(one))} of the images change their class"
        ),
        figures={"largest_difference": apart, "class_changes": turned / len(one)},
    )
