"""What ``train`` and ``evaluate`` share: the evaluation of a run, kept in its folder."""

from collections.abc import Mapping

from srat.attacks import Attack
from srat.data import Dataset
from srat.errors import require
from srat.evaluation import Evaluation, evaluate_all
from srat.files import write_atomically
from srat.observer import Observer
from srat.run import RunFolder, Which, image_shape, load_with_facts


def evaluate_run(
    folder: RunFolder,
    test: Dataset,
    attacks: Mapping[str, Attack],
    which: Which,
    *,
    device: str,
    seed: int,
    observer: Observer,
) -> Evaluation:
    """Evaluate a run's weights, add the results to those that its folder holds, and return them all."""
    model, facts = load_with_facts(folder.path, which=which, device=device)
    there, wanted = (test.class_names, image_shape(test)), (facts.class_names, facts.shape)
    require(there == wanted, f"this test set is not of the data trained on: expected {wanted}, got {there}")
    path = folder.evaluation(which)
    so_far = (
        Evaluation.read(path)
        if path.exists()
        else Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    )
    evaluation = evaluate_all(model, test.to(device), attacks, so_far, seed=seed, observer=observer)
    write_atomically(path, evaluation.to_json())
    return evaluation
