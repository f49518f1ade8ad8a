"""An image in other company."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from srat.audit.base import Check, Finding, Subject
from srat.audit.checks.determinism import compared
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at


@dataclass(frozen=True, kw_only=True)
class BatchIndependence(Check, name="batch-independence"):
    """BatchNorm in train mode, and its kind: an image's accuracy is that of its batch."""

    question: ClassVar[str] = "Do an image's logits stay the same in whatever batch it comes?"
    images: int = 64
    """How many are tried."""
    tolerance: float = 1e-2
    """Of the largest difference, over the logits' standard deviation; kernels of other sizes round otherwise."""

    def examine(self, subject: Subject) -> Finding:
        """Show each of some images alone, and among all of them with the others inverted."""
        images = subject.unit(subject.every[: self.images])
        with torch.no_grad(), lent_exactly(subject.model) as lent:
            alone = torch.cat([logits_at(lent, image[None]) for image in images])
            company = []
            for half in (slice(None, None, 2), slice(1, None, 2)):
                others = 1 - images
                others[half] = images[half]
                company.append(logits_at(lent, others)[half])
        together = torch.empty_like(alone)
        together[::2], together[1::2] = company
        return compared(alone, together, self.tolerance, "alone and in company")
