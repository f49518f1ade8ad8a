"""A run's model as RobustBench takes one: a folder that needs torch alone, with an entry for its table.

The entry's form is that of RobustBench's repository (README, "Adding a new model"; `ModelInfo` in robustbench/utils.py;
https://github.com/RobustBench/robustbench), where it lies under model_info, data set and threat model.
"""

import json
import re
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from srat.attacks.named import named
from srat.config.config import Config
from srat.core.files import write_atomically
from srat.evaluation.record import CLEAN, Evaluation
from srat.inference.exporting import export_torch
from srat.inference.reading import takes_photographs
from srat.report.formats.markdown import in_markdown
from srat.report.usage import usage
from srat.report.wording import epsilon_said, weights_text
from srat.runs.folder import Which
from srat.runs.result_names import result_name
from srat.runs.run import ModelFacts
from srat.version import version

KNOWN = ("cifar10", "cifar100", "imagenet")
"""Data sets of which RobustBench has the test images (robustbench/model_zoo/enums.py)."""
_NORMS = {"linf": "Linf", "l2": "L2"}
_AUTOATTACKS = ("autoattack-reference", "autoattack")
"""Attacks whose accuracy the entry gives, the authors' own first."""


def write_robustbench(
    model: nn.Module, facts: ModelFacts, evaluation: Evaluation | None, which: Which, out: Path
) -> tuple[list[str], float]:
    """Write a folder that RobustBench can load, and return its files and how far its model is from the run's.

    Args:
        model: the run's.
        facts: what its file of weights says of it.
        evaluation: of those weights, if there is one.
        which: which weights they are.
        out: the folder, new or empty.

    Raises:
        UserError: if the model cannot be exported; then nothing is written.
    """
    entry = entry_place(facts.config)
    with TemporaryDirectory() as scratch:
        program = Path(scratch) / "model.pt2"
        difference = export_torch(model, facts, program)
        (out / entry).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out / program.name, program.read_bytes())
    written = {
        "model.py": files("srat.inference").joinpath("exported_model.py").read_text(encoding="utf-8"),
        "README.md": _readme(facts, which, entry),
        entry: json.dumps(entry_of(facts, evaluation), indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in written.items():
        write_atomically(out / name, text)
    return [program.name, *written], difference


def entry_place(config: Config) -> str:
    """Return where the entry lies, in the folder as in RobustBench's repository."""
    data, method = (re.sub(r"[^\w.+-]+", "_", name) for name in (config.data.name, config.method))
    return f"model_info/{data}/{_NORMS[config.evaluation.norm]}/{method}.json"


def entry_of(facts: ModelFacts, evaluation: Evaluation | None) -> dict[str, str | int | bool | None]:
    """Return the entry: what the run knows, and empty what only its authors do.

    Accuracies are of the test images, in per cent, and None where they were not evaluated: clean, and under AutoAttack
    within the run's own ball.

    Args:
        facts: what the weights' file says.
        evaluation: of those weights, if there is one.
    """
    config, counts = facts.config, facts.train_counts
    results = {} if evaluation is None else evaluation.results
    found = {name: str(round(100 * result.accuracy.accuracy, 2)) for name, result in results.items()}
    attacks = (named(word, config.evaluation) for word in _AUTOATTACKS)
    under = (found.get(result_name(attack, config, seed=config.seed)) for attack in attacks)
    return {
        "link": "",
        "name": f"{config.method} on {config.data.title}",
        "authors": "",
        "additional_data": None if config.starts_trained else False,
        "number_forward_passes": 1,
        "dataset": config.data.name,
        "venue": "Unpublished",
        "architecture": config.model.title,
        "eps": epsilon_said(config.evaluation.norm, config.evaluation.epsilon),
        "clean_acc": found.get(CLEAN),
        "reported": None,
        "autoattack_acc": next(filter(None, under), None),
        "footnote": f"Trained on {sum(counts):,} images, {max(counts):,} to {min(counts):,} of a class.",
    }


def _readme(facts: ModelFacts, which: Which, entry: str) -> str:
    config, shape = facts.config, facts.shape
    norm, eps = _NORMS[config.evaluation.norm], epsilon_said(config.evaluation.norm, config.evaluation.epsilon)
    data = config.data.name
    if data in KNOWN:
        benchmark = (
            "With RobustBench, on all of its test images:\n\n"
            "```python\nfrom robustbench import benchmark\n\n"
            f'benchmark(load_model(device="cuda"), dataset="{data}", threat_model="{norm}", eps={eps}, device="cuda")\n'
            "```"
        )
    else:
        benchmark = f"RobustBench has test images of {', '.join(KNOWN)}, and none of {in_markdown(data)}."
    parts = [
        f"# {in_markdown(config.method)} on {in_markdown(config.data.title)}, weights of the "
        f"{weights_text(config, which)}",
        f"`model.pt2` is the model, a program of `torch.export`: architecture, weights and normalisation. `model.py` "
        f"loads it, and needs nothing but torch, of version {torch.__version__.partition('+')[0]} or later; older ones "
        f"may not read it. Made by srat {version()}. RobustBench's Model Zoo takes an architecture's code and a state "
        "dictionary instead; for its leaderboard, and for any script that calls a model, this folder is enough.",
        "```python\nfrom model import load_model\n\n"
        f"model = load_model()  # images: float32 in [0, 1], (batch, {shape.channels}, {shape.height}, {shape.width}), "
        "not normalised → logits\n```",
        f"The classes, in the order of the logits: {', '.join(map(in_markdown, facts.class_names))}.",
        benchmark,
        "With AutoAttack by its authors, on images and labels of your own:\n\n"
        "```python\nfrom pyautoattack import AutoAttack\n\n"
        f'AutoAttack(model, norm="{norm}", eps={eps}, version="standard").run_standard_evaluation(images, labels)\n```',
        *(["On image files:", *usage("torch-export", "model.pt2", facts)[:2]] if takes_photographs(shape) else []),
        f"`{entry}` is its entry, in the form of RobustBench's repository. Its accuracies are those of the run's "
        "evaluation, null where there is none (`srat evaluate RUN --attack autoattack-reference`). Yours to fill in: "
        "`link`, `name` (the paper's title), `authors`, `venue`, `reported`, and the file's name "
        "(NameYearFirstWordOfTheTitle).",
        "What RobustBench asks of a model: a gradient that is not zero in general, no randomness, and no loop of "
        "optimisation in its forward pass ([README](https://github.com/RobustBench/robustbench)). `srat audit` looks "
        "for the first two.",
    ]
    return "\n\n".join(parts) + "\n"
