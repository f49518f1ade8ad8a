"""From a configuration and its data to what a run works with, on its device."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import require, require_field
from srat.data import Dataset, Feed, to_unit
from srat.data.feed import smallest_batch
from srat.evaluation.groups import groups
from srat.guards import Watch
from srat.models import Classifier, channel_statistics
from srat.models.classifier import backbone_parameters
from srat.models.folding import Folding, find_folding
from srat.models.starting import start_from
from srat.models.sync_batch_norm import synchronize
from srat.runs.run import build_model, image_shape
from srat.runtime.compiling import CompileChoice, compile_in_place
from srat.runtime.precision import compute_dtype, tensor_float
from srat.runtime.processes import ALONE, Processes
from srat.training.session import LEARNING, Training
from srat.training.teaching import load_teacher
from srat.training.trial import check_fit, check_shares

_SAMPLE = 1 << 29
"""Numbers, at the most, that normalisation is made of: all of CIFAR's, those of 3,500 photographs of 224²."""
_PART = 1 << 24
"""Numbers that are looked at at once."""
FACTOR = "factor"
"""Of a group of parameters: what the learning rate is multiplied by for them."""


def set_up(
    config: Config,
    fabric: Fabric,
    train: Dataset,
    held_out: Dataset | None,
    model: nn.Module | None,
    *,
    processes: Processes = ALONE,
    compiled: CompileChoice = "off",
    begins: bool = True,
    notice: Callable[[str], None] = print,
) -> Training:
    """Return model, optimiser and data on the device.

    Args:
        config: the run.
        fabric: device, precision and processes.
        train: what the weights learn from.
        held_out: what chooses the best epoch, or None.
        model: the user's own model, or None to build the configuration's.
        processes: those of the run.
        compiled: whether and how to compile the model.
        begins: whether training starts here; a run that goes on has its weights in a checkpoint.
        notice: told if it cannot be compiled, and of the weights that training starts from.
    """
    smallest = smallest_batch(len(train), config.batch_size)
    told = f"`batch_size` {config.batch_size}: expected at least one image for each of {processes.count} processes"
    require(smallest >= processes.count, f"{told}, got batches of {smallest}")
    train = train.to(fabric.device)
    if model is None:
        model = built(config, train)
    else:
        check_fit(config, model, train, notice)
    frozen = not config.freeze or bool(backbone_parameters(cast(Classifier, model)))
    require_field(frozen, "freeze", f"0 with `model` {config.model.name}, which is a head alone", config.freeze, 0)
    if begins and (weights := config.init.weights() or config.model.weights()) is not None:
        notice(start_from(weights, cast(Classifier, model), train.class_names))
    config.regularizer.check(cast(Classifier, model), classes=len(train.class_names))
    if config.sync_batch_norm and processes.count > 1:
        synchronize(model)
    done = compile_in_place(model, compiled, fabric.device, notice)
    wrapped, optimizer = fabric.setup(model, make_optimizer(config, model))
    output = check_shares(copy.copy(model), train, batch_size=config.batch_size, processes=processes.count)
    rare = groups(train.counts)
    return Training(
        config=config,
        fabric=fabric,
        processes=processes,
        model=wrapped,
        compiled=done,
        folding=folding_for(config, model, train),
        optimizer=optimizer,
        parts=make_parts(config, copy.copy(model), output.embedding.shape[1], train.counts).to(fabric.device),
        feed=Feed(
            dataset=train,
            augmentation=config.augmentation,
            sampling=config.sampling,
            mixing=config.mixing,
            batch_size=config.batch_size,
            epochs=config.epochs,
            seed=config.seed,
            processes=processes,
        ),
        held_out=held_out.to(fabric.device) if held_out is not None else None,
        groups=rare,
        under=torch.tensor([c in rare.under for c in range(len(train.counts))], device=fabric.device),
        teacher=load_teacher(config, train, fabric.device),
    )


def built(config: Config, train: Dataset) -> nn.Module:
    """Return the freshly initialised model of a configuration; it is told of the data's mean, deviation and counts."""
    mean, std = channel_statistics(sample(train))
    return build_model(
        config,
        shape=image_shape(train),
        classes=len(train.class_names),
        mean=mean,
        std=std,
        class_counts=config.sampling.drawn(train.counts, epoch=config.epochs - 1, epochs=config.epochs),
    )


def sample(train: Dataset) -> Iterator[Tensor]:
    """Yield the images, on the CPU, that normalisation is made of: all, or evenly spread ones of more than that.

    Which ones does not depend on where they lie.
    """
    numbers = math.prod(train.images.shape[1:])
    chosen = torch.linspace(0, len(train) - 1, min(len(train), max(1, _SAMPLE // numbers)), dtype=torch.float64)
    for part in torch.split(chosen.round().long(), max(1, _PART // numbers)):
        yield train.images[part.to(train.images.device)].cpu()


def folding_for(config: Config, model: nn.Module, train: Dataset) -> Folding | None:
    """Return the folding of BatchNorm for the training attack, if it has a use for it."""
    if isinstance(config.attack, Natural) or config.inner.batch_norm != "eval":
        return None
    images = to_unit(train.images[:2]).to(train.labels.device)
    with tensor_float(False):  # whose rounding would look like folding's
        return find_folding(copy.copy(model), images, compute_dtype(config.precision))


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration."""
    late = config.precision == "fp16" or 0 < config.freeze < config.epochs
    optimizer = config.optimizer.make(model.parameters(), scaled=late)
    if config.backbone_rate != 1:
        discriminate(optimizer, backbone_parameters(cast(Classifier, model)), config.backbone_rate)
    return optimizer


def discriminate(optimizer: torch.optim.Optimizer, slower: Iterable[nn.Parameter], factor: float) -> None:
    """Put some parameters of an optimiser into groups with a learning rate of their own; their order stays.

    Args:
        optimizer: of a single group.
        slower: some of its parameters.
        factor: what the learning rate is multiplied by for these.

    Source: Howard and Ruder, 2018 (ULMFiT), Section 3.2, with two groups.
    """
    (whole,) = optimizer.param_groups
    slow = {id(parameter) for parameter in slower}
    runs = [(is_slow, list(run)) for is_slow, run in groupby(whole["params"], lambda each: id(each) in slow)]
    optimizer.param_groups.clear()
    for is_slow, run in runs:
        optimizer.add_param_group({**whole, "params": run, FACTOR: factor if is_slow else 1.0})


def make_parts(config: Config, model: nn.Module, dimensions: int, counts: Sequence[int]) -> nn.ModuleDict:
    """Return the state that a configuration's members keep beside model and optimiser.

    Args:
        config: the run.
        model: on its device, its call not compiled.
        dimensions: of an embedding.
        counts: (classes,), training examples of each class.
    """
    classes = len(counts)
    made = {
        "average": config.averaging.begin(model),
        "memory": config.feature_loss.memory(dimensions=dimensions, classes=classes),
        "ends": config.averaging.ends(),
        **{name: getattr(config, name).feedback(classes=classes) for name in LEARNING},
    }
    parts = nn.ModuleDict({name: part for name, part in made.items() if part is not None})
    if config.is_guarded:
        parts["guard"] = Watch(
            model, parts, groups={"": tuple(range(classes)), **groups(counts).named}, classes=classes
        )
    return parts
