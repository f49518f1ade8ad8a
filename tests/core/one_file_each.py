"""Members that a package may have, a file each: what a new one of any kind takes."""

ADDED = {
    "loss": '''
from dataclasses import dataclass
from srat.losses import Loss, cross_entropy

@dataclass(frozen=True, kw_only=True)
class Doubled(Loss, name="doubled"):
    """Twice the cross-entropy."""
    factor: float = 2.0

    def __call__(self, logits, labels, class_counts):
        return self.factor * cross_entropy(logits, labels)
''',
    "feature_loss": '''
from dataclasses import dataclass
from srat.feature_losses import FeatureLoss, FeatureTerm

@dataclass(frozen=True, kw_only=True)
class Short(FeatureLoss, name="short"):
    """Squared length of the features."""

    def __call__(self, features, labels, memory=None, class_counts=None):
        return FeatureTerm(features.square().mean(dim=1), labels >= 0)
''',
    "weighting": '''
from dataclasses import dataclass
import torch
from srat.weightings import Weighting

@dataclass(frozen=True, kw_only=True)
class Rising(Weighting, name="rising"):
    """The number of the class, scaled to mean 1."""

    def weights(self, class_counts):
        weights = torch.arange(1.0, len(class_counts) + 1)
        return weights / weights.mean()
''',
    "robust_loss": '''
from dataclasses import dataclass
from typing import ClassVar
from srat.robust_losses import RobustLoss

@dataclass(frozen=True, kw_only=True)
class Half(RobustLoss, name="half"):
    """Half of the loss of the attacked image, half of that of the clean one."""
    sees_clean: ClassVar[bool] = True

    def outer(self, logits, references):
        return (references.prediction(logits) + references.prediction(references.clean)) / 2
''',
    "attack": '''
from dataclasses import dataclass
import torch
from srat.attacks import Attack

@dataclass(frozen=True, kw_only=True)
class Jump(Attack, name="jump"):
    """The worst of some random corners of the ball."""
    epsilon: float = 0.1
    steps: int = 2

    def perturb(self, loss_at, images, *, generator, scale=None):
        worst, loss = images, loss_at(images)
        for _ in range(self.steps):
            signs = torch.randn(images.shape, generator=generator).sign()
            corner = (images + self.epsilon * signs).clamp(0, 1)
            now = loss_at(corner)
            worse = (now > loss)[:, None, None, None]
            worst, loss = torch.where(worse, corner, worst), torch.maximum(now, loss)
        return worst.detach()
''',
    "budget": '''
from dataclasses import dataclass
import torch
from srat.attacks.budgets import Budget

@dataclass(frozen=True, kw_only=True)
class Ramp(Budget, name="ramp"):
    """From nothing to all over the epochs."""

    def scales(self, class_counts, epoch, *, epochs):
        return torch.full((len(class_counts),), (epoch + 1) / epochs)
''',
    "sampling": '''
from dataclasses import dataclass
import torch
from srat.data.sampling import Sampling

@dataclass(frozen=True, kw_only=True)
class Drawn(Sampling, name="drawn"):
    """With replacement."""

    def order(self, labels, *, epoch, epochs, generator):
        return torch.randint(len(labels), (len(labels),), generator=generator)
''',
    "mixing": '''
from dataclasses import dataclass
import torch
from srat.data.mixing import Mix, Mixing

@dataclass(frozen=True, kw_only=True)
class Halves(Mixing, name="halves"):
    """The left half of each image, the right half of the one before."""

    def draw(self, batch, height, width, *, labels, generator):
        left = torch.arange(width) < width // 2
        share = (width // 2) / width
        return Mix(torch.arange(batch).roll(1), share, lambda images, partners: torch.where(left, images, partners))
''',
    "averaging": '''
from dataclasses import dataclass
from srat.optimization.averaging import Averaging

@dataclass(frozen=True, kw_only=True)
class Tenth(Averaging, name="tenth"):
    """A tenth of the way after each step."""

    def share(self, step, *, steps, epochs):
        return 0.1
''',
    "schedule": '''
from dataclasses import dataclass
from srat.optimization.schedules import Schedule

@dataclass(frozen=True, kw_only=True)
class Line(Schedule, name="line"):
    """Falls in a line."""

    def share(self, time, *, epochs):
        return 1 - time / epochs

    def described(self, epochs):
        return "in a line"
''',
    "optimizer": '''
from dataclasses import dataclass
import torch
from srat.optimization.optimizers import Optimizer

@dataclass(frozen=True, kw_only=True)
class Rprop(Optimizer, name="rmsprop"):
    """RMSprop."""
    learning_rate: float = 0.001

    def make(self, parameters, *, scaled=False):
        return torch.optim.RMSprop(parameters, lr=self.learning_rate)
''',
    "regularizer": '''
from dataclasses import dataclass
from srat.regularizers import Regularizer

@dataclass(frozen=True, kw_only=True)
class Small(Regularizer, name="small"):
    """Half the squared length of the head's weights."""
    weight: float = 0.1

    def __call__(self, model):
        return self.weight / 2 * model.head.weight.square().sum()
''',
    "weight_perturbation": '''
from contextlib import contextmanager
from dataclasses import dataclass
from srat.optimization.weight_perturbations import WeightPerturbation

@dataclass(frozen=True, kw_only=True)
class Looked(WeightPerturbation, name="looked"):
    """Takes a gradient, and leaves the weights."""

    @contextmanager
    def perturbed(self, module, backward, *, epoch, epochs):
        backward()
        for parameter in module.parameters():
            parameter.grad = None
        yield
''',
    "guard": '''
from dataclasses import dataclass
from srat.guards import Guard

@dataclass(frozen=True, kw_only=True)
class Patient(Guard, name="patient"):
    """Looks on, and lets everything be."""

    def watches(self, attack):
        return True

    def judge(self, seen):
        return ""

    def is_good(self, seen):
        return True

    def steps_in(self, remedies):
        return False

    def remedied(self, attack, remedies):
        return attack
''',
    "model": '''
from dataclasses import dataclass
from torch import nn
from srat.models import Architecture

@dataclass(frozen=True, kw_only=True)
class Flat(Architecture, name="flat"):
    """One hidden layer."""
    width: int = 8

    def backbone(self, shape):
        pixels = shape.channels * shape.height * shape.width
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, self.width), nn.ReLU()), self.width
''',
    "augmentation": '''
from dataclasses import dataclass
from srat.data import Augmentation

@dataclass(frozen=True, kw_only=True)
class Upside(Augmentation, name="upside-down"):
    """Turn every image upside down."""

    def __call__(self, images, *, generator):
        return images.flip(-2)
''',
    "check": '''
from dataclasses import dataclass
from srat.audit.base import Check, Finding

@dataclass(frozen=True, kw_only=True)
class Many(Check, name="many"):
    """Whether there are images enough."""
    question = "Are there ten images?"

    def examine(self, subject):
        return Finding(verdict="pass" if subject.n >= 10 else "fail", evidence=f"{subject.n} images", figures={})
''',
    "method": """
from srat.losses import Focal
from srat.methods import Method
from srat.optimization.averaging import EMA

METHOD = Method(title="Ours", source="Us", formula="focal", loss=Focal(gamma=3.0), averaging=EMA())
""",
    "recipe": """
from srat.config.composition import compose
from srat.recipes.base import Cell, Recipe

RECIPE = Recipe(
    title="Ours: one method",
    kind="methods",
    data="digits",
    cells=lambda base: [Cell(row="ce", column="step-10", config=compose(base, method="ce", model="linear", epochs=1))],
)
""",
}
