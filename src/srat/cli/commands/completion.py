"""The command ``srat completion``."""

import contextlib
import io
import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Annotated

import tyro

from srat.cli.commands import COMMANDS, run_command
from srat.cli.parsing import MOST_COLUMNS, choices_of, columns, parse
from srat.config.config import PLACES
from srat.core.errors import UserError, require
from srat.recipes.catalogue import names

SHELLS = ("bash", "zsh")
WITH_FILES: Mapping[str, Callable[[], Sequence[str]]] = {
    "data": lambda: choices_of("data"),
    "plan": lambda: choices_of("data"),
    "report": names,
}
"""Commands whose first word is one of some names, or a file; the names that there are."""


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

    print(shtab.complete(parser(), shell=shell, preamble=_words_and_files(shell)))
    return 0


def _words_and_files(shell: str) -> str:
    """Return the functions of a shell that complete a command's first word, or a file."""
    bash = '_srat_{}() {{ compgen -W "{}" -- "$1"; compgen -f -- "$1"; }}'
    zsh = "_srat_{}() {{ compadd {}; _files }}"
    form = bash if shell == "bash" else zsh
    return "\n".join(form.format(command, " ".join(words())) for command, words in WITH_FILES.items())


def parser() -> ArgumentParser:
    """Return a parser with the flags of all commands, whatever else is chosen, for completion alone."""
    import shtab

    top = ArgumentParser(prog="srat")
    top.add_argument("--version", action="store_true", help="the version")
    commands = top.add_subparsers()
    for command, text in COMMANDS.items():
        one, known = commands.add_parser(command, help=text, add_help=False), names_of_values(command)
        for flag, value in flags_of(command).items():
            if not value:
                one.add_argument(flag, action="store_true")
                continue
            action = one.add_argument(flag, choices=known.get(flag) or inner_names(value) or None)
            if "PATH" in value:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        words = one.add_argument("words", nargs="*", choices=known.get(""))
        if command in WITH_FILES:
            words.complete = dict.fromkeys(SHELLS, f"_srat_{command}")  # type: ignore[attr-defined]
        elif words.choices is None:
            words.complete = shtab.FILE  # type: ignore[attr-defined]
    return top


def names_of_values(command: str) -> Mapping[str, Sequence[str]]:
    """Return what a command lets one choose from, by the flag; "" stands for its first word."""
    from srat.attacks.named import attack_names
    from srat.audit.suite import chosen_checks

    families = {f"--{family.replace('_', '-')}": choices_of(family) for family in ("protocol", "method", *PLACES)}
    attacks = {"--attack": attack_names()}
    known: Mapping[str, Mapping[str, Sequence[str]]] = {
        "train": families,
        "data": families,
        "plan": families,
        "grid": {**families, "": names()},
        "report": families,
        "completion": {"": SHELLS},
        "methods": {"": [*dict.fromkeys((*choices_of("method"), *choices_of("protocol")))]},
        "audit": {"--check": [check.name for check in chosen_checks()]},
    }
    return known.get(command, attacks)


def flags_of(command: str) -> dict[str, str]:
    """Return what the values of a command's flags look like, by flag: "INT", "{csv,json}", "" for none.

    Of ``srat train`` these are the flags of every loss, attack, model, … that may be chosen; likewise of ``srat data``
    and ``srat plan``, and of a grid of one's own.
    """
    further: Mapping[str, list[list[Words]]] = {
        "data": [[(name,) for name in choices_of("data")], _chosen("imbalance")],
        "plan": [[(name,) for name in choices_of("data")], _chosen("imbalance")],
        "train": [_chosen(place) for place in PLACES],
        "grid": [_chosen(place) for place in PLACES],
        "report": [[("table1",)]],
    }
    helps = [helped(command), *_helps(command, further.get(command, []))]
    return dict(found for text in helps for found in _FLAG.findall(text)) | {"--plugin": "PATH"}


Words = tuple[str, ...]


def _chosen(family: str) -> list[Words]:
    return [(f"--{family.replace('_', '-')}", name) for name in choices_of(family)]


def _helps(command: str, families: Sequence[Sequence[Words]]) -> Iterator[str]:
    """Yield what a command's help says of every choice: of one in each family at once, for a help takes its time.

    Choices that refuse each other are asked about one by one.
    """
    for together in zip_longest(*families, fillvalue=()):
        try:
            yield helped(command, *chain(*together))
        except UserError:
            yield from (helped(command, *words) for words in together if words)


_FLAG = re.compile(r"(?<![\w'-])(--[a-z][\w.-]*\w)(?: (\{[^}\s]*\}\S*|[\[A-Z][^\s,]*))?")


def inner_names(value: str) -> list[str]:
    """Return the names in ``{last,best}``; none where a value of another kind is possible, too."""
    return [name for name in value[1:-1].split(",") if name != "None"] if re.fullmatch(r"\{[\w,-]+\}", value) else []


def helped(*words: str, width: int = MOST_COLUMNS) -> str:
    """Return what a command says with ``--help`` in a terminal of so many columns."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit), columns(width):
        run_command(words[0], [*words[1:], "--help"])
    return said.getvalue()
