"""Adversarial training on imbalanced data: Separable Reweighted Adversarial Training and its rivals.

Names are imported on first use, so that ``srat --help`` need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

_ATTRIBUTES = {
    "Config": "srat.config.config",
    "Run": "srat.runs.run",
    "UserError": "srat.core.errors",
    "audit_run": "srat.audit.auditing",
    "calibrate_run": "srat.runs.calibrating",
    "compare_runs": "srat.runs.comparing",
    "compose": "srat.config.composition",
    "data_of": "srat.runs.run",
    "evaluate": "srat.evaluation.evaluate",
    "evaluate_run": "srat.runs.evaluating",
    "export_run": "srat.report.exporting",
    "fit": "srat.training.fitting",
    "list_runs": "srat.runs.listing",
    "load": "srat.inference.loading",
    "map_run": "srat.runs.mapping",
    "plan": "srat.planning.planning",
    "predict_files": "srat.inference.prediction",
    "report_runs": "srat.report.pages",
    "separability_of_run": "srat.runs.measuring",
    "write_tables": "srat.report.spreadsheets",
}
_PACKAGES = ("attacks", "data", "feature_losses", "losses", "methods", "models", "weightings")

__all__ = [
    "Config",
    "Run",
    "UserError",
    "attacks",
    "audit_run",
    "calibrate_run",
    "compare_runs",
    "compose",
    "data",
    "data_of",
    "evaluate",
    "evaluate_run",
    "export_run",
    "feature_losses",
    "fit",
    "list_runs",
    "load",
    "losses",
    "map_run",
    "methods",
    "models",
    "plan",
    "predict_files",
    "report_runs",
    "separability_of_run",
    "weightings",
    "write_tables",
]

if TYPE_CHECKING:
    from srat import attacks, data, feature_losses, losses, methods, models, weightings
    from srat.audit.auditing import audit_run
    from srat.config.composition import compose
    from srat.config.config import Config
    from srat.core.errors import UserError
    from srat.evaluation.evaluate import evaluate
    from srat.inference.loading import load
    from srat.inference.prediction import predict_files
    from srat.planning.planning import plan
    from srat.report.exporting import export_run
    from srat.report.pages import report_runs
    from srat.report.spreadsheets import write_tables
    from srat.runs.calibrating import calibrate_run
    from srat.runs.comparing import compare_runs
    from srat.runs.evaluating import evaluate_run
    from srat.runs.listing import list_runs
    from srat.runs.mapping import map_run
    from srat.runs.measuring import separability_of_run
    from srat.runs.run import Run, data_of
    from srat.training.fitting import fit

    __version__: str


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"srat.{name}")
    if name == "__version__":
        from srat.version import version

        return version()
    raise AttributeError(f"module 'srat' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
