"""Any module of the user's, seen as one of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import UserError, require
from srat.core.gradients import is_inference, taking_gradients
from srat.core.kinds import said
from srat.core.values import UnfitError, as_tensor
from srat.core.warn import warn
from srat.core.words import number
from srat.models.classifier import Architecture, Classifier, ImageShape, Normalization, Output, dtype_of
from srat.models.inputs import taking_images, telling_what_fails
from srat.models.likeness import doubt_of
from srat.models.outputs import Pick, Place, as_place, logits_of
from srat.models.wrapping.following import follow, followers
from srat.models.wrapping.looking import look
from srat.models.wrapping.original import Original
from srat.models.wrapping.skeleton import require_plain, skeleton_of
from srat.models.wrapping.watching import Tap, layer_names

LOOKED_AT = 4
"""Images that a model is first looked at with, at the most."""
PerChannel = float | Sequence[float] | NDArray[Any] | Tensor
"""A number for each channel, or one for all."""


@taking_gradients
@checked
def wrap(
    module: nn.Module,
    *,
    mean: PerChannel,
    std: PerChannel,
    head: str | nn.Module | None = None,
    output: int | str | tuple[int | str, ...] | None = None,
) -> Classifier:
    """Return a classifier of images in [0, 1] around a module that takes normalised ones.

    Its logits are m((x − μ) / σ) for a module m, whatever m does after its last layer. What enters that layer, the
    head, are the penultimate features; of more than two axes, their mean over places or tokens.

    At its first call the wrapped model looks for its head, and compares itself with the module.

    Args:
        module: (batch, channels, height, width) → (batch, classes), or an output that has these logits: a tensor, an
            object with ``.logits``, a mapping, a tuple. Its parameters and buffers are shared, not copied, and it
            stays as it is.
        mean: μ for each channel, in [0, 1] pixel units; a single one is for all channels.
        std: σ for each channel, in [0, 1] pixel units, positive; likewise.
        head: the last layer of the module, or its name ("fc", "classifier.1"); by default it is found at the first
            call: the last layer with a weight that gives as many numbers as there are logits.
        output: index or key of the logits in what the module returns, or a tuple of these that leads to a nested one;
            by default they are found. A module may return more in train mode: those of the same head are trained.

    Raises:
        UserError: if the module normalises already, stands for another one (``nn.DataParallel``), cannot be copied, or
            has no such layer; at the first call, if no single layer is the head, or the wrapped model does not do what
            the module does; at any call, if a layer, a parameter or a buffer of the module was replaced since.
    """
    if any(isinstance(child, Normalization) for child in module.modules()):
        raise UserError("this model normalises its input already; wrapping it again would normalise twice")
    made_so = any(is_inference(tensor) for tensor in (*module.parameters(), *module.buffers()))
    require(not made_so, "this model was made in torch.inference_mode, and cannot be attacked: make it outside of that")
    require_plain(module)
    name = _name_of(module, head) if isinstance(head, nn.Module) else head
    normalization = Normalization(*_statistics(mean, std))
    if normalization.channels == 1:
        normalization.channels = None  # known at the first call
    return Wrapped(normalization, module, head=name, output=output)


class Wrapped(Classifier):
    """A user's module between normalisation and `Output`; the module is whole, under the name ``backbone``.

    Args:
        normalization: the first layer.
        module: the user's; a copy of it over the same tensors is taken.
        head: name of its last layer; None to find it at the first call.
        output: index or key of the logits; None to find them.
    """

    def __init__(self, normalization: Normalization, module: nn.Module, *, head: str | None, output: Pick) -> None:
        nn.Module.__init__(self)
        self.normalization = normalization
        self.backbone = skeleton_of(module)
        self.projection = nn.Identity()
        self._pick = output
        self._places: dict[bool, Place | UserError] = {}
        self._tap = Tap()
        self._head = head
        self._original = Original(module)
        self._followers = followers(self.backbone)
        self._doubt_in_training = ""
        self._told = _Told()
        if head is not None:
            _layer(self.backbone, head)
        if output is not None:
            as_place(output)

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The layer that the features enter."""
        if self._head is None:
            raise UserError("this model's head is found at its first call: call it once, or name it, wrap(…, head=…)")
        return _layer(self.backbone, self._head)

    @taking_images
    @override
    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Output:
        if self._original.module is not None:
            few = self.settle(images)
            for doubt in () if few is None else self.untold(few, training=self.backbone.training):
                warn(doubt)
        if not torch.compiler.is_compiling():
            self._original.require_unchanged()
            self._follow()
        place = self._places[self.backbone.training]
        if isinstance(place, UserError):
            raise UserError(str(place))
        output, features = self._tapped(images)
        logits = logits_of(output, batch=images.shape[0], pick=() if isinstance(output, Tensor) else place)
        return Output(logits, features, self.embedded(features))

    @taking_gradients
    def settle(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "few classes"] | None:
        """Find the head, and let go of the user's module once this model is seen to do what it does.

        Args:
            images: some, in [0, 1].

        Returns:
            The logits of a few of them; None if all was done before.

        Raises:
            UserError: if it does something else, or has no head.
        """
        module = self._original.module
        if module is None:
            return None
        told = "this model looks at itself at its first call: call it once before it is compiled or exported"
        require(not torch.compiler.is_compiling(), told)
        require(len(images) > 0, "images: expected at least one at the model's first call, got none")
        self._original.require_unchanged()
        self._follow()
        with telling_what_fails(module, images):
            x = self.normalization(images[:LOOKED_AT].detach().clone())
            found = look(self.backbone, module, x, named=self._head, pick=self._pick)
        self._head, self._places = found.head, {False: found.place, True: found.place_in_training}
        self._doubt_in_training = found.doubt_in_training
        self.normalization.channels, self._shape = images.shape[1], tuple(images.shape[1:])
        self._tap.listen_to(self.head)
        self._original = self._original.released()
        return found.logits

    def untold(self, logits: Float[Tensor, "batch classes"], *, training: bool) -> list[str]:
        """Return what is to be said of outputs that do not look like logits, unless it was said before.

        Args:
            logits: what it returns in eval mode.
            training: whether what it returned in train mode, when it was first looked at, matters too.
        """
        in_eval = doubt_of(logits)
        doubts = {in_eval, self._doubt_in_training if training and not in_eval else ""} - {""} - self._told
        self._told |= doubts
        return sorted(doubts)

    def _follow(self) -> None:
        """Go where the parameters are: a ``.to(…)`` of the user's module, which shares them, moves its own buffers."""
        follow(self.backbone, self._followers)
        first = next(self.backbone.parameters(), None)
        if first is not None and first.device != self.normalization.mean.device:
            self.normalization.to(first.device)

    def _tapped(self, images: Tensor) -> tuple[object, Float[Tensor, "batch dimensions"]]:
        """Return what the module says of images, and the features that enter its head."""
        x = self.normalization(images).to(dtype_of(self.backbone, beside=self._head or ""))
        with self._tap.kept() as kept:
            output = self._told_of_size(self.backbone, x, self.backbone)
        if not kept:
            gone = not self._tap.listens_to(self.head)
            why = "was replaced in the backbone: give it as model.head = …" if gone else "was not called in this pass"
            raise UserError(f"the head, '{self._head}', {why}")
        features = kept[-1]  # of a head that is called several times, the last
        if features.shape[0] != images.shape[0]:
            raise UserError(f"the head, '{self._head}', sees {features.shape[0]} features of {images.shape[0]} images")
        return output, features

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a new head takes the place of the old one within the module."""
        if name != "head":
            super().__setattr__(name, value)
            return
        require(self._original.module is None, "call this model once before its head is replaced")
        require(isinstance(value, nn.Module), f"head: expected a Module, got {said(value)}")
        self._tap.leave(self.head)
        parent, _, leaf = str(self._head).rpartition(".")
        setattr(self.backbone.get_submodule(parent), leaf, value)
        self._tap.listen_to(value)


class _Told(set[str]):
    """What was said of a model; nothing of a copy, or of one that is read from a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Told, ()


def _name_of(module: nn.Module, layer: nn.Module) -> str:
    name: str = next((name for name, part in module.named_modules() if part is layer), "")
    told = f"head: this {type(layer).__name__} is no layer of the model; there are: {layer_names(module)}"
    if not name:
        raise UserError(told)
    return name


def _layer(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name or "''")
    except AttributeError as error:
        raise UserError(f"there is no layer '{name}' in this model; there are: {layer_names(module)}") from error


def _statistics(mean: PerChannel, std: PerChannel) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Return mean and standard deviation as tensors.

    Raises:
        UserError: if they are no numbers in [0, 1] pixel units, one of each for each channel.
    """
    means, stds = _numbers("mean", mean), _numbers("std", std)
    told = f"expected a mean and a std for each channel, got {len(means)} and {len(stds)}"
    require(len(means) == len(stds) > 0, told)
    require(bool((stds > 0).all()), f"std: expected positive standard deviations, got {number(float(stds.min()), 0)}")
    return means, stds


def _numbers(name: str, values: PerChannel) -> Float[Tensor, " channels"]:
    try:
        given: Tensor = as_tensor([values] if isinstance(values, float | int) else values)
        require(given.dtype != torch.bool, f"{name}: expected a number for each channel, got booleans")
        exact = given.detach().cpu().flatten().double()
    except (UnfitError, RuntimeError) as error:
        raise UserError(f"{name}: expected a number for each channel, got {said(values)}") from error
    wrong = [value for value in exact.tolist() if not value <= 1 or (name == "mean" and value < 0)]
    hint = "; it looks like units of 255: divide by 255" if wrong and 2 < wrong[0] <= 255 else ""
    got = "".join(number(value, 0, 1) for value in wrong[:1])
    require(not wrong, f"{name}: expected numbers in [0, 1] pixel units, got {got}{hint}")
    return exact.float()


@dataclass(frozen=True, kw_only=True)
class Custom(Architecture, name="custom", hidden=True):
    """A model of the user's own, passed in Python: ``fit(config, model=…)``, ``load(folder, model=…)``."""

    description: str = ""
    """What it is; filled in from the class."""

    @classmethod
    def of(cls, model: nn.Module) -> "Custom":
        """Return what a configuration says of a user's model: of a wrapped one, that it is a classifier."""
        return cls(description=(Classifier if isinstance(model, Classifier) else type(model)).__name__)

    @property
    @override
    def title(self) -> str:
        return self.description or self.name

    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        """Refuse: a configuration names no code."""
        del shape
        raise UserError(
            "this run is of a model of your own, which no command can build; in Python, srat.load(folder, model=…) and "
            "srat.fit(config, model=…) take it"
        )
