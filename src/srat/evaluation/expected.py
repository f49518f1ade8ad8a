"""A model that answers at random, as the mean of several answers."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from srat.core.errors import require
from srat.core.keyed_random import derive_seed, generator, kept_streams, seed_streams
from srat.evaluation.serving import lent_exactly
from srat.models import logits_at
from srat.models.lending import unmoved

DRAWS = 10
"""Answers that the mean is of."""
TOLERANCE = 1e-3
"""Of the largest difference of two answers, over the logits' standard deviation, up to which they count as the same."""
PROBED = 16
"""Images by which it is found out whether a model is random, …"""
_NEAR = 8 / 255
"""How far beside them it is looked, too: a model may draw where pixels are not those of a file."""
_ASKED = 20
"""… and how often it is asked whether it draws for each image or once for a batch."""
_TOGETHER = 2.0
"""Variance of batches' means over that of independent answers, above which a batch's images share its draws."""

Randomness = Literal["none", "by-image", "by-batch"]
"""Whether a model answers at random, and of what its draws are."""
Images = Float[Tensor, "batch channels height width"]


class Expected(nn.Module):
    """The mean of a random model's logits over several draws, which an image keeps with its place in a batch.

    An attack on it is one through the expectation over transformation (Athalye et al., 2018): its loss and gradient are
    those of the mean, and an image is right where the mean is. The draws are held, so that a longer attack does not
    break an image by asking until an unlucky draw comes; to an attack that knows them a model is, if anything, weaker.

    Args:
        model: images in [0, 1] → logits, drawing from torch's generators.
        draws: how many.
        seed: of the draws.
        one_by_one: ask for each image alone, of a model that draws once for a whole batch.
    """

    def __init__(self, model: nn.Module, *, draws: int = DRAWS, seed: int = 0, one_by_one: bool = False) -> None:
        super().__init__()
        require(draws >= 1, f"`draws`: expected at least 1, got {draws}")
        self.model, self.draws, self.seed, self.one_by_one = model, draws, seed, one_by_one

    @override
    def forward(self, images: Tensor) -> Tensor:
        shown = torch.split(images, 1) if self.one_by_one else (images,)
        answers = []
        with kept_streams():
            for draw in range(self.draws):
                seed_streams(derive_seed(self.seed, "evaluation/draws", step=draw))
                answers.append(torch.cat([logits_at(self.model, some) for some in shown]))
        return torch.stack(answers).mean(dim=0)

    def of(self, seed: int) -> "Expected":
        """Return the same with other draws."""
        return Expected(self.model, draws=self.draws, seed=seed, one_by_one=self.one_by_one)


def randomness(model: nn.Module, images: Images) -> Randomness:
    """Return whether a model answers at random, and whether it draws for each image or once for a batch.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        images: some, in [0, 1], on its device; the first few are looked at, twice, as they are and beside.
    """
    few = images[:PROBED]
    noise = torch.rand(few.shape, generator=generator(0, "evaluation/probed")).to(few)
    some = torch.cat((few, (few + _NEAR * (2 * noise - 1)).clamp(0, 1)))
    with torch.no_grad(), lent_exactly(model) as lent, unmoved(lent):
        if isinstance(model, Expected) or difference(logits_at(lent, some), logits_at(lent, some)) <= TOLERANCE:
            return "none"
        return "by-batch" if drawn_together(lent, some[:1]) else "by-image"


def expected(
    model: nn.Module, kind: Randomness, *, draws: int = DRAWS, seed: int = 0, tell: Callable[[str], None]
) -> nn.Module:
    """Return the model itself, or its mean over several draws if it answers at random, and tell of that.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        kind: its randomness.
        draws: how many.
        seed: of the draws.
        tell: called with a line if the model is random.
    """
    require(draws >= 1, f"`draws`: expected at least 1, got {draws}")
    if kind == "none":
        return model
    tell(
        f"the model answers at random: attacks see the mean of {draws} of its answers, and an image is right where "
        "that is" + (" (it draws once for a batch, so that images are shown one by one)" if kind == "by-batch" else "")
    )
    return Expected(model, draws=draws, seed=seed, one_by_one=kind == "by-batch")


def of_part(model: Expected, number: int) -> Expected:
    """Return a random model with the draws of one of the parts that an evaluation takes images in, counted from 0."""
    return model.of(derive_seed(model.seed, "evaluation/part", step=number))


def drawn_of(model: nn.Module) -> dict[str, int]:
    """Return what records of results say of a random model: how many draws; nothing of any other."""
    return {"draws": model.draws} if isinstance(model, Expected) else {}


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two answers to the same images, over the standard deviation of the logits.

    What is no number in both is the same in both.
    """
    finite = one.isfinite()
    if not torch.equal(finite, other.isfinite()):
        return float("inf")
    one, other = one[finite], other[finite]
    return float((one - other).abs().max() / one.std(correction=0).clamp(min=1e-12)) if len(one) else 0.0


def drawn_together(model: nn.Module, image: Float[Tensor, "1 channels height width"]) -> bool:
    """Return whether a random model's draws are those of the whole batch: copies of an image then answer alike.

    Args:
        model: as lent by `lent_exactly`.
        image: which is shown in copies; the variance of their means is compared with that within batches.
    """
    copies = image.expand(PROBED, -1, -1, -1)
    answers = torch.stack([logits_at(model, copies) for _ in range(_ASKED)]).double()  # (asked, copies, classes)
    within = float(answers.var(dim=1).mean())
    return PROBED * float(answers.mean(dim=1).var(dim=0).mean()) > _TOGETHER * within
