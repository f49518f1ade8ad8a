"""How much memory a training step takes, how much there is, and what to do when it does not suffice."""

import copy
import math
import traceback
import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srat.core.errors import UserError, require
from srat.core.files import size
from srat.data import Batch, Targets
from srat.data.mixing import NoMixing
from srat.models import Classifier, Output
from srat.models.classifier import backbone_parameters
from srat.models.sync_batch_norm import SyncBatchNorm2d
from srat.runtime.fabric import make_fabric_alone
from srat.runtime.machine import available, is_out_of_memory
from srat.runtime.processes import ALONE
from srat.training.session import Training
from srat.training.setting_up import make_optimizer
from srat.training.step import Rng, train_step

M = TypeVar("M", bound=nn.Module)


class Footprint(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that live within the context, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it makes."""
        del types
        result = func(*args, **(kwargs or {}))
        self.count(tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor))
        return result

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Count the storages of tensors, each once and until it is freed."""
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage not in self._known:
                self._known.add(storage)
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, count: int) -> None:
        self.live -= count


def step_bytes(training: Training, *, batch_size: int) -> int:
    """Return how many bytes a training run takes beside data and weights: optimiser, best weights, a step.

    Of a run in several stages it is the step of the largest one.

    Args:
        training: model, data, configuration.
        batch_size: images in it.
    """
    last = training.config.epochs - 1
    stages = {training.at(epoch) for epoch in {0, min(training.config.freeze, last), last}}
    return max(_bytes_of_step(stage, batch_size=batch_size) for stage in stages)


def _bytes_of_step(training: Training, *, batch_size: int) -> int:
    """Return `step_bytes` of what trains one stage.

    The step is traced with tensors that have shapes and no contents, so that it costs no memory itself. What the
    libraries below take for themselves comes on top.
    """
    device = training.fabric.device
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    module, parts = _without_contents(training.module, fake), _without_contents(training.parts, fake)
    rng = torch.Generator(device=device)
    stage = training.stage(training.config.epochs - 1)  # budgets look at what the tensors hold
    with fake, Footprint() as footprint:
        footprint.count((*parts.parameters(), *parts.buffers()))
        kept = footprint.live
        footprint.count((*module.parameters(), *module.buffers()))
        weights = footprint.live
        half = training.config.precision == "fp16"  # whose scaler looks at its numbers; bf16 takes as much
        config = replace(training.config, precision="bf16") if half else training.config
        traced = replace(
            training,
            config=config,
            fabric=make_fabric_alone(device, "bf16") if half else training.fabric,
            model=_Bare(module, training.fabric.autocast),
            folding=None,
            optimizer=make_optimizer(config, module),
            parts=parts,
            processes=ALONE,
            still=backbone_parameters(cast(Classifier, module)) if training.still else (),
        )
        with traced.held():
            train_step(traced, blank_batch(training, batch_size), stage, lambda _: rng)
        # What is left when the step is done is the optimiser's: it was not there yet at the peak.
        momentum = footprint.live - weights
    best = weights - kept if training.held_out is not None else 0
    return int(footprint.peak - weights + momentum + best)


def check_memory(training: Training, *, notice: Callable[[str], None]) -> None:
    """Refuse a run whose step cannot fit; a model that cannot be traced is not judged.

    Args:
        training: model, data, configuration.
        notice: told if it could not be traced.

    Raises:
        UserError: with the batch size that would fit.
    """
    batch, count = min(training.config.batch_size, len(training.train)), training.processes.count
    there = available(training.fabric.device)
    try:
        needed = step_bytes(training, batch_size=math.ceil(batch / count))
        least = step_bytes(training, batch_size=min(2, batch)) if needed > there else 0
    except Exception as error:  # a user's model may do anything that needs contents
        notice(f"the memory that a step needs cannot be estimated ({type(error).__name__}: {error})")
        return
    if needed > there:
        fitting = max(0, int((there - least) / max(needed - least, 1) * batch))
        advice = f"`batch_size` {fitting} would fit" if fitting else "not even the smallest batch would fit"
        raise UserError(
            f"a step of `batch_size` {batch} needs at least {size(needed)} on {training.fabric.device}, "
            f"there are {size(there)}; {advice}"
        )


def largest_batch(training: Training, rng: Rng, failed: BaseException) -> int:
    """Return the largest batch, of halves of halves, whose step goes through here and now; 0 if none does.

    The steps are real, and spoil model and optimiser: this is for a run that ends.

    Args:
        training: what ran out of memory.
        rng: a purpose → a generator.
        failed: how it ran out of it.
    """
    batch = min(training.config.batch_size, len(training.train))
    stage = training.stage(training.config.epochs - 1)
    while batch := batch // 2:
        traceback.clear_frames(failed.__traceback__)  # which hold on to the tensors of the step that failed
        training.optimizer.zero_grad()
        if training.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            train_step(training, blank_batch(training, batch), stage, rng)
        except Exception as error:
            require(is_out_of_memory(error), f"out of memory, and then {error}")
            failed = error
        else:
            return batch
    return 0


def blank_batch(training: Training, size: int) -> Batch:
    """Return a batch of black images, mixed where those of the run are."""
    device = training.fabric.device
    images = torch.zeros(size, *training.train.images.shape[1:], device=device)
    labels = torch.zeros(size, dtype=torch.long, device=device)
    mixed = not isinstance(training.config.mixing, NoMixing)
    return Batch(images, Targets(labels, labels, 0.5) if mixed else Targets(labels), slice(0, size))


class _Bare(nn.Module):
    """A model as Fabric wraps it, without Fabric."""

    def __init__(self, module: nn.Module, autocast: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self.module = module
        self._autocast = autocast

    def forward(self, images: Tensor) -> Output:
        """Return the model's output in fp32."""
        with self._autocast():
            output = self.module(images)
        return Output(*(tensor.float() for tensor in output))


def _without_contents(module: M, fake: FakeTensorMode) -> M:
    memo: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        empty = fake.from_tensor(tensor.detach())
        memo[id(tensor)] = nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty
    traced = copy.deepcopy(module, memo)
    for norm in traced.modules():
        if isinstance(norm, SyncBatchNorm2d):
            norm.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
    return traced
