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
from rich.console import Console

from srat.attacks import Natural
from srat.cli.evaluating import evaluate_run
from srat.cli.parsing import BUDGET_FLAGS, choices_class, family_flag, parse, parse_choices
from srat.config import FAMILIES, Config, compose
from srat.data import Imbalance
from srat.devices import make_fabric
from srat.evaluation import Evaluation
from srat.files import write_atomically
from srat.report.live import LiveObserver
from srat.report.table import best_line, class_table, notes
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
    console = Console()
    test = config.data.test()  # before the hours of training, so that a missing file is known at once
    device = str(make_fabric(options.device).device)
    out = options.out or new_folder(config)
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
        best = best_evaluation(result, last, evaluate)
    console.print(class_table(last, title=f"{config.method} on {config.data.name}, last epoch"))
    for note in notes(last):
        console.print(note, highlight=False)
    if best is not None and result.best_epoch is not None:
        console.print(best_line(best, result.best_epoch + 1), highlight=False, soft_wrap=True)
    console.print(f"Trained in {seconds:.0f} s. The run is in [bold]{out}[/bold]", highlight=False, soft_wrap=True)


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
    base = Config.read(path) if (path := config_path(args)) is not None else None
    config = compose(base, **chosen)
    arguments = parse(Arguments, args, command=COMMAND, default=Arguments(choices=shown(config), run=config))
    return arguments.options, arguments.run


def config_path(args: list[str]) -> Path | None:
    """Return the file that --config names, if it does."""
    for word, following in itertools.pairwise([*args, ""]):
        if word == "--config" and following:
            return Path(following)
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None


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
    schedule, threat = config.schedule, config.evaluation
    milestones = " and ".join(map(str, schedule.milestones_of(config.epochs))) or "no epoch"
    weights = f"weights {config.weighting.name} from epoch {schedule.reweight_epoch_of(config.epochs)}"
    return (
        f"[bold]{config.method}[/bold] on [bold]{config.data.name}[/bold], imbalance {described(config.imbalance)}, "
        f"{config.model.name}, seed {config.seed}, {device}\n"
        f"attack {config.attack.label} (ε {threat.epsilon:.4g}, step {threat.step_size:.4g}), "
        f"{'no class weights' if isinstance(config.weighting, Uniform) else weights}\n"
        f"{config.epochs} epochs, rate {config.optimizer.learning_rate:g}, "
        f"× {schedule.factor:g} at {milestones} → {out}"
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
