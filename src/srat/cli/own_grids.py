"""Grids of one's own: the configurations that words or a file of Python define."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from srat.cli.naming import ALSO
from srat.cli.products import Given, combinations
from srat.config.checks import check
from srat.config.command_line import flag
from srat.config.composition import absolute
from srat.config.config import PLACES, Config
from srat.core.errors import UserError, require
from srat.core.files import read_bounded
from srat.core.members import members_by_word
from srat.core.plugins import LARGEST_FILE, run_file
from srat.core.words import few
from srat.grid.definition import Point, label_of
from srat.recipes.catalogue import names


def is_own(
    args: Sequence[str], training: Collection[str], of_recipes: Collection[str], running: Collection[str]
) -> bool:
    """Return whether the words are of a grid of one's own: a file, or flags that no recipe has.

    Args:
        args: all words.
        training: the flags of `srat train`.
        of_recipes: the flags of a recipe's grid.
        running: those of them that any grid has.
    """
    if args and args[0].endswith(".py"):
        return True
    if any(is_recipe(args, place, training) for place in range(len(args))) or (args and not args[0].startswith("-")):
        return False
    flags = {word.partition("=")[0] for word in args if word.startswith("--")} - {"--help"}
    known = {flag(ALSO[each]) if each in ALSO else each for each in flags}
    return bool(known & set(training) - set(running) or known - set(of_recipes))


def is_recipe(args: Sequence[str], place: int, training: Collection[str]) -> bool:
    """Return whether a word names a recipe, and is no value of a flag: separation is a feature loss, too."""
    if args[place] not in names():
        return False
    before = next((number for number in range(place - 1, -1, -1) if args[number].startswith("-")), None)
    if before is None:
        return True
    family = PLACES.get(args[before].removeprefix("--").replace("-", "_"))
    is_member = family is not None and args[place] in members_by_word(family)
    return not (is_member or (before == place - 1 and args[before] in training))


def seeds_of(count: int, flags: Sequence[Given], words: Sequence[str]) -> list[int]:
    """Return the seeds to train with.

    Args:
        count: how many, if none are named.
        flags: may name them.
        words: of the grid's own flags.

    Raises:
        UserError: if both are said, or a seed is not a number, or is there twice.
    """
    chosen = next((each for each in flags if each.name == "seed"), None)
    if chosen is None:
        return list(range(count))
    both = any(word.partition("=")[0] == "--seeds" for word in words)
    require(not both, "--seed and --seeds: expected the seeds or their number, got both")
    values = [value[-1] for value in chosen.values]
    for value in values:
        require(value.isdecimal(), f"--seed: expected whole numbers, 0 or more, got '{value}'")
    seeds = list(map(int, values))
    require(len(set(seeds)) == len(seeds), f"--seed: expected each seed once, got {' '.join(values)}")
    return seeds


def points_of(flags: Sequence[Given], read: Callable[[list[str]], Config], options: Collection[str]) -> list[Point]:
    """Return the configurations of every combination of the flags' values.

    Args:
        flags: with their values.
        read: makes a configuration of the words of ``srat train``.
        options: the flags of ``srat train`` that say where and how, not what.

    Raises:
        UserError: if a flag is not one of a run's settings, or a combination is none; it names that.
    """
    for each in flags:
        advice = "each run has a folder of its own in --runs" if each.name == "out" else "it says how, not what"
        require(f"--{each.name}" not in options, f"--{each.name}: no setting of a run; {advice}")
    points = []
    for settings, words in combinations(flags):
        try:
            config = read(words)
        except UserError as error:
            raise UserError(f"{label_of(settings)}: {error}" if settings else str(error)) from error
        points.append(Point(settings=settings, config=config))
    return points


def points_in(first: Sequence[str], flags: Sequence[Given]) -> list[Point]:
    """Return the configurations that a file of the user's defines; the file is run.

    Args:
        first: the words before any flag.
        flags: none goes with a file.

    Raises:
        UserError: if the file cannot be run, or defines none.
    """
    require(len(first) == 1, f"srat grid: expected one file, got {' '.join(first)}")
    require(not flags, f"--{flags[0].name if flags else ''} does not go with a file, which says what is trained")
    path = Path(first[0]).absolute()
    module = run_file(path, read_bounded(path, LARGEST_FILE))
    found = getattr(module, "GRID", None)
    wanted = "expected a GRID in it, configurations by name, as in GRID = {'a': srat.compose(…)}"
    configs = isinstance(found, Mapping) and all(
        isinstance(name, str) and isinstance(config, Config) for name, config in found.items()
    )
    require(configs and bool(found), f"{path}: {wanted}")
    assert isinstance(found, Mapping)
    for name, config in found.items():
        own = [family for family, member in vars(config).items() if type(member).__module__ == module.__name__]
        alone = "the runs' processes do not read this file: put it into another, and name that with --plugin"
        require(not own, f"{path}: the {few(own)} of '{name}' is defined here, and {alone}")
        check(config)
    return [Point(settings={"configuration": name}, config=absolute(config)) for name, config in found.items()]
