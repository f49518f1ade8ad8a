"""Adversarial training on imbalanced data: Separable Reweighted Adversarial Training and its rivals.

Names are imported on first use, so that ``srat --help`` need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

_ATTRIBUTES = {
    "Config": "srat.config",
    "Run": "srat.run",
    "UserError": "srat.errors",
    "compose": "srat.composition",
    "evaluate": "srat.evaluation",
    "fit": "srat.fitting",
    "load": "srat.run",
}
_PACKAGES = ("attacks", "data", "evaluation", "feature_losses", "losses", "methods", "models", "weightings")

__all__ = [
    "Config",
    "Run",
    "UserError",
    "attacks",
    "compose",
    "data",
    "evaluate",
    "evaluation",
    "feature_losses",
    "fit",
    "load",
    "losses",
    "methods",
    "models",
    "weightings",
]

if TYPE_CHECKING:
    from srat import attacks, data, evaluation, feature_losses, losses, methods, models, weightings
    from srat.composition import compose
    from srat.config import Config
    from srat.errors import UserError
    from srat.evaluation import evaluate
    from srat.fitting import fit
    from srat.run import Run, load

    __version__: str


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"srat.{name}")
    if name == "__version__":  # that of the tag it was built from
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("srat")
        except PackageNotFoundError:
            return "unknown"
    raise AttributeError(f"module 'srat' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
