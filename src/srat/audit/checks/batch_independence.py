"""An image in other company."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from srat.audit.base import Check, Finding, Subject
from srat.audit.checks.determinism import compared
from srat.audit.searching import Images
from srat.evaluation.expected import Expected, difference
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
        """Show each of some attacked images alone, among all of them with the others inverted, and in a whole batch."""
        batch, model = subject.attacked[0], subject.model
        images = batch[: self.images]
        with torch.no_grad(), lent_exactly(model) as lent:
            alone = torch.cat([logits_at(lent, image[None]) for image in images])
            together, whole = _in_company(lent, images), logits_at(lent, batch)[: self.images]
        tolerance = self.tolerance
        if isinstance(model, Expected):  # alone an image has other draws than in company
            with torch.no_grad(), lent_exactly(model.of(model.seed + 1)) as redrawn:
                tolerance += 2 * difference(together, _in_company(redrawn, images))
        found = (
            compared(alone, others, tolerance, what)
            for others, what in ((together, "alone and in company"), (whole, f"alone and in a batch of {len(batch)}"))
        )
        return max(found, key=lambda one: one.figures["largest_difference"])


def _in_company(lent: nn.Module, images: Images) -> Tensor:
    together = []
    for half in (slice(None, None, 2), slice(1, None, 2)):
        others = 1 - images
        others[half] = images[half]
        together.append(logits_at(lent, others)[half])
    answers = torch.empty(len(images), together[0].shape[1], device=images.device)
    answers[::2], answers[1::2] = together
    return answers
