"""Half precision."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from srat.attacks.walks import right
from srat.audit.base import Check, Finding, Subject, judged
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at

_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, kw_only=True)
class HalfPrecision(Check, name="half-precision"):
    """A model that computes in half precision, in which small gradients are none; or one that rounding protects."""

    question: ClassVar[str] = "Is the model served in full precision, and as accurate in half?"
    warn: float = 0.01
    """Share of images by which accuracy in bfloat16 may differ, clean or attacked, …"""
    fail: float = 0.05
    """… above which rounding does the work."""

    def examine(self, subject: Subject) -> Finding:
        """Look for half precision in the model, and ask it in bfloat16, clean and attacked."""
        if where := half_in(subject):
            said = f"{where}: small gradients round to 0 or to coarse steps there, and mislead attacks"
            return Finding(verdict="fail", evidence=said)
        correct = torch.zeros(2, 2)
        with lent_exactly(subject.model) as lent:
            for last, (images, labels) in zip(subject.attacked, subject.batches(subject.every), strict=True):
                for row, points in enumerate((images, last)):
                    for column, half in enumerate((False, True)):
                        with torch.no_grad(), torch.autocast(subject.device.type, torch.bfloat16, enabled=half):
                            correct[row, column] += right(logits_at(lent, points), labels).sum().cpu()
        clean, attacked = (correct[:, 1] - correct[:, 0]).tolist()
        n, changed = subject.n, int(max(abs(clean), abs(attacked)))
        return Finding(
            verdict=judged(changed, n, warn=self.warn, fail=self.fail),
            evidence=f"in bfloat16 the accuracy changes by {100 * clean / n:+.1f} points clean, "
            f"{100 * attacked / n:+.1f} attacked",
            figures={"change_clean": clean / n, "change_attacked": attacked / n},
        )


def half_in(subject: Subject) -> str:
    """Return where a model holds or computes numbers of half precision; nothing if it does not."""
    tensors = (*subject.model.parameters(), *subject.model.buffers())
    if any(tensor.dtype in _HALF for tensor in tensors):
        return "the model has weights of half precision"
    seen: list[str] = []

    def look(module: nn.Module, _: object, output: object) -> None:
        if any(isinstance(made, Tensor) and made.dtype in _HALF for made in tree_leaves(output)):
            seen.append(type(module).__name__)

    handles = [module.register_forward_hook(look) for module in subject.model.modules()]
    try:
        with torch.no_grad(), lent_exactly(subject.model) as lent:
            logits_at(lent, subject.unit(subject.every[:1]))
    finally:
        for handle in handles:
            handle.remove()
    return f"the model computes in half precision ({', '.join(sorted(set(seen)))})" if seen else ""
