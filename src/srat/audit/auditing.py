"""The audit of a run, kept in its folder."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from srat.audit.base import Subject
from srat.audit.suite import Audit, Entry, audit, chosen_checks
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.checked import checked
from srat.core.errors import require
from srat.core.files import write_atomically
from srat.core.tensor_file import digest_of
from srat.data import Holdout, Parts, hash_contents
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import opened, parts_of, require_same_data, trained_images
from srat.runs.origins import versions
from srat.runs.results import WAIT, results_so_far
from srat.runs.run import ModelFacts, load_with_facts
from srat.runtime.machine import as_device
from srat.training.fitting import fit

SOURCES = ("small-cnn", "linear")
"""Small models whose adversarial images are transferred."""
SOURCE_IMAGES = 2_000
"""Images a class that they learn from, …"""
SOURCE_EPOCHS = 5
"""… in so many epochs, …"""
SOURCE_STEPS = 400
"""… and so many steps, at the least."""


@checked
def audit_run(
    path: Path | str,
    *,
    checks: Sequence[str] = (),
    which: Which = "last",
    images: int = 500,
    source: Path | str | None = None,
    data_dir: Path | str | None = None,
    seed: int | None = None,
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
    begun: Callable[[Subject], None] = lambda _: None,
    told: Callable[[Entry], None] = lambda _: None,
) -> Audit:
    """Check whether the robustness of a run's model is real; an audit with all checks is kept in the run's folder.

    Args:
        path: the run's folder.
        checks: the names of the checks to make; all by default.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        images: test images to attack, as many of each class.
        source: a naturally trained run to transfer adversarial images from, beside a linear model; by default a small
            network is trained for that.
        data_dir: where the data's files are now; by default where they were.
        seed: of all randomness; the run's unless given.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress.
        begun: told of what is audited, before the first check.
        told: told of each check when it is done.

    Raises:
        UserError: if there is no such run, weights or check, or its data are gone or others.
    """
    observer = observer or Observer()
    folder, config = opened(path, data_dir)
    needed = frozenset[str]().union(*(check.needs for check in chosen_checks(checks)))
    there = str(as_device(device))
    model, facts = load_with_facts(folder.path, which=which, model=model, device=there)
    parts = parts_of(folder, config, observer.notice)
    test = parts.test()
    require_same_data(test, facts)
    subject = Subject(
        model=model,
        images=test.sample(images).to(there),
        threat=config.evaluation,
        seed=config.seed if seed is None else seed,
        sources=natural_models(source, parts, config, facts, there, observer) if "sources" in needed else (),
        test=test,
        train=trained_images(folder, config, parts) if "train" in needed else None,
        evaluation=results_so_far(folder.evaluation(which), facts),
        observer=observer,
    )
    begun(subject)
    found = audit(subject, checks, told)
    if not checks:
        keep(found, subject, folder, which)
    return found


def keep(found: Audit, subject: Subject, folder: RunFolder, which: Which) -> None:
    """Write an audit into a run's folder, with what it was made on."""
    facts = {
        "weights": digest_of(folder.weights(which)),
        "test": hash_contents(subject.test),
        "images": subject.n,
        "seed": subject.seed,
        "attack": subject.threat.settings_to_record(),
        **versions(),
    }
    with folder.locked(wait=WAIT):
        write_atomically(folder.audit(which), found.to_json(**facts))


def natural_models(
    source: Path | str | None, parts: Parts, config: Config, facts: ModelFacts, device: str, observer: Observer
) -> tuple[nn.Module, ...]:
    """Return the naturally trained models whose adversarial images are transferred: the one given, or small ones.

    Raises:
        UserError: if the one given was trained under attack, or on other classes.
    """
    if source is None:
        return tuple(natural_model(name, parts, config, device, observer) for name in SOURCES)
    model, theirs = load_with_facts(source, device=device)
    require(
        theirs.config.method.startswith("natural"),
        f"`source`: expected a naturally trained run, got {theirs.config.method} in '{source}'",
    )
    same = (theirs.class_names, theirs.shape) == (facts.class_names, facts.shape)
    require(same, f"`source`: the run in '{source}' is of other classes, or of images of another size")
    return model, natural_model(SOURCES[-1], parts, config, device, observer)


def natural_model(name: str, parts: Parts, config: Config, device: str, observer: Observer) -> nn.Module:
    """Return a small model of that architecture, naturally trained on the run's data."""
    own = compose(compose(data=config.data.name), method="natural", model=name, seed=config.seed)
    images = sum(min(count, SOURCE_IMAGES) for count in parts.train().counts)
    natural = replace(
        own,
        data=config.data,
        imbalance=Step(ratio=1, cap=SOURCE_IMAGES),
        holdout=Holdout(fraction=0),
        epochs=max(SOURCE_EPOCHS, SOURCE_STEPS // math.ceil(images / own.batch_size)),
    )
    return fit(natural, device=device, observer=observer, parts=replace(parts, notes=())).model  # they have been said
