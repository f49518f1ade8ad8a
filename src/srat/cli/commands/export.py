"""The command ``srat export``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse, run_word
from srat.core.errors import UserError, printable
from srat.report.exporting import ExportedRun, Format, export_run
from srat.runs.folder import Which
from srat.runs.opening import opened

_EXAMPLE = "'srat export runs/a --to onnx'"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Export a run's model, and check that the exported model computes the same.

    torch-export and onnx are one file each: images in [0, 1] → logits and probabilities, normalisation and the head's
    scale inside, class names in the metadata; a card beside it (model.onnx.md) has a program that needs no srat and
    predicts photographs as srat predict does. hub is a folder with the weights, the configuration, the run's page and
    a model card that states data, threat model, accuracy of each class and limits. robustbench is a folder that needs
    torch alone: the model as a program, model.py that loads it, and its entry for RobustBench's table.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    to: Format | None = None
    """Format to write."""
    out: Path | None = None
    """File to write, for hub and robustbench a new or empty folder; by default model.pt2, model.onnx, hub or
    robustbench in the run's folder."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""


def run(args: list[str]) -> int:
    """Write the file or folder; return the exit code."""
    arguments = parse(Arguments, args, command="export", default=Arguments())
    folder, _ = opened(run_word(arguments.run, "export"))
    if arguments.to is None:
        raise UserError(f"srat export: expected --to torch-export, onnx, hub or robustbench, as in {_EXAMPLE}")
    exported = export_run(folder.path, arguments.to, out=arguments.out, which=arguments.weights)
    make_console("export").print(printable(said(exported)), highlight=False, markup=False, soft_wrap=True)
    return 0


def said(exported: ExportedRun) -> str:
    """Return what was written, in a line."""
    files = ", ".join(exported.files)
    if exported.difference is None:
        return f"{exported.path}: {files}"
    shape, classes = exported.shape, len(exported.class_names)
    images = f"images (any number, {shape.channels}, {shape.height}, {shape.width}) in [0, 1]"
    far = f"at most {exported.difference:.0e} from the trained model"
    card = f"; how to use it: {exported.card}" if exported.card else ""
    return f"{exported.path}: {files + '; ' if files else ''}{images} → {classes} classes; {far}{card}"
