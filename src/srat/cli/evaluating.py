"""What ``train`` and ``evaluate`` share: the evaluation of a run, kept in its folder."""

from collections.abc import Mapping

from srat.attacks import Attack
from srat.data import Dataset
from srat.errors import require
from srat.evaluation import Evaluation, evaluate_all
from srat.files import write_atomically
from srat.observer import Observer
from srat.run import RunFolder, Which, load_with_facts


def evaluate_run(
    folder: RunFolder,
    which: Which,
    test: Dataset,
    attacks: Mapping[str, Attack],
    *,
    device: str,
    seed: int,
    observer: Observer,
) -> Evaluation:
    """Evaluate a run's weights, add the results to those that its folder holds, and return them all."""
    model, facts = load_with_facts(folder.path, which=which, device=device)
    classes = f"{len(test.class_names)} classes of shape {tuple(test.images.shape[1:])}"
    fits = facts.class_names == test.class_names and tuple(vars(facts.shape).values()) == tuple(test.images.shape[1:])
    require(
        fits,
        f"the test set has {classes}, the model was trained on {len(facts.class_names)} of shape {tuple(vars(facts.shape).values())}, or under other names",
    )
    path = folder.evaluation(which)
    so_far = (
        Evaluation.read(path)
        if path.exists()
        else Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    )
    evaluation = evaluate_all(model, test.to(device), attacks, so_far, seed=seed, observer=observer)
    write_atomically(path, evaluation.to_json())
    return evaluation
