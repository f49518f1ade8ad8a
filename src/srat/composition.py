"""A configuration made of names: the method's, the data set's, the model's."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

from srat.attacks import FGSM, PGD, Attack
from srat.attacks.projections import NormName
from srat.config import FAMILIES, Config
from srat.data import Source
from srat.errors import require, unknown
from srat.methods import METHODS
from srat.registry import choose


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
