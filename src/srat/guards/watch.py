"""What a guard remembers of a run: what was right in this epoch and at best, and the last good state to go back to."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from srat.guards.base import Right, Seen

Classes = tuple[int, ...]
PerClass = Sequence[int]


class Watch(nn.Module):
    """What a guard sees and keeps, in buffers, so that checkpoints hold it.

    It takes the memory of the model and of all that a run keeps beside it once more: average, feature memory, feedback.

    Args:
        model: as it is now, which is good: there is nothing better yet.
        parts: what is kept beside it.
        groups: classes by the name of their group; all of them under "".
        classes: how many there are.
    """

    remedies: Int[Tensor, ""]
    """How often the guard has stepped in."""
    resigned: Bool[Tensor, ""]
    """Whether it has found a collapse after it went back as often as it may."""
    kept: Int[Tensor, ""]
    """The epochs that were done when the state was kept."""
    attacked: Int[Tensor, " classes"]
    """Training images of each class that were right under the training attack in this epoch."""
    started: Int[Tensor, " classes"]
    """Those that were right where it began."""
    images: Int[Tensor, " classes"]
    """All of them."""
    best: Int[Tensor, "groups 2"]
    """The probe's images of each group: right and all, after the best epoch so far."""

    def __init__(self, model: nn.Module, parts: nn.ModuleDict, *, groups: Mapping[str, Classes], classes: int) -> None:
        super().__init__()
        self.groups = groups
        for name in ("remedies", "kept"):
            self.register_buffer(name, torch.zeros((), dtype=torch.long))
        self.register_buffer("resigned", torch.zeros((), dtype=torch.bool))
        for name in ("attacked", "started", "images"):
            self.register_buffer(name, torch.zeros(classes, dtype=torch.long))
        self.register_buffer("best", torch.zeros(len(groups), 2, dtype=torch.long))
        self.good = nn.ModuleDict({"model": copy.deepcopy(model), "parts": copy.deepcopy(parts)}).requires_grad_(False)

    def observe(
        self, labels: Int[Tensor, " batch"], started: Bool[Tensor, " batch"], right: Bool[Tensor, " batch"]
    ) -> None:
        """Take in a step, after it; it waits for no device.

        Args:
            labels: (batch,), the classes, of all processes.
            started: (batch,), which images were right where the training attack began.
            right: (batch,), which are right as it left them.
        """
        for counted, weights in (
            (self.images, torch.ones_like(labels)),
            (self.started, started),
            (self.attacked, right),
        ):
            counted.index_add_(0, labels, weights.long())

    def seen(self, probed: Sequence[PerClass], comparable: Sequence[bool]) -> dict[str, Seen]:
        """Return what is seen of each group in this epoch.

        Args:
            probed: (classes,) each: the probe's images, those right under its attack, those right under training's.
            comparable: (classes,), whether the training attack's ball is at least as large as the probe's.
        """
        counts = [*probed, self.attacked.tolist(), self.started.tolist(), self.images.tolist()]
        found = {}
        for (name, classes), best in zip(self.groups.items(), self.best.tolist(), strict=True):
            total, robust, trained, attacked, started, images = (sum(each[c] for c in classes) for each in counts)
            found[name] = Seen(
                probe=Right(robust, total),
                best=Right(*best),
                trained=Right(trained, total),
                guess=max(probed[0][c] for c in classes) / max(1, total),
                comparable=all(comparable[c] for c in classes),
                attacked=Right(attacked, images),
                started=Right(started, images),
            )
        return found

    def close(self, seen: Mapping[str, Seen]) -> None:
        """Take in the end of an epoch: the best so far, and that nothing is seen yet of the next one."""
        best = [max((one.best, one.probe), key=lambda right: (right.correct, right.total)) for one in seen.values()]
        self.best.copy_(torch.tensor(best))
        for counted in (self.images, self.started, self.attacked):
            counted.zero_()

    @torch.no_grad()
    def keep(self, model: nn.Module, parts: nn.ModuleDict, epochs: int) -> None:
        """Keep a state as the last good one; ``epochs`` are done."""
        for ours, theirs in self._pairs(model, parts):
            ours.copy_(theirs)
        self.kept.fill_(epochs)

    @torch.no_grad()
    def restore(self, model: nn.Module, parts: nn.ModuleDict) -> None:
        """Put the last good state into a model and what is kept beside it, and count that."""
        for ours, theirs in self._pairs(model, parts):
            theirs.copy_(ours)
        self.remedies += 1

    def _pairs(self, model: nn.Module, parts: nn.ModuleDict) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield each tensor of the last good state with that of the run."""
        good = cast(nn.ModuleDict, self.good["parts"])
        modules = [(self.good["model"], model), *((part, parts[name]) for name, part in good.items())]
        for ours, theirs in modules:
            yield from zip(_tensors(ours), _tensors(theirs), strict=True)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
