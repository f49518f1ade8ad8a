"""What follows from comparing runs, in sentences."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from srat.config.config import Config
from srat.core.errors import UserError, printable
from srat.methods import methods
from srat.methods.base import ALWAYS
from srat.report.wording import SEEDS_ALONE, caveat, sentences
from srat.runs.comparing import EvaluatedRun, compare_runs


def findings_of(paths: Sequence[Path | str]) -> list[str]:
    """Return in plain words what follows from comparing the first run with each other one; why not, where nothing can.

    Args:
        paths: the runs' folders, two at the least.
    """
    try:
        found = compare_runs(paths)
    except UserError as error:
        return [f"Not compared image by image: {error}."]
    first = found.first
    said = [
        sentence
        for other, rows in zip(found.others, found.rows, strict=True)
        for sentence in sentences(rows, first.name, other.name)
    ]
    return [*said, *beside_the_method(found.runs), caveat(len(first.seeds))] if found.others else [SEEDS_ALONE]


def beside_the_method(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Return in what the runs differ from the first one beside method and seed, for that may be what is seen."""
    one = runs[0]
    said: dict[str, str] = {}
    for each in runs[1:]:
        found = replace(one.config, seed=each.config.seed).differences(each.config)
        methods_own = _of_methods(one.config, each.config)
        other = ", ".join(line for line in found if not line.startswith(methods_own))
        said.setdefault(other, f"'{one.path}' and '{each.path}' differ in more than the method: {printable(other)}.")
    return [sentence for other, sentence in said.items() if other]


def _of_methods(one: Config, other: Config) -> tuple[str, ...]:
    """Return what a difference begins with that comes with the methods: of their members, or the guard of an attack."""
    there = [method for config in (one, other) if (method := methods().get(config.method)) is not None]
    families = {family for method in there for family in method.members}
    settings = {f"attack.{name}" for method in there for name in method.attack_settings}
    guard = {"guard"} if one.guard == other.guard else set()
    return (*ALWAYS, *families, *settings, *guard, "head", "attack ", "schedule.reweight_from")
