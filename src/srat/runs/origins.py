"""What makes a result what it is, and how the progress towards it is kept."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TypeVar, cast

import torch
from torch import nn

from srat.attacks import AnyAttack, Natural
from srat.data import Dataset, to_unit
from srat.evaluation.examples import Origin
from srat.evaluation.expected import PROBED, drawn_of, expected, randomness
from srat.evaluation.journal import FileJournal
from srat.evaluation.record import describe_attack
from srat.evaluation.serving import BATCH_SIZE
from srat.runs.folder import RunFolder
from srat.runs.result_names import budget_suffix
from srat.runs.run import ModelFacts
from srat.runtime.processes import Processes

T = TypeVar("T")


def versions() -> dict[str, str]:
    """Return the versions of what decides an evaluation's result."""
    return {name: version(name) for name in ("srat", "torch", "pyautoattack")}


def told_by_first(processes: Processes, ask: Callable[[], T]) -> T:
    """Return what the first process finds, in all of them."""
    return cast(T, processes.told(ask() if processes.first else None))


def served_by(
    model: nn.Module,
    dataset: Dataset,
    *,
    draws: int,
    seed: int,
    processes: Processes,
    notice: Callable[[str], None],
) -> nn.Module:
    """Return a run's model, or the mean of several of its answers if it answers at random.

    Args:
        model: the model.
        dataset: the images, on its device; the first few tell whether it is random.
        draws: how many answers.
        seed: of them.
        processes: all of which are told by the first one.
        notice: called with a line if the model is random.
    """
    shown = to_unit(dataset.subset(torch.arange(min(len(dataset), PROBED))).images[:].to(dataset.labels.device))
    kind = told_by_first(processes, partial(randomness, model, shown))
    return expected(model, kind, draws=draws, seed=seed, tell=notice)


def origin_of(attack: AnyAttack, seed: int, facts: ModelFacts, served: nn.Module) -> Origin:
    """Return what makes the outcome of an attack on a run's model, as it is served."""
    drawn = drawn_of(served)
    return Origin(
        attack=describe_attack(attack, len(facts.class_names)) | drawn,
        seed=0 if isinstance(attack, Natural) and not drawn else seed,
        budget=budget_suffix(attack, facts.config.evaluation),
    )


def journal_of(
    folder: RunFolder,
    name: str,
    *,
    processes: Processes,
    made_by: Mapping[str, str | int],
    dataset: Dataset,
    origin: Origin,
    notice: Callable[[str], None],
) -> FileJournal:
    """Return what keeps the progress of an evaluation in a run's folder.

    Args:
        folder: the run's.
        name: the evaluation's.
        processes: those that share the images.
        made_by: what makes it what it is, beside attack, device and versions.
        dataset: the images, on their device.
        origin: the attack.
        notice: called with what cannot be used.
    """
    return FileJournal(
        folder.unfinished,
        name,
        rank=processes.rank,
        identity={**made_by, "device": dataset.labels.device.type}
        | {"batch_size": BATCH_SIZE, **asdict(origin), **versions()},
        images=len(dataset),
        notice=notice,
    )
