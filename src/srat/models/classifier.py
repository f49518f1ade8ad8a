"""The model that every part of the house sees: normalisation, backbone, head."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from typing_extensions import override

from srat.core.checked import Checked, checked
from srat.core.errors import require
from srat.core.members import Member
from srat.models.inputs import require_channels, require_device, taking_images, telling_what_fails
from srat.models.weights import Weights

BatchNorm = nn.modules.batchnorm._BatchNorm
T = TypeVar("T")
_TAKEN = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Output(NamedTuple):
    """What a model says of a batch."""

    logits: Tensor
    """(batch, classes), at the scale that is served."""
    features: Tensor
    """(batch, dimensions), the penultimate layer."""
    embedding: Tensor
    """(batch, dimensions), what a feature loss sees: the features, or a projection of them."""


class Normalization(nn.Module):
    """Per-channel normalisation, x ↦ (x − μ) / σ.

    Args:
        mean: μ, (channels,), in [0, 1] pixel units.
        std: σ, (channels,), in [0, 1] pixel units, positive.
    """

    mean: Tensor
    std: Tensor
    channels: int | None = None
    """How many channels the images have; None where one mean and std are for any number."""

    @checked
    def __init__(self, mean: Float[Tensor, " channels"], std: Float[Tensor, " channels"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.detach().float().reshape(-1, 1, 1).clone())
        self.register_buffer("std", std.detach().float().reshape(-1, 1, 1).clone())
        self.channels = len(mean)

    @taking_images
    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch normalized height width"]:
        """Return normalised images; those of one channel have as many as there are means.

        Raises:
            UserError: if they are bytes, which would be 255 times too bright, have another number of channels, or
                are on another device.
        """
        require_channels(images, self.channels)
        require_device(images, self.mean.device)
        return (images - self.mean) / self.std


class Classifier(nn.Module):
    """A classifier of images in [0, 1]: normalisation, backbone, head; beside the logits it gives the features.

    Args:
        normalization: the first layer, so that budgets and data stay in [0, 1] everywhere else.
        backbone: (batch, channels, height, width) → (batch, dimensions).
        head: (batch, dimensions) → (batch, classes).
        projection: (batch, dimensions) → (batch, embedding dimensions), seen by the feature loss alone.
    """

    _shape: tuple[int, ...] = ()
    """Of an image that it was built for or first called with: at this size, what it raises is no matter of size."""

    @checked
    def __init__(
        self, normalization: Normalization, backbone: nn.Module, head: nn.Module, projection: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.normalization = normalization
        self.backbone = backbone
        self.head = head
        self.projection = projection if projection is not None else nn.Identity()

    @taking_images
    @override
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Output:
        features, logits = self._told_of_size(self._called, self.normalization(images).to(dtype_of(self)), self)
        return Output(logits, features, self.embedded(features))

    def _called(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits of normalised images."""
        features = self.backbone(x)
        return features, self.head(in_type_of(self.head, features))

    def _told_of_size(self, call: Callable[[Tensor], T], x: Tensor, whose: nn.Module) -> T:
        """Return what a call gives; what it raises at images of another size than the known one is told in a line."""
        if torch.compiler.is_compiling() or x.shape[1:] == self._shape:
            return call(x)
        with telling_what_fails(whose, x, made_for=self._shape):
            made = call(x)
        self._shape = self._shape or tuple(x.shape[1:])
        return made

    def embedded(self, features: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch embedded"]:
        """Return what a feature loss sees of features."""
        embedding: Tensor = self.projection(in_type_of(self.projection, features))
        return embedding


def dtype_of(model: nn.Module, *, beside: str = "") -> torch.dtype:
    """Return what a model takes images in: the type of its first floating-point parameter, or buffer; else fp32.

    Args:
        model: the model.
        beside: name of a layer whose tensors count last, as they may be of another type: the head.
    """
    first = next(_floating(model, beside), None)
    if first is None:
        return torch.float32
    # Under autocast, which casts by itself, what is half may be a folded copy in an fp32 model.
    autocast = first.dtype.itemsize == 2 and torch.is_autocast_enabled(first.device.type)
    return torch.float32 if autocast else first.dtype


def dtypes_of(model: nn.Module) -> list[torch.dtype]:
    """Return the types of a model's floating-point parameters, the widest first; that of its buffers if it has none."""
    types = {tensor.dtype for tensor in model.parameters() if tensor.dtype in _TAKEN} or {dtype_of(model)}
    return sorted(types, key=lambda dtype: torch.finfo(dtype).bits, reverse=True)


def in_type_of(layer: nn.Module, features: Tensor) -> Tensor:
    """Return features in the type of a layer's weights; autocast sees to that by itself."""
    first = next(_floating(layer), None)
    if first is None or first.dtype == features.dtype or torch.is_autocast_enabled(features.device.type):
        return features
    return features.to(first.dtype)


def _floating(model: nn.Module, beside: str = "") -> Iterator[Tensor]:
    """Yield a model's floating-point parameters and buffers, those of one layer last."""
    named = itertools.chain(model.named_parameters(), model.named_buffers())
    last = []
    for name, tensor in named:
        if tensor.dtype not in _TAKEN:
            continue
        if beside and name.startswith(f"{beside}."):
            last.append(tensor)
        else:
            yield tensor
    yield from last


@dataclass(frozen=True, kw_only=True)
class ImageShape(Checked):
    """What a backbone must know of the data."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Architecture(Member):
    """A backbone, from images to penultimate features."""

    learns_features: ClassVar[bool] = True
    """Whether the features are made by weights, so that a feature loss has something to move."""

    @property
    def title(self) -> str:
        """What the field calls it, such as "WideResNet-34-10"; its name where that says it all."""
        return self.name

    @property
    def is_trained(self) -> bool:
        """Whether it has `weights` that training starts from."""
        return False

    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        """Return the module (batch, channels, height, width) → (batch, dimensions), and its dimensions."""
        raise NotImplementedError

    def normalization(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each channel that the backbone sees: of one that was trained before, its own.

        Args:
            mean: (channels,), of the training images, in [0, 1] pixel units.
            std: (channels,), likewise.
        """
        return mean, std

    def without_place(self) -> "Architecture":
        """Return it without where the weights lie that training starts from."""
        return self

    def weights(self) -> Weights | None:
        """Return the weights that training starts from, by the classifier's names; None to start at random.

        Raises:
            UserError: if they are gone, or others than named.
        """
        return None


def backbone_parameters(model: Classifier) -> list[nn.Parameter]:
    """Return the parameters that are neither the last layer's nor the projection's: of a wrapped model, too."""
    last = {id(parameter) for layer in (model.head, model.projection) for parameter in layer.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in last]


@checked
def channel_statistics(parts: Iterable[Tensor]) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Return mean and standard deviation of each channel of uint8 or [0, 1] images, in [0, 1] pixel units.

    Args:
        parts: the images, (n, channels, height, width), in as many parts as fit into memory, all of one type.

    Raises:
        UserError: if there are none.
    """
    found = [_moments(part) for part in parts]
    require(len(found) > 0, "parts: expected at least one")
    moments = torch.stack(found).sum(dim=0)
    mean = moments[1] / moments[0]
    std = (moments[2] / moments[0] - mean.square()).clamp(min=0).sqrt()
    return mean.float(), std.clamp(min=1 / 255).float()


@checked
def _moments(images: Num[Tensor, "n channels height width"]) -> Float[Tensor, "3 channels"]:
    """Return number, sum and sum of squares of each channel's values, in float64."""
    x = images.transpose(0, 1).flatten(1).double() / (255.0 if images.dtype == torch.uint8 else 1.0)
    return torch.stack((torch.full_like(x[:, 0], x.shape[1]), x.sum(dim=1), x.square().sum(dim=1)))
