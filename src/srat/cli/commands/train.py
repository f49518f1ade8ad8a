"""The command ``srat train``."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from srat.cli.launching import value_of
from srat.cli.options import Options
from srat.cli.parsing import (
    BEFORE,
    BUDGET_FLAGS,
    INIT_FLAG,
    before_flags,
    choices_class,
    family_flag,
    other_words,
    parse,
    parse_choices,
)
from srat.config.checks import check
from srat.config.composition import DEFAULT_METHOD, absolute, compose
from srat.config.config import FAMILIES, Config
from srat.core.errors import UserError
from srat.methods import Before
from srat.runs.finding import NAMED, runs_beside, runs_in
from srat.runs.folder import RunFolder
from srat.runs.plugins import how_to_load, plugins_gone, require_plugins

COMMAND = "train"
Choices = choices_class(*map(family_flag, ("protocol", "method", *FAMILIES)), *before_flags(), INIT_FLAG, *BUDGET_FLAGS)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train a classifier that stays accurate under attack on the classes that have few examples, and evaluate it.

    Without arguments: the default method on the digits that ship with scikit-learn. Your choices decide which nested
    flags there are: add them when asking for help, as in 'srat train --method srat-focal --help'. Losses, attacks, … of
    your own in a file go with --plugin FILE.
    """

    options: Annotated[Options, tyro.conf.arg(name="")] = Options()
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=Choices)
    run: Annotated[Config, tyro.conf.arg(name="")] = Config()


def run(args: list[str]) -> int:
    """Train, evaluate, print the table of classes; return the exit code."""
    options, config = read_arguments(args)
    from srat.cli.training import train  # Fabric takes as long to import as torch; a wrong flag shall not wait for it

    train(options, config)
    return 0


def composed(args: list[str]) -> tuple[Config, Mapping[str, Any]]:
    """Return the configuration of the members that the words choose, and these choices."""
    chosen = gathered(parse_choices(Choices, args, command=COMMAND))
    epochs = value_of("--epochs", args) if "protocol" in chosen else None
    if epochs is not None and epochs.isdecimal():  # what is none, tyro refuses below
        chosen["epochs"] = int(epochs)
    if (base := base_config(args)) is None:
        chosen = {"method": DEFAULT_METHOD} | chosen
    return compose(base, **chosen), chosen


def read_arguments(args: list[str]) -> tuple[Options, Config]:
    """Return the options and the configuration that the words say."""
    config, chosen = composed(args)
    check_resume(args)
    arguments = parse(
        Arguments,
        args,
        command=COMMAND,
        default=Arguments(choices=shown(config), run=config),
        stray=partial(run_named, args),
    )
    if arguments.options.resume:
        require_run(arguments.options.out)
    run = unstaged(arguments.run, named="before" in chosen)
    check(run)
    if (out := arguments.options.out) is not None and RunFolder(out).trained:
        RunFolder(out).check(placed(run, out), other_words(Options(), args, command=COMMAND))
    return arguments.options, placed(run, arguments.options.out)


def gathered(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return choices as `compose` takes them: what trains the first part of the run in a mapping of its own."""
    first = {name.removeprefix(BEFORE): value for name, value in chosen.items() if name.startswith(BEFORE)}
    others = {name: value for name, value in chosen.items() if not name.startswith(BEFORE)}
    return others | ({"before": first} if first else {})


def unstaged(config: Config, *, named: bool) -> Config:
    """Return a configuration without the members of a first part of nothing.

    Args:
        config: the run.
        named: whether the words name such members, which then want a part of the run.
    """
    return config if config.before.part or named else replace(config, before=Before())


def placed(config: Config, out: Path | None) -> Config:
    """Return the configuration of a new run with the absolute path of its data; that of a run there is, as it is."""
    there = out is not None and RunFolder(out).exists and Config.read(RunFolder(out).config, opening=True) == config
    return config if there else absolute(config)


def base_config(args: list[str]) -> Config | None:
    """Return the configuration to start from: that of --config; that of the run in --out, if no word says another.

    With --resume it is that of the run in --out whatever the words say: another is refused for what differs.
    """
    if (path := value_of("--config", args)) is not None:
        return read_config(Path(path))
    out = value_of("--out", args)
    if out is None or not RunFolder(Path(out)).exists:
        return None
    if "--resume" not in args and other_words(Options(), args, command=COMMAND):
        return None
    folder = RunFolder(Path(out))
    if not folder.trained:
        require_plugins(folder)
    return Config.read(folder.config, opening=folder.trained)


def read_config(path: Path) -> Config:
    """Return the configuration in a file to train as; where it is a run's that began with plugins, with these."""
    try:
        return Config.read(path)
    except UserError as error:
        gone = plugins_gone(RunFolder(path.parent))
        if not gone:
            raise
        raise UserError(f"{error}; the run there began with a plugin: {how_to_load(gone)}") from error


def check_resume(args: list[str]) -> None:
    """Raise ``UserError`` if --resume has a value; it says what to type instead."""
    for word in args:
        flag, _, value = word.partition("=")
        if flag == "--resume" and value:
            others = [each for each in args if each != word]
            raise UserError(f"--resume: expected no value, got '{value}'; {resuming(Path(value), others)}")


def run_named(args: list[str], word: str) -> str:
    """Return, for the error about a word too many, how to continue the run that it names; "" if none is meant."""
    others = list(args)
    others.remove(word)
    meant = "--resume" in args or RunFolder(Path(word)).exists
    return f"; {resuming(Path(word), others)}" if meant else ""


def resuming(folder: Path, others: list[str]) -> str:
    """Return what to type to continue the run in a folder, or that there is none.

    Args:
        folder: the one that was named.
        others: the other words; a folder that --out names among them is meant instead.
    """
    if (out := value_of("--out", others)) is not None:
        folder = Path(out)
    else:
        others = ["--out", str(folder), *others]
    require_run(folder)
    return f"type: srat train --resume {shlex.join(word for word in others if word != '--resume')}"


def require_run(out: Path | None) -> None:
    """Raise ``UserError`` unless there is a run in ``out`` to continue; it names the runs beside it."""
    if out is None:
        found = [run.path for run in runs_in(Path("runs"), depth=1)]
        example = shlex.quote(str(found[0] if len(found) == 1 else Path("runs/a")))
        there = f"; there are: {', '.join(map(str, found[:NAMED]))}" if len(found) > 1 else ""
        raise UserError(
            f"--resume: expected --out with the run's folder, as in 'srat train --resume --out {example}'{there}"
        )
    if RunFolder(out).exists:
        return
    raise UserError(f"--resume: there is no run in '{out}' to continue{runs_beside(out)}")


def shown(config: Config) -> Any:
    """Return the choices that a configuration stands for, for --help to show as defaults."""
    names = {family: getattr(config, family).name for family in FAMILIES}
    budget = {name: getattr(config.evaluation, name) for name in ("norm", "epsilon", "step_size")}
    first = {f"{BEFORE}{name}": member.name for name, member in config.before.members.items()}
    return Choices(method=config.method, **names, **first, **budget, init=config.init.path)
