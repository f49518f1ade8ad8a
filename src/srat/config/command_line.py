"""From a configuration back to the words that make it, and from a setting to its flag."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from srat.config.composition import DEFAULT_METHOD, compose
from srat.config.config import FAMILIES, Config
from srat.core.members import Member, Missing
from srat.methods.catalogue import methods
from srat.models.wrapping.wrapper import Custom

_LONG = 8
"""Characters of a number above which it is written as so many 255ths, if it is that."""
SHORT = {"data.dir": "data_dir", "init.path": "init", "data.dataset": "data.name", "imbalance.ratio": "ratio"}
"""Settings that have a flag of another name; beside one without a prefix, that of the path works, too."""
READ = ("model.architecture",)
"""Settings that no words say: they are read from what another one names."""


def command_of(config: Config, plugins: Iterable[str] = ()) -> str:
    """Return the command line of ``srat train`` that makes a configuration: only what differs from the defaults.

    It is empty where none does: a model of the user's own is passed in Python.

    Args:
        config: the run's.
        plugins: files that it is trained with.
    """
    if isinstance(config.model, Custom):
        return ""
    method = config.method
    words = ["srat", "train", *plugin_words(plugins)]
    usual = {"method": DEFAULT_METHOD}
    named: dict[str, Any] = {"method": method} if method in methods() else {}  # the parts of others are named below
    if not config.data.hidden:
        named["data"] = _chosen(config.data)
    if type(config.model) is not type(compose(**usual | named).model):
        named["model"] = _chosen(config.model)
    if config.init.path is not None:
        named["init"] = str(config.init.path)
    words += [word for name, value in named.items() for word in (f"--{name}", getattr(value, "name", value))]
    base = compose(**usual | named | ({"init": config.init} if "init" in named else {}))  # whose file may be gone
    for family in FAMILIES:
        member = getattr(config, family)
        if type(member) is not type(getattr(base, family)):
            base = compose(base, **{family: _chosen(member)})
            words += [flag(family), member.name]
    for family, member in config.before.members.items():
        if type(member) is not type(getattr(base.before, family)):
            base = compose(base, before={family: _chosen(member)})
            words += [flag(f"before.{family}"), member.name]
    shared = {name: getattr(config.evaluation, name) for name in ("norm", "epsilon", "step_size")}
    if all(getattr(config.attack, name, None) == value for name, value in shared.items()):
        budget = {name: value for name, value in shared.items() if value != getattr(base.attack, name)}
        budget |= {"epsilon": shared["epsilon"]} if "norm" in budget else {}  # budgets of another norm are others
        base = compose(base, **budget)
        words += [word for name, value in budget.items() for word in words_of(name, value)]
    usual_settings = base.to_plain()
    for path, unknown in config.missing.items():  # whose own defaults nobody knows
        family, _, first = path.rpartition(".")[::-1]
        (usual_settings[first] if first else usual_settings)[family] = {"name": unknown.name}
    differing = ((path, value) for path, value in _differing(usual_settings, config.to_plain()) if path not in READ)
    words += [word for path, value in differing for word in words_of(path, value)]
    return shlex.join(words)


def _chosen(member: Member) -> Any:
    """Return what chooses a member: its name, but for one that is not known here."""
    return member if isinstance(member, Missing) else member.name


def flag(path: str) -> str:
    """Return the flag of a setting.

    Args:
        path: where it is in a configuration, or among the arguments of a command.
    """
    return f"--{SHORT.get(path, path).replace('_', '-')}"


def words_of(path: str, value: Any) -> list[str]:
    """Return the words that give a setting a value of JSON's."""
    if isinstance(value, bool):
        head, _, last = path.rpartition(".")
        name = last if value else f"no-{last}"
        return [flag(f"{head}.{name}" if head else name)]
    if isinstance(value, list | tuple):
        return [flag(path), *(_text(each) for each in value)]
    return [flag(path), _text(value)]


def plugin_words(paths: Iterable[str]) -> list[str]:
    """Return the words that load plugins, with any command."""
    return [word for path in paths for word in words_of("plugin", path)]


def _differing(base: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in wanted.items():
        if isinstance(value, dict):
            yield from _differing(base.get(name, {}), value, f"{prefix}{name}.")
        elif name not in base or base[name] != value:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and len(repr(value)) > _LONG and round(value * 255) / 255 == value:
        return f"{round(value * 255)}/255"
    return "None" if value is None else json.dumps(value)
