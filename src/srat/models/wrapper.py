"""Any module of the user's, seen as one of ours."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from srat.errors import UserError, require
from srat.models.base import Architecture, Classifier, ImageShape, Normalization


def wrap(module: nn.Module, *, mean: Sequence[float], std: Sequence[float], head: str | None = None) -> Classifier:
    """Return a classifier of images in [0, 1] around a module that takes normalised ones.

    Its logits are m((x − μ) / σ) for a module m. The module's last layer becomes the head, and what enters it the
    penultimate features.

    Args:
        module: (batch, channels, height, width) → (batch, classes); its parameters and buffers are shared,
            not copied, and it stays as it is.
        mean: μ for each channel, in [0, 1] pixel units.
        std: σ for each channel, in [0, 1] pixel units, positive.
        head: name of the last layer within the module ("fc", "classifier.1"); by default its last ``nn.Linear``.

    Raises:
        UserError: if the module normalises already, or has no such layer.
    """
    if any(isinstance(child, Normalization) for child in module.modules()):
        raise UserError("this model normalises its input already; wrapping it again would normalise twice")
    require(len(mean) == len(std) > 0, f"expected a mean and a std for each channel, got {len(mean)} and {len(std)}")
    require(min(std) > 0, f"expected positive standard deviations, got {min(std):g}")
    # A second skeleton over the same tensors: the caller's module keeps its head.
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    module = copy.deepcopy(module, memo=shared)
    name = head if head is not None else _last_linear(module)
    try:
        layer = module.get_submodule(name)
    except AttributeError as error:
        raise UserError(f"there is no layer '{name}' in this model; there are: {_layer_names(module)}") from error
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, nn.Identity())
    return Classifier(Normalization(torch.tensor(mean), torch.tensor(std)), module, layer)


def _last_linear(module: nn.Module) -> str:
    names: list[str] = [name for name, child in module.named_modules() if name and isinstance(child, nn.Linear)]
    if not names:
        raise UserError(
            f"this model has no nn.Linear to take as its head; name its last layer, one of: {_layer_names(module)}"
        )
    return names[-1]


def _layer_names(module: nn.Module) -> str:
    return ", ".join(name for name, child in module.named_modules() if name and not list(child.children())) or "none"


@dataclass(frozen=True, kw_only=True)
class Custom(Architecture, name="custom", hidden=True):
    """A model of the user's own, passed in Python: ``fit(config, model=…)``, ``load(folder, model=…)``."""

    description: str = ""
    """What it is; filled in from the class."""

    def backbone(self, shape: ImageShape) -> tuple[nn.Module, int]:
        """Refuse: a configuration names no code."""
        del shape
        raise UserError(
            "this configuration is of a model of the user's own; pass it: fit(config, model=…) or load(folder, model=…)"
        )
