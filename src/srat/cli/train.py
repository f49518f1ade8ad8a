"""The command ``srat train``."""

import itertools
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from srat.attacks import Natural
from srat.cli.evaluating import evaluate_run
from srat.cli.parsing import BUDGET_FLAGS, choices_class, family_flag, parse, parse_choices
from srat.composition import compose
from srat.config import FAMILIES, Config
from srat.data import Imbalance
from srat.devices import make_fabric
from srat.errors import require
from srat.evaluation import Evaluation
from srat.files import write_atomically
from srat.report.live import LiveObserver, make_console
from srat.report.table import best_line, class_table, notes, trained_on
from srat.run import Run, RunFolder, Which
from srat.trainer import fit
from srat.weightings import Uniform

COMMAND = "train"
Choices = choices_class(*map(family_flag, ("method", *FAMILIES)), *BUDGET_FLAGS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where and how, not what."""

    config: Path | None = None
    """Start from the configuration in this file (config.json of another run) instead of the defaults."""
    out: Path | None = None
    """The run's folder; by default a new one below runs/."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the unfinished run in --out."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train a classifier that stays accurate under attack on the classes that have few examples, and evaluate it.

    Without arguments: the default method on the digits that ship with scikit-learn. The choices decide which of the
    nested flags there are: ask again with them, as in 'srat train --method srat-focal --help'.
    """

    options: Annotated[Options, tyro.conf.arg(name="")] = Options()
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=Choices)
    run: Annotated[Config, tyro.conf.arg(name="")] = Config()


def run(args: list[str]) -> None:
    """Train, evaluate, print the table of classes."""
    options, config = read_arguments(args)
    console = make_console()
    out = options.out or new_folder(config)
    RunFolder(out).check(config, resume=options.resume)
    device = str(make_fabric(options.device).device)
    test = config.data.test()  # before the hours of training, so that what is wrong with it is known at once
    console.print(headline(config, device, out), highlight=False, soft_wrap=True)
    start = time.monotonic()
    with LiveObserver(console) as observer:
        result = fit(config, out=out, device=options.device, resume=options.resume, observer=observer)
        seconds = time.monotonic() - start
        write_environment(RunFolder(out), device, seconds)
        attacks = {attack.label: attack for attack in (Natural(), config.evaluation)}
        evaluate = partial(
            evaluate_run, RunFolder(out), test, attacks, device=device, seed=config.seed, observer=observer
        )
        last = evaluate("last")
        console.print(class_table(last, title=f"{config.method} on {config.data.name}, last epoch"))
        for note in (trained_on(last), *notes(last)):
            console.print(note, highlight=False, markup=False)
        best = best_evaluation(result, last, evaluate)
    if best is not None and result.best_epoch is not None:
        console.print(best_line(best, result.best_epoch + 1), highlight=False, soft_wrap=True)
    console.print(
        f"Trained in {seconds:.0f} s. The run is in [bold]{escape(str(out))}[/bold]", highlight=False, soft_wrap=True
    )


def best_evaluation(run: Run, last: Evaluation, evaluate: Callable[[Which], Evaluation]) -> Evaluation | None:
    """Return the evaluation of the best epoch's weights, which may be the last's; None without a held-out part."""
    if run.best_epoch is None or run.folder is None:
        return None
    if run.best_epoch < len(run.history) - 1:
        return evaluate("best")
    write_atomically(RunFolder(run.folder).evaluation("best"), last.to_json())
    return last


def read_arguments(args: list[str]) -> tuple[Options, Config]:
    """Return the options and the configuration that the words say."""
    chosen = parse_choices(Choices, args, command=COMMAND)
    base = base_config(args)
    config = compose(base, **chosen)
    arguments = parse(Arguments, args, command=COMMAND, default=Arguments(choices=shown(config), run=config))
    options = arguments.options
    require(options.out is not None or not options.resume, "--resume needs --out, the folder of the run to go on with")
    return options, absolute(arguments.run)


def base_config(args: list[str]) -> Config | None:
    """Return the configuration to start from: that of --config, or with --resume that of the run in --out."""
    if (path := value_of("--config", args)) is not None:
        return Config.read(Path(path))
    out = value_of("--out", args)
    if "--resume" in args and out is not None and RunFolder(Path(out)).config.exists():
        return Config.read(RunFolder(Path(out)).config)
    return None


def value_of(flag: str, args: list[str]) -> str | None:
    """Return the value that the words give to a flag, if they do."""
    for word, following in itertools.pairwise([*args, ""]):
        if word == flag and following:
            return following
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


def absolute(config: Config) -> Config:
    """Return the configuration with the absolute path of its data, so that it holds from every folder."""
    path = getattr(config.data, "dir", None)
    return config if path is None else compose(config, data_dir=path.absolute())


def shown(config: Config) -> Any:
    """Return the choices that a configuration stands for, for --help to show as defaults."""
    names = {family: getattr(config, family).name for family in FAMILIES}
    budget = {name: getattr(config.evaluation, name) for name in ("norm", "epsilon", "step_size")}
    return Choices(method=config.method, **names, **budget)


def new_folder(config: Config) -> Path:
    """Return a folder below runs/ that does not exist yet, named after the configuration."""
    path = Path("runs") / f"{config.data.name}-{described(config.imbalance)}-{config.method}-{config.id[:6]}"
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def headline(config: Config, device: str, out: Path) -> str:
    """Return what is about to happen, in three lines."""
    schedule, attack = config.schedule, config.attack
    budget = "" if isinstance(attack, Natural) else f" (ε {getattr(attack, 'epsilon', 0):.4g})"
    milestones = [m for m in schedule.milestones_of(config.epochs) if m < config.epochs]
    falls = f", × {schedule.factor:g} after {' and '.join(map(str, milestones))}" if milestones else ""
    weights = f"weights {config.weighting.name} after {schedule.reweight_epoch_of(config.epochs)} epochs"
    return (
        f"[bold]{config.method}[/bold] on [bold]{config.data.name}[/bold], imbalance {described(config.imbalance)}, "
        f"{config.model.name}, seed {config.seed}, {device}\n"
        f"attack {attack.label}{budget}, {'no class weights' if isinstance(config.weighting, Uniform) else weights}\n"
        f"{config.epochs} epochs, rate {config.optimizer.learning_rate:g}{falls} → {escape(str(out))}"
    )


def described(imbalance: Imbalance) -> str:
    """Return an imbalance in a word, such as "step-100"."""
    ratio = getattr(imbalance, "ratio", None)
    return imbalance.name + (f"-{ratio:g}" if ratio is not None else "")


def write_environment(folder: RunFolder, device: str, seconds: float) -> None:
    """Write where and how long a run was trained."""
    import torch

    import srat

    facts = {
        "device": torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else f"cpu, {torch.get_num_threads()} threads",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "srat": srat.__version__,
        "training_seconds": round(seconds, 1),
    }
    write_atomically(folder.environment, json.dumps(facts, indent=2) + "\n")
