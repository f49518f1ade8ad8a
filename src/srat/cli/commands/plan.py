"""The command ``srat plan``."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from srat.cli.options import Options
from srat.cli.parsing import BUDGET_FLAGS, choices_class, family_flag, parse, parse_choices
from srat.config.composition import absolute, compose
from srat.config.config import Config
from srat.core.errors import require, unknown
from srat.core.members import choices
from srat.data import Imbalance, Source
from srat.data.imbalance import NoImbalance
from srat.data.sources.arrays import Arrays
from srat.data.sources.folder import Folder

COMMAND = "plan"
Choices = choices_class(family_flag("imbalance"), *BUDGET_FLAGS)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Propose the training that makes most of a time on this machine, with the reasons, as a command.

    It measures a few steps of some networks, and chooses the size of the images, network, method, batch, epochs,
    learning rate, augmentation and held-out part for these images and that time, evaluation included.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER|FILE|NAME")] = ""
    """A folder of images, an .npz file, or a data set: digits, cifar10, … ('srat train --help' lists them)."""
    time: str = "30m"
    """The time there is for training and evaluation: 90s, 10m, 2h, 1d."""
    run: bool = False
    """Start it at once."""
    out: Path | None = None
    """The run's folder, by default a new one in runs/; a part of the command."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of the run."""
    format: Literal["table", "json"] = "table"
    """A table for people; json for programs."""
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=Choices)
    source: Annotated[Source, tyro.conf.arg(name="data")] = field(default_factory=Source)
    imbalance: Annotated[Imbalance, tyro.conf.arg(name="imbalance")] = NoImbalance()


def run(args: list[str]) -> int:
    """Measure, print the plan, and start it where asked; return the exit code."""
    arguments, config = read_arguments(args)
    from srat.cli.planning import made, show  # Fabric takes as long to import as torch; a wrong word shall not wait
    from srat.cli.training import train

    options = Options(out=arguments.out, device=arguments.device)
    found = made(config, time=arguments.time, device=arguments.device)
    show(found, options, as_json=arguments.format == "json")
    if arguments.run:
        train(options, absolute(found.config))
    return 0


def read_arguments(args: list[str]) -> tuple[Arguments, Config]:
    """Return what the words say, and the run that a plan is to be made for: data, imbalance, seed, threat model."""
    helped = "--help" in args or "-h" in args
    named = bool(args) and not args[0].startswith("-")
    example = "'srat plan photos --time 10m' or 'srat plan cifar10 --time 2h'"
    require(named or helped, f"srat plan: expected the name of a data set first, or a folder, as in {example}")
    name, words = placed(args) if named else (None, args)
    chosen = parse_choices(Choices, words, command=COMMAND)
    base = compose(data=name, **chosen)
    shown = Choices(**{**chosen, "imbalance": base.imbalance.name})
    default = Arguments(choices=shown, source=base.data, imbalance=base.imbalance)
    arguments = parse(Arguments, words, command=COMMAND, default=default)
    if arguments.name != name and not Path(arguments.name).exists():
        raise unknown("folder or data set", arguments.name, choices(Source))
    return arguments, replace(base, data=arguments.source, imbalance=arguments.imbalance, seed=arguments.seed)


def placed(args: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the data set that the first word means, and the words with a flag for where it is.

    Args:
        args: a folder, a file or a name first; "folder photos" is "photos", as in ``srat data``.
    """
    first, *rest = args
    if first in (Folder.name, Arrays.name) and rest and not rest[0].startswith("-"):
        return first, [first, "--data-dir", *rest]
    if first in choices(Source):
        return first, list(args)
    of_arrays = Path(first).suffix == ".npz" and not Path(first).is_dir()
    return Arrays.name if of_arrays else Folder.name, [first, "--data-dir", first, *rest]
