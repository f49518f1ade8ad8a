"""How well the classes of a run lie apart in its features, kept in its folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from srat.attacks import Natural
from srat.core.checked import checked
from srat.core.files import write_atomically
from srat.core.tensor_file import digest_of
from srat.data import hash_contents
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.evaluation.record import CLEAN, describe_attack
from srat.evaluation.separability import Separability, features_of, require_enough, separability, to_plain
from srat.runs.folder import Which
from srat.runs.opening import opened, parts_of, require_same_data
from srat.runs.origins import versions
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device


@dataclass(frozen=True, kw_only=True)
class RunSeparability:
    """How well the classes of a run lie apart, by attack."""

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    images: int
    """Test images that it was measured on."""
    results: Mapping[str, Sequence[Separability]]
    """By the name of the attack: overall, by group and by class."""
    path: Path
    """The file that holds it."""


@checked
def separability_of_run(
    path: Path | str,
    *,
    which: Which = "last",
    images: int = 2_000,
    data_dir: Path | str | None = None,
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
) -> RunSeparability:
    """Measure how well a run's features separate the classes, clean and attacked; the run's folder keeps the numbers.

    Args:
        path: the run's folder.
        which: "last" for the weights of the last epoch, "best" for the best on the held-out part, "raw" for the last
            ones before averaging.
        images: test images at the most, as many of each class.
        data_dir: where the data's files are now; by default where they were.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress.

    Raises:
        UserError: if there is no such run, its data are gone or others, or the images are too few.
    """
    observer = observer or Observer()
    folder, config = opened(path, data_dir)
    there = str(as_device(device))
    model, facts = load_with_facts(folder.path, which=which, model=model, device=there)
    test = parts_of(folder, config, observer.notice).test()
    require_enough(test.counts, images)
    chosen = test.sample(images)
    require_same_data(chosen, facts)
    content = {
        "weights": digest_of(folder.weights(which)),
        "test": hash_contents(chosen),
        "images": len(chosen),
        "seed": config.seed,
        **versions(),
    }
    chosen, labels, names = chosen.to(there), chosen.labels.cpu().numpy(), facts.class_names
    results, plain, rare = {}, {}, groups(facts.train_counts)
    for name, attack in {CLEAN: Natural(), config.evaluation.label: config.evaluation}.items():
        features = features_of(model, chosen, attack, seed=config.seed, observer=observer)
        results[name] = separability(features, labels, names, rare, seed=config.seed)
        plain[name] = {"attack": describe_attack(attack, len(names)), "scopes": to_plain(results[name])}
    file = folder.separability(which)
    with folder.locked(wait=WAIT):
        write_atomically(file, json.dumps({**content, "results": plain}, indent=2, ensure_ascii=False) + "\n")
    return RunSeparability(
        class_names=names, train_counts=facts.train_counts, images=len(chosen), results=results, path=file
    )
