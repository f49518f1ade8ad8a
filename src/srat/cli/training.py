"""What ``srat train`` does once it knows what it is to do."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from srat.attacks import Natural
from srat.checkpoint import list_checkpoints, position_of
from srat.cli.evaluating import evaluate_run
from srat.cli.pages import page_of_training
from srat.cli.results import WAIT, Examined
from srat.cli.train import Options
from srat.config import Config
from srat.devices import make_fabric
from srat.errors import printable
from srat.evaluation import CLEAN, Evaluation
from srat.fitting import fit
from srat.interruption import Interrupted, deferring_signals
from srat.machine import keep_freed_memory
from srat.processes import Processes, join
from srat.report.imbalance import described
from srat.report.live import LiveObserver, make_console
from srat.report.loggers import LoggingObserver, make_logger
from srat.report.table import best_line, print_evaluation
from srat.run_folder import RunFolder, Which
from srat.weightings import Uniform
from srat.words import counted


def train(options: Options, config: Config) -> None:
    """Train, evaluate, print the table of classes."""
    device = str(make_fabric(options.device).device)
    processes = join()
    if device == "cpu":
        keep_freed_memory()
    with processes.telling_of_lost_peers():
        train_on(device, processes, options, config)


def train_on(device: str, processes: Processes, options: Options, config: Config) -> None:
    """Train, evaluate, print the table of classes, as one of the processes of a job."""
    console = make_console(quiet=not processes.first)
    out = processes.told(options.out or new_folder(config))
    folder = RunFolder(out)
    folder.check(config)
    finished = is_finished(folder, config)
    processes.require_alike(f"the processes do not see the same folder '{out}'", int(finished))
    if finished:
        console.print(
            f"The run in {printable(str(out))} is finished; nothing was changed.", markup=False, highlight=False
        )
        show_last(Evaluation.read(folder.evaluation("last")), config, console)
        return
    # Before the hours of training, so that what is wrong with it is known at once.
    test = Examined.among(config.data.parts(folder.record), None, new=False).loaded()
    console.print(beginning(folder), highlight=False, markup=False, soft_wrap=True)
    console.print(headline(config, device, out, processes.count), highlight=False, soft_wrap=True)
    attacks = {attack.label: attack for attack in (Natural(), config.evaluation)}
    with (
        saying_how_to_go_on(folder),
        deferring_signals() as interruption,
        LiveObserver(console, interruption.check) as live,
    ):
        interruption.check()
        loggers = [make_logger(name, out, config) for name in options.logger if processes.first]
        names = test.dataset.class_names
        observer = LoggingObserver(live, loggers, names, config) if loggers else live
        result = fit(
            config,
            out=out,
            device=options.device,
            observer=observer,
            checkpoint_every=options.checkpoint_every,
            on_divergence=options.on_divergence,
            compiled=options.compile,
        )
        evaluate = partial(
            evaluate_run, folder, test, attacks, device=device, seed=config.seed, processes=processes, observer=observer
        )
        with folder.locked(wait=WAIT) if processes.first else nullcontext():
            last = evaluate("last")
            show_last(last, config, console)
            best = None if result.best_epoch is None else best_line(evaluate("best"), result.best_epoch + 1)
    if best is not None:
        console.print(best, highlight=False, soft_wrap=True)
    console.print(
        f"Trained in {result.seconds:.0f} s. The run is in [bold]{escape(printable(str(out)))}[/bold]",
        highlight=False,
        soft_wrap=True,
    )
    if processes.first and test.part is not None:
        said = "No page, for it shows results on all the test images that the run recorded"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    elif processes.first:
        page_of_training(folder, config, test.dataset, device, console)


@contextmanager
def saying_how_to_go_on(folder: RunFolder) -> Iterator[None]:
    """Put into an interruption how to go on after it, if that has not been said."""
    try:
        yield
    except Interrupted as stop:
        if stop.advice or not folder.exists:
            raise
        done = "the training is done, " if folder.trained else ""
        with_what = " with the evaluation" if folder.trained else ""
        raise Interrupted(stop.signal, f"{done}{folder.how_to_go_on}{with_what}") from None


def is_finished(folder: RunFolder, config: Config) -> bool:
    """Return whether there is nothing left to do: trained, and all weights evaluated as the configuration says."""
    kinds: tuple[Which, ...] = ("last", "best")
    evaluations = [folder.evaluation(which) for which in kinds if folder.weights(which).exists()]
    wanted = {CLEAN, config.evaluation.label}
    return folder.trained and all(
        path.exists() and wanted <= Evaluation.read(path).results.keys() for path in evaluations
    )


def show_last(evaluation: Evaluation, config: Config, console: Console) -> None:
    """Print the table of classes of the last epoch's weights."""
    print_evaluation(console, evaluation, title=f"{config.method} on {config.data.title}, last epoch")


def new_folder(config: Config) -> Path:
    """Return a folder below runs/ that does not exist yet, named after the configuration."""
    path = Path("runs") / f"{config.data.title}-{described(config.imbalance)}-{config.method}-{config.id[:6]}"
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def beginning(folder: RunFolder) -> str:
    """Return whether a run is new, or goes on and from where, in a line."""
    if not folder.exists:
        return f"new run: {printable(str(folder.path))}"
    newest = [position_of(path) for path in list_checkpoints(folder.checkpoints)[-1:]]
    where = "which is trained" if folder.trained else f"from {newest[0]}" if newest else "from its beginning"
    return f"going on with the run in {printable(str(folder.path))}, {where}"


def headline(config: Config, device: str, out: Path, processes: int = 1) -> str:
    """Return what is about to happen, in three lines."""
    schedule, attack = config.schedule, config.attack
    budget = "" if isinstance(attack, Natural) else f" (ε {getattr(attack, 'epsilon', 0):.4g})"
    milestones = [m for m in schedule.milestones_of(config.epochs) if m < config.epochs]
    falls = f", × {schedule.factor:g} after {' and '.join(map(str, milestones))}" if milestones else ""
    weights = f"weights {config.weighting.name} after {counted(schedule.reweight_epoch_of(config.epochs), 'epoch')}"
    epochs = counted(config.epochs, "epoch")
    several = f", {processes} processes" if processes > 1 else ""
    return (
        f"[bold]{config.method}[/bold] on [bold]{config.data.title}[/bold], imbalance {described(config.imbalance)}, "
        f"{config.model.name}, seed {config.seed}, {device}{several}\n"
        f"attack {attack.label}{budget}, {'no class weights' if isinstance(config.weighting, Uniform) else weights}\n"
        f"{epochs}, rate {config.optimizer.learning_rate:g}{falls} → {escape(printable(str(out)))}"
    )
