"""The command ``srat audit``."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from torch import nn

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import printable, require
from srat.core.signals import deferring_signals
from srat.data import Holdout, Parts
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.report.terminal.live import LiveObserver
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import opened, parts_of, require_same_data, trained_images
from srat.runs.run import ModelFacts
from srat.runtime.machine import keep_freed_memory

if TYPE_CHECKING:
    from srat.audit.base import Subject

FAILED = 3
"""Exit code of an audit that has failed."""
SOURCE_IMAGES = 2_000
"""Images a class that a small model learns from, whose adversarial images are transferred, …"""
SOURCE_EPOCHS = 5
"""… in so many epochs, …"""
SOURCE_STEPS = 400
"""… and so many steps, at the least."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check whether the robustness of a run's model is real; the findings are kept in its audit.json.

    Each check says pass, warn or fail, with its evidence. The exit code is 3 if one fails. --check keeps nothing.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    check: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A check by name; may be given several times; by default all."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    images: int = 500
    """Number of test images to attack, equally many of each class."""
    source: Path | None = None
    """A naturally trained run to transfer adversarial images from; by default a small model is trained for that."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    seed: int | None = None
    """Seed of all randomness; the run's unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Audit, print each finding and what follows; return the exit code."""
    arguments = parse(Arguments, args, command="audit", default=Arguments())
    folder, config = opened(arguments.run, "audit", arguments.data_dir)
    from srat.audit.suite import audit, chosen_checks
    from srat.core.files import write_atomically
    from srat.core.tensor_file import digest_of
    from srat.data import hash_contents
    from srat.report.terminal.audit import audit_line, conclusion
    from srat.runs.evaluating import versions
    from srat.runs.results import WAIT

    chosen = chosen_checks(arguments.check)
    console = make_console("audit")
    width = max(len(check.name) for check in chosen)
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        needed = frozenset[str]().union(*(check.needs for check in chosen))
        subject = subject_of(arguments, folder, config, needed, observer)
        console.print(f"{subject.n:,} test images, {config.evaluation.label}", highlight=False)
        found = audit(
            subject, arguments.check, lambda entry: console.print(audit_line(entry, width=width), soft_wrap=True)
        )
    console.print(conclusion(found), highlight=False, soft_wrap=True)
    if arguments.check:
        console.print("Not kept: only an audit with all checks is kept", highlight=False)
    else:
        known = {"weights": digest_of(folder.weights(arguments.weights)), "test": hash_contents(subject.test)}
        attack = vars(config.evaluation)
        content = found.to_json(**known, images=subject.n, seed=subject.seed, attack=attack, **versions())
        path = folder.audit(arguments.weights)
        with folder.locked(wait=WAIT):
            write_atomically(path, content)
        console.print(f"Kept in {printable(str(path))}", highlight=False, markup=False, soft_wrap=True)
    return FAILED if found.verdict == "fail" else 0


def subject_of(
    arguments: Arguments, folder: RunFolder, config: Config, needed: frozenset[str], observer: Observer
) -> "Subject":
    """Return what is to be audited, with what the checks need.

    Raises:
        UserError: if the run has no such weights, or the data is of another kind.
    """
    from srat.audit.base import Subject
    from srat.runs.results import results_so_far
    from srat.runs.run import load_with_facts
    from srat.runtime.fabric import make_fabric

    device = str(make_fabric(arguments.device).device)
    if device == "cpu":
        keep_freed_memory()
    model, facts = load_with_facts(folder.path, which=arguments.weights, device=device)
    parts = parts_of(folder, config, make_console("audit"))
    test = parts.test()
    require_same_data(test, facts)
    images = test.sample(arguments.images).to(device)
    return Subject(
        model=model,
        images=images,
        threat=config.evaluation,
        seed=config.seed if arguments.seed is None else arguments.seed,
        source=natural_model(arguments, parts, config, facts, device, observer) if "source" in needed else None,
        test=test,
        train=trained_images(folder, config, parts) if "train" in needed else None,
        evaluation=results_so_far(folder.evaluation(arguments.weights), facts),
        observer=observer,
    )


def natural_model(
    arguments: Arguments, parts: Parts, config: Config, facts: ModelFacts, device: str, observer: Observer
) -> nn.Module:
    """Return the naturally trained model whose adversarial images are transferred: the one given, or a small one.

    Raises:
        UserError: if the one given was trained under attack, or on other classes.
    """
    from srat.runs.run import load_with_facts
    from srat.training.fitting import fit

    if arguments.source is not None:
        model, theirs = load_with_facts(arguments.source, device=device)
        require(
            theirs.config.method.startswith("natural"),
            f"--source: expected a naturally trained run, got {theirs.config.method} in '{arguments.source}'",
        )
        same = (theirs.class_names, theirs.shape) == (facts.class_names, facts.shape)
        require(same, f"--source: the run in '{arguments.source}' is of other classes, or of images of another size")
        return model
    own = compose(compose(data=config.data.name), method="natural", model="small-cnn", seed=config.seed)
    images = sum(min(count, SOURCE_IMAGES) for count in parts.train().counts)
    natural = replace(
        own,
        data=config.data,
        imbalance=Step(ratio=1, cap=SOURCE_IMAGES),
        holdout=Holdout(fraction=0),
        epochs=max(SOURCE_EPOCHS, SOURCE_STEPS // math.ceil(images / own.batch_size)),
    )
    return fit(natural, device=device, observer=observer, parts=replace(parts, notes=())).model  # they have been said
