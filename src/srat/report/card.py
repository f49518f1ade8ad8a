"""The model card: what a stranger must know of a model before using it."""

import json
from collections.abc import Sequence
from typing import Any

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.errors import printable
from srat.evaluation.record import CLEAN
from srat.report.formats import written
from srat.report.formats.markdown import in_markdown
from srat.report.html.record import RunRecord
from srat.report.html.verdict import attack_text, verdict_of
from srat.report.sheets import Sheet, accuracy_text
from srat.report.wording import budget_text, last_step_text, weights_text
from srat.runs.folder import Which
from srat.runs.run import ModelFacts

_LIMITS = (
    "Robustness is measured with the attacks named here. A stronger or adaptive one may find more.",
    "Accuracies are of test images of the same source as the training images; intervals are for other images of that "
    "source, and for this one model.",
    "Probabilities are the softmax of the logits, and not calibrated.",
)


def bare_card(facts: ModelFacts, which: Which, use: Sequence[str]) -> str:
    """Return the card of a model that is not evaluated, in Markdown.

    Args:
        facts: what its file of weights says of it.
        which: which weights it has.
        use: paragraphs on how it is used.
    """
    unknown = "How accurate it is has not been measured: `srat evaluate` does, and this card is made anew with it."
    return "\n\n".join([_title(facts.config, which), unknown, "## Use", *use]) + "\n"


def model_card(record: RunRecord, use: Sequence[str]) -> str:
    """Return a model card in Markdown.

    Args:
        record: the run.
        use: paragraphs on how the model is used.
    """
    config, evaluation = record.config, record.evaluation
    counts = evaluation.train_counts
    parts = [
        _title(config, record.which),
        in_markdown(verdict_of(record).sentence),
        "## Use",
        *use,
        "## Data",
        f"{sum(counts):,} training images of {config.data.title}, {max(counts):,} to {min(counts):,} per class"
        f"{f' ({max(counts) / min(counts):.0f} : 1)' if min(counts) else ''}.",
        "## Threat model",
        f"{budget_text(config.evaluation)}, white box: the attacker knows the model. Trained "
        f"{_trained_under(record)}; tested under {attack_text(record)}.",
        "## Accuracy of each class",
        written([_table(record)], "markdown").strip(),
        in_markdown(last_step_text(evaluation)),
        "Rare classes are the half with the fewest training images." if record.rare else "",
        _audit(record),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (_trained_to(record), *_LIMITS)),
        *(["## Made by", f"````sh\n{printable(record.command)}\n````"] if record.command else []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(config: Config, which: Which) -> str:
    whose = weights_text(config, which)
    return f"# {config.method} on {config.data.title}{'' if whose == 'last epoch' else f', weights of the {whose}'}"


def front_matter(record: RunRecord) -> str:
    """Return what model hubs read at the top of a card."""
    results = [
        {"type": "accuracy", "name": name, "value": round(100 * result.counts.accuracy().accuracy, 2)}
        for name, result in (("accuracy", record.clean), (f"accuracy under {record.threat}", record.robust))
    ]
    content: dict[str, Any] = {
        "library_name": "srat",
        "pipeline_tag": "image-classification",
        "tags": ["adversarial-robustness", "class-imbalance", record.config.method],
        "model-index": [
            {
                "name": f"{record.config.method} on {record.config.data.title}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": record.config.data.title, "type": record.config.data.title},
                        "metrics": results,
                    }
                ],
            }
        ],
    }
    # JSON is YAML, and quotes whatever a name may hold.
    lines = (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in content.items())
    return "\n".join(["---", *lines, "---"])


def _trained_to(record: RunRecord) -> str:
    if isinstance(record.config.attack, Natural):
        return "It was trained on unchanged images, not to resist changes of them."
    return (
        f"It was trained to resist changes within {budget_text(record.config.attack)}. Changes of another norm, larger "
        "ones, rotations, patches, or another light are not covered."
    )


def _trained_under(record: RunRecord) -> str:
    attack = record.config.attack
    return "on images as they are" if isinstance(attack, Natural) else f"under {attack.label} ({budget_text(attack)})"


def _table(record: RunRecord) -> Sheet:
    evaluation = record.evaluation
    groups: list[tuple[str, Sequence[int]]] = [("all", range(len(evaluation.class_names)))]
    groups += [("common", evaluation.groups.well), ("rare", record.rare)] if record.rare else []
    single = [(evaluation.class_names[c], [c]) for c in reversed(record.by_rarity)]
    rows = [
        [
            name,
            f"{sum(evaluation.train_counts[c] for c in classes):,}",
            *(accuracy_text(result.counts.accuracy(classes)) for result in evaluation.results.values()),
        ]
        for name, classes in (*groups, *single)
    ]
    names = ("as they are" if name == CLEAN else name for name in evaluation.results)
    return Sheet(title="Per cent, with 95 % intervals", headings=["class", "training images", *names], rows=rows)


def _audit(record: RunRecord) -> str:
    if record.audit is None:
        return "Whether this robustness is real has not been audited."
    verdicts = list(record.audit.verdicts.values())
    counted = ", ".join(f"{verdicts.count(each)} {each}" for each in ("pass", "warn", "fail") if each in verdicts)
    return f"Audit of whether this robustness is real: {record.audit.verdict} ({counted})."
