"""What ``srat separability`` does once it knows what it is to do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import printable
from srat.core.files import write_atomically
from srat.core.signals import deferring_signals
from srat.core.tensor_file import digest_of
from srat.data import hash_contents
from srat.evaluation.record import CLEAN, Evaluation, describe_attack
from srat.evaluation.separability import NEIGHBOURS, Separability, features_of, require_enough, separability, to_plain
from srat.report.terminal.live import LiveObserver
from srat.report.terminal.scopes import print_whole
from srat.report.terminal.separability import separability_table
from srat.runs.evaluating import versions
from srat.runs.folder import RunFolder, Which
from srat.runs.opening import parts_of, require_same_data
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.fabric import make_fabric


def measure(folder: RunFolder, config: Config, *, which: Which, wanted: int, device: str, console: Console) -> None:
    """Measure how well the classes lie apart, print the tables and keep the numbers.

    Args:
        folder: the run.
        config: its configuration.
        which: its weights.
        wanted: test images at the most, as many of each class.
        device: where to compute.
        console: where to print.
    """
    device = str(make_fabric(device).device)
    model, facts = load_with_facts(folder.path, which=which, device=device)
    test = parts_of(folder, config, LiveObserver(console).notice).test()
    require_enough(test.counts, wanted)
    images = test.sample(wanted)
    require_same_data(images, facts)
    known = {
        "weights": digest_of(folder.weights(which)),
        "test": hash_contents(images),
        "images": len(images),
        "seed": config.seed,
        **versions(),
    }
    images, labels, results = images.to(device), images.labels.cpu().numpy(), {}
    evaluation = Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        for name, attack in {CLEAN: Natural(), config.evaluation.label: config.evaluation}.items():
            features = features_of(model, images, attack, seed=config.seed, observer=observer)
            found = separability(features, labels, facts.class_names, evaluation.groups, seed=config.seed)
            title = f"{config.method} on {config.data.title}, {name}, {len(images):,} test images"
            show(found, evaluation, title, console)
            results[name] = {"attack": describe_attack(attack, len(facts.class_names)), "scopes": to_plain(found)}
    keep(folder, folder.separability(which), {**known, "results": results}, console)


def show(found: Sequence[Separability], evaluation: Evaluation, title: str, console: Console) -> None:
    """Print the table of a result, and the classes that it leaves out."""
    print_whole(console, separability_table(found, evaluation, title=title))
    shown = {each.scope for each in found if each.is_class}
    if few := [each for each in evaluation.class_names if each not in shown]:
        said = f"Left out (fewer than {NEIGHBOURS + 1} images each): {', '.join(few)}"
        console.print(printable(said), highlight=False, markup=False)


def keep(folder: RunFolder, path: Path, content: Mapping[str, Any], console: Console) -> None:
    """Write what was measured into a run's folder, and say where."""
    with folder.locked(wait=WAIT):
        write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    console.print(f"Kept in {printable(str(path))}", highlight=False, markup=False, soft_wrap=True)
