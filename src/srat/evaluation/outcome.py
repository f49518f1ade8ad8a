"""What becomes of each image under an attack."""

from hashlib import sha256
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEVER = -1
"""When an image breaks that nothing has broken."""


class Outcome(NamedTuple):
    """What became of each of some images."""

    broken_at: Int[Tensor, " n"]
    """0: wrong as it is; k > 0: wrong at the k-th point of the attack, its starts included; −1: never."""
    predicted: Int[Tensor, " n"]
    """The class that the model gave it there (any, if its logits were no numbers); the true one if it never broke."""

    @property
    def survived(self) -> Bool[Tensor, " n"]:
        """Which images nothing has broken."""
        return self.broken_at == NEVER

    @property
    def sha256(self) -> str:
        """What tells it from any other."""
        return sha256(torch.stack(tuple(self)).cpu().numpy().tobytes()).hexdigest()

    def at(self, chosen: Int[Tensor, " some"] | Bool[Tensor, " n"]) -> "Outcome":
        """Return the outcome of some of the images."""
        return Outcome(self.broken_at[chosen], self.predicted[chosen])


Found = tuple[Int[Tensor, " some"], Outcome]
"""Some images, as positions in the data set, and what has become of them."""


def broken_or_not(
    broken: Bool[Tensor, " batch"],
    point: int | Int[Tensor, " batch"],
    logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, " batch"],
) -> Outcome:
    """Return the outcome of images of which some are broken at a point."""
    return Outcome(torch.where(broken, point, NEVER), torch.where(broken, logits.argmax(dim=1), labels))
