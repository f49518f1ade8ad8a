"""Separability, against scikit-learn, naive loops, and classes whose distance is known."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score
from torch import nn

import srat
from srat.attacks import PGD, Natural
from srat.core.errors import UserError
from srat.data import Dataset
from srat.evaluation import separability as room
from srat.evaluation.feature_map import on_a_plane
from srat.evaluation.groups import groups
from srat.evaluation.separability import features_of, purities, require_enough, separability, silhouettes, to_plain

RARE = groups((90, 80, 5, 4))
NAMES = ("a", "b", "c", "d")


def clouds(rng, *, each=30, classes=4, dimensions=5, spread=1.0):
    labels = np.repeat(np.arange(classes), each)
    centers = spread * rng.standard_normal((classes, dimensions))
    return centers[labels] + rng.standard_normal((len(labels), dimensions)), labels, centers


def plain_fisher(x, y, classes):
    between, within = room._scatters(x, y, np.ones((1, len(y))))
    return float(between[:, classes].sum() / within[:, classes].sum())


def test_fisher_ratio_is_calinski_and_harabaszs_without_its_degrees_of_freedom():
    x, y, _ = clouds(np.random.default_rng(0))
    expected = calinski_harabasz_score(x, y) * (4 - 1) / (len(y) - 4)
    assert plain_fisher(x, y, range(4)) == pytest.approx(expected)


def test_fisher_ratio_of_some_classes_by_loops():
    x, y, _ = clouds(np.random.default_rng(1))
    mean = sum(x) / len(x)
    between = within = 0.0
    for c in (1, 3):
        mine = [point for point, label in zip(x, y, strict=True) if label == c]
        center = sum(mine) / len(mine)
        between += len(mine) * float(((center - mean) ** 2).sum())
        within += sum(float(((point - center) ** 2).sum()) for point in mine)
    assert plain_fisher(x, y, [1, 3]) == pytest.approx(between / within)


def test_silhouettes_and_purities_by_loops():
    x, y, _ = clouds(np.random.default_rng(2), each=8)
    away = np.array([[np.linalg.norm(one - other) for other in x] for one in x])
    for i in range(len(x)):
        own = [away[i][j] for j in range(len(x)) if y[j] == y[i] and j != i]
        others = [np.mean([away[i][j] for j in range(len(x)) if y[j] == c]) for c in range(4) if c != y[i]]
        a, b = np.mean(own), min(others)
        assert silhouettes(x, y)[i] == pytest.approx((b - a) / max(a, b))
        nearest = sorted((j for j in range(len(x)) if j != i), key=lambda j: away[i][j])[:5]
        assert purities(x, y, 5)[i] == pytest.approx(np.mean([y[j] == y[i] for j in nearest]))


def test_scopes_are_groups_and_classes():
    x, y, _ = clouds(np.random.default_rng(3), each=60, spread=2.0)
    found = separability(x, y, NAMES, RARE, seed=0)
    assert [each.scope for each in found] == ["overall", "common", "rare", *NAMES]
    s, p = silhouettes(x, y), purities(x, y)
    for each, classes in ((found[0], range(4)), (found[2], (2, 3)), (found[4], (1,))):
        mine = np.isin(y, list(classes))
        assert each.silhouette.value == pytest.approx(s[mine].mean())
        assert each.purity.value == pytest.approx(p[mine].mean())
        assert each.fisher.value == pytest.approx(plain_fisher(x, y, list(classes)), rel=0.1)
        for estimate in (each.fisher, each.silhouette, each.purity):
            assert estimate.low <= estimate.value <= estimate.high
    plain = json.loads(json.dumps(to_plain(found)))[3]
    assert (plain["scope"], plain["is_class"]) == ("a", True)
    assert plain["purity"].keys() == {"value", "low", "high"}


def test_classes_of_too_few_images_are_left_out():
    x, y, _ = clouds(np.random.default_rng(4), each=30)
    few = np.concatenate([np.arange(len(y))[y != 3], np.arange(len(y))[y == 3][:10]])
    found = separability(x[few], y[few], NAMES, RARE, seed=0)
    assert [each.scope for each in found] == ["overall", "common", "rare", "a", "b", "c"]
    whole = separability(x[y != 3], y[y != 3], NAMES, RARE, seed=0)
    assert found == whole
    with pytest.raises(UserError, match="at least 11 images of each of two classes, got 30 and 10 at the most"):
        separability(x[:40], y[:40], NAMES, RARE, seed=0)
    with pytest.raises(UserError, match="features: expected finite numbers, got nan"):
        separability(x * np.nan, y, NAMES, RARE, seed=0)


def test_few_images_do_not_break_the_bootstrap():
    rng = np.random.default_rng(7)
    x, y, centers = clouds(rng, each=11, spread=3.0)
    truth = ((centers - centers.mean(axis=0)) ** 2).sum() / (4 * 5)
    (overall, *_, last) = separability(x, y, NAMES, RARE, seed=0)
    assert overall.fisher.low < truth < overall.fisher.high
    assert 0 < last.fisher.low < last.fisher.value < last.fisher.high < 1000


def test_a_class_may_be_called_as_a_group_is():
    x, y, _ = clouds(np.random.default_rng(8))
    found = separability(x, y, ("overall", "b", "c", "d"), RARE, seed=0)
    assert [each.scope for each in found if each.scope == "overall"] == ["overall", "overall"]
    assert found[0].purity != found[3].purity


@pytest.mark.parametrize(("dimensions", "each"), [(2, 50), (40, 50)])
def test_intervals_of_the_fisher_ratio_cover(dimensions, each, monkeypatch):
    monkeypatch.setattr(room, "RESAMPLES", 200)
    rng = np.random.default_rng(5)
    centers = 0.5 * rng.standard_normal((4, dimensions))
    truth = ((centers - centers.mean(axis=0)) ** 2).sum() / (4 * dimensions)
    labels, inside, values = np.repeat(np.arange(4), each), [], []
    for seed in range(100):
        x = centers[labels] + rng.standard_normal((len(labels), dimensions))
        between, within = room._scatters(
            x, labels, np.concatenate([np.ones((1, len(x))), room._resampled(labels, seed)])
        )
        found = room._fisher(between.sum(axis=1) / within.sum(axis=1))
        inside.append(found.low <= truth <= found.high)
        values.append((found.value, plain_fisher(x, labels, range(4))))
    assert np.mean(inside) >= 0.89
    corrected, plain = np.mean(values, axis=0)
    assert abs(corrected - truth) < abs(plain - truth) / 3


def test_classes_that_lie_apart_are_perfect_and_mixed_ones_are_not():
    rng = np.random.default_rng(6)
    apart, y, _ = clouds(rng, spread=100.0)
    mixed = rng.standard_normal(apart.shape)
    one, other = (separability(x, y, NAMES, RARE, seed=0)[0] for x in (apart, mixed))
    assert one.purity == pytest.approx((1.0, 1.0, 1.0))
    assert one.silhouette.low > 0.9
    assert other.fisher.low < 0.02
    assert other.purity.low < 0.25 < other.purity.high + 0.05


@pytest.fixture(scope="module")
def model():
    return srat.fit(srat.compose(method="ce", data="digits", epochs=2), device="cpu").model


def test_features_are_those_of_the_model_on_the_unit_sphere(model):
    data = srat.Config().data.test().sample(40)
    clean = features_of(model, data, Natural(), seed=0)
    with torch.no_grad():
        plain = model(data.images.float() / 255 if data.images.dtype == torch.uint8 else data.images).features
    assert np.allclose(clean, nn.functional.normalize(plain, dim=1).numpy(), atol=1e-5)
    attacked = features_of(model, data, PGD(epsilon=0.1), seed=0)
    assert not np.allclose(clean, attacked, atol=1e-2)
    assert np.allclose(np.linalg.norm(attacked, axis=1), 1)


def test_a_model_without_features_is_refused():
    data = Dataset(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    with pytest.raises(UserError, match="Sequential returns logits alone"):
        features_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), data, Natural(), seed=0)


@pytest.mark.parametrize(
    ("available", "images", "said"),
    [
        (
            (30, 10),
            10_000,
            "separability: expected at least 11 images of each of two classes, got 30 and 10 at the most",
        ),
        ((30, 30, 2), 32, "`images`: expected at least 33, 11 of each of 3 classes, got 32"),
    ],
)
def test_a_sample_is_asked_for_only_where_one_is_enough(available, images, said):
    with pytest.raises(UserError) as error:
        require_enough(available, images)
    assert str(error.value) == said


def test_what_is_asked_for_is_enough():
    x, y, _ = clouds(np.random.default_rng(0), each=30)
    whole = Dataset(torch.rand(len(y), 1, 2, 2), torch.from_numpy(y), NAMES)
    for images in (44, 50):
        require_enough(whole.counts, images)
        labels = whole.sample(images).labels.numpy()
        assert separability(x[: len(labels)], labels, NAMES, RARE, seed=0)
    with pytest.raises(UserError, match="at least 44"):
        require_enough(whole.counts, 43)


def test_without_rare_classes_there_are_no_groups_and_any_seed_is_taken():
    x, y, _ = clouds(np.random.default_rng(0))
    found = separability(x, y, NAMES, groups((9, 9, 9, 9)), seed=-1)
    assert [each.scope for each in found] == ["overall", *NAMES]
    assert separability(x, y, NAMES, RARE, seed=2**128) == separability(x, y, NAMES, RARE, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_any_seed_draws_a_map(seed):
    assert len(on_a_plane(np.random.default_rng(0).random((8, 3)), seed=seed)) == 8
