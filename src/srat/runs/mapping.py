"""The map of a run's features."""

from pathlib import Path

import torch
from torch import nn

from srat.attacks import Natural
from srat.core.checked import checked
from srat.core.files import write_atomically
from srat.core.tensor_file import digest_of
from srat.evaluation.feature_map import FeatureMap, on_a_plane
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.evaluation.separability import features_of, require_enough, separability, to_plain
from srat.runs.opening import opened, trained_images
from srat.runs.origins import versions
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device


@checked
def map_run(
    path: Path | str,
    *,
    images: int = 1_000,
    data_dir: Path | str | None = None,
    model: nn.Module | None = None,
    device: str | torch.device = "auto",
    observer: Observer | None = None,
) -> FeatureMap:
    """Lay the features of a run's training images on a plane; the run's folder keeps that for its page.

    Args:
        path: the run's folder; its weights are those of the last epoch.
        images: how many at the most, as many of each class, as far as there are.
        data_dir: where the data's files are now; by default where they were.
        model: the model to put the weights into, where the run was of the user's own.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        observer: told of progress.

    Returns:
        The map, and how far the classes lie apart in the space that it was drawn from.

    Raises:
        UserError: if there is no such run, its data are gone or others, or the images are too few.
    """
    folder, config = opened(path, data_dir)
    there = str(as_device(device))
    model, facts = load_with_facts(folder.path, model=model, device=there)
    train = trained_images(folder, config, config.data.parts(folder.record))
    require_enough(train.counts, images)
    shown = train.sample(images).to(there)
    features = features_of(model, shown, Natural(), seed=config.seed, observer=observer or Observer())
    labels = shown.labels.cpu().numpy()
    found = separability(features, labels, facts.class_names, groups(facts.train_counts), seed=config.seed)
    map_ = FeatureMap(
        class_names=facts.class_names,
        labels=tuple(labels.tolist()),
        points=on_a_plane(features, seed=config.seed),
        separability=tuple(to_plain(found)),
        made_with={"weights": digest_of(folder.weights("last")), "seed": config.seed, **versions()},
    )
    with folder.locked(wait=WAIT):
        write_atomically(folder.map, map_.to_json())
    return map_
