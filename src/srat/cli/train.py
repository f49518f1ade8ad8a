"""The command ``srat train``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from srat.cli.finding import runs_beside
from srat.cli.launching import value_of
from srat.cli.parsing import BUDGET_FLAGS, choices_class, family_flag, other_words, parse, parse_choices
from srat.composition import compose
from srat.config import FAMILIES, Config
from srat.errors import UserError
from srat.options import CompileChoice, LoggerName, OnDivergence
from srat.run_folder import RunFolder

COMMAND = "train"
Choices = choices_class(*map(family_flag, ("method", *FAMILIES)), *BUDGET_FLAGS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how, not what."""

    config: Path | None = None
    """Start from the configuration in this file (config.json of another run) instead of the defaults."""
    out: Path | None = None
    """The run's folder, by default a new one below runs/; an unfinished run in it goes on where it stopped."""
    resume: bool = False
    """Go on with the run in --out, and do nothing if there is none; what the words leave open is as it is there."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes on this machine, each with a GPU, or its part of the CPU's cores, and its share of every batch."""
    oversubscribe: bool = False
    """Allow more processes than the CPU has cores."""
    compile: CompileChoice = "auto"
    """Compile the model: auto (on CUDA), off, or a mode of torch.compile (reduce-overhead replays CUDA graphs)."""
    checkpoint_every: str = "auto"
    """A number of steps (200) or minutes (10m); auto: as often as costs a hundredth of the time."""
    on_divergence: OnDivergence = "stop"
    """When the loss is no number any more: stop, or go back to the last checkpoint with half the learning rate."""
    logger: tyro.conf.UseAppendAction[tuple[LoggerName, ...]] = ()
    """Tell this logger of every epoch, too: csv, tensorboard, wandb, mlflow; may be given several times."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train a classifier that stays accurate under attack on the classes that have few examples, and evaluate it.

    Without arguments: the default method on the digits that ship with scikit-learn. The choices decide which of the
    nested flags there are: ask again with them, as in 'srat train --method srat-focal --help'.
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


def read_arguments(args: list[str]) -> tuple[Options, Config]:
    """Return the options and the configuration that the words say."""
    chosen = parse_choices(Choices, args, command=COMMAND)
    config = compose(base_config(args), **chosen)
    arguments = parse(Arguments, args, command=COMMAND, default=Arguments(choices=shown(config), run=config))
    if arguments.options.resume:
        require_run(arguments.options.out)
    return arguments.options, absolute(arguments.run)


def base_config(args: list[str]) -> Config | None:
    """Return the configuration to start from: that of --config; that of the run in --out, if no word says another.

    With --resume it is that of the run in --out whatever the words say: another is refused for what differs.
    """
    if (path := value_of("--config", args)) is not None:
        return Config.read(Path(path))
    out = value_of("--out", args)
    if out is None or not RunFolder(Path(out)).exists:
        return None
    if "--resume" not in args and other_words(Options(), args, command=COMMAND):
        return None
    return Config.read(RunFolder(Path(out)).config)


def require_run(out: Path | None) -> None:
    """Raise ``UserError`` unless there is a run in ``out`` to go on with; it names the runs beside it."""
    if out is None:
        raise UserError("--resume: expected --out with the run's folder, as in 'srat train --resume --out runs/a'")
    if RunFolder(out).exists:
        return
    raise UserError(f"--resume: there is no run in '{out}' to go on with{runs_beside(out)}")


def absolute(config: Config) -> Config:
    """Return the configuration with the absolute path of its data, so that it holds from every folder."""
    path = getattr(config.data, "dir", None)
    return config if path is None else compose(config, data_dir=path.absolute())


def shown(config: Config) -> Any:
    """Return the choices that a configuration stands for, for --help to show as defaults."""
    names = {family: getattr(config, family).name for family in FAMILIES}
    budget = {name: getattr(config.evaluation, name) for name in ("norm", "epsilon", "step_size")}
    return Choices(method=config.method, **names, **budget)
