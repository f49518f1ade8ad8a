"""What ``train`` and ``evaluate`` share: the evaluation of a run, kept in its folder."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from srat.attacks import AnyAttack
from srat.data import Dataset
from srat.errors import require
from srat.evaluation import Evaluation, evaluate_all
from srat.files import write_atomically
from srat.machine import telling_of_memory
from srat.models import ImageShape
from srat.observer import Observer
from srat.processes import Processes
from srat.run import ModelFacts, image_shape, load_with_facts
from srat.run_folder import RunFolder, Which

WAIT = 30.0
"""Seconds to wait for another process that is writing its results."""


def evaluate_run(
    folder: RunFolder,
    test: Dataset,
    attacks: Mapping[str, AnyAttack],
    which: Which,
    *,
    device: str,
    seed: int,
    processes: Processes,
    observer: Observer,
) -> Evaluation:
    """Evaluate a run's weights, add the results to those that its folder holds, and return them all.

    The folder is locked when results are written, not while they are made: two may go on side by side. Several
    processes share the images; the first one writes.

    Raises:
        UserError: if the test set is of other data, or the folder cannot be written or holds another run's results.
    """
    locked = partial(folder.locked, wait=WAIT) if processes.first else nullcontext
    with telling_of_memory(f"the model does not fit on {device}"):
        model, facts = load_with_facts(folder.path, which=which, device=device)
    there, wanted = (test.class_names, image_shape(test)), (facts.class_names, facts.shape)
    said = f"expected {_said(*wanted)}, got {_said(*there)}"
    require(there == wanted, f"this test set is not of the data that the model was trained on: {said}")
    with locked():  # before the hours of an attack, so that what is wrong is known at once
        so_far = results_so_far(folder, which, facts)
    with telling_of_memory(f"the test images, or their evaluation, do not fit on {device}"):
        nothing = replace(so_far, results={})
        fresh = evaluate_all(
            model, test.to(device), attacks, nothing, seed=seed, processes=processes, observer=observer
        )
    with locked():
        there_now = results_so_far(folder, which, facts)
        evaluation = replace(there_now, results={**there_now.results, **fresh.results})
        if processes.first:
            write_atomically(folder.evaluation(which), evaluation.to_json())
    return evaluation


def results_so_far(folder: RunFolder, which: Which, facts: ModelFacts) -> Evaluation:
    """Return the results that a run's folder holds; none at first.

    Raises:
        UserError: if they are of another run.
    """
    path = folder.evaluation(which)
    if not path.exists():
        return Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    evaluation = Evaluation.read(path)
    of_this_run = (evaluation.class_names, evaluation.train_counts) == (facts.class_names, facts.train_counts)
    require(of_this_run, f"{path}: this evaluation is of another run; remove it to evaluate anew")
    return evaluation


def _said(class_names: tuple[str, ...], shape: ImageShape) -> str:
    return f"{len(class_names)} classes ({class_names[0]}, …), {shape.height} × {shape.width} × {shape.channels}"
