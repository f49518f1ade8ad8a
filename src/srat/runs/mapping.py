"""The map of a run's features."""

from srat.attacks import Natural
from srat.config.config import Config
from srat.core.files import write_atomically
from srat.core.tensor_file import digest_of
from srat.evaluation.feature_map import FeatureMap, on_a_plane
from srat.evaluation.groups import groups
from srat.evaluation.observer import Observer
from srat.evaluation.separability import features_of, require_enough, separability, to_plain
from srat.runs.evaluating import versions
from srat.runs.folder import RunFolder
from srat.runs.opening import trained_images
from srat.runs.results import WAIT
from srat.runs.run import load_with_facts
from srat.runtime.fabric import make_fabric


def map_features(folder: RunFolder, config: Config, *, images: int, device: str, observer: Observer) -> int:
    """Lay the features of a run's training images on a plane, and keep that with how far the classes lie apart.

    Args:
        folder: the run.
        config: its configuration.
        images: how many at the most, as many of each class, as far as there are.
        device: where to compute.
        observer: told of progress.

    Returns:
        How many images are on the map.
    """
    device = str(make_fabric(device).device)
    model, facts = load_with_facts(folder.path, device=device)
    train = trained_images(folder, config, config.data.parts(folder.record))
    require_enough(train.counts, images)
    shown = train.sample(images).to(device)
    features = features_of(model, shown, Natural(), seed=config.seed, observer=observer)
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
    return len(shown)
