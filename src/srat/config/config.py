"""Everything that decides a run, as one value: written to JSON, read back, and named by its hash."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from srat.attacks import PGD, Attack, Natural
from srat.attacks.budgets import Budget, UniformBudget
from srat.config.serialization import differences, filled, id_of, identity, make_converter
from srat.core.checked import Checked, checked
from srat.core.errors import UserError, require, require_amount, require_field
from srat.core.files import parse_json, read_bounded
from srat.core.members import Member, Missing, since
from srat.core.structuring import structured
from srat.core.words import number
from srat.data import Augmentation, Holdout, Imbalance, Source
from srat.data.augmentation import NoAugmentation
from srat.data.imbalance import Step
from srat.data.mixing import Mixing, NoMixing
from srat.data.sampling import Sampling, Shuffled
from srat.data.sources.digits import Digits
from srat.feature_losses import FeatureLoss, NoFeatureLoss
from srat.guards import CollapseGuard, Guard, NoGuard
from srat.losses import Loss
from srat.methods.before import Before, of_members
from srat.methods.catalogue import methods
from srat.methods.objective import Objective
from srat.methods.table import METHODS
from srat.models import Architecture, AttackMode, Head, Init
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LossHead
from srat.optimization.averaging import Averaging, NoAveraging
from srat.optimization.optimizers import SGD, Optimizer
from srat.optimization.schedules import Schedule, Steps
from srat.optimization.weight_perturbations import NoPerturbation, WeightPerturbation
from srat.regularizers import NoRegularizer, Regularizer
from srat.robust_losses import RobustLoss, Standard
from srat.runtime.precision import PrecisionName
from srat.weightings import Weighting

_DEFAULT = METHODS["srat-ldam"]
"""Of version 0.1: what is left out of a configuration means this for ever; commands start from another method."""
_DIGITS = Digits.suggested
M = TypeVar("M", bound=Member)
LARGEST_FILE = 1 << 20
"""Bytes of a configuration file that are read at the most; ours have two thousand."""


@dataclass(frozen=True, kw_only=True)
class InnerMaximization(Checked):
    """How the training attack sees the model."""

    loss: Literal["cross-entropy", "training"] = "cross-entropy"
    """What it maximises: cross-entropy on the served logits, as nearly all code does, or the training loss (Eq. 5)."""
    batch_norm: AttackMode = "eval"
    """BatchNorm by its running statistics (eval), or by the batch's without moving the running ones."""
    feature_weight: float = field(default=0.0, metadata=since(0.0))
    """How much of the feature loss, of the images under attack, it maximises beside that; 0 leaves it to the label."""

    def __post_init__(self) -> None:
        weight = self.feature_weight
        require_amount(weight, "inner.feature_weight")


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """A run: what is trained, on what, how."""

    seed: int = 0
    """Seed of all randomness."""
    epochs: int = _DIGITS.epochs
    """Passes over the training data."""
    batch_size: int = 128
    """Images in a step."""
    freeze: int = field(default=0, metadata=since(0))
    """Epochs, from the start on, in which the backbone stays as it is and the head learns: all of them at the most."""
    backbone_rate: float = field(default=1.0, metadata=since(1.0))
    """What the learning rate is multiplied by for the backbone, which may need smaller steps than the head."""
    data: Source = Digits()
    imbalance: Imbalance = Step()
    holdout: Holdout = Holdout()
    augmentation: Augmentation = NoAugmentation()
    sampling: Sampling = field(default=Shuffled(), metadata=since(Shuffled()))
    mixing: Mixing = field(default=NoMixing(), metadata=since(NoMixing()))
    model: Architecture = SmallCNN()
    head: Head = LossHead()
    init: Init = field(default=Init(), metadata=since(Init()))
    attack: Attack = PGD(epsilon=_DIGITS.epsilon, step_size=_DIGITS.step_size)
    budget: Budget = field(default=UniformBudget(), metadata=since(UniformBudget()))
    inner: InnerMaximization = InnerMaximization()
    loss: Loss = _DEFAULT.loss
    robust_loss: RobustLoss = field(default=Standard(), metadata=since(Standard()))
    weighting: Weighting = _DEFAULT.weighting
    feature_loss: FeatureLoss = _DEFAULT.feature_loss
    regularizer: Regularizer = field(default=NoRegularizer(), metadata=since(NoRegularizer()))
    objective: Objective = Objective()
    before: Before = field(default=Before(), metadata=since(Before()))
    optimizer: Optimizer = SGD(learning_rate=_DIGITS.learning_rate)
    schedule: Schedule = Steps()
    averaging: Averaging = field(default=NoAveraging(), metadata=since(NoAveraging()))
    weight_perturbation: WeightPerturbation = field(default=NoPerturbation(), metadata=since(NoPerturbation()))
    guard: Guard = field(default=CollapseGuard(), metadata=since(NoGuard()))
    precision: PrecisionName = "fp32"
    """Arithmetic of training: bf16 and fp16 mix half precision in, tf32 rounds on GPUs; evaluation stays in fp32."""
    sync_batch_norm: bool = False
    """Of several processes: BatchNorm over the whole batch, as one process computes it, not over each one's share."""
    evaluation: PGD = PGD(epsilon=_DIGITS.epsilon, step_size=_DIGITS.step_size, steps=20)

    def __post_init__(self) -> None:
        require_field(1 <= self.epochs <= 100_000, "epochs", "1 to 100,000", self.epochs)
        require_field(1 <= self.batch_size <= 1_000_000, "batch_size", "1 to 1,000,000", self.batch_size)
        require_field(0 <= self.freeze <= self.epochs, "freeze", f"0 to `epochs` {self.epochs}", self.freeze)
        rate = self.backbone_rate
        require_field(0 < rate <= 1000, "backbone_rate", "a number above 0, at most 1,000", rate, 0, 1000)
        self.schedule.check(self.epochs)
        self._check_held_out()
        linf, norm = not self.attack.of_linf_alone() or self.evaluation.norm == "linf", self.evaluation.norm
        require(linf, f"`attack`: {self.attack.name} attacks in linf, and the evaluation in {norm}; train with pgd")
        head, wanted = self.head.resolve(self.loss.head), self.loss.head
        if isinstance(head, CosineHead) and isinstance(wanted, CosineHead):
            own, of_loss = number(head.scale, wanted.scale), number(wanted.scale, head.scale)
            same = f"`head.scale` {own} and `loss.scale` {of_loss} must be the same number"
            require(head.scale == wanted.scale, same)
        of_one = self.inner.loss != "training" or not self.loss.sees_batch
        other = f"cross-entropy with {self.loss.name}, whose examples have no losses of their own"
        require_field(of_one, "inner.loss", other, self.inner.loss)

    def at(self, epoch: int) -> "Config":
        """Return what an epoch is trained with: the members of the first part in their places while it lasts.

        While the backbone is frozen, the attack sees BatchNorm as training does: by its running statistics.

        Args:
            epoch: counted from 0.
        """
        if self.is_frozen(epoch) and self.inner.batch_norm != "eval":
            return replace(self, inner=replace(self.inner, batch_norm="eval")).at(epoch)
        if epoch >= self.before.epochs(self.epochs):
            return self
        members: Mapping[str, Any] = self.before.members
        stage = replace(self, **members, before=Before())
        nothing = isinstance(stage.feature_loss, NoFeatureLoss) or isinstance(stage.attack, Natural)
        return replace(stage, inner=replace(stage.inner, feature_weight=0.0)) if nothing else stage

    def is_frozen(self, epoch: int) -> bool:
        """Return whether the backbone stays as it is in an epoch, counted from 0."""
        return epoch < self.freeze

    @property
    def starts_trained(self) -> bool:
        """Whether training starts from weights that there are."""
        return bool(self.init.sha256) or self.model.is_trained

    def _check_held_out(self) -> None:
        """Raise ``UserError`` if a member learns from a held-out part, and nothing is held out."""
        learning: Mapping[str, Budget | Weighting | Averaging]
        learning = {"budget": self.budget, "weighting": self.weighting, "averaging": self.averaging}
        fraction = self.holdout.fraction
        for family, member in learning.items():
            wanted = f"a part above 0, which `{family}` {member.name} learns from"
            require_field(fraction > 0 or not member.sees_held_out, "holdout.fraction", wanted, fraction, 0)

    @property
    def is_guarded(self) -> bool:
        """Whether its guard looks after the training under an attack of its own."""
        return any(self.guard.watches(stage.attack) for stage in (self.at(0), self))

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name this configuration: a hash of all that decides the result."""
        return id_of(self._identity())

    def differences(self, other: "Config") -> list[str]:
        """Return what decides a result and differs, each as "field this (not the other)"."""
        return differences(self._identity(whole=True), other._identity(whole=True))

    def _identity(self, *, whole: bool = False) -> dict[str, Any]:
        # One that has nothing to look after decides nothing.
        kept = self.is_guarded or isinstance(self.guard, Missing)
        known = self if kept else replace(self, guard=NoGuard())
        # Through JSON's types first, so that a ratio of 10 and one of 10.0 are one configuration.
        plain: dict[str, Any] = identity(_OPENING.structure(_OPENING.unstructure(known), Config), whole=whole)
        return plain

    @property
    def method(self) -> str:
        """The method's name, or "custom"; under no attack with the prefix "natural".

        Where several are what it is, the one that says most names it: at-awp, not ce.
        """
        members, deferred = vars(self), self.schedule.reweight_from != 0
        found = {
            name: method.choices
            for name, method in methods().items()
            if method.attacked
            and method.describes(members)
            and (method.weighting.name == "uniform" or method.deferred == deferred)
        }
        name = max(found, key=lambda name: found[name]) if found else "custom"
        if not isinstance(self.attack, Natural):
            return name
        return "natural" if name == "ce" else f"natural-{name}"

    def to_plain(self) -> dict[str, Any]:
        """Return the configuration as JSON-able values."""
        plain: dict[str, Any] = _OPENING.unstructure(self)
        return plain

    def to_json(self) -> str:
        """Return the configuration as indented JSON."""
        return json.dumps(self.to_plain(), indent=2) + "\n"

    @classmethod
    def from_plain(cls, content: Any, *, where: str = "config", opening: bool = False) -> "Config":
        """Return the configuration that JSON's values stand for.

        Args:
            content: the values.
            where: names the source.
            opening: whether the configuration of a run is only looked at: then members that are not known here, of a
                package or a plugin that was there for the training, are kept as they are, and refused where their code
                is needed.

        Raises:
            UserError: on an unknown key or name, or a value out of range.
        """
        converter = _OPENING if opening else _CONVERTER
        try:
            return structured(filled(content, cls(), converter), cls, converter)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    @classmethod
    def from_json(cls, text: str, *, where: str = "config") -> "Config":
        """Return the configuration that ``text`` holds.

        Raises:
            UserError: as `from_plain`, or if it is not JSON.
        """
        return cls.from_plain(parse_json(text, where=where), where=where)

    @classmethod
    @checked
    def read(cls, path: Path | str, *, opening: bool = False) -> "Config":
        """Return the configuration in a file.

        Args:
            path: a run's ``config.json``.
            opening: whether members that are not known here are kept as they are; see `from_plain`.

        Raises:
            UserError: if it cannot be read.
        """
        content = parse_json(read_bounded(Path(path), LARGEST_FILE), where=path)
        return cls.from_plain(content, where=str(path), opening=opening)

    @property
    def missing(self) -> Mapping[str, Missing]:
        """The members that are not known here, by their paths; none of a configuration that can be trained."""
        named: Mapping[str, Any] = vars(self) | {f"before.{name}": each for name, each in self.before.members.items()}
        return {path: member for path, member in named.items() if isinstance(member, Missing)}


FAMILIES: Mapping[str, type[Member]] = {
    "data": Source,
    "imbalance": Imbalance,
    "augmentation": Augmentation,
    "sampling": Sampling,
    "mixing": Mixing,
    "model": Architecture,
    "head": Head,
    "attack": Attack,
    "budget": Budget,
    "loss": Loss,
    "robust_loss": RobustLoss,
    "weighting": Weighting,
    "feature_loss": FeatureLoss,
    "regularizer": Regularizer,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "averaging": Averaging,
    "weight_perturbation": WeightPerturbation,
    "guard": Guard,
}
"""The fields of a configuration that are a choice among members."""

PLACES: Mapping[str, type[Member]] = {
    **FAMILIES,
    **{f"before.{field.name}": FAMILIES[field.name] for field in of_members(Before)},
}
"""Where members are chosen: in the fields of a configuration, and in those of the first part of a run."""

_CONVERTER, _OPENING = make_converter(FAMILIES), make_converter(FAMILIES, lenient=True)


def member_to_plain(member: Member) -> dict[str, Any]:
    """Return a member as JSON-able values, its name among them."""
    family = next(family for family in FAMILIES.values() if isinstance(member, family))
    plain: dict[str, Any] = _OPENING.unstructure(member, family)
    return plain


def member_from_plain(content: Any, family: type[M]) -> M:
    """Return the member of a family that JSON's values stand for.

    Raises:
        UserError: if they stand for none.
    """
    return structured(content, family, _CONVERTER)
