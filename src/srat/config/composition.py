"""A configuration made of names: the method's, the data set's, the model's."""

import dataclasses
import inspect
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from srat.attacks import PGD, Attack, Search
from srat.attacks.named import named_for_training
from srat.attacks.projections import NormName
from srat.config.config import FAMILIES, Config
from srat.core.checked import checked
from srat.core.errors import require, unknown
from srat.core.kinds import said
from srat.core.members import choose, plain
from srat.data import Source
from srat.methods.base import Method
from srat.methods.before import Before, of_members
from srat.methods.catalogue import methods
from srat.methods.protocol import protocols
from srat.models import Init
from srat.optimization.optimizers import SGD, AdamW
from srat.optimization.schedules import Cosine, Steps

FINE_TUNING = {"optimizer": AdamW(learning_rate=1e-4), "schedule": Cosine(warmup=0.5)}
"""What trains a model that starts from weights, unless it is named: small steps, which leave what was learnt."""

DEFAULT_METHOD = "fast-bsl"
"""What `srat train` trains where no word names a method (docs/ours.md)."""


@checked
def compose(
    base: Config | None = None,
    *,
    protocol: str | None = None,
    method: str | None = None,
    norm: NormName | None = None,
    epsilon: float | None = None,
    step_size: float | None = None,
    ratio: float | None = None,
    data_dir: Path | str | None = None,
    init: Init | Path | str | None = None,
    before: Before | Mapping[str, Any] | None = None,
    **choices: Any,
) -> Config:
    """Return a configuration made of names; what is not named stays as in ``base``.

    Without a base, a run that starts from weights is trained by AdamW at a rate of 1e-4, which rises over half an epoch
    and falls along half a cosine, unless optimiser, schedule or protocol are named.

    Args:
        base: what to start from; if None SRAT-LDAM on digits, as in version 0.1 (`srat train` starts from fast-bsl).
        protocol: whose settings to take, a name of `srat.methods.protocols`; the method is chosen apart.
        method: a name of `srat.methods.methods`; where the base has that method already, its constants stay.
        norm: ball of the training attack and of the evaluation's, "linf" or "l2".
        epsilon: ε of the training attack and of the evaluation's, in [0, 1] pixel units.
        step_size: α of both, likewise; attacks of a single step keep theirs.
        ratio: K of the imbalance.
        data_dir: where the data's files are.
        init: weights that training starts from: the folder of a run, or a file.
        before: what trains the first part of the run, such as ``{"part": 0.4, "attack": "natural"}``.
        choices: a member's name for any of the families ("data", "imbalance", "model", "loss", …), or the value of
            any other field ("epochs", "seed", …). A member itself, such as ``LDAM(scale=16)``, is taken as it is.

    Raises:
        UserError: if a name or a keyword is unknown, or a value of another type or out of range.
    """
    _require_known(choices)
    config = base if base is not None else Config()
    names = {family: choices.pop(family) for family in FAMILIES if choices.get(family) is not None}
    if "data" in names:
        config = _with_data(config, names.pop("data"))
    if protocol is not None:
        config = _with_protocol(config, protocol)
    if method is not None:
        config = _with_method(config, method)
    for family, name in names.items():
        config = _with_member(config, family, name)
    if init is not None:
        config = replace(config, init=init if isinstance(init, Init) else Init(path=Path(init)))
    if before is not None:
        config = _with_before(config, before)
    if base is None and protocol is None and config.starts_trained:
        config = _fine_tuned(config, named=names)
    other_ball = norm is not None and norm != config.evaluation.norm
    require(
        not other_ball or epsilon is not None,
        f"`norm` {norm} needs `epsilon`: budgets of another norm are of another size",
    )
    config = _with_budget(config, norm=norm, epsilon=epsilon, step_size=step_size)
    if ratio is not None:
        config = replace(config, imbalance=_with_field(config.imbalance, "ratio", ratio))
    if data_dir is not None:
        config = replace(config, data=_with_field(config.data, "dir", Path(data_dir)))
    if protocol is not None and choices.get("epochs") is not None:
        config = with_epochs(config, choices.pop("epochs"))
    return replace(config, **{name: value for name, value in choices.items() if value is not None})


def with_epochs(config: Config, epochs: int) -> Config:
    """Return a configuration of so many epochs, whose learning rate falls at the same parts of the run.

    Args:
        config: the run; its schedule may name epochs at which the rate falls.
        epochs: 1 or more.
    """
    schedule = config.schedule
    if isinstance(schedule, Steps) and schedule.milestones is not None:
        parts = {round(milestone * epochs / config.epochs) for milestone in schedule.milestones}
        schedule = replace(schedule, milestones=tuple(sorted(part for part in parts if 0 < part < epochs)))
    return replace(config, epochs=epochs, schedule=schedule)


def _fine_tuned(config: Config, *, named: Container[str]) -> Config:
    members: dict[str, Any] = {family: member for family, member in FINE_TUNING.items() if family not in named}
    if "schedule" in members:
        members["schedule"] = replace(members["schedule"], reweight_from=config.schedule.reweight_from)
    return replace(config, **members)


def _require_known(choices: Iterable[str]) -> None:
    named = inspect.signature(compose).parameters.values()
    known = [p.name for p in named if p.kind is p.KEYWORD_ONLY]
    known += [f.name for f in dataclasses.fields(Config) if f.name not in known]
    for name in choices:
        if name not in known:
            raise unknown("setting", name, known)


def _chosen(family: str, name: Any, kind: str) -> Any:
    """Return the member of that name, or the member itself where one is given."""
    if isinstance(name, FAMILIES[family]):
        return name
    _require_name(family, name)
    return choose(FAMILIES[family], name, kind)


def _require_name(family: str, name: Any) -> None:
    require(isinstance(name, str), f"{family}: expected a name, such as {_example(family)}, got {said(name)}")


def _example(family: str) -> str:
    return f"'{getattr(Config(), family).name}'"


def _with_data(config: Config, name: Any) -> Config:
    source: Source = _chosen("data", name, "data set")
    if type(source) is type(config.data):
        return replace(config, data=source) if source is name else config
    suggested = source.suggested
    config = replace(config, data=source, epochs=suggested.epochs)
    for family in ("model", "imbalance", "augmentation"):
        config = _with_member(config, family, getattr(suggested, family))
    if isinstance(config.optimizer, SGD):  # whose rates are no other optimiser's
        config = replace(config, optimizer=replace(config.optimizer, learning_rate=suggested.learning_rate))
    return _with_budget(config, norm="linf", epsilon=suggested.epsilon, step_size=suggested.step_size)


def _with_protocol(config: Config, name: str) -> Config:
    there = protocols()
    if (written := plain(name)) not in there:
        raise unknown("protocol", name, there)
    protocol, data = there[written], config.data.name
    known = data in protocol.imbalances
    require(known, f"`protocol` {written}: expected `data` {_any_of(protocol.imbalances)}, got {data}")
    steps = {"steps": protocol.steps} if "steps" in config.attack.settings() else {}
    own, suggested = protocol.step_size, config.data.suggested
    step, tested = (own, protocol.evaluation_step_size) if own is not None else (suggested.step_size,) * 2
    ball = {"norm": "linf", "epsilon": protocol.epsilon, "step_size": step}
    first, method = config.before.attack, methods().get(config.method)
    augmented = method is not None and method.augmentation is not None
    augmentation = config.augmentation if augmented else protocol.augmentation or suggested.augmentation
    config = replace(
        config,
        imbalance=protocol.imbalances[data],
        model=protocol.model,
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        optimizer=protocol.optimizer,
        schedule=Steps(
            milestones=protocol.milestones, factor=protocol.factor, reweight_from=config.schedule.reweight_from
        ),
        augmentation=_chosen("augmentation", augmentation, "augmentation"),
        attack=_within(config.attack, ball | steps),
        before=config.before if first is None else replace(config.before, attack=_within(first, ball)),
    )
    return replace(config, evaluation=PGD(epsilon=protocol.epsilon, step_size=tested, steps=20))


def _any_of(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _with_method(config: Config, name: str) -> Config:
    there = methods()
    if (written := plain(name)) not in there:
        raise unknown("method", name, there)
    if written == config.method:
        return config
    method, former = there[written], there.get(config.method)
    gone = [] if former is None else [family for family in former.members if family not in method.members]
    usual = {family: _usual(config, family) for family in gone}
    members: dict[str, Any] = {**usual, **method.members}
    return replace(
        config,
        **members,
        schedule=replace(config.schedule, reweight_from=None if method.deferred else 0),
        attack=_attack_of(method, former, config),
    )


def _usual(config: Config, family: str) -> Any:
    """Return what a run on this data has in a family where no method says anything."""
    if family == "augmentation":
        return _chosen(family, config.data.suggested.augmentation, family)
    return getattr(Config(), family)


def _attack_of(method: Method, former: Method | None, config: Config) -> Attack:
    """Return a method's attack within the threat model's ball, of as many steps as the run has."""
    attack = _attack(config, method.attack.name)
    usual, given = type(attack)(), {} if former is None else former.attack_settings
    gone = {name: getattr(usual, name) for name in given if getattr(attack, name, None) == given[name]}
    return replace(attack, **gone | method.attack_settings)


def _with_member(config: Config, family: str, name: Any) -> Config:
    if family == "attack":
        return replace(config, attack=_attack(config, name))
    member = _chosen(family, name, family.replace("_", " "))
    current = getattr(config, family)
    if member is not name:
        if type(member) is type(current):
            return config
        if type(member) is type(config.loss.head):  # the one that the loss is made for, with its scale
            member = config.loss.head
        # What every member of the family has, such as the first epoch with weights, stays as it is.
        shared = [f.name for f in dataclasses.fields(FAMILIES[family]) if f.default is not dataclasses.MISSING]
        member = replace(member, **{name: getattr(current, name) for name in shared})
    changed: dict[str, Any] = {family: member}
    return replace(config, **changed)


def _with_before(config: Config, before: Before | Mapping[str, Any]) -> Config:
    if isinstance(before, Before):
        return replace(config, before=before)
    fields: dict[str, Any] = dict(before)
    for family in (field.name for field in of_members(Before) if fields.get(field.name) is not None):
        name = fields[family]
        chosen = _attack(config, name) if family == "attack" else _chosen(family, name, f"`before.{family}`")
        current = getattr(config.before, family)
        fields[family] = current if chosen is not name and type(chosen) is type(current) else chosen
    return replace(config, before=replace(config.before, **fields))


def _attack(config: Config, name: Any) -> Attack:
    if isinstance(name, Attack):
        return name
    word = name.name if isinstance(name, Search) else name  # which is refused for what it is
    _require_name("attack", word)
    # The threat model lives on in the evaluation's attack, so that a new training attack keeps its budget.
    return named_for_training(word, threat=config.evaluation, before=config.attack)


def _with_budget(config: Config, **budget: Any) -> Config:
    given = {name: value for name, value in budget.items() if value is not None}
    first = config.before.attack
    before = config.before if first is None else replace(config.before, attack=_within(first, given))
    evaluation, attack = replace(config.evaluation, **given), _within(config.attack, given)
    return replace(config, evaluation=evaluation, attack=attack, before=before)


def _within(attack: Attack, budget: Mapping[str, Any]) -> Attack:
    return replace(attack, **{name: value for name, value in budget.items() if name in attack.settings()})


def _with_field(member: Any, field: str, value: Any) -> Any:
    names = [f.name for f in dataclasses.fields(member)]
    require(field in names, f"{member.name} has no {field}; it has: {', '.join(names) or 'no settings'}")
    return replace(member, **{field: value})


def absolute(config: Config) -> Config:
    """Return the configuration with the absolute path of its data, so that it holds from every folder."""
    path = getattr(config.data, "dir", None)
    return config if path is None else compose(config, data_dir=path.absolute())
