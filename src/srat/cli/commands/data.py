"""The command ``srat data``."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

from srat.cli.naming import make_console
from srat.cli.parsing import choices_class, family_flag, parse, parse_choices
from srat.config.composition import compose
from srat.core.durations import parse_duration
from srat.core.errors import UserError, printable, require
from srat.core.members import choices
from srat.core.signals import deferring_signals
from srat.core.words import counted
from srat.data import Dataset, Imbalance, Source, write_split
from srat.data.constant import constant_notes
from srat.data.imbalance import NoImbalance, hash_indices, realised_ratio
from srat.data.preparation import check_classes
from srat.data.record import Part
from srat.data.sources.folder import Folder
from srat.data.survey import Survey, survey
from srat.data.twins import twin_notes
from srat.report.plots import check_plot
from srat.report.terminal.distribution import distribution_table, draw_distribution
from srat.report.terminal.scopes import print_whole
from srat.report.terminal.survey import remarks, survey_table
from srat.report.twins import LIST, PICTURE, check_file, draw_twins, write_twins

COMMAND = "data"
MEASURING = "4s"
"""How long steps are measured at the most, for the command to train on a folder."""
Choices = choices_class(family_flag("imbalance"))


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show how many training images each class of a data set has, as it is or made imbalanced.

    For a folder of your own ('srat data folder PATH'), also show what is in it: sizes, unreadable files, duplicates,
    near twins across parts, how precisely its test can measure, and the command to train on it in the time there is
    ('srat plan' says why).
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """The data set: digits, cifar10, … ('srat train --help' lists them)."""
    seed: int = 0
    """Seed for drawing the kept images."""
    time: str = "30m"
    """The time that there is to train on a folder: 90s, 10m, 2h, 1d."""
    plot: Path | None = None
    """Draw the distribution into this file (.png, .svg, .pdf)."""
    indices: Path | None = None
    """Write the indices of the kept training images into this file (.json, .txt, .npy, .npz)."""
    twins: Path | None = None
    """Write the near twins across parts into this file (.csv), with a folder of your own."""
    twins_picture: Path | None = None
    """Draw the nearest of them side by side into this file (.png)."""
    choices: Annotated[Any, tyro.conf.arg(name="")] = field(default_factory=Choices)
    source: Annotated[Source, tyro.conf.arg(name="data")] = field(default_factory=Source)
    imbalance: Annotated[Imbalance, tyro.conf.arg(name="imbalance")] = NoImbalance()


def run(args: list[str]) -> int:
    """Print the distribution; draw it and write the indices where asked; return the exit code."""
    name = args[0] if args and not args[0].startswith("-") else None
    helped = "--help" in args or "-h" in args
    example = "'srat data cifar10 --imbalance step --ratio 100'"
    require(name is not None or helped, f"srat data: expected the name of a data set first, as in {example}")
    folder = name is not None and name not in choices(Source) and Path(name).is_dir()
    require(not folder, f"'{name}' is a folder: 'srat data folder {shlex.quote(name or '')}' looks at it")
    chosen = parse_choices(Choices, args, command=COMMAND)
    config = compose(data=name, imbalance=chosen.get("imbalance", "none"))
    args = [name, "--data-dir", *args[1:]] if name == Folder.name and args[1:] and not args[1].startswith("-") else args
    shown = Choices(imbalance=config.imbalance.name)
    default = Arguments(choices=shown, source=config.data, imbalance=config.imbalance)
    return show(parse(Arguments, args, command=COMMAND, default=default), make_console(COMMAND))


def show(arguments: Arguments, console: Console) -> int:
    """Print the distribution; draw it and write the indices where asked; return the exit code."""
    if arguments.plot is not None:
        check_plot(arguments.plot)
    parse_duration(arguments.time, "time")
    check_twins(arguments)
    if isinstance(arguments.source, Folder):
        trainable = show_folder(arguments.source, arguments, console)
        if arguments.imbalance == NoImbalance() and arguments.plot is None and arguments.indices is None:
            return 0
        if not trainable:
            return 2
    parts = arguments.source.parts()
    train, validation, test = parts.train(), parts.validation(), parts.test()
    check_classes(train)
    kept = arguments.imbalance.kept(train.labels, train.counts, seed=arguments.seed)
    counts = tuple(train.labels[kept].bincount(minlength=len(train.counts)).tolist())
    title = f"{arguments.source.name}, imbalance {arguments.imbalance.name}"
    print_whole(console, distribution_table(train.class_names, counts, train.counts, title=title))
    channels, height, width = train.images.shape[1:]
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    say(f"{len(kept):,} of {len(train):,} training images, {height} × {width} × {channels}")
    say(f"largest to smallest class: {realised_ratio(counts):.1f} : 1")
    for part, there in (("validation", validation), ("test", test)):
        if there is not None:
            say(f"{len(there):,} {part} images, {balance(there.counts)}")
    own = notes_on(arguments.source, {"train": train, "validation": validation, "test": test})
    for note in (*parts.notes, *arguments.imbalance.notes(train.counts, seed=arguments.seed), *own):
        say(printable(note))
    say(f"kept indices, seed {arguments.seed}: sha256 {hash_indices(kept)}")
    if arguments.indices is not None:
        write_split(arguments.indices, kept, train.labels)
        say(f"indices written to {arguments.indices}")
    if arguments.plot is not None:
        draw_distribution(train.class_names, counts, arguments.plot, title=f"{title}, {realised_ratio(counts):.0f} : 1")
        say(f"plot written to {arguments.plot}")
    return 0


def notes_on(source: Source, datasets: Mapping[Part, Dataset | None]) -> Iterator[str]:
    """Yield what is to be said of images that show nothing, or are there twice.

    Of a folder, the look at all its files has said it.
    """
    if not isinstance(source, Folder):
        yield from twin_notes(datasets)
        for part, there in datasets.items():
            yield from () if there is None else constant_notes(there, part)


def check_twins(arguments: Arguments) -> None:
    """Raise ``UserError`` unless near twins can be written where they are asked for."""
    wanted = {"twins": (arguments.twins, LIST), "twins_picture": (arguments.twins_picture, PICTURE)}
    for field_name, (path, ending) in wanted.items():
        if path is not None:
            own = isinstance(arguments.source, Folder)
            require(own, f"`{field_name}`: expected a folder of images of your own, got {arguments.source.name}")
            check_file(path, ending, field_name)


def tell_twins(arguments: Arguments, found: Survey, console: Console) -> None:
    """Write near twins where they are asked for, and say so."""
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if arguments.twins is not None:
        count = write_twins(arguments.twins, found)
        say(f"{counted(count, 'pair of near twins', 'pairs of near twins')} written to {arguments.twins}")
    if arguments.twins_picture is not None:
        count = draw_twins(arguments.twins_picture, found)
        drawn = f"{counted(count, 'pair of near twins', 'pairs of near twins')} drawn into {arguments.twins_picture}"
        say(drawn if count else f"no near twins across parts: {arguments.twins_picture} is not drawn")


def show_folder(source: Folder, arguments: Arguments, console: Console) -> bool:
    """Print what a folder holds, what is wrong with it, and the command to train on it; return whether there is one."""
    told = make_console(COMMAND, stderr=True)
    shown = Progress(console=told, transient=True, disable=not told.is_terminal)
    with deferring_signals() as interruption, shown as progress:

        def counting(text: str) -> Callable[[int, int], None]:
            task = progress.add_task(text, total=None, visible=False)

            def done(n: int, count: int) -> None:
                interruption.check()
                progress.update(task, completed=n, total=count, visible=True)

            return done

        found = survey(source, counting("looking at images"), counting("comparing them"))
    print_whole(console, survey_table(found))
    for text, is_warning in remarks(found):
        style = "yellow" if is_warning else ""
        console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
    tell_twins(arguments, found, console)
    for line in advice(source, arguments, found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return not in_the_way(found)


def advice(source: Folder, arguments: Arguments, found: Survey) -> Iterator[str]:
    """Yield the command to train on a folder, as a plan for the time has it, or what is in the way."""
    if problems := in_the_way(found):
        yield f"Not ready for training: {printable('; '.join(problems))}"
        return
    from srat.cli.planning import made  # which brings Fabric
    from srat.report.terminal.plan import expected

    group = source.group or (found.leaks.advice.group if found.leaks.advice else None)
    base = compose(data=replace(source, group=group), imbalance=arguments.imbalance, seed=arguments.seed)
    try:
        plan = made(base, time=arguments.time, measuring=MEASURING)
    except UserError as error:
        yield f"No plan: {error}"
        return
    said = [*(["--data.group", group] if group else []), *(["--seed", str(arguments.seed)] if arguments.seed else [])]
    why = shlex.join(["srat", "plan", str(source.dir), "--time", arguments.time, *said])
    yield f"A plan for {arguments.time} (`time`), measured in a moment: {expected(plan)}"
    yield f"To measure longer, with the reasons: {why}"
    yield f"To train on it: {plan.command}"


def in_the_way(found: Survey) -> list[str]:
    """Return what is in the way of a training on a folder."""
    mend = "fix or remove the files that cannot be read, or leave them out (`data.skip_unreadable`)"
    return [*([mend] if found.unreadable else []), *([found.problem] if found.problem else [])]


def balance(counts: Sequence[int]) -> str:
    """Return in words whether all classes have as many images."""
    if len(set(counts)) == 1:
        return f"{counts[0]:,} per class"
    return f"{min(counts):,} to {max(counts):,} per class, not balanced"
