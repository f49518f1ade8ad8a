"""Images as they are, what an attack adds, and what the model says of both; rare classes first."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from srat.attacks import PGD
from srat.core.errors import require
from srat.core.gradients import taking_gradients
from srat.core.keyed_random import generator
from srat.data import Dataset, to_unit
from srat.evaluation.serving import BATCH_SIZE, last_points, lent_exactly
from srat.models import logits_at
from srat.models.asking import device_of

LARGEST_SIDE = 112
"""Pixels of a side; larger images are shown smaller."""
_TRIED = 24
"""Images of each class that are attacked to choose from."""


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a model says of an image."""

    predicted: int
    """The class."""
    probability: float
    """What it gives that class, in [0, 1]."""
    true_probability: float
    """What it gives the true one."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A test image before and after an attack."""

    label: int
    """The true class."""
    image: str
    """As it is, as a data URI."""
    change: str
    """What the attack adds, magnified around grey."""
    magnified: float
    """How many times."""
    adversarial: str
    """What comes of it."""
    before: Opinion
    after: Opinion

    @property
    def holds(self) -> bool:
        """Whether the model is right before and after."""
        return self.before.predicted == self.after.predicted == self.label


@taking_gradients
def make_gallery(
    model: nn.Module, test: Dataset, attack: PGD, *, order: Sequence[int], most: int, seed: int
) -> list[Specimen]:
    """Return a few test images that are right as they are: of each class one that breaks, and then some that hold.

    Args:
        model: images in [0, 1] → logits, or an output that has them.
        test: the images.
        attack: what they are attacked by; shown is where it ends.
        order: the classes, those first that are to be shown first; of more than are shown, the last are left out.
        most: how many to show at the most.
        seed: of the attack's randomness.

    Raises:
        UserError: if images have neither one channel nor three.
    """
    channels = test.images.shape[1]
    require(channels in (1, 3), f"images of {channels} channels cannot be shown")
    device = device_of(model, torch.device("cpu"))
    tried = [(test.labels == c).nonzero().flatten()[:_TRIED] for c in order[:most]]
    sample = test.subset(torch.cat(tried))
    labels, parts = sample.labels.to(device), []
    with lent_exactly(model) as lent:
        for number, chosen in enumerate(torch.split(torch.arange(len(sample)), BATCH_SIZE)):
            some = to_unit(sample.images[chosen].to(device))
            rng = generator(seed, "gallery", step=number, device=device)
            attacked = last_points(lent, some, labels[chosen], attack, generator=rng)
            with torch.no_grad():
                opinions = [logits_at(lent, each).softmax(dim=1) for each in (some, attacked)]
            parts.append((some, attacked, *opinions))
    images, adversarial, before, after = (torch.cat(each) for each in zip(*parts, strict=True))
    right = before.argmax(dim=1) == labels
    breaks, holds = right & (after.argmax(dim=1) != labels), right & (after.argmax(dim=1) == labels)
    first = [
        int(found[0])
        for which in (breaks, holds)
        for c in order
        if len(found := (which & (labels == c)).nonzero().flatten())
    ]
    return [
        _specimen(images[i], adversarial[i], int(labels[i]), before[i], after[i], scale=_scale(attack))
        for i in first[:most]
    ]


def _scale(attack: PGD) -> float | None:
    """Return the largest change of a pixel that there can be; in L2 it is not known beforehand."""
    return attack.epsilon if attack.norm == "linf" else None


def _specimen(
    image: Float[Tensor, "channels height width"],
    adversarial: Float[Tensor, "channels height width"],
    label: int,
    before: Float[Tensor, " classes"],
    after: Float[Tensor, " classes"],
    *,
    scale: float | None,
) -> Specimen:
    change = adversarial - image
    largest = max(scale or float(change.abs().max()), 1e-6)
    return Specimen(
        label=label,
        image=data_uri(image),
        change=data_uri(0.5 + change / (2 * largest)),
        magnified=1 / (2 * largest),
        adversarial=data_uri(adversarial),
        before=_opinion(before, label),
        after=_opinion(after, label),
    )


def _opinion(probabilities: Float[Tensor, " classes"], label: int) -> Opinion:
    predicted = int(probabilities.argmax())
    return Opinion(
        predicted=predicted,
        probability=float(probabilities[predicted]),
        true_probability=float(probabilities[label]),
    )


def data_uri(image: Float[Tensor, "channels height width"]) -> str:
    """Return an image in [0, 1] as a PNG within a URI."""
    from PIL import Image

    pixels = image.clamp(0, 1).mul(255).round().byte().cpu()
    array = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    if max(picture.size) > LARGEST_SIDE:
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
