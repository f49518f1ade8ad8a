"""The part of the training data that is held out, to choose the best epoch without a look at the test set."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.checked import Checked, checked
from srat.core.errors import require, require_field
from srat.core.keyed_random import generator
from srat.data.counts import require_labels
from srat.data.group_draw import drawn_groups


@dataclass(frozen=True, kw_only=True)
class Holdout(Checked):
    """The held-out part of the training images: a share of each class, to choose the best epoch by."""

    fraction: float = 0.1
    """Share of each class that is held out; 0 holds nothing out."""
    minimum: int = 5
    """Images held out of each class at the least (but never more than half of it)."""

    def __post_init__(self) -> None:
        fraction = self.fraction
        require_field(0 <= fraction <= 0.5, "holdout.fraction", "a share from 0 to 0.5", fraction, 0, 0.5)
        require_field(self.minimum >= 0, "holdout.minimum", "0 or more", self.minimum)

    def of_class(self, images: int) -> int:
        """Return how many images of a class are held out at the most: max(minimum, fraction · n), never over half."""
        return min(max(self.minimum, round(self.fraction * images)), images // 2) if self.fraction else 0

    @checked
    def split(
        self, labels: Int[Tensor, " n"], *, seed: int, groups: Int[Tensor, " n"] | None = None
    ) -> tuple[Int[Tensor, " train"], Int[Tensor, " held"]]:
        """Return sorted positions to train on, and those held out: max(minimum, fraction·n_c) of each class.

        Args:
            labels: (n,), integers from 0.
            seed: of the draw.
            groups: (n,), which images belong together: a group is held out as a whole or not at all, so that a class
                has about that number, and never more than half of it.

        Raises:
            UserError: if a label is negative, or there are not as many groups as labels.
        """
        require_labels(labels, None)
        if self.fraction == 0 or len(labels) == 0:
            return torch.arange(len(labels)), torch.arange(0)
        if groups is not None:
            require(len(groups) == len(labels), f"groups: expected {len(labels)}, got {len(groups)}")
            is_held = self._held_groups(labels, groups, seed)
            return torch.nonzero(~is_held).flatten(), torch.nonzero(is_held).flatten()
        train, held = [], []
        for c in range(int(labels.max()) + 1):
            members = torch.nonzero(labels == c).flatten()
            members = members[torch.randperm(len(members), generator=generator(seed, "holdout", step=c))]
            count = self.of_class(len(members))
            held.append(members[:count])
            train.append(members[count:])
        return torch.cat(train).sort().values, torch.cat(held).sort().values

    def _held_groups(self, labels: Int[Tensor, " n"], groups: Int[Tensor, " n"], seed: int) -> Tensor:
        """Return which images are of the groups that are held out."""
        counts = dict(enumerate(labels.bincount().tolist()))
        there = torch.tensor(sorted(set(groups.tolist())))
        order = there[torch.randperm(len(there), generator=generator(seed, "holdout"))].tolist()
        drawn = drawn_groups(
            zip(groups.tolist(), labels.tolist(), strict=True),
            order,
            wanted={label: self.of_class(count) for label, count in counts.items()},
            most={label: count // 2 for label, count in counts.items()},
        )
        return torch.isin(groups, torch.tensor(sorted(drawn), dtype=groups.dtype))
