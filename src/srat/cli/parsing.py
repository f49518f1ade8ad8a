"""From words to values: tyro over frozen dataclasses, its errors in one line."""

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from srat.attacks.named import attack_words
from srat.attacks.projections import NormName
from srat.cli.naming import ALSO, HINTS, NAMES, flags_of, flags_of_member
from srat.config.command_line import flag
from srat.config.config import PLACES
from srat.core.errors import UserError, nearest, require, unknown
from srat.core.members import choices as member_names
from srat.core.members import members
from srat.core.values import FRACTION, UnfitError, fitter
from srat.methods.before import Before, of_members
from srat.methods.catalogue import methods
from srat.methods.protocol import protocols

T = TypeVar("T")


def parse(kind: type[T], args: list[str], *, command: str, default: T, stray: Callable[[str], str] = lambda _: "") -> T:
    """Return the value of ``kind`` that the words say, ``default`` where they say nothing.

    Args:
        kind: what to return.
        args: the words.
        command: its name.
        default: its members decide which nested flags there are.
        stray: returns what else to say of a word that has no place.

    Raises:
        UserError: on an unknown flag, a missing or an unfit value.
    """
    value, left = _quietly(kind, args, command=command, default=default)
    if left:
        flags = sorted({"--help", *flags_of(default)})
        given = next((word.split("=")[0] for word in left if word.startswith("-")), None)
        if given is None:
            raise UserError(f"expected no further word, got '{left[0]}'{stray(left[0])}")
        turned = _turned(given)
        if turned not in flags and (choice := _choice_for(turned, kind)):
            raise UserError(f"{turned} goes with {choice}, which is not chosen here")
        hint = nearest(turned, [turned]) if turned in flags else _siblings(given, flags) or nearest(turned, flags)
        typed = next(word.split("=")[0] for word in args if _as_we_call_it(word).split("=")[0] == given)
        raise UserError(f"unknown flag '{typed}'{hint}; 'srat {command} --help' lists them all")
    return value


def run_word(word: str, command: str) -> str:
    """Return the word that names a run, if there is one."""
    require(word != "", f"srat {command}: expected the folder of a run, as in 'srat {command} runs/a'")
    return word


Flag = tuple[str, Any, Any]
"""A field of a dataclass: its name, its annotated type, its default."""


def parse_choices(choices: type[T], args: list[str], *, command: str) -> dict[str, Any]:
    """Return what the words choose, by flag; the other words are left for `parse`."""
    plain = [word for word in args if word not in ("-h", "--help")]
    value, _ = _quietly(choices, plain, command=command, default=choices())
    return {name: choice for name, choice in vars(value).items() if choice is not None}


def other_words(options: Any, args: list[str], *, command: str) -> list[str]:
    """Return the words that say something else than ``options`` do."""
    plain = [word for word in args if word not in ("-h", "--help")]
    return _quietly(type(options), plain, command=command, default=options)[1]


def choices_class(*flags: Flag) -> Any:
    """Return a dataclass with these flags."""
    return make_dataclass("Choices", flags, frozen=True, kw_only=True)


def family_flag(family: str) -> Flag:
    """Return the flag that chooses among a family's members; its help lists those that there are."""
    words = attack_words(training=True) if family == "attack" else choices_of(family)
    return _flag(family, str, f"{_HELP[family]}: {', '.join(words)}.", metavar="NAME")


def before_flags() -> list[Flag]:
    """Return the flags that choose what trains the first part of a run."""
    named = ((field.name, _HELP[field.name].split(" (")[0]) for field in of_members(Before))
    return [
        _flag(f"{BEFORE}{name}", str, f"{text} of the first part of the run.", name=f"before.{name}", metavar="NAME")
        for name, text in named
    ]


def choices_of(family: str) -> list[str]:
    """Return the names of a family's members."""
    named: Mapping[str, Callable[[], Iterable[str]]] = {"method": methods, "protocol": protocols}
    return list(named[family]()) if family in named else member_names(PLACES[family])


def _flag(field: str, kind: Any, text: str, **options: Any) -> Flag:
    return field, Annotated[kind | None, tyro.conf.arg(help=text, **options)], None


BEFORE = "before_"
"""Before the names of choices that are for the first part of a run."""
INIT_FLAG = _flag("init", Path, "Start from the weights of this run, or in this file.", metavar="RUN|FILE")
BUDGET_FLAGS = (
    _flag("norm", NormName, "Ball of the training attack and of the evaluation's."),
    _flag("epsilon", float, "ε of both, in [0, 1] pixel units.", metavar="FLOAT"),
    _flag("step_size", float, "Step size of both, in [0, 1] pixel units.", metavar="FLOAT"),
)

MOST_COLUMNS = 100
"""Of a help."""
_UNBROKEN = 100_000
"""Columns of a box around an error, whose text is to be one line: a break within 1,048,576 could not be told."""

_HELP = {
    "protocol": "Whose data, network, epochs and attacks (srat methods explains)",
    "method": "Method; sets loss, weighting, feature loss and what else is a part of it (srat methods explains)",
    "data": "Data set",
    "imbalance": "Imbalance of the training set",
    "augmentation": "Augmentation",
    "sampling": "Which training images an epoch draws",
    "mixing": "Mixing of training images in pairs, labels and all",
    "model": "Architecture",
    "head": "Last layer",
    "attack": "Training attack (N: any number of steps)",
    "budget": "Size of the training attack's ball, by class and epoch",
    "loss": "Prediction loss",
    "robust_loss": "What the logits under attack are compared with",
    "weighting": "Class weights",
    "feature_loss": "Feature loss",
    "regularizer": "What is asked of the weights themselves",
    "optimizer": "Optimiser",
    "schedule": "Schedule of the learning rate",
    "averaging": "Average of the weights, which is then evaluated and kept",
    "weight_perturbation": "Where beside the weights the gradient is taken",
    "guard": "What looks after a training under an attack of few steps",
}


def _quietly(kind: type[T], args: list[str], *, command: str, default: T) -> tuple[T, list[str]]:
    # With this encoding tyro frames what it says, and both readers below look for the frames.
    helped, said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    args = _with_norms_as_we_write_them([_decimal(_as_we_call_it(word)) for word in args])
    # In a wide terminal tyro sets its frames side by side, where no sentence can be followed.
    asked = {"-h", "--help"} & set(args)
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS) if asked else _UNBROKEN
    try:
        with contextlib.redirect_stdout(helped), contextlib.redirect_stderr(said), columns(width):
            value, left = tyro.cli(
                kind, prog=f"srat {command}", args=args, default=default, return_unknown_args=True, registry=NAMES
            )
    except SystemExit as ending:
        helped.seek(0)
        if ending.code in (0, None):
            print(_fit_for_output(plain_help(helped.read())))
            raise
        raise UserError(_first_paragraph(said.getvalue())) from None
    return value, left


def plain_help(text: str) -> str:
    """Return tyro's help without its Nones: ``--seed {None}|INT … (default: None)`` is ``--seed INT …``.

    Every line in a frame keeps its length; one of which nothing is left goes, and so does an empty one.
    """
    text = re.sub(r"\{None\}\|(\{\[.*?\]\}|\S+)", r"\1       ", text)
    text = re.sub(r"\{None,([^}]*)\}", r"{\1}     ", text)
    text = re.sub(r"\(default:[\s│]*(None|'')?\)", lambda found: re.sub(r"[^\s│]", "\0", found[0]), text)
    text = re.sub(r"^[\s│]*\0[\s│\0]*\n", "", text, flags=re.MULTILINE).replace("\0", " ")
    text = re.sub(r"^│ *│\n", "", text, flags=re.MULTILINE)  # between two paragraphs
    text = re.sub(r"^usage:.*", lambda found: re.sub(r" {2,}", " ", found[0]), text, flags=re.MULTILINE)
    lines = text.splitlines()
    width = max((len(line) for line in lines if line.startswith("│")), default=MOST_COLUMNS)
    return "\n".join(textwrap.fill(line, width) if len(line) > width and line[0].isalpha() else line for line in lines)


@contextlib.contextmanager
def columns(width: int) -> Iterator[None]:
    """Let the terminal seem as wide as this."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def _fit_for_output(text: str) -> str:
    """Return a help with bold flags in a terminal, and without what the output cannot write."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        text = re.sub(r"^(│ )((?:(?:, )?--?[\w.-]+)+)", "\\1\033[1m\\2\033[0m", text, flags=re.MULTILINE)
    encoding = sys.stdout.encoding or "utf-8"
    if b"?" in "│─╭".encode(encoding, "replace"):
        text = text.translate(str.maketrans("│─╭╮╰╯", "|-++++"))
    return text.encode(encoding, "replace").decode(encoding)


def _with_norms_as_we_write_them(args: list[str]) -> list[str]:
    """Return words with the name of a norm in the place of its other spellings: L_inf, ∞, L2."""
    fit = fitter(NormName)
    written = []
    for before, word in zip(["", *args], args, strict=False):
        flag, equals, value = word.partition("=") if word.startswith("--") else (before, "", word)
        if re.fullmatch(r"--([\w-]+\.)?norm", flag) and value:
            with contextlib.suppress(UnfitError):
                word = f"{flag}{equals}{fit(value)}" if equals else fit(value)
        written.append(word)
    return written


def _decimal(word: str) -> str:
    # Budgets are written as fractions everywhere: 8/255.
    fraction = re.fullmatch(rf"(--[\w.-]*=)?{FRACTION}", word)
    return word if fraction is None else f"{fraction[1] or ''}{float(fraction[2]) / float(fraction[3])!r}"


def _first_paragraph(box: str) -> str:
    # tyro draws a box: a title in its upper border, what is wrong, a rule, then hints.
    words = []
    for line in box.splitlines()[1:]:
        inner = line.strip("│╭╮╰╯ ")
        if not inner or set(inner) == {"─"}:
            break
        words.append(inner)
    return plain_error(" ".join(words), about=_argument_help(box))


def _argument_help(box: str) -> str:
    """Return what a box says of the argument that is wrong: its values, and what it is for; "" if nothing."""
    flat = " ".join(line.strip("│╭╮╰╯ ") for line in box.splitlines())
    found = re.search(r"Argument helptext: --\S+ (.*?) (?:\(default: .*?\) )?─", flat)
    return found[1] if found else ""


def plain_error(said: str, about: str = "") -> str:
    """Return what tyro says is wrong in our words: what was expected, what came, what there is.

    Args:
        said: what it says.
        about: the values of the argument and its help, "[INT [INT ...]] Labels to keep.", where it has them.
    """
    if wrong := re.fullmatch(r"invalid choice '(.*)' for argument '(\S+?)'\. Expected one of \((.*)\)\.", said):
        there = [name for name in re.findall(r"'([^']*)'", wrong[3]) if name != "None"]
        return str(unknown("value", wrong[1], there)).replace("unknown value", f"{wrong[2]}: unknown value", 1)
    if missing := re.fullmatch(r"Missing value for argument '(\S+?)'\. Expected .*", said):
        return f"{missing[1]}: expected a value, got none"
    # What a dataclass of ours refuses names its setting itself, but for an attack, which has its place in several.
    # tyro puts the place in front: "run.attack", in the arguments' configuration.
    if placed := re.fullmatch(r"Error parsing \w+(?:\.([a-z][\w.-]*))?: (.*)", said):
        said = re.sub(r"^`(\w+)`", rf"`{placed[1]}.\1`", placed[2]) if placed[1] else placed[2]
    said = re.sub(r"^Error parsing (--[\w.-]+)\S*:", r"\1:", said)
    said = re.sub(r"invalid literal for int\(\) with base 10:", "expected a whole number, got", said)
    said = re.sub(r"could not convert string to float:", "expected a number, got", said)
    said = re.sub(r"no type matching (.+) could be instantiated from \[(.*)\]\.", _unfit, said)
    if several := re.fullmatch(r"(.*)Could not find valid parse for arguments: \[(.*)\]", said):
        kind = "whole numbers" if "INT" in about else "numbers" if "FLOAT" in about else "other values"
        text = re.sub(r"^\[.*?\]+ |\.$", "", about)
        return f"{several[1]}expected {kind}, got {several[2]}" + (f" ({text[0].lower()}{text[1:]})" if text else "")
    return said


def _unfit(found: re.Match[str]) -> str:
    kinds = {"INT": "whole numbers" if "..." in found[1] else "a whole number", "FLOAT": "a number"}
    names = [name for group in re.findall(r"\{([\w,-]+)\}", found[1]) for name in group.split(",") if name != "None"]
    wanted = [*names, *(words for kind, words in kinds.items() if kind in found[1])]
    return f"expected {' or '.join(wanted) or found[1]}, got {found[2]}"


def _choice_for(given: str, kind: type) -> str:
    """Return which choices a flag goes with if it belongs to members that are not chosen; "" otherwise."""
    families = [place for place in PLACES if place.split(".")[0] in _names_within(kind)]
    for family in families:
        there = members(PLACES[family]).items()
        having = [name for name, member in there if given in flags_of_member(member, family)]
        if having:
            *first, last = having
            names = f"{', '.join(first)} or {last}" if first else last
            return f"{flag(family)} {names}"
    return ""


@cache
def _names_within(kind: type) -> frozenset[str]:
    """Return the names of a dataclass's fields, and of those of the dataclasses in it."""
    hints = get_type_hints(kind)
    inner = [hints[field.name] for field in fields(kind) if is_dataclass(hints[field.name])]
    return frozenset({field.name for field in fields(kind)}.union(*map(_names_within, inner)))


def _as_we_call_it(word: str) -> str:
    """Return a word with our flag in the place of one that other programs have for the same."""
    given, equals, value = word.partition("=")
    return f"{flag(ALSO[given])}{equals}{value}" if given in ALSO else word


def _turned(given: str) -> str:
    """Return what a flag may be called here that others call otherwise, and ``--data.no-x`` of ``--no-data.x``."""
    return HINTS.get(given, re.sub(r"^--no-([\w-]+\.)", r"--\1no-", given))


def _siblings(given: str, flags: list[str]) -> str:
    prefix = given.split(".")[0] + "."
    same = [flag for flag in flags if flag.startswith(prefix)]
    return f", there are: {', '.join(same)}" if same else ""
