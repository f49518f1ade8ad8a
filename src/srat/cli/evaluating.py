"""What ``train`` and ``evaluate`` share: the evaluation of a run, kept in its folder."""

from collections.abc import Mapping

from srat.attacks import Attack
from srat.data import Dataset
from srat.errors import require
from srat.evaluation import Evaluation, evaluate_all
from srat.files import write_atomically
from srat.models import ImageShape
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
    said = f"expected {_said(*wanted)}, got {_said(*there)}"
    require(there == wanted, f"this test set is not of the data that the model was trained on: {said}")
    path = folder.evaluation(which)
    so_far = (
        Evaluation.read(path)
        if path.exists()
        else Evaluation(class_names=facts.class_names, train_counts=facts.train_counts)
    )
    of_this_run = (so_far.class_names, so_far.train_counts) == (facts.class_names, facts.train_counts)
    require(of_this_run, f"{path}: this evaluation is of another run; remove it to evaluate anew")
    evaluation = evaluate_all(model, test.to(device), attacks, so_far, seed=seed, observer=observer)
    write_atomically(path, evaluation.to_json())
    return evaluation


def _said(class_names: tuple[str, ...], shape: ImageShape) -> str:
    return f"{len(class_names)} classes ({class_names[0]}, …), {shape.height} × {shape.width} × {shape.channels}"
