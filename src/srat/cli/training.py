"""What ``srat train`` does once it knows what it is to do."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from srat.attacks import Natural
from srat.cli.naming import make_console
from srat.cli.options import Options
from srat.config.config import Config
from srat.core.errors import printable, require
from srat.core.signals import Interrupted, deferring_signals
from srat.core.words import counted
from srat.data import Parts
from srat.data.constant import constant_notes
from srat.data.leaks import dependence_notes
from srat.evaluation.observer import Observer
from srat.evaluation.record import CLEAN, Evaluation
from srat.optimization.optimizers import SGD
from srat.report.loggers import LoggingObserver, make_logger
from srat.report.pages import page_of_training
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.table import best_line, print_evaluation
from srat.report.wording import weights_text
from srat.runs.evaluating import evaluate_weights
from srat.runs.folder import RunFolder, Which
from srat.runs.results import WAIT, Examined
from srat.runs.run import Run
from srat.runs.troubles import troubles
from srat.runtime.fabric import make_fabric
from srat.runtime.machine import keep_freed_memory
from srat.runtime.processes import Processes, join
from srat.training.checkpoint import list_checkpoints, position_of
from srat.training.fitting import fit
from srat.weightings import Uniform

BESIDE = ("sampling", "mixing", "budget", "robust_loss", "regularizer", "averaging", "weight_perturbation")
"""What is said before a training where it is not as usual."""


def train(options: Options, config: Config) -> None:
    """Train, evaluate, print the table of classes."""
    device = str(make_fabric(options.device).device)
    processes = join()
    if device == "cpu":
        keep_freed_memory()
    with processes.telling_of_lost_peers():
        train_on(device, processes, options, config)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one of the processes of a job trains and evaluates, and where it speaks."""

    options: Options
    config: Config
    folder: RunFolder
    device: str
    processes: Processes
    console: Console

    def say(self, text: str, *, markup: bool = False) -> None:
        """Print lines, which the terminal may wrap."""
        self.console.print(text, highlight=False, markup=markup, soft_wrap=True)


def train_on(device: str, processes: Processes, options: Options, config: Config) -> None:
    """Train, evaluate, print the table of classes, as one of the processes of a job."""
    session = Session(
        options=options,
        config=config,
        folder=RunFolder(processes.told(options.out or new_folder(config))),
        device=device,
        processes=processes,
        console=make_console("train", quiet=not processes.first),
    )
    session.folder.check(config)
    own = f"'{session.folder.path}' is a run of a model of your own, which no command can build"
    require(not session.folder.of_own_model, f"{own}; in Python, {session.folder.how_to_go_on}")
    if is_finished_for_all(session):
        show_finished(session)
        return
    parts = config.data.parts(session.folder.record)
    # Before the hours of training, so that what is wrong with it is known at once.
    test = Examined.among(parts, None, new=False).loaded()
    if session.folder.trained:  # else once it is known that nothing is in the way
        announce(session)
    run, best = trained_and_evaluated(session, parts, test)
    if best is not None:
        session.say(best)
    for trouble in troubles(config, run.history):
        session.say(f"Trouble: after the last epoch, {trouble.text}.")
    where = escape(printable(str(session.folder.path)))
    session.say(f"Trained in {run.seconds:.0f} s. The run is in [bold]{where}[/bold]", markup=True)
    if processes.first:
        show_page(session, test)


def announce(session: Session) -> None:
    """Say what begins."""
    session.say(beginning(session.folder))
    session.say(headline(session.config, session.device, session.folder.path, session.processes.count), markup=True)


def is_finished_for_all(session: Session) -> bool:
    """Return whether there is nothing left to do.

    Raises:
        UserError: if only some of the processes find it so.
    """
    finished = is_finished(session.folder, session.config)
    differ = f"the processes do not see the same folder '{session.folder.path}'"
    session.processes.require_alike(differ, int(finished))
    return finished


def show_finished(session: Session) -> None:
    """Print what a finished run has found."""
    session.say(f"The run in {printable(str(session.folder.path))} is finished; nothing was changed.")
    show_last(session, Evaluation.read(session.folder.evaluation("last")))


def trained_and_evaluated(session: Session, parts: Parts, test: Examined) -> tuple[Run, str | None]:
    """Train, and evaluate the last epoch's weights and the best; return the run, and a line on the best, if any."""
    with (
        saying_how_to_go_on(session.folder),
        deferring_signals() as interruption,
        LiveObserver(
            session.console,
            interruption.check,
            attacked=is_attacked(session.config),
            begin=partial(announce, session),
        ) as live,
    ):
        interruption.check()
        observer = logging_too(session, live, test.dataset.class_names)
        if not test.dataset.streamed:  # else it would be decoded for this alone
            for note in constant_notes(test.dataset, "test"):
                observer.notice(note)
            if session.processes.first and not list_checkpoints(session.folder.checkpoints):
                for note in dependence_notes(parts.train(), test.dataset):
                    observer.notice(note)
        run = trained(session, parts, observer)
        return run, evaluated(session, test, run, observer)


def is_attacked(config: Config) -> bool:
    """Return whether the training images are attacked."""
    return not isinstance(config.attack, Natural)


def logging_too(session: Session, live: Observer, class_names: tuple[str, ...]) -> Observer:
    """Return an observer that also tells the loggers that are asked for; of several processes, the first one's."""
    names = session.options.logger if session.processes.first else ()
    loggers = [make_logger(name, session.folder.path, session.config) for name in names]
    return LoggingObserver(live, loggers, class_names, session.config) if loggers else live


def trained(session: Session, parts: Parts, observer: Observer) -> Run:
    """Train as the options say."""
    options = session.options
    return fit(
        session.config,
        out=session.folder.path,
        device=options.device,
        observer=observer,
        checkpoint_every=options.checkpoint_every,
        on_divergence=options.on_divergence,
        compiled=options.compile,
        parts=parts,
    )


def evaluated(session: Session, test: Examined, run: Run, observer: Observer) -> str | None:
    """Evaluate the last epoch's weights, show that, and return a line on the best ones, if there are any."""
    folder, config, processes = session.folder, session.config, session.processes
    attacks = {attack.label: attack for attack in (Natural(), config.evaluation)}
    evaluate = partial(
        evaluate_weights,
        folder,
        test,
        attacks,
        device=session.device,
        seed=config.seed,
        processes=processes,
        observer=observer,
    )
    with folder.locked(wait=WAIT) if processes.first else nullcontext():
        with folder.writing():
            last = evaluate("last")
        show_last(session, last)
        with folder.writing():
            return None if run.best_epoch is None else best_line(evaluate("best"), run.best_epoch + 1)


def show_page(session: Session, test: Examined) -> None:
    """Write the run's page and say where it is, or why there is no page."""
    if test.part is None:
        observer = LiveObserver(session.console)
        page = page_of_training(session.folder, session.config, test.dataset, session.device, observer)
        session.say(f"The page is in {printable(str(page))}")
    else:
        session.say("There is no page: it needs all the test images that the run recorded")


@contextmanager
def saying_how_to_go_on(folder: RunFolder) -> Iterator[None]:
    """Put into an interruption how to go on after it, if that has not been said."""
    try:
        yield
    except Interrupted as stop:
        if stop.advice or not folder.exists:
            raise
        done = "the training is done; " if folder.trained else ""
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


def show_last(session: Session, evaluation: Evaluation) -> None:
    """Print the table of classes of the last epoch's weights."""
    title = f"{session.config.method} on {session.config.data.title}, {weights_text(session.config, 'last')}"
    print_evaluation(session.console, evaluation, title=title, held_out=session.folder.held_out)


def new_folder(config: Config) -> Path:
    """Return a folder below runs/ that does not exist yet, named after the configuration."""
    path = Path("runs") / f"{config.data.title}-{config.imbalance.title}-{config.method}-{config.id[:6]}"
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([path], numbered) if not candidate.exists())


def beginning(folder: RunFolder) -> str:
    """Return whether a run is new, or goes on and from where, in a line."""
    if not folder.exists:
        return f"new run: {printable(str(folder.path))}"
    newest = [position_of(path) for path in list_checkpoints(folder.checkpoints)[-1:]]
    where = "which is trained" if folder.trained else f"from {newest[0]}" if newest else "from its beginning"
    return f"continuing the run in {printable(str(folder.path))}, {where}"


def first_part(config: Config) -> str:
    """Return what trains the first epochs, where they are trained otherwise."""
    if not config.before.members:
        return ""
    names = ", ".join(member.name for member in config.before.members.values())
    return f" (the first {config.before.epochs(config.epochs)}: {names})"


def frozen_part(config: Config) -> str:
    """Return in how many epochs the backbone is frozen, where it is, and how fast it moves afterwards."""
    whole = "throughout" if config.freeze == config.epochs else f"for {counted(config.freeze, 'epoch')}"
    slower = config.backbone_rate != 1 and config.freeze < config.epochs
    return f", backbone frozen {whole}" * (config.freeze > 0) + f", backbone's rate × {config.backbone_rate:g}" * slower


def headline(config: Config, device: str, out: Path, processes: int = 1) -> str:
    """Return what is about to happen, in three lines."""
    schedule, attack = config.schedule, config.attack
    said = f"attack {attack.label} (ε {getattr(attack, 'epsilon', 0):.4g})" if is_attacked(config) else "no attack"
    rate = ", ".join(filter(None, (f"rate {config.optimizer.learning_rate:g}", schedule.described(config.epochs))))
    first = schedule.reweight_epoch_of(config.epochs)
    since = f"after {counted(first, 'epoch')}" if first else "from the start"
    weights = f"weights {config.weighting.name} {since}"
    usual = Config()
    parts = ("loss", "feature_loss") if config.method.endswith("custom") else ()
    chosen = [*parts, *(name for name in BESIDE if getattr(config, name) != getattr(usual, name))]
    chosen += ["guard"] * config.is_guarded
    beside = "".join(f", {name.replace('_', ' ')} {getattr(config, name).name}" for name in chosen)
    optimizer = "" if isinstance(config.optimizer, SGD) else f"{config.optimizer.name}, "
    epochs = counted(config.epochs, "epoch") + first_part(config) + frozen_part(config)
    several = f", {processes} processes" if processes > 1 else ""
    return (
        f"[bold]{config.method}[/bold] on [bold]{config.data.title}[/bold], imbalance {config.imbalance.title}, "
        f"{config.model.name}, seed {config.seed}, {device}{several}\n"
        f"{said}, {'no class weights' if isinstance(config.weighting, Uniform) else weights}{beside}\n"
        f"{epochs}, {optimizer}{rate} → {escape(printable(str(out)))}"
    )
