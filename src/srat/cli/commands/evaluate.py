"""The command ``srat evaluate``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from srat.attacks import PGD, AnyAttack, Natural, ReferenceAttack, tell_doubts
from srat.attacks.named import named
from srat.attacks.projections import NormName
from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.config.config import Config
from srat.core.errors import require
from srat.core.signals import Interrupted, deferring_signals
from srat.evaluation.record import CLEAN
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.table import print_evaluation
from srat.report.wording import weights_text
from srat.runs.evaluating import evaluate_run, named_number
from srat.runs.folder import Which
from srat.runs.opening import opened, parts_of, say_note
from srat.runs.results import Examined
from srat.runtime.machine import keep_freed_memory
from srat.runtime.processes import join


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Evaluate the model of a run on the test set, clean and under attack; results are added to its evaluation.json."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    attack: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """fgsm, pgd-N and pgd-margin-N for any N, apgd-ce, apgd-t, fab-t, square, autoattack (these four, by the reference
    implementation); may be given several times; by default the one of the run's configuration."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    norm: NormName | None = None
    """Norm of the attack's ball; the run's unless given."""
    epsilon: float | None = None
    """ε, in [0, 1] pixel units; the run's unless given."""
    step_size: float | None = None
    """Step size α; the run's unless given."""
    restarts: int | None = None
    """Random starts of each attack; the worst one counts."""
    images: int | None = None
    """Use at most this many test images, equally many of each class; the results go to evaluation-N.json."""
    new_images: bool = False
    """Test on images added to the folder since the run began instead; the results go to evaluation-new.json."""
    anew: bool = False
    """Evaluate again what has been evaluated already."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    seed: int | None = None
    """Seed of the attacks' starts; the run's unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes on this machine; each has a GPU or a share of the CPU's cores, and a share of the images."""
    oversubscribe: bool = False
    """Allow more processes than the CPU has cores."""


def run(args: list[str]) -> int:
    """Evaluate, print the table of classes; return the exit code."""
    arguments = parse(Arguments, args, command="evaluate", default=Arguments())
    folder, config = opened(arguments.run, "evaluate", arguments.data_dir)
    attacks = chosen_attacks(arguments, config)
    from srat.runtime.fabric import (
        make_fabric,  # Fabric takes as long to import as torch; a wrong flag shall not wait for it
    )

    device = str(make_fabric(arguments.device).device)
    processes = join()
    if device == "cpu":
        keep_freed_memory()
    console = make_console("evaluate", quiet=not processes.first)
    seed = config.seed if arguments.seed is None else arguments.seed
    parts = parts_of(folder, config, console)
    which, say = arguments.weights, partial(say_note, console)
    test = Examined.among(parts, arguments.images, new=arguments.new_images, told=say)
    with (
        saying_that_it_goes_on(),
        processes.telling_of_lost_peers(),
        deferring_signals() as interruption,
        LiveObserver(console, interruption.check) as observer,
    ):
        tell_doubts(attacks.values(), test.dataset.images.shape[1:], observer.notice)
        evaluation = evaluate_run(
            folder,
            test,
            attacks,
            which,
            device=device,
            seed=seed,
            processes=processes,
            observer=observer,
            anew=arguments.anew,
        )
    title = f"{config.method} on {config.data.title}, weights of the {weights_text(config, which)}"
    print_evaluation(console, evaluation, title=title, held_out=folder.held_out)
    console.print(f"Kept in {folder.evaluation(which, test.part)}", highlight=False, markup=False, soft_wrap=True)
    return 0


@contextmanager
def saying_that_it_goes_on() -> Iterator[None]:
    """Put into an interruption how to go on after it."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(stop.signal, "the same command continues from there") from None


def chosen_attacks(arguments: Arguments, config: Config) -> dict[str, AnyAttack]:
    """Return what to evaluate under, by the name of the result; what differs from the run's own is part of the name."""
    given = {name: getattr(arguments, name) for name in ("norm", "epsilon", "step_size", "restarts")}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    other_ball = changed.get("norm", config.evaluation.norm) != config.evaluation.norm
    require(
        not other_ball or "epsilon" in changed, "--norm needs --epsilon: budgets of another norm are of another size"
    )
    threat: PGD = replace(config.evaluation, **changed)
    attacks: dict[str, AnyAttack] = {CLEAN: Natural()}
    for attack in [named(name, threat) for name in arguments.attack] or [threat]:
        attacks[attack.label + _suffix(attack, arguments, threat, config)] = attack
    return attacks


def _suffix(attack: AnyAttack, arguments: Arguments, threat: PGD, config: Config) -> str:
    """Return what differs from the run's own; the norm is part of the attack's label."""
    own = {"eps": config.evaluation.epsilon, "step": config.evaluation.step_size, "seed": config.seed}
    seed = config.seed if arguments.seed is None else arguments.seed
    now = {"eps": threat.epsilon, "step": threat.step_size, "seed": seed}
    if isinstance(attack, ReferenceAttack):  # which chooses its steps by itself
        now["step"] = own["step"]
    return "".join(f"-{name}-{named_number(value)}" for name, value in now.items() if value != own[name])
