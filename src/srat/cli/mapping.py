"""What ``srat separability --map`` does."""

from srat.attacks import Natural
from srat.cli.evaluating import versions
from srat.cli.results import WAIT
from srat.config import Config
from srat.data import prepare
from srat.devices import make_fabric
from srat.errors import printable
from srat.evaluation import groups
from srat.evaluation.feature_map import FeatureMap, on_a_plane
from srat.evaluation.separability import features_of, separability, to_plain
from srat.files import write_atomically
from srat.interruption import deferring_signals
from srat.report.live import LiveObserver, make_console
from srat.run import load_with_facts
from srat.run_folder import RunFolder, Which
from srat.tensor_file import digest_of

IMAGES = 1_000
"""Training images on a map at the most, as many of each class, as far as there are."""


def map_features(folder: RunFolder, config: Config, *, which: Which, device: str) -> None:
    """Draw the features of a run's training images onto a plane, and keep that with how far the classes lie apart."""
    device = str(make_fabric(device).device)
    model, facts = load_with_facts(folder.path, which=which, device=device)
    train = prepare(config.data, config.imbalance, config.holdout, seed=config.seed).train
    images = train.sample(IMAGES).to(device)
    console = make_console()
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        features = features_of(model, images, Natural(), seed=config.seed, observer=observer)
    labels = images.labels.cpu().numpy()
    found = separability(features, labels, facts.class_names, groups(facts.train_counts), seed=config.seed)
    map_ = FeatureMap(
        class_names=facts.class_names,
        labels=tuple(labels.tolist()),
        points=on_a_plane(features, seed=config.seed),
        separability=tuple(to_plain(found)),
        made_with={"weights": digest_of(folder.weights(which)), "seed": config.seed, **versions()},
    )
    with folder.locked(wait=WAIT):
        write_atomically(folder.map, map_.to_json())
    console.print(f"Kept in {printable(str(folder.map))}", highlight=False, markup=False, soft_wrap=True)
