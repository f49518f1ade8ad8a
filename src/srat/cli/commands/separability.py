"""The command ``srat separability``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.parsing import parse
from srat.core.errors import printable, require
from srat.core.signals import deferring_signals
from srat.report.terminal.live import LiveObserver, make_console
from srat.runs.folder import Which
from srat.runs.opening import opened, parts_of, require_same_data


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure how well a run's features separate the classes, clean and attacked, with bootstrap intervals.

    Fisher ratio, silhouette and purity of the ten nearest neighbours, overall, by group and by class. The numbers are
    kept in the run's separability.json.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    weights: Which = "last"
    """The weights of the last epoch, or of the best on the held-out part."""
    images: int | None = None
    """Use at most this many test images (2,000), or training images with --map (1,000), equally many of each class."""
    map: bool = False
    """Draw a map of the features of training images (t-SNE) instead, and keep it in map.json for srat report."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Measure, print the tables; return the exit code."""
    arguments = parse(Arguments, args, command="separability", default=Arguments())
    folder, config = opened(arguments.run, "separability", arguments.data_dir)
    if arguments.map:
        from srat.cli.pages import make_map

        require(arguments.weights == "last", "--map uses the weights of the last epoch; leave out --weights best")
        make_map(folder, config, images=arguments.images or 1_000, device=arguments.device, console=make_console())
        return 0
    from srat.attacks import Natural
    from srat.core.files import write_atomically
    from srat.core.tensor_file import digest_of
    from srat.data import hash_contents
    from srat.evaluation.record import CLEAN, Evaluation, describe_attack
    from srat.evaluation.separability import NEIGHBOURS, features_of, require_enough, separability, to_plain
    from srat.report.terminal.scopes import print_whole
    from srat.report.terminal.separability import separability_table
    from srat.runs.evaluating import versions
    from srat.runs.results import WAIT
    from srat.runs.run import load_with_facts
    from srat.runtime.fabric import make_fabric

    device = str(make_fabric(arguments.device).device)
    model, facts = load_with_facts(folder.path, which=arguments.weights, device=device)
    console = make_console()
    test, wanted = parts_of(folder, config, console).test(), arguments.images or 2_000
    require_enough(test.counts, wanted)
    images = test.sample(wanted)
    require_same_data(images, facts)
    sha256, images = hash_contents(images), images.to(device)
    evaluation = Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    labels, content = images.labels.cpu().numpy(), {}
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        for name, attack in {CLEAN: Natural(), config.evaluation.label: config.evaluation}.items():
            features = features_of(model, images, attack, seed=config.seed, observer=observer)
            found = separability(features, labels, facts.class_names, evaluation.groups, seed=config.seed)
            title = f"{config.method} on {config.data.title}, {name}, {len(images):,} test images"
            print_whole(console, separability_table(found, evaluation, title=title))
            shown = {each.scope for each in found if each.is_class}
            if few := [each for each in facts.class_names if each not in shown]:
                said = f"Left out (fewer than {NEIGHBOURS + 1} images each): {', '.join(few)}"
                console.print(printable(said), highlight=False, markup=False)
            content[name] = {"attack": describe_attack(attack, len(facts.class_names)), "scopes": to_plain(found)}
    path = folder.separability(arguments.weights)
    known = {"weights": digest_of(folder.weights(arguments.weights)), "test": sha256, "images": len(images)}
    text = json.dumps({**known, "seed": config.seed, **versions(), "results": content}, indent=2, ensure_ascii=False)
    with folder.locked(wait=WAIT):
        write_atomically(path, f"{text}\n")
    console.print(f"Kept in {printable(str(path))}", highlight=False, markup=False, soft_wrap=True)
    return 0
