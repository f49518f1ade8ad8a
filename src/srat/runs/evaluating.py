"""What ``train`` and ``evaluate`` share: the evaluation of a run, kept in its folder."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TypeVar, cast

from srat.attacks import PGD, AnyAttack, Natural
from srat.core.tensor_file import digest_of
from srat.evaluation.evaluate import examine
from srat.evaluation.examples import Origin
from srat.evaluation.journal import FileJournal
from srat.evaluation.observer import Observer
from srat.evaluation.record import Evaluation, describe_attack
from srat.evaluation.serving import BATCH_SIZE
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import require_same_data
from srat.runs.results import Examined, Results
from srat.runs.run import ModelFacts, load_with_facts
from srat.runtime.machine import telling_of_memory
from srat.runtime.processes import Processes

T = TypeVar("T")


def evaluate_run(
    folder: RunFolder,
    test: Examined,
    attacks: Mapping[str, AnyAttack],
    which: Which,
    *,
    device: str,
    seed: int,
    processes: Processes,
    observer: Observer,
    anew: bool = False,
) -> Evaluation:
    """Evaluate a run's weights, add the results to those that its folder holds, and return them all.

    What the folder holds already is not made again, unless it is to be made ``anew``; what was begun, and then ended
    by anything, goes on. The folder is locked when results are written, not while they are made: two may go on side by
    side. Several processes share the images; the first one writes.

    Raises:
        UserError: if the test set is of other data, or the folder cannot be written or holds another run's results.
    """
    with telling_of_memory(f"the model does not fit on {device}"):
        model, facts = load_with_facts(folder.path, which=which, device=device)
    require_same_data(test.dataset, facts)
    weights = digest_of(folder.weights(which))
    results = Results(folder=folder, which=which, facts=facts, test=test, weights=weights)
    evaluation, origins = told_by_first(processes, partial(results.so_far, observer.notice))
    with telling_of_memory(f"the test images, or their evaluation, do not fit on {device}"):
        dataset = test.dataset.to(device)
        for name, attack in attacks.items():
            origin = origin_of(attack, seed, facts)
            journal = FileJournal(
                folder.unfinished,
                f"{which}-{name}" if test.part is None else f"{which}-{test.part}-{name}",
                rank=processes.rank,
                identity={"test": test.sha256, "weights": weights, "device": dataset.labels.device.type}
                | {"batch_size": BATCH_SIZE, **asdict(origin), **versions()},
                images=len(dataset),
                notice=observer.notice,
            )
            if anew or origins.get(name) != origin:
                found = examine(
                    model, dataset, attack, seed=seed, processes=processes, observer=observer, journal=journal
                )
                evaluation = told_by_first(processes, partial(results.with_outcome, name, found, origin))
            if processes.first:
                journal.remove()
    return evaluation


def versions() -> dict[str, str]:
    """Return the versions of what decides an evaluation's result."""
    return {name: version(name) for name in ("srat", "torch", "pyautoattack")}


def named_number(value: float) -> str:
    """Return a number for a result's name: short if that is exact, and never the name of another."""
    short = f"{value:.4g}"
    return short if isinstance(value, float) and float(short) == value else str(value)


def told_by_first(processes: Processes, ask: Callable[[], T]) -> T:
    """Return what the first process finds, in all of them."""
    return cast(T, processes.told(ask() if processes.first else None))


def origin_of(attack: AnyAttack, seed: int, facts: ModelFacts) -> Origin:
    """Return what makes the outcome of an attack on a run's model."""
    return Origin(
        attack=describe_attack(attack, len(facts.class_names)),
        seed=0 if isinstance(attack, Natural) else seed,
        budget=budget_suffix(attack, facts.config.evaluation),
    )


def budget_suffix(attack: AnyAttack, own: PGD) -> str:
    """Return what the name of a result says of norm and ε, where they are not those of the run's own attack."""
    norm, epsilon = getattr(attack, "norm", own.norm), getattr(attack, "epsilon", own.epsilon)
    return (f"-{norm}" if norm != own.norm else "") + (
        f"-eps-{named_number(epsilon)}" if epsilon != own.epsilon else ""
    )
