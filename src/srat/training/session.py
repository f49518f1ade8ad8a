"""Model, optimiser and data of a run, on its device."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import require
from srat.core.tensor_file import digest_of
from srat.core.words import few
from srat.data import Dataset, Feed, to_unit
from srat.data.feed import smallest_batch
from srat.evaluation.groups import Groups, groups
from srat.feature_losses import Memory
from srat.feedback import Feedback, HeldOut
from srat.models import ImageShape, Output, channel_statistics, lent, logits_at
from srat.models.classifier import BatchNorm
from srat.models.folding import Folding, find_folding
from srat.models.sync_batch_norm import synchronize
from srat.optimization.averaging import Ends, blend_
from srat.runs.run import build_model, image_shape, load_with_facts
from srat.runtime.compiling import CompileChoice, compile_in_place
from srat.runtime.precision import compute_dtype, tensor_float
from srat.runtime.processes import ALONE, Processes
from srat.training.trial import check_fit, check_shares

LEARNING = ("budget", "weighting")
"""Members that may learn of the classes while the run goes on, by their fields in the configuration."""
_SAMPLE = 1 << 29
"""Numbers, at the most, that normalisation is made of: all of CIFAR's, those of 3,500 photographs of 224²."""
_PART = 1 << 24
"""Numbers that are looked at at once."""


class Stage(NamedTuple):
    """Where in the run a step is, and what holds there."""

    epoch: int
    """Counted from 0."""
    step: int
    """Of the run, counted from 0."""
    class_counts: Int[Tensor, " classes"]
    """Examples of each class that the epoch draws."""
    weights: Float[Tensor, " classes"]
    """w of each class; ones before the weights apply."""
    scales: Float[Tensor, " classes"] | None
    """What each class's budget is multiplied by; None for 1."""
    effort: float = 1.0
    """The share of its steps that the training attack takes."""

    def weights_of(self, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return w of each example."""
        return self.weights[labels]

    def scale_of(self, labels: Int[Tensor, " n"]) -> Float[Tensor, " n"] | None:
        """Return what each example's budget is multiplied by."""
        return None if self.scales is None else self.scales[labels]


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What stays the same while a run goes on, on its device."""

    config: Config
    fabric: Fabric
    processes: Processes
    model: nn.Module
    """The model as Fabric wraps it; ``module`` is ours."""
    compiled: bool
    folding: Folding | None
    """For the attack's passes; None if there is nothing to fold."""
    optimizer: torch.optim.Optimizer
    parts: nn.ModuleDict
    """All state beside model and optimiser, as buffers: average weights, a feature loss's memory, feedback."""
    feed: Feed
    held_out: Dataset | None
    groups: Groups
    under: Bool[Tensor, " classes"]
    """Which classes are under-represented."""
    teacher: nn.Module | None = None
    """Another run's model that the robust loss learns from; it is no part of checkpoints, for its file is there."""

    @property
    def train(self) -> Dataset:
        """What the weights learn from."""
        return self.feed.dataset

    @property
    def module(self) -> nn.Module:
        """The model itself, which the attack sees."""
        return cast(nn.Module, self.model.module)

    @property
    def kept(self) -> nn.Module:
        """What is evaluated, kept and exported: the average of the weights, or the model itself, not compiled."""
        return self.parts["average"] if "average" in self.parts else copy.copy(self.module)

    @property
    def memory(self) -> Memory | None:
        """What the feature loss remembers of earlier steps."""
        return cast(Memory, self.parts["memory"]) if "memory" in self.parts else None

    @property
    def ends(self) -> Ends | None:
        """The ends of epochs that the average has seen, if something is done there."""
        return cast(Ends, self.parts["ends"]) if "ends" in self.parts else None

    @property
    def feedback(self) -> dict[str, Feedback]:
        """What members learn of the classes, by the fields of the configuration that they are chosen in."""
        return {name: cast(Feedback, self.parts[name]) for name in LEARNING if name in self.parts}

    def stage(self, epoch: int) -> Stage:
        """Return what holds at the first step of an epoch."""
        config, feedback = self.config, self.feedback
        apply = config.schedule.weights_apply(epoch, epochs=config.epochs)
        weights = self.class_weights(epoch)
        if "weighting" in feedback:
            weights = weights * feedback["weighting"].factors
        return Stage(
            epoch=epoch,
            step=epoch * self.feed.steps,
            class_counts=torch.tensor(self.drawn(epoch), device=weights.device),
            weights=weights if apply else torch.ones_like(weights),
            scales=self._scales(epoch),
            effort=config.budget.effort(epoch, epochs=config.epochs),
        )

    def drawn(self, epoch: int) -> tuple[int, ...]:
        """Return how many examples of each class an epoch draws, which losses and class weights are told."""
        return self.config.sampling.drawn(self.train.counts, epoch=epoch, epochs=self.config.epochs)

    def class_weights(self, epoch: int) -> Float[Tensor, " classes"]:
        """Return w of each class, for what an epoch draws, once the weights apply."""
        return self.config.weighting.weights(self.drawn(epoch)).to(self.under.device)

    def _scales(self, epoch: int) -> Float[Tensor, " classes"] | None:
        """Return what each class's budget is multiplied by in an epoch: by its class, by feedback, by the ramp."""
        budget, epochs = self.config.budget, self.config.epochs
        grown = budget.grown(epoch, epochs=epochs)
        learnt = self.feedback["budget"].factors if "budget" in self.feedback else None
        factors = [
            each for each in (budget.scales(self.train.counts, epoch, epochs=epochs), learnt) if each is not None
        ]
        if not factors and grown == 1:
            return None
        scales = torch.full(self.under.shape, grown, device=self.under.device)
        for each in factors:
            scales = scales * each.to(scales)
        return scales

    def learning_rate(self, step: int) -> float:
        """Return the schedule's learning rate at a step of the run."""
        config = self.config
        base = config.optimizer.learning_rate
        return config.schedule.learning_rate(step, steps=self.feed.steps, epochs=config.epochs, base=base)

    @contextmanager
    def lent(self) -> Iterator[nn.Module]:
        """Lend the model to the training attack; see `srat.models.attacked`."""
        folded = self.folding.in_place() if self.folding is not None else nullcontext()
        with lent(self.module, self.config.inner.batch_norm) as served, folded:
            yield served

    def taught(self, images: Tensor) -> Float[Tensor, "own classes"] | None:
        """Return a teacher's logits in fp32, without a gradient; None where the robust loss asks for none.

        Args:
            images: this process's, without the attack.
        """
        if not self.config.robust_loss.sees_teacher:
            return None
        teacher = self.parts["average"] if self.teacher is None else self.teacher
        with torch.no_grad(), self.fabric.autocast():
            return logits_at(teacher, images)

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Put the gradient into the parameters: the sum over the processes, of which Fabric takes the mean."""
        self.fabric.backward(loss * self.processes.count)

    def unscale(self) -> None:
        """Undo fp16's scaling of the gradient."""
        if self.config.precision == "fp16":
            # Fabric would not, with a fused optimiser, which unscales by itself: then it does so no more.
            wrapped, precision = cast(Any, self.optimizer), cast(Any, self.fabric.strategy.precision)
            precision.scaler.unscale_(wrapped.optimizer)

    def gradient_norm(self) -> Float[Tensor, ""]:
        """Return the length of the gradient with respect to all parameters, once it is unscaled.

        Under fp16 a step whose gradient overflows is left out, with a smaller scale for the next; it counts as 0.
        """
        gradients = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        norm = get_total_norm(gradients)
        return norm.nan_to_num(0.0, 0.0, 0.0) if self.config.precision == "fp16" else norm

    @torch.no_grad()
    def settle(self, stage: Stage, output: Output, labels: Int[Tensor, " batch"]) -> None:
        """Bring what follows the weights to where they are after a step.

        BatchNorm's running statistics become the mean over the processes, each of which has seen its own images; then
        the average of the weights moves, and the feature loss's memory and all feedback take the batch in.
        """
        if self.processes.count > 1:
            norms = [module for module in self.module.modules() if isinstance(module, BatchNorm)]
            self.processes.average_(b for norm in norms for b in norm.buffers() if b.is_floating_point())
        if "average" in self.parts:
            share = self.config.averaging.share(stage.step, steps=self.feed.steps, epochs=self.config.epochs)
            blend_(self.parts["average"], self.module, share)
        if self.memory is not None:
            self.memory.remember(output.embedding.detach(), labels)
        for feedback in self.feedback.values():
            feedback.observe(labels, output.logits.detach())

    def close(self, epoch: int, held_out: HeldOut | None) -> None:
        """Tell all feedback of the end of an epoch, and of what is right of the held-out part."""
        for feedback in self.feedback.values():
            feedback.close(epoch, epochs=self.config.epochs, held_out=held_out)


def set_up(
    config: Config,
    fabric: Fabric,
    train: Dataset,
    held_out: Dataset | None,
    model: nn.Module | None,
    *,
    processes: Processes = ALONE,
    compiled: CompileChoice = "off",
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
        notice: told if it cannot be compiled.
    """
    smallest = smallest_batch(len(train), config.batch_size)
    told = f"`batch_size` {config.batch_size}: expected at least one image for each of {processes.count} processes"
    require(smallest >= processes.count, f"{told}, got batches of {smallest}")
    train = train.to(fabric.device)
    rare, drawn = (
        groups(train.counts),
        config.sampling.drawn(train.counts, epoch=config.epochs - 1, epochs=config.epochs),
    )
    if model is None:
        mean, std = channel_statistics(sample(train))
        model = build_model(
            config,
            shape=image_shape(train),
            classes=len(train.class_names),
            mean=mean,
            std=std,
            class_counts=drawn,
        )
    else:
        check_fit(config, model, train, notice)
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
        parts=make_parts(config, copy.copy(model), output.embedding.shape[1], len(train.class_names)).to(fabric.device),
        feed=Feed(
            dataset=train,
            augmentation=config.augmentation,
            sampling=config.sampling,
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


def load_teacher(config: Config, train: Dataset, device: torch.device) -> nn.Module | None:
    """Return the model whose weights a configuration names as those of a teacher, in eval mode; None without such.

    Raises:
        UserError: if the weights are others than named, or those of a model of other classes or sizes.
    """
    weights = config.robust_loss.teacher_weights
    if weights is None:
        return None
    said, there = f"`robust_loss.teacher` '{weights.path}'", digest_of(weights.path)
    require(there == weights.sha256, f"{said}: expected weights with the checksum {weights.sha256}, got {there}")
    teacher, facts = load_with_facts(weights.path, device=device)
    for wanted, got in ((train.class_names, facts.class_names), (image_shape(train), facts.shape)):
        require(wanted == got, f"{said}: expected a model of {_told(wanted)}, got one of {_told(got)}")
    return teacher.requires_grad_(False)


def _told(what: tuple[str, ...] | ImageShape) -> str:
    """Return what a message says of classes, or of the shape of images."""
    if isinstance(what, ImageShape):
        return f"images of {'×'.join(map(str, vars(what).values()))}"
    return f"{len(what)} classes ({few(what)})"


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration."""
    return config.optimizer.make(model.parameters(), scaled=config.precision == "fp16")


def make_parts(config: Config, model: nn.Module, dimensions: int, classes: int) -> nn.ModuleDict:
    """Return the state that a configuration's members keep beside model and optimiser.

    Args:
        config: the run.
        model: on its device, its call not compiled.
        dimensions: of an embedding.
        classes: how many there are.
    """
    made = {
        "average": config.averaging.begin(model),
        "memory": config.feature_loss.memory(dimensions=dimensions, classes=classes),
        "ends": config.averaging.ends(),
        **{name: getattr(config, name).feedback(classes=classes) for name in LEARNING},
    }
    return nn.ModuleDict({name: part for name, part in made.items() if part is not None})
