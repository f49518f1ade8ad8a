"""The commands (a file each)."""

import importlib
from collections.abc import Sequence

COMMANDS = {
    "plan": "propose the training that makes most of a time on this machine, as a command",
    "train": "train a robust classifier on imbalanced data, and evaluate it",
    "evaluate": "evaluate the model of a run under attack",
    "calibrate": "fit a temperature to a run's probabilities on its held-out part",
    "predict": "predict what images show, and whether that holds under attack",
    "serve": "answer for images over HTTP, with a page to try a run's model on",
    "export": "export a run's model: torch.export, ONNX, or a folder for a model hub",
    "audit": "check whether the robustness of a run's model is real",
    "compare": "compare runs image by image: differences with intervals, and what follows from them",
    "separability": "measure how well a run's features separate the classes",
    "grid": "train and evaluate a grid of your own, or the missing runs behind a table or figure of the paper",
    "report": "show runs as an HTML page, a grid as a table, or a table or figure of the paper made from your runs",
    "theory": "compute the paper's lemma and theorems in closed form, by search and by Monte Carlo",
    "runs": "list the runs in a folder: settings, progress and accuracy",
    "doctor": "check versions, devices, compiler and data, and suggest improvements",
    "data": "show the classes of a data set, as it is or made imbalanced, and what is wrong with a folder",
    "methods": "list the methods and protocols, or explain one: formula, constants, cost, source",
    "completion": "print a completion script for your shell",
}


def run_command(name: str, words: Sequence[str]) -> int:
    """Run a command, and return its exit code."""
    code: int = importlib.import_module(f"srat.cli.commands.{name}").run(list(words))
    return code
