"""The command ``srat evaluate``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from srat.attacks import PGD, Attack, Natural
from srat.attacks.named import named
from srat.attacks.projections import NormName
from srat.cli.evaluating import evaluate_run
from srat.cli.parsing import parse
from srat.config import Config, compose
from srat.devices import make_fabric
from srat.errors import require
from srat.evaluation import CLEAN
from srat.report.live import LiveObserver
from srat.report.table import class_table, notes
from srat.run import RunFolder, Which


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Evaluate the model of a run on the test set, clean and under attack; results are added to its evaluation.json."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = Path()
    """The run's folder."""
    attack: tuple[str, ...] = ()
    """One attack or several: fgsm, pgd-N for any N; by default the one of the run's configuration."""
    weights: Which = "last"
    """The weights of the last epoch, or of the best on the held-out part."""
    norm: NormName | None = None
    """The ball; the run's unless given."""
    epsilon: float | None = None
    """ε, in [0, 1] pixel units; the run's unless given."""
    step_size: float | None = None
    """α, likewise."""
    restarts: int | None = None
    """Starts of each attack, of which the worst counts."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    seed: int | None = None
    """Seed of the attacks' starts; the run's unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> None:
    """Evaluate, print the table of classes."""
    arguments = parse(Arguments, args, command="evaluate", default=Arguments())
    require(arguments.run != Path(), "srat evaluate: expected the folder of a run, as in 'srat evaluate runs/a'")
    folder = RunFolder(arguments.run)
    require(folder.config.exists(), f"'{arguments.run}' is not a run's folder: there is no config.json in it")
    config = compose(Config.read(folder.config), data_dir=arguments.data_dir)
    attacks = chosen_attacks(arguments, config)
    console = Console()
    device = str(make_fabric(arguments.device).device)
    seed = config.seed if arguments.seed is None else arguments.seed
    which, test = arguments.weights, config.data.test()
    with LiveObserver(console) as observer:
        evaluation = evaluate_run(folder, test, attacks, which, device=device, seed=seed, observer=observer)
    console.print(class_table(evaluation, title=f"{config.method} on {config.data.name}, weights of the {which} epoch"))
    for note in notes(evaluation):
        console.print(note, highlight=False)
    console.print(f"Kept in {folder.evaluation(which)}", highlight=False, soft_wrap=True)


def chosen_attacks(arguments: Arguments, config: Config) -> dict[str, Attack]:
    """Return what to evaluate under, by the name of the result; a budget other than the run's is part of the name."""
    given = {
        "norm": arguments.norm,
        "epsilon": arguments.epsilon,
        "step_size": arguments.step_size,
        "restarts": arguments.restarts,
    }
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    threat: PGD = replace(config.evaluation, **changed)
    attacks: dict[str, Attack] = {CLEAN: Natural()}
    for attack in [named(name, threat) for name in arguments.attack] or [threat]:
        other = threat.epsilon != config.evaluation.epsilon and not isinstance(attack, Natural)
        attacks[f"{attack.label}-eps-{threat.epsilon:.4g}" if other else attack.label] = attack
    return attacks
