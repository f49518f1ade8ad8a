"""What to evaluate a run under, and how each result is called: what differs from the run's own is part of the name."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from srat.attacks import PGD, AnyAttack, Natural
from srat.attacks.named import check_evaluates, given_by, named
from srat.config.config import Config
from srat.core.errors import require
from srat.evaluation.record import CLEAN

_SHORT = {"epsilon": "eps", "step_size": "step"}
_OF_LABEL = ("norm", "steps", "restarts", "queries")
"""Settings that an attack's label says itself."""


def threat_of(config: Config, **changed: Any) -> PGD:
    """Return a run's threat model with other settings, those that are None as they are.

    Raises:
        UserError: if the norm is another one, and no budget is given.
    """
    changed = {name: value for name, value in changed.items() if value is not None}
    other_ball = changed.get("norm", config.evaluation.norm) != config.evaluation.norm
    require(
        not other_ball or "epsilon" in changed, "`norm` needs `epsilon`: budgets of another norm are of another size"
    )
    return replace(config.evaluation, **changed)


def chosen_attacks(given: Sequence[AnyAttack | str], threat: PGD, config: Config, *, seed: int) -> dict[str, AnyAttack]:
    """Return what to evaluate under by the name of the result, the images as they are first.

    Args:
        given: attacks, or words for them, which get their settings from ``threat``; itself if there is none.
        threat: the threat model.
        config: the run's, with its own threat model and seed.
        seed: of the attacks' starts.

    Raises:
        UserError: if there is no such attack, it is for training alone, or two would have one name.
    """
    attacks: dict[str, AnyAttack] = {CLEAN: Natural()}
    for each in given or (threat,):
        attack = named(each, threat) if isinstance(each, str) else each
        check_evaluates(type(attack))
        name = result_name(attack, config, seed=seed)
        require(attacks.get(name, attack) == attack, f"`attacks`: two that differ have the same name, '{name}'")
        attacks[name] = attack
    return attacks


def result_name(attack: AnyAttack, config: Config, *, seed: int) -> str:
    """Return an attack's label, and in what its settings and the seed differ from those of the run."""
    if isinstance(attack, Natural):  # nothing of which is drawn
        return attack.label
    own = {field.name: field.default for field in fields(attack)} | given_by(config.evaluation, type(attack))
    now = {name: getattr(attack, name) for name in own if name not in _OF_LABEL}
    others = [
        (name, value) for name, value in (now | {"seed": seed}).items() if value != (own | {"seed": config.seed})[name]
    ]
    return attack.label + "".join(
        f"-{_SHORT.get(name, name.replace('_', '-'))}-{_said(value)}" for name, value in others
    )


def named_number(value: float) -> str:
    """Return a number for a result's name: short if that is exact, and never the name of another."""
    short = f"{value:.4g}"
    return short if isinstance(value, float) and float(short) == value else str(value)


def budget_suffix(attack: AnyAttack, own: PGD) -> str:
    """Return what the name of a result says of norm and ε, where they are not those of the run's own attack."""
    norm, epsilon = getattr(attack, "norm", own.norm), getattr(attack, "epsilon", own.epsilon)
    return (f"-{norm}" if norm != own.norm else "") + (
        f"-eps-{named_number(epsilon)}" if epsilon != own.epsilon else ""
    )


def _said(value: Any) -> str:
    """Return a setting's value for a name that is a file's, too."""
    return named_number(value) if isinstance(value, float) else re.sub(r"[^\w.+-]+", "_", str(value))
