"""Everything that decides a run, as one value: written to JSON, read back, and named by its hash."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import cattrs
from cattrs.strategies import configure_tagged_union

from srat.attacks import FGSM, PGD, Attack, Natural
from srat.attacks.projections import NormName
from srat.data import Augmentation, Holdout, Imbalance, Source
from srat.data.augmentation import NoAugmentation
from srat.data.digits import Digits
from srat.data.imbalance import ClassOrder, Step
from srat.errors import UserError, nearest, require, unknown
from srat.feature_losses import FeatureLoss
from srat.losses import Loss
from srat.methods import METHODS
from srat.models import Architecture, AttackMode, Head
from srat.models.heads import CosineHead, LossHead
from srat.models.small_cnn import SmallCNN
from srat.objective import Objective
from srat.registry import Member, choose, members
from srat.schedules import Schedule
from srat.weightings import Weighting

DEFAULT_METHOD = "srat-ldam"
_DEFAULT = METHODS[DEFAULT_METHOD]
_DIGITS = Digits.suggested


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum, at the field's usual values; the paper does not give its optimiser."""

    learning_rate: float = 0.1
    """γ of the first epoch."""
    momentum: float = 0.9
    """Momentum."""
    weight_decay: float = 5e-4
    """Weight decay."""
    nesterov: bool = False
    """Nesterov's momentum."""

    def __post_init__(self) -> None:
        require(
            0 < self.learning_rate < 1e3,
            f"--optimizer.learning-rate: expected a number above 0, got {self.learning_rate:g}",
        )
        require(0 <= self.momentum < 1, f"--optimizer.momentum: expected 0 ≤ momentum < 1, got {self.momentum:g}")
        require(
            0 <= self.weight_decay < 1e3, f"--optimizer.weight-decay: expected 0 or more, got {self.weight_decay:g}"
        )
        require(not self.nesterov or self.momentum > 0, "--optimizer.nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True)
class InnerMaximization:
    """How the training attack sees the model."""

    loss: Literal["cross-entropy", "training"] = "cross-entropy"
    """What it maximises: cross-entropy on the served logits, as nearly all code does, or the training loss (Eq. 5)."""
    batch_norm: AttackMode = "eval"
    """BatchNorm by its running statistics (eval), or by the batch's without moving the running ones."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A run: what is trained, on what, how."""

    seed: int = 0
    """Seed of all randomness."""
    epochs: int = _DIGITS.epochs
    """Passes over the training data."""
    batch_size: int = 128
    """Images in a step."""
    data: Source = Digits()
    imbalance: Imbalance = Step()
    holdout: Holdout = Holdout()
    augmentation: Augmentation = NoAugmentation()
    model: Architecture = SmallCNN()
    head: Head = LossHead()
    attack: Attack = PGD(epsilon=_DIGITS.epsilon, step_size=_DIGITS.step_size)
    inner: InnerMaximization = InnerMaximization()
    loss: Loss = _DEFAULT.loss
    weighting: Weighting = _DEFAULT.weighting
    feature_loss: FeatureLoss = _DEFAULT.feature_loss
    objective: Objective = Objective()
    optimizer: SGD = SGD(learning_rate=_DIGITS.learning_rate)
    schedule: Schedule = Schedule()
    evaluation: PGD = PGD(epsilon=_DIGITS.epsilon, step_size=_DIGITS.step_size, steps=20)

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= 100_000, f"--epochs: expected 1 to 100,000, got {self.epochs}")
        require(1 <= self.batch_size <= 1_000_000, f"--batch-size: expected 1 to 1,000,000, got {self.batch_size}")
        late = [m for m in (*(self.schedule.milestones or ()), self.schedule.reweight_from or 0) if m >= self.epochs]
        require(not late, f"--schedule: expected epochs below --epochs {self.epochs}, got {late[0] if late else ''}")
        linf = not isinstance(self.attack, FGSM) or self.evaluation.norm == "linf"
        require(linf, f"--attack fgsm attacks in linf, and the evaluation in {self.evaluation.norm}; train with pgd")
        head, wanted = self.head.resolve(self.loss.head), self.loss.head
        if isinstance(head, CosineHead) and isinstance(wanted, CosineHead):
            require(
                head.scale == wanted.scale,
                f"--head.scale {head.scale:g} and --loss.scale {wanted.scale:g} must be the same number",
            )

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name this configuration: a hash of all that decides the result."""
        # Through JSON's types first, so that a ratio of 10 and one of 10.0 are one configuration.
        plain = _CONVERTER.structure(_CONVERTER.unstructure(self), Config)
        text = json.dumps(_identity(plain), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def method(self) -> str:
        """The method's name in the paper's table, or "custom"; under no attack with the prefix "natural"."""
        row = (type(self.loss), type(self.weighting), type(self.feature_loss))
        deferred = self.schedule.reweight_from != 0
        names = [
            name
            for name, m in METHODS.items()
            if m.attacked
            and row == (type(m.loss), type(m.weighting), type(m.feature_loss))
            and (m.weighting.name == "uniform" or m.deferred == deferred)
        ]
        name = names[0] if names else "custom"
        if not isinstance(self.attack, Natural):
            return name
        return "natural" if name == "ce" else f"natural-{name}"

    def to_json(self) -> str:
        """Return the configuration as indented JSON."""
        return json.dumps(_CONVERTER.unstructure(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "config") -> "Config":
        """Return the configuration that ``text`` holds.

        Raises:
            UserError: on malformed JSON, an unknown key or name, or a value out of range; ``where`` names the file.
        """
        try:
            content = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where}: not valid JSON ({error})") from error
        require(isinstance(content, dict), f"{where}: expected a JSON object, got {text[:20].strip()}")
        try:
            config: Config = _CONVERTER.structure(content, cls)
        except cattrs.BaseValidationError as error:
            mistakes = cattrs.transform_error(error, path="", format_exception=_describe)
            raise UserError(f"{where}: {mistakes[0].removesuffix(' @ ')}") from error
        return config

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Return the configuration in a file.

        Raises:
            UserError: if it cannot be read.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            raise UserError(f"{path}: cannot be read as a configuration ({why})") from error


FAMILIES: Mapping[str, type[Member]] = {
    "data": Source,
    "imbalance": Imbalance,
    "augmentation": Augmentation,
    "model": Architecture,
    "head": Head,
    "attack": Attack,
    "loss": Loss,
    "weighting": Weighting,
    "feature_loss": FeatureLoss,
}
"""The fields of a configuration that are a choice among members."""


def compose(
    base: Config | None = None,
    *,
    method: str | None = None,
    norm: NormName | None = None,
    epsilon: float | None = None,
    step_size: float | None = None,
    ratio: float | None = None,
    data_dir: Path | str | None = None,
    **choices: Any,
) -> Config:
    """Return a configuration made of names; what is not named stays as in ``base``.

    Args:
        base: what to start from; the default method on digits if None.
        method: a name of the table in ``srat.methods``.
        norm: ball of the training attack and of the evaluation's, "linf" or "l2".
        epsilon: ε of the training attack and of the evaluation's, in [0, 1] pixel units.
        step_size: α of both, likewise.
        ratio: K of the imbalance.
        data_dir: where the data's files are.
        choices: a member's name for any of the families ("data", "imbalance", "model", "loss", …), or the value of
            any other field ("epochs", "seed", …).

    Raises:
        UserError: if a name is unknown or a value out of range.
    """
    config = base if base is not None else Config()
    names = {family: choices.pop(family) for family in FAMILIES if choices.get(family) is not None}
    if "data" in names:
        config = _with_data(config, names.pop("data"))
    if method is not None:
        config = _with_method(config, method)
    for family, name in names.items():
        config = _with_member(config, family, name)
    other_ball = norm is not None and norm != config.evaluation.norm
    require(
        not other_ball or epsilon is not None,
        f"--norm {norm} needs --epsilon: budgets of another norm are of another size",
    )
    config = _with_budget(config, norm=norm, epsilon=epsilon, step_size=step_size)
    if ratio is not None:
        config = replace(config, imbalance=_with_field(config.imbalance, "ratio", ratio))
    if data_dir is not None:
        config = replace(config, data=_with_field(config.data, "dir", Path(data_dir)))
    return replace(config, **{name: value for name, value in choices.items() if value is not None})


def _with_data(config: Config, name: str) -> Config:
    source: Source = choose(Source, name, "data set")
    if type(source) is type(config.data):
        return config
    suggested = source.suggested
    config = replace(config, data=source, epochs=suggested.epochs)
    for family in ("model", "imbalance", "augmentation"):
        config = _with_member(config, family, getattr(suggested, family))
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=suggested.learning_rate))
    return _with_budget(config, norm="linf", epsilon=suggested.epsilon, step_size=suggested.step_size)


def _with_method(config: Config, name: str) -> Config:
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    if name == config.method:
        return config
    method = METHODS[name]
    reweight_from = None if method.deferred else 0
    return replace(
        config,
        loss=method.loss,
        weighting=method.weighting,
        feature_loss=method.feature_loss,
        schedule=replace(config.schedule, reweight_from=reweight_from),
        attack=_attack(config, "pgd" if method.attacked else "natural"),
    )


def _with_member(config: Config, family: str, name: str) -> Config:
    if family == "attack":
        return replace(config, attack=_attack(config, name))
    member = choose(FAMILIES[family], name, family.replace("_", " "))
    current = getattr(config, family)
    changed: dict[str, Any] = {family: member}
    return config if type(member) is type(current) else replace(config, **changed)


def _attack(config: Config, name: str) -> Attack:
    attack = choose(Attack, name, "attack")
    if type(attack) is type(config.attack):
        return config.attack
    # The threat model lives on in the evaluation's attack, so that a new training attack keeps its budget.
    shared = {
        f.name: getattr(config.evaluation, f.name) for f in dataclasses.fields(attack) if f.name in ("norm", "epsilon")
    }
    if isinstance(attack, PGD):
        shared["step_size"] = config.evaluation.step_size
    return replace(attack, **shared)


def _with_budget(config: Config, **budget: Any) -> Config:
    given = {name: value for name, value in budget.items() if value is not None}
    # FGSM's one step follows from its ε.
    known = {f.name for f in dataclasses.fields(config.attack)} - (
        {"step_size"} if isinstance(config.attack, FGSM) else set()
    )
    attack = replace(config.attack, **{name: value for name, value in given.items() if name in known})
    return replace(config, evaluation=replace(config.evaluation, **given), attack=attack)


def _with_field(member: Any, field: str, value: Any) -> Any:
    names = [f.name for f in dataclasses.fields(member)]
    require(field in names, f"{member.name} has no {field}; it has: {', '.join(names) or 'no settings'}")
    return replace(member, **{field: value})


def _identity(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {
            f.name: _identity(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if f.metadata.get("identity", True)
        }
        return {"name": value.name, **fields} if isinstance(value, Member) else fields
    return str(value) if isinstance(value, Path) else value


def _strict(kind: type) -> Any:
    def structure(value: Any, _: Any) -> Any:
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"expected {kind.__name__}, got {json.dumps(value)}")
        return kind(value)

    return structure


def _family_hooks(converter: cattrs.Converter, family: type[Member]) -> None:
    known = members(family)
    union: Any = Union[tuple(known.values())]  # noqa: UP007 - built at run time

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict) or "name" not in value:
            raise UserError(f"expected an object with a name, one of: {', '.join(known)}")
        if value["name"] not in known:
            raise unknown(family.__name__.lower(), str(value["name"]), known)
        return converter.structure(value, union)

    configure_tagged_union(union, converter, tag_name="name", tag_generator=attrgetter("name"))
    converter.register_structure_hook_func(lambda t: t is family, structure)
    converter.register_unstructure_hook_func(lambda t: t is family, lambda value: converter.unstructure(value, union))


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind in (int, float, str, bool):
        converter.register_structure_hook(kind, _strict(kind))
    converter.register_unstructure_hook(Path, str)
    order: Any = ClassOrder
    converter.register_structure_hook(
        order, lambda value, _: value if value in ("label", "random") else converter.structure(value, tuple[int, ...])
    )
    for family in FAMILIES.values():
        _family_hooks(converter, family)
    return converter


def _describe(error: BaseException, kind: Any) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in dataclasses.fields(error.cl)]
        given = sorted(error.extra_fields)[0]
        return f"unknown key '{given}'{nearest(given, known)}; there are: {', '.join(known)}"
    if isinstance(error, KeyError):
        return f"missing key {error}"
    if get_origin(kind) is Literal:
        return f"expected one of {', '.join(map(str, get_args(kind)))}, got {str(error).split(' not in ')[0]}"
    return str(error)


_CONVERTER = _make_converter()
