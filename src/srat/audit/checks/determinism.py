"""The same input twice."""

from dataclasses import dataclass, replace
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
    """Randomness, answers that differ where someone asks for a gradient, and those that remember what was asked."""

    question: ClassVar[str] = "Does the same image give the same logits, with a gradient, without, and at the first?"
    tolerance: float = TOLERANCE
    """Of the largest difference, over the logits' standard deviation; kernels that add up in any order stay below."""

    def examine(self, subject: Subject) -> Finding:
        """Ask for attacked images twice, once with a gradient, and a copy that has never been asked before."""
        with lent_exactly(subject.model) as lent:
            once = _answers(lent, subject)
            wanted = (images.clone().requires_grad_() for images in subject.attacked)
            again = torch.cat([logits_at(lent, images).detach() for images in wanted])
        found = compared(once, again, self.tolerance, "asked twice, once with a gradient")
        unasked = _unasked(subject)
        if unasked is None:
            found = replace(found, evidence=f"{found.evidence}; it cannot be copied to see whether it remembers")
        elif found.verdict != "fail":
            with lent_exactly(unasked) as lent:
                first = compared(_answers(lent, subject), once, self.tolerance, "asked at first and after an attack")
            found = max(found, first, key=lambda one: one.figures["largest_difference"])
        if found.verdict == "fail" or not isinstance(subject.model, Expected):
            return found
        with lent_exactly(subject.model.model) as lent:
            drawn = compared(_answers(lent, subject), _answers(lent, subject), self.tolerance, "asked twice")
        said = f"the model draws: {drawn.evidence}; attacks see the mean of {subject.model.draws} answers"
        return Finding(verdict="warn", evidence=said, figures=drawn.figures)


def _answers(lent: torch.nn.Module, subject: Subject) -> Tensor:
    with torch.no_grad():
        return torch.cat([logits_at(lent, images) for images in subject.attacked])


def _unasked(subject: Subject) -> torch.nn.Module | None:
    model, unasked = subject.model, subject.unasked
    if unasked is None or not isinstance(model, Expected):
        return unasked
    return Expected(unasked, draws=model.draws, seed=model.seed, one_by_one=model.one_by_one)


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
