"""Which images are mixed with which, in which parts, and how."""

import itertools
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from refusals import refusing
from srat.config.checks import check
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import FieldError
from srat.core.members import choices, choose
from srat.data import Dataset, Feed, Targets
from srat.data.augmentation import Augmentation, NoAugmentation
from srat.data.mixing import CMO, Box, CutMix, Mixing, MixUp, NoMixing, PairMixing, cut_mix, draw_box, mix_up
from srat.data.mixing.base import beta
from srat.data.sampling import Shuffled
from srat.feature_losses import FeatureLoss, NoFeatureLoss
from srat.losses import balanced_softmax, cdt, cross_entropy, logit_adjustment, vector_scaling
from srat.runtime.processes import Processes

PAIRS = [replace(choose(Mixing, name, "mixing"), probability=1.0) for name in choices(Mixing) if name != "none"]
WITHIN = [mixing for mixing in PAIRS if not isinstance(mixing, CMO)]
COUNTS = (100, 20, 10, 1)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def drawn(mixing, seed=0, batch=12, height=8, width=6):
    return mixing.draw(batch, height, width, labels=torch.arange(40) % 4, generator=seeded(seed))


def different(seed, n=5, height=8, width=6):
    images = torch.rand(2, n, 3, height, width, generator=seeded(seed))
    return images[0], images[1]


def pixels(images):
    return itertools.product(*map(range, images.shape))


def test_mixup_is_a_mean_of_each_pixel():
    images, partners = different(0)
    mixed = mix_up(images, partners, 0.3)
    for place in pixels(images):
        assert mixed[place].item() == pytest.approx(0.3 * images[place].item() + 0.7 * partners[place].item(), abs=1e-6)


def test_cutmix_takes_each_pixel_from_one_of_both():
    images, partners = different(0)
    before = images.clone()
    mixed = cut_mix(images, partners, Box(1, 4, 2, 6))
    for i, channel, y, x in pixels(images):
        inside = 1 <= y < 4 and 2 <= x < 6
        assert mixed[i, channel, y, x] == (partners if inside else images)[i, channel, y, x]
    assert torch.equal(images, before)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.49999999, 0.7, 0.9999999])
def test_mixed_images_stay_in_range(share):
    ends = torch.rand(2, 1000, 1, 2, 2, generator=seeded(1))
    for images, partners in ((ends[0], ends[1]), (torch.ones(1, 1, 2, 2),) * 2, (ends[0].round(), ends[1].round())):
        mixed = mix_up(images, partners, share)
        assert mixed.min() >= 0
        assert mixed.max() <= 1


@pytest.mark.parametrize("mixing", PAIRS, ids=lambda mixing: mixing.name)
@pytest.mark.parametrize("seed", range(20))
def test_lambda_is_the_images_own_part(mixing, seed):
    """Of white images on black ones it is how bright they are then, whatever is cut off at the edge."""
    mix = drawn(mixing, seed)
    if mix is not None:
        mixed = mix.blend(torch.ones(12, 3, 8, 6), torch.zeros(12, 3, 8, 6))
        assert mixed.mean((1, 2, 3)).tolist() == pytest.approx([mix.share] * 12, abs=1e-6)
        assert 0 <= mix.share < 1


@pytest.mark.parametrize("mixing", WITHIN, ids=lambda mixing: mixing.name)
def test_each_image_is_a_partner_once_and_draws_differ(mixing):
    mixes = [drawn(mixing, seed) for seed in range(20)]
    mixes = [mix for mix in mixes if mix is not None]
    assert len(mixes) > 15
    assert all(sorted(mix.partners.tolist()) == list(range(12)) for mix in mixes)
    assert len({tuple(mix.partners.tolist()) for mix in mixes}) == len(mixes)
    assert len({mix.share for mix in mixes}) > 10
    again = drawn(mixing, 3)
    assert again.share == drawn(mixing, 3).share
    assert torch.equal(again.partners, drawn(mixing, 3).partners)


class TestCMO:
    """Boxes of rare classes' images, drawn beside the batch."""

    LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 9 + [3])

    def boxes(self, mixing, batch=50, draws=200):
        mixes = [mixing.draw(batch, 8, 6, labels=self.LABELS, generator=seeded(seed)) for seed in range(draws)]
        return [mix for mix in mixes if mix is not None]

    @pytest.mark.parametrize(
        ("power", "parts"), [(0.0, (60, 30, 9, 1)), (1.0, (1, 1, 1, 1)), (2.0, (1 / 60, 1 / 30, 1 / 9, 1))]
    )
    def test_come_from_each_class_in_its_share(self, power, parts):
        """n_c^(1 − r)."""
        mixes = self.boxes(CMO(power=power, probability=1.0))
        found = torch.cat([self.LABELS[mix.added] for mix in mixes]).bincount(minlength=4).numpy()
        expected = found.sum() * np.array(parts) / sum(parts)
        assert stats.chisquare(found, expected).pvalue > 0.01

    def test_come_from_any_image_of_a_class(self):
        mixes = self.boxes(CMO(probability=1.0))
        assert set(torch.cat([mix.added for mix in mixes]).tolist()) == set(range(100))

    def test_lie_on_images_as_the_data_has_them(self):
        """The batch is what it would be without: what is around the boxes keeps the classes' shares."""
        for mixed, plain in zip(a_feed(CMO(probability=1.0)).epoch(0), a_feed(NoMixing()).epoch(0), strict=True):
            assert torch.equal(mixed.labels, plain.labels)

    def test_are_in_half_the_batches_unless_told_otherwise(self):
        assert len(self.boxes(CMO(), draws=2000)) / 2000 == pytest.approx(0.5, abs=0.05)

    def test_each_is_augmented_by_itself(self):
        """An image that is drawn twice, as a part of the batch and as a box, is augmented twice."""
        feed = a_feed(CMO(probability=1.0), augmentation=Numbering())
        batch = next(feed.epoch(0))
        assert len(batch.images.unique()) == 2 * len(batch.labels)

    @pytest.mark.parametrize("power", [-0.1, 10.5])
    def test_refuses_what_cannot_be(self, power):
        with refusing("mixing.power", power):
            CMO(power=power)


@dataclass(frozen=True, kw_only=True)
class Numbering(Augmentation):
    """Makes each image one of its own."""

    def __call__(self, images, *, generator):
        return (torch.arange(len(images)) / 100)[:, None, None, None].expand_as(images)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_lambda_has_a_beta_distribution(alpha):
    rng = seeded(0)
    assert stats.kstest([beta(alpha, rng) for _ in range(2000)], "beta", args=(alpha, alpha)).pvalue > 0.01
    shares = [drawn(MixUp(alpha=alpha), seed).share for seed in range(500)]
    assert stats.kstest(shares, "beta", args=(alpha, alpha)).pvalue > 0.01


def test_a_box_has_the_sides_of_its_part_around_any_pixel():
    rng = seeded(0)
    boxes = [draw_box(0.75, 8, 6, generator=rng) for _ in range(2000)]
    # Half of both sides, 4 × 3, less what is beyond the edge; the middle is any of 8 × 6 pixels.
    sides = {(min(y + 2, 8) - max(y - 2, 0), min(x + 2, 6) - max(x - 1, 0)) for y in range(8) for x in range(6)}
    assert {(b.bottom - b.top, b.right - b.left) for b in boxes} == sides
    assert max(box.area for box in boxes) == 12
    middles = torch.tensor([(b.top + b.bottom) / 2 for b in boxes])
    expected = sum((max(y - 2, 0) + min(y + 2, 8)) / 2 for y in range(8)) / 8
    assert middles.mean().item() == pytest.approx(expected, abs=0.15)
    assert {box.top for box in boxes} == {0, 1, 2, 3, 4, 5}
    assert draw_box(1.0, 8, 6, generator=rng).area == 0


def test_a_part_of_the_batches_is_mixed():
    mixed = [drawn(MixUp(probability=0.3), seed) is not None for seed in range(2000)]
    assert sum(mixed) / 2000 == pytest.approx(0.3, abs=0.04)
    assert all(drawn(MixUp(probability=0.0), seed) is None for seed in range(50))
    assert all(drawn(MixUp(), seed) is not None for seed in range(50))


def test_a_box_without_a_pixel_mixes_nothing():
    class Whole(CutMix):
        def blending(self, share, height, width, *, generator):
            return super().blending(1.0, height, width, generator=generator)

    assert drawn(Whole()) is None


@pytest.mark.parametrize("mixing", [MixUp, CutMix])
def test_what_cannot_be_is_refused(mixing):
    for value in (0.0, -1.0, 1000.5):
        with refusing("mixing.alpha", value):
            mixing(alpha=value)
    for value in (-0.1, 1.5):
        with refusing("mixing.probability", value):
            mixing(probability=value)
    with refusing("share", 1.5):
        mix_up(*different(0), 1.5)


# What a label stands for.

LABELS, PARTNERS = torch.arange(12) % 4, torch.arange(12) // 3
LOGITS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def soft(share):
    return share * F.one_hot(LABELS, 4).double() + (1 - share) * F.one_hot(PARTNERS, 4).double()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("loss", "adjusted"),
    [
        (cross_entropy, LOGITS),
        (partial(balanced_softmax, class_counts=COUNTS), LOGITS + torch.tensor(COUNTS).double().log()),
        (partial(logit_adjustment, class_counts=COUNTS), LOGITS + (torch.tensor(COUNTS).double() / 131).log()),
        (partial(cdt, class_counts=COUNTS, gamma=0.2), LOGITS / (100 / torch.tensor(COUNTS).double()) ** 0.2),
        (
            partial(vector_scaling, class_counts=COUNTS, gamma=0.2, tau=1.2),
            LOGITS / (100 / torch.tensor(COUNTS).double()) ** 0.2 + 1.2 * (torch.tensor(COUNTS).double() / 131).log(),
        ),
    ],
    ids=["cross-entropy", "balanced-softmax", "logit-adjustment", "cdt", "vector-scaling"],
)
def test_it_is_the_cross_entropy_with_soft_targets(loss, adjusted, share):
    got = Targets(LABELS, PARTNERS, share).mean(lambda labels: loss(LOGITS, labels))
    torch.testing.assert_close(got, F.cross_entropy(adjusted, soft(share), reduction="none"), rtol=1e-5, atol=1e-6)


def test_a_mean_is_of_numbers_and_of_what_is_true():
    of_class = torch.tensor([1.0, 2.0, 4.0, 8.0])
    torch.testing.assert_close(Targets(LABELS, PARTNERS, 0.3).mean(of_class.__getitem__), soft(0.3).float() @ of_class)
    rare = torch.tensor([False, False, True, True])
    torch.testing.assert_close(Targets(LABELS, PARTNERS, 0.3).mean(rare.__getitem__), soft(0.3)[:, 2:].sum(1).float())
    single = Targets(LABELS).mean(rare.__getitem__)
    assert single.dtype == torch.bool
    assert torch.equal(single, rare[LABELS])


def test_a_part_of_the_targets():
    part = Targets(LABELS, PARTNERS, 0.3).at(slice(3, 7))
    assert torch.equal(part.labels, LABELS[3:7])
    assert torch.equal(part.partners, PARTNERS[3:7])
    assert part.share == 0.3
    assert Targets(LABELS).at(slice(3, 7)).partners is None


def test_the_main_class_is_that_of_the_larger_part():
    assert torch.equal(Targets(LABELS, PARTNERS, 0.6).main, LABELS)
    assert torch.equal(Targets(LABELS, PARTNERS, 0.5).main, LABELS)
    assert torch.equal(Targets(LABELS, PARTNERS, 0.4).main, PARTNERS)
    assert torch.equal(Targets(LABELS).main, LABELS)


# In the feed.

N = 40
IMAGES = torch.rand(N, 2, 8, 6, generator=torch.Generator().manual_seed(0))


def a_feed(mixing, processes=None, seed=0, images=IMAGES, augmentation=None):
    """A feed of forty images, each of a class of its own, so that labels say which image is which."""
    return Feed(
        dataset=Dataset(images, torch.arange(N), tuple(map(str, range(N)))),
        augmentation=augmentation or NoAugmentation(),
        sampling=Shuffled(),
        batch_size=11,
        epochs=3,
        seed=seed,
        mixing=mixing,
        **({} if processes is None else {"processes": processes}),
    )


def by_hand(batch, mix, images=IMAGES):
    """The images of a batch, one after the other, of what their labels say."""
    a, b = batch.targets.labels, batch.targets.partners
    pairs = [(images[i], images[j]) for i, j in zip(a, b, strict=True)]
    return torch.cat([mix.blend(own[None], other[None]) for own, other in pairs])


@pytest.mark.parametrize("mixing", PAIRS, ids=lambda mixing: mixing.name)
def test_images_and_labels_are_mixed_alike(mixing):
    feed = a_feed(mixing)
    for step, batch in enumerate(feed.epoch(1)):
        mix = mixing.draw(len(batch.labels), 8, 6, labels=torch.arange(N), generator=feed.pairing(1, step))
        assert torch.equal(batch.images, by_hand(batch, mix))
        assert batch.targets.share == mix.share
        if mix.added is None:
            assert sorted(batch.targets.partners.tolist()) == sorted(batch.labels.tolist())
        assert not torch.equal(batch.targets.partners, batch.labels)


def test_bytes_are_mixed_as_what_they_stand_for():
    images = (255 * IMAGES).round().byte()
    feed = a_feed(MixUp(), images=images)
    batch = next(feed.epoch(0))
    mix = MixUp().draw(len(batch.labels), 8, 6, labels=torch.arange(N), generator=feed.pairing(0, 0))
    torch.testing.assert_close(batch.images, by_hand(batch, mix, images.float() / 255))


@pytest.mark.parametrize("mixing", PAIRS, ids=lambda mixing: mixing.name)
@pytest.mark.parametrize("count", [2, 3, 11])
def test_several_processes_mix_as_one(mixing, count):
    alone = list(a_feed(mixing).epoch(0))
    for rank in range(count):
        for ours, whole in zip(a_feed(mixing, Processes(rank, count)).epoch(0), alone, strict=True):
            assert torch.equal(ours.images, whole.images[ours.own])
            assert torch.equal(ours.targets.partners, whole.targets.partners)
            assert ours.targets.share == whole.targets.share
            assert torch.equal(ours.own_targets.partners, whole.targets.partners[ours.own])
            assert len(ours.own_targets.labels) == len(ours.images)


def same(one, other):
    return torch.equal(one.images, other.images) and one.targets.share == other.targets.share


@pytest.mark.parametrize("mixing", PAIRS, ids=lambda mixing: mixing.name)
def test_a_step_is_mixed_in_its_own_way_wherever_an_epoch_is_begun(mixing):
    whole = list(a_feed(mixing).epoch(1))
    late = list(a_feed(mixing).epoch(1, 2))
    assert len(late) == len(whole) - 2
    assert all(map(same, whole[2:], late))
    feeds = [a_feed(mixing), a_feed(mixing, seed=1)]
    draws = [
        mixing.draw(11, 8, 6, labels=torch.arange(N), generator=f.pairing(epoch, step))
        for f in feeds
        for epoch in (0, 1)
        for step in (0, 1)
    ]
    partners = {tuple((mix.partners if mix.added is None else mix.added).tolist()) for mix in draws if mix is not None}
    assert len(partners) == sum(mix is not None for mix in draws)


def test_a_batch_by_itself_is_mixed_as_the_first_step_or_as_is_said():
    feed, rng = a_feed(MixUp()), torch.Generator()
    order = feed.order(0)
    assert same(feed.batch(order[0], rng), next(feed.epoch(0)))
    assert same(feed.batch(order[2], rng, feed.pairing(0, 2)), list(feed.epoch(0))[2])


@dataclass(frozen=True, kw_only=True)
class Whitening(Augmentation):
    """Takes grey for white, which it would not be of what is mixed already."""

    def __call__(self, images, *, generator):
        return (images >= 0.5).to(images.dtype)


def test_images_are_mixed_once_they_are_augmented():
    for processes in (None, Processes(1, 2)):
        feed = a_feed(MixUp(), processes, augmentation=Whitening())
        batch = next(feed.epoch(0))
        mix = MixUp().draw(len(batch.labels), 8, 6, labels=torch.arange(N), generator=feed.pairing(0, 0))
        assert torch.equal(batch.images, by_hand(batch, mix, (IMAGES >= 0.5).float())[batch.own])


def test_without_mixing_a_batch_is_what_it_was():
    for mixing in (NoMixing(), MixUp(probability=0.0)):
        for batch in a_feed(mixing).epoch(0):
            assert batch.targets.partners is None
            assert torch.equal(batch.images, IMAGES[batch.labels])


# In a configuration.


@pytest.mark.parametrize("mixing", PAIRS, ids=lambda mixing: mixing.name)
def test_losses_of_features_refuse_it(mixing):
    for name in choices(FeatureLoss):
        config = replace(compose(method="ce", mixing=mixing), feature_loss=choose(FeatureLoss, name, "feature loss"))
        if name == "none":
            check(config)
            continue
        with pytest.raises(
            FieldError, match=rf"`mixing`: expected none with `feature_loss` {name}, .*got '{mixing.name}'"
        ):
            check(config)
        check(replace(config, mixing=NoMixing()))
        check(replace(config, feature_loss=NoFeatureLoss()))


def test_it_is_part_of_what_a_run_is():
    plain = compose(method="ce")
    mixed = compose(plain, mixing="cutmix")
    assert mixed.id != plain.id
    assert replace(mixed, mixing=CutMix(alpha=0.5)).id != mixed.id
    assert Config.from_json(mixed.to_json()) == mixed
    before = plain.to_plain()
    del before["mixing"]
    assert Config.from_plain(before) == plain
    assert Config.from_plain(before).id == plain.id
    assert isinstance(CutMix(), PairMixing)
