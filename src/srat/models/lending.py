"""Lending a model to an attack, and taking it back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from srat.core.checked import checked
from srat.models.classifier import BatchNorm
from srat.models.heads import PosthocAdjustment

AttackMode = Literal["eval", "train_frozen_stats"]
"""BatchNorm while the training attack runs: by its running statistics, or by the batch's, the running ones held."""


@checked
@contextmanager
def lent(model: nn.Module, mode: AttackMode = "eval") -> Iterator[nn.Module]:
    """Lend the model to an attack, and put everything back; no BatchNorm statistic moves, no parameter gets a gradient.

    Args:
        model: the model under attack.
        mode: "eval" (BatchNorm uses its running statistics) or "train_frozen_stats" (it uses the batch's, and
            leaves the running ones alone).
    """
    modules = list(model.modules())
    training = [module.training for module in modules]
    norms = [module for module in modules if isinstance(module, BatchNorm)]
    tracking = [norm.track_running_stats for norm in norms]
    # The attack asks for none of their gradients, but a compiled model would compute them all.
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in wanted:
            parameter.requires_grad = False  # assigned, for lazy modules' parameters have no methods yet
        model.train(mode == "train_frozen_stats")
        for module in modules:
            if isinstance(module, PosthocAdjustment):
                module.eval()  # an attack sees what is served
        for norm in norms if mode == "train_frozen_stats" else ():
            norm.track_running_stats = False
        yield model
    finally:
        for parameter in wanted:
            parameter.requires_grad = True
        for module, was in zip(modules, training, strict=True):
            module.training = was
        for norm, was in zip(norms, tracking, strict=True):
            norm.track_running_stats = was


@contextmanager
def unmoved(module: nn.Module) -> Iterator[None]:
    """Leave a module's buffers as they were, such as BatchNorm's statistics, and the global generators."""
    named = [(part, name, buffer) for part in module.modules() for name, buffer in part._buffers.items()]
    before = [(part, name, buffer, buffer.clone()) for part, name, buffer in named if buffer is not None]
    devices = [buffer.device for buffer in (*module.parameters(), *module.buffers()) if buffer.is_cuda][:1]
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for part, name, buffer, was in before:
                part._buffers[name] = buffer.copy_(was)
