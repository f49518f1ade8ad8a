"""What is to be known of a method or a protocol, in the words that the terminal and the documents share."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from srat.config.command_line import command_of
from srat.config.composition import compose
from srat.config.passes import kept_state, passes, relative_passes
from srat.core.errors import unknown
from srat.core.members import Member, plain
from srat.core.words import number
from srat.methods import Before, Method, Protocol, methods, protocols

DATA = "cifar10"
"""What costs and commands are shown for; most authors begin with it."""
OWN = "the data's own"
_QUIET = {"weighting": "uniform", "feature_loss": "none", "robust_loss": "standard"}
"""Members that are not worth a word."""
_AFTER = {"weighting": " weights", "budget": " budget"}
"""What follows the name of a member that could be one of another family."""


def method_named(name: str) -> Method:
    """Return the method of that name.

    Raises:
        UserError: if there is none.
    """
    there = methods()
    if plain(name) not in there:
        raise unknown("method", name, there)
    return there[plain(name)]


def ingredients(method: Method) -> str:
    """Return a method's members in a line, such as "ldam · effective-number, deferred · separation"."""
    chosen = {name: member for name, member in method.members.items() if isinstance(member, Member)}
    named = [
        f"{member.name}{_AFTER.get(name, '')}{', deferred' * (name == 'weighting' and method.deferred)}"
        for name, member in chosen.items()
        if member.name != _QUIET.get(name)
    ]
    attack = [] if method.attack.name == "pgd" else [method.attack.name]
    first = [] if method.before is None else [f"before: {_of_stage(method.before)}"]
    return " · ".join((*named, *attack, *first))


def _of_stage(before: Before) -> str:
    return " · ".join(member.name for member in before.members.values())


def constants(method: Method) -> Iterator[tuple[str, str]]:
    """Yield the path and the value of each constant of a method's members."""
    for family, member in method.members.items():
        if isinstance(member, Member):
            yield from _constants(member, family)
        else:
            yield "before.part", _text(member.part)
            for inner, each in member.members.items():
                yield from _constants(each, f"before.{inner}")
    for name, value in method.attack_settings.items():
        yield f"attack.{name}", _text(value)


def _constants(member: Member, family: str) -> Iterator[tuple[str, str]]:
    for field in fields(member):
        if (value := getattr(member, field.name)) is not None:
            yield f"{family}.{field.name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def cost(name: str) -> str:
    """Return what a method costs beside PGD-10, such as "1.17 times PGD-10's passes: 27 a step against 23"."""
    config = compose(method=name, data=DATA)
    return f"{relative_passes(config):.2f} times PGD-10's passes: {passes(config):.3g} a step against 23"


def kept(name: str) -> str:
    """Return what a run of a method keeps beside weights and optimiser; "nothing more" if it is that."""
    return ", ".join(kept_state(compose(method=name, data=DATA))) or "nothing more"


def train_with(name: str) -> str:
    """Return the command that trains with a method."""
    return command_of(compose(method=name, data=DATA))


def facts(name: str) -> list[tuple[str, str]]:
    """Return what is to be known of a method in short: a heading and a text each; paths of settings in backticks."""
    method = method_named(name)
    return [
        ("minimises", method.formula),
        ("members", ingredients(method)),
        ("constants", ", ".join(f"`{path}` {value}" for path, value in constants(method)) or "none"),
        ("costs", cost(plain(name))),
        ("keeps", f"{kept(plain(name))} beside weights and optimiser"),
        ("source", method.source),
        ("command", train_with(plain(name))),
    ]


def facts_of_protocol(protocol: Protocol) -> list[tuple[str, str]]:
    """Return what is to be known of a protocol: a heading and a text each."""
    imbalances = (f"{data} {each.name} {getattr(each, 'ratio', 0):g} : 1" for data, each in protocol.imbalances.items())
    rate, ball = protocol.optimizer.learning_rate, f"ε {_in_255ths(protocol.epsilon)}"
    decays = " and ".join(filter(None, (", ".join(map(str, protocol.milestones[:-1])), str(protocol.milestones[-1]))))
    return [
        ("data", "; ".join(imbalances)),
        ("network", f"{protocol.model.name} ({_settings(protocol.model)})"),
        ("training", f"{protocol.epochs} epochs, batches of {protocol.batch_size}, {protocol.augmentation or OWN}"),
        ("rate", f"{rate:g}, times {protocol.factor:g} at epochs {decays}; {_settings(protocol.optimizer)}"),
        ("attack", f"PGD-{protocol.steps}, {ball}, steps of {_step(protocol, protocol.step_size)}"),
        ("evaluation", f"PGD-20, {ball}, steps of {_step(protocol, protocol.evaluation_step_size)}"),
        ("source", protocol.source),
    ]


def _step(protocol: Protocol, size: float | None) -> str:
    return OWN if protocol.step_size is None or size is None else _in_255ths(size)


def _settings(member: Member) -> str:
    return ", ".join(f"{f.name.replace('_', ' ')} {_text(getattr(member, f.name))}" for f in fields(member))


def _in_255ths(value: float) -> str:
    parts = value * 255
    return f"{round(parts)}/255" if abs(parts - round(parts)) < 1e-6 else f"{value:g}"


def markdown_of(name: str) -> str:
    """Return the page of a method for the documents."""
    method = method_named(name)
    return _page(f"{name}", method.title, facts(name), method.differs)


def markdown_of_protocol(name: str) -> str:
    """Return the page of a protocol for the documents."""
    protocol = protocols()[name]
    return _page(name, protocol.title, facts_of_protocol(protocol), protocol.differs)


def _page(name: str, title: str, rows: Sequence[tuple[str, str]], differs: Sequence[str]) -> str:
    lines = [f"### {name}", "", f"{title}.", "", "| | |", "|---|---|"]
    lines += [f"| {heading} | {_cell(heading, text)} |" for heading, text in rows]
    lines += ["", *(f"- {each}" for each in differs), ""]
    return "\n".join(lines)


def _cell(heading: str, text: str) -> str:
    code = heading in ("command", "minimises")
    return (f"`{text}`" if code else text).replace("|", "\\|")


def authors(source: str) -> str:
    """Return a source's first author, or what it calls itself, and its year: "Wu 2021"."""
    found = re.match(r"([\w-]+).*?(\d{4})", source)
    return " ".join(found.groups()) if found else source


def table_rows(names: Sequence[str] | None = None) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, members, source, passes beside PGD-10 and what is kept, of each method.

    Args:
        names: of which; all by default.
    """
    for name in methods() if names is None else names:
        config = compose(method=name, data=DATA)
        method, passed = methods()[name], f"{relative_passes(config):.2f}"
        yield name, ingredients(method), authors(method.source), passed, ", ".join(kept_state(config))
