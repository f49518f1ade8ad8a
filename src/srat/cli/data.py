"""``srat data``"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from srat.cli.parsing import choices_class, parse, parse_choices
from srat.config import compose
from srat.data import Imbalance, Source, select
from srat.data.imbalance import NoImbalance, hash_indices, realised_ratio
from srat.errors import require
from srat.files import write_atomically
from srat.report.distribution import distribution_table, draw_distribution

COMMAND = "data"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show how many training images each class of a data set has, as it is or made imbalanced."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """The data set: digits, cifar10, … ('srat train --help' lists them)."""
    seed: int = 0
    """Seed that draws the kept images."""
    plot: Path | None = None
    """Draw the distribution into this file (.png, .svg, .pdf)."""
    indices: Path | None = None
    """Write the indices of the kept training images into this file, as a JSON list."""
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=choices_class(["imbalance"]))
    source: Annotated[Source, tyro.conf.arg(name="data")] = field(default_factory=Source)
    imbalance: Annotated[Imbalance, tyro.conf.arg(name="imbalance")] = NoImbalance()


def run(args: list[str]) -> None:
    """Print the distribution; draw it and write the indices where asked."""
    name = next((word for word in args if not word.startswith("-")), "")
    require(
        bool(name) or "--help" in args or "-h" in args,
        "srat data: expected a data set, as in 'srat data cifar10 --imbalance step --ratio 100'",
    )
    chosen = parse_choices(["imbalance"], args, command=COMMAND)
    config = compose(data=name or "digits", imbalance=chosen.get("imbalance", "none"))
    default = Arguments(source=config.data, imbalance=config.imbalance)
    show(parse(Arguments, args, command=COMMAND, default=default), Console())


def show(arguments: Arguments, console: Console) -> None:
    """Print the distribution; draw it and write the indices where asked."""
    train, test = arguments.source.train(), arguments.source.test()
    counts = arguments.imbalance.counts(train.counts, seed=arguments.seed)
    kept = select(train.labels, counts, seed=arguments.seed)
    title = f"{arguments.source.name}, imbalance {arguments.imbalance.name}"
    console.print(distribution_table(train.class_names, counts, train.counts, title=title))
    channels, height, width = train.images.shape[1:]
    console.print(
        f"{len(kept):,} of {len(train):,} training images of {height} × {width} × {channels}; largest to smallest class {realised_ratio(counts):.1f} : 1",
        highlight=False,
    )
    balance = (
        f"{test.counts[0]:,} a class"
        if len(set(test.counts)) == 1
        else f"{min(test.counts):,} to {max(test.counts):,} a class, not balanced"
    )
    console.print(f"{len(test):,} test images, {balance}", highlight=False)
    console.print(f"kept indices, seed {arguments.seed}: sha256 {hash_indices(kept)}", highlight=False, soft_wrap=True)
    if arguments.indices is not None:
        write_atomically(arguments.indices, json.dumps(kept.tolist()) + "\n")
        console.print(f"indices written to {arguments.indices}", highlight=False, soft_wrap=True)
    if arguments.plot is not None:
        draw_distribution(train.class_names, counts, arguments.plot, title=f"{title}, {realised_ratio(counts):.0f} : 1")
        console.print(f"plot written to {arguments.plot}", highlight=False, soft_wrap=True)
