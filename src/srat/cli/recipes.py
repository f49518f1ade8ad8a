"""What ``grid`` and ``report`` share: which runs of a recipe, and where."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from srat.config.composition import absolute, compose
from srat.config.config import Config
from srat.recipes.base import Recipe
from srat.recipes.scales import Scale, base_config, default_data
from srat.runtime.precision import PrecisionName

RUNS = Path("runs/grid")


@dataclass(frozen=True, kw_only=True)
class RecipeChoice:
    """Which runs of a recipe, and where."""

    scale: Scale = "paper"
    """The paper's scale; or, for two CPU cores, medium (CIFAR-10, a quarter of an hour and more a run) or small
    (minutes)."""
    data: str | None = None
    """Data set; by default the paper's, and Fashion-MNIST in CIFAR-10's place at the small scale."""
    data_dir: Path | None = None
    """Where the data's files are."""
    precision: PrecisionName | None = None
    """Arithmetic of the training. By default the scale's, and finished runs in fp32 and in bf16 count alike."""
    filter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Only runs with this method, imbalance or value ("srat-*" matches several); if given again, all must match."""
    runs: Path = RUNS
    """Folder of the runs."""


def read_base(recipe: Recipe, choice: RecipeChoice) -> Config:
    """Return what all runs of a recipe start from."""
    base = base_config(choice.scale, choice.data or default_data(choice.scale, recipe.data))
    return absolute(compose(base, data_dir=choice.data_dir, precision=choice.precision or base.precision))


def described_choice(command: str, name: str, choice: RecipeChoice) -> str:
    """Return the command that does something else with the same runs."""
    options = [] if choice.scale == "paper" else ["--scale", choice.scale]
    options += ["--data", choice.data] if choice.data else []
    options += ["--data-dir", str(choice.data_dir)] if choice.data_dir else []
    options += ["--precision", choice.precision] if choice.precision else []
    options += [word for pattern in choice.filter for word in ("--filter", pattern)]
    options += ["--runs", str(choice.runs)] if choice.runs != RUNS else []
    return shlex.join(["srat", command, name, *options])
