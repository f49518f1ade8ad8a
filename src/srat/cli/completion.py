"""The command ``srat completion``."""

import contextlib
import io
import os
import re
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from srat.cli.parsing import choices_of, parse
from srat.config import FAMILIES
from srat.errors import require

SHELLS = ("bash", "zsh")
WIDTH = 100
"""Columns of a help that is read by us: one flag a line, none of them broken."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Print a script that completes commands, flags, names and files in your shell.

    For bash: srat completion bash > ~/.local/share/bash-completion/completions/srat. For zsh: into the file _srat in a
    folder of $fpath.
    """

    shell: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")] = ""
    """bash or zsh."""


def run(args: list[str]) -> int:
    """Print the script; return the exit code."""
    shell = parse(Arguments, args, command="completion", default=Arguments()).shell
    require(shell in SHELLS, f"srat completion: expected a shell, {', '.join(SHELLS)}; got '{shell}'")
    import shtab

    print(shtab.complete(parser(), shell=shell))
    return 0


def parser() -> ArgumentParser:
    """Return a parser with the flags of all commands, whatever else is chosen, for completion alone."""
    import shtab

    from srat.cli import COMMANDS

    top = ArgumentParser(prog="srat")
    top.add_argument("--version", action="store_true", help="the version")
    commands = top.add_subparsers()
    for command, text in COMMANDS.items():
        one, names = commands.add_parser(command, help=text, add_help=False), names_of_values(command)
        for flag, value in flags_of(command).items():
            if not value:
                one.add_argument(flag, action="store_true")
                continue
            action = one.add_argument(flag, choices=names.get(flag) or inner_names(value) or None)
            if "PATH" in value:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        words = one.add_argument("words", nargs="*", choices=names.get(""))
        if words.choices is None:
            words.complete = shtab.FILE  # type: ignore[attr-defined]
    return top


def names_of_values(command: str) -> Mapping[str, Sequence[str]]:
    """Return what a command lets one choose from, by the flag; "" stands for its first word."""
    from srat.attacks import ReferenceAttack
    from srat.audit import chosen_checks
    from srat.recipes import names
    from srat.registry import choices

    families = {f"--{family.replace('_', '-')}": choices_of(family) for family in ("method", *FAMILIES)}
    attacks = {"--attack": ["natural", "fgsm", "pgd-20", "pgd-margin", *choices(ReferenceAttack)]}
    known: Mapping[str, Mapping[str, Sequence[str]]] = {
        "train": families,
        "data": {**families, "": choices_of("data")},
        "grid": {**families, "": names()},
        "report": families,
        "completion": {"": SHELLS},
        "audit": {"--check": [check.name for check in chosen_checks()]},
    }
    return known.get(command, attacks)


def flags_of(command: str) -> dict[str, str]:
    """Return what the values of a command's flags look like, by flag: "INT", "{csv,json}", "" for none.

    Of ``srat train`` these are the flags of every loss, attack, model, … that may be chosen.
    """
    further: Mapping[str, list[tuple[str, ...]]] = {
        "train": [(f"--{family.replace('_', '-')}", name) for family in FAMILIES for name in choices_of(family)],
        "report": [("table1",)],
    }
    asked = [(command, *words) for words in ((), *further.get(command, ()))]
    return dict(found for words in asked for found in _FLAG.findall(helped(*words)))


_FLAG = re.compile(r"(?<![\w'-])(--[a-z][\w.-]*\w)(?: (\{[^}\s]*\}\S*|[\[A-Z][^\s,]*))?")


def inner_names(value: str) -> list[str]:
    """Return the names in ``{last,best}``; none where a value of another kind is possible, too."""
    return [name for name in value[1:-1].split(",") if name != "None"] if re.fullmatch(r"\{[\w,-]+\}", value) else []


def helped(*words: str) -> str:
    """Return what a command says with ``--help``."""
    from srat.cli import dispatch

    said, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            dispatch([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return said.getvalue()
