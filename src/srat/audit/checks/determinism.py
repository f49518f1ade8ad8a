"""The same input twice."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import Check, Finding, Subject
from srat.core.words import percent


@dataclass(frozen=True, kw_only=True)
class Determinism(Check, name="determinism"):
    """Randomness at inference: an attack's gradients are of another draw than the one that is served."""

    question: ClassVar[str] = "Does the same image give the same logits twice?"
    tolerance: float = 1e-3
    """Of the largest difference, over the logits' standard deviation; kernels that add up in any order stay below."""

    def examine(self, subject: Subject) -> Finding:
        """Ask twice, and compare."""
        return compared(subject.logits, subject.asked(), self.tolerance, "asked twice")


def compared(one: torch.Tensor, other: torch.Tensor, tolerance: float, what: str) -> Finding:
    """Return what two answers to the same images say."""
    difference = float((one - other).abs().max() / one.std().clamp(min=1e-12))
    turned = int((one.argmax(dim=1) != other.argmax(dim=1)).sum())
    return Finding(
        verdict="pass" if difference <= tolerance else "fail",
        evidence=(
            f"{what}, logits differ by up to {difference:.2g} of their standard deviation, and "
            f"{percent(turned, len(one))} of the images change their class"
        ),
        figures={"largest_difference": difference, "class_changes": turned / len(one)},
    )
