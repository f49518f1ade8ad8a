"""What a run works with: model, optimiser and data on its device, and what is done with them in a step."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from srat.attacks import Attack
from srat.config.config import Config
from srat.data import Dataset, Feed
from srat.evaluation.groups import Groups
from srat.feature_losses import Memory
from srat.feedback import Feedback, HeldOut
from srat.guards import Watch
from srat.models import Output, lent, logits_at
from srat.models.classifier import BatchNorm, Classifier, backbone_parameters
from srat.models.folding import Folding
from srat.optimization.averaging import Ends, blend_
from srat.runtime.processes import Processes
from srat.training.stage import Stage

LEARNING = ("budget", "weighting", "robust_loss")
"""Members that may learn of the classes while the run goes on, by their fields in the configuration."""


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
    still: Sequence[nn.Parameter] = ()
    """The backbone's parameters while it is frozen."""

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
    def watch(self) -> Watch | None:
        """What the guard remembers, where it looks after this training."""
        return cast(Watch, self.parts["guard"]) if "guard" in self.parts else None

    @property
    def feedback(self) -> dict[str, Feedback]:
        """What members learn of the classes, by the fields of the configuration that they are chosen in."""
        return {name: cast(Feedback, self.parts[name]) for name in LEARNING if name in self.parts}

    def at(self, epoch: int) -> "Training":
        """Return it with the members that train an epoch, and what that leaves as it is."""
        config = self.config.at(epoch)
        still = backbone_parameters(cast(Classifier, self.module)) if config.is_frozen(epoch) else ()
        return self if config is self.config and not still else replace(self, config=config, still=still)

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
            attack=self.attack_of(epoch),
        )

    def attack_of(self, epoch: int) -> Attack:
        """Return the training attack of an epoch: shorter while the budgets grow, and with the guard's remedies."""
        config = self.config
        attack = config.attack.shortened(config.budget.effort(epoch, epochs=config.epochs))
        if self.watch is None:
            return attack
        return config.guard.remedied(attack, int(self.watch.remedies))

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
        """Lend the model to the training attack; see `srat.models.lent`."""
        folded = self.folding.in_place() if self.folding is not None else nullcontext()
        with lent(self.module, self.config.inner.batch_norm) as served, folded:
            yield served

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold still what is frozen: no gradient, and BatchNorm by its running statistics, which stay."""
        if not self.still:
            yield
            return
        moved = [parameter for parameter in self.still if parameter.requires_grad]
        norms = [module for module in self.module.modules() if isinstance(module, BatchNorm) and module.training]
        try:
            for parameter in moved:
                # Several processes wait for the gradient of each parameter that there was at the start.
                parameter.requires_grad = self.processes.count > 1
            for norm in norms:
                norm.eval()
            yield
        finally:
            for parameter in moved:
                parameter.requires_grad = True
            for norm in norms:
                norm.train()

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
        """Put the gradient into the parameters that learn: the sum over the processes, of which Fabric takes the mean.

        Those that are frozen get none.
        """
        self.fabric.backward(loss * self.processes.count)
        for parameter in self.still:
            parameter.grad = None

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
            norms = [module for module in self.module.modules() if isinstance(module, BatchNorm) and module.training]
            self.processes.average_(b for norm in norms for b in norm.buffers() if b.is_floating_point())
        if "average" in self.parts:
            share = self.config.averaging.share(stage.step, steps=self.feed.steps, epochs=self.config.epochs)
            blend_(self.parts["average"], self.module, share)
        if self.memory is not None:
            self.memory.remember(output.embedding.detach(), labels)
        for feedback in self.feedback.values():
            feedback.observe(labels, output.logits.detach())

    @torch.no_grad()
    def observe(self, started: Bool[Tensor, " own"] | None, output: Output, labels: Int[Tensor, " batch"]) -> None:
        """Tell the guard what is right of a step's images, where the attack began and as it left them.

        Args:
            started: which of this process's images are right where the attack began; None if it did not look.
            output: what the model says of all images under attack.
            labels: their classes.
        """
        if self.watch is None or started is None:
            return
        everywhere = self.processes.gather(started.float()[:, None], len(labels))[:, 0] > 0
        self.watch.observe(labels, everywhere, output.logits.argmax(dim=1) == labels)

    def close(self, epoch: int, held_out: HeldOut | None) -> None:
        """Tell all feedback of the end of an epoch, and of what is right of the held-out part."""
        for feedback in self.feedback.values():
            feedback.close(epoch, epochs=self.config.epochs, held_out=held_out)
