"""Data sets, augmentation, batches, and how randomness is derived."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refusals import refusing
from srat.attacks import margin
from srat.core.errors import UserError
from srat.core.keyed_random import derive_seed, generator
from srat.data import Dataset, Feed, Holdout, select, to_unit
from srat.data.augmentation import CropFlip, NoAugmentation, random_crop, random_flip
from srat.data.dataset import Parts
from srat.data.sampling import Shuffled
from srat.data.sources.digits import Digits
from srat.losses import cross_entropy
from srat.runtime.processes import Processes

NAMES = ("a", "b")


def make(images=None, labels=None, names=NAMES):
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8) if images is None else images
    return Dataset(images, torch.tensor([0, 1, 0, 1]) if labels is None else labels, names)


def test_counts_classes_that_have_no_example():
    assert make(labels=torch.tensor([0, 2, 0, 2]), names=("a", "b", "c", "d")).counts == (2, 0, 2, 0)


def test_parts_say_what_they_take():
    with pytest.raises(UserError, match="Parts: .*train.*read, classes"):
        Parts(train=3)


def test_to_unit():
    bytes_ = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_unit(bytes_).flatten(), torch.arange(256) / 255)
    assert torch.equal(to_unit(torch.full((1, 1, 1, 1), 0.25, dtype=torch.float64)), torch.full((1, 1, 1, 1), 0.25))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"images": torch.zeros(4, 2, 2, dtype=torch.uint8)}, "4 axes"),
        ({"labels": torch.tensor([0, 1])}, "one for each of 4 images"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, "from 0 to 1, got 0 to 2: 1 of 4 is 2$"),
        ({"labels": torch.tensor([0, 1, -1, 0])}, "from 0 to 1, got -1 to 1: 1 of 4 is -1$"),
        ({"names": ("a",), "labels": torch.zeros(4).long()}, "at least two classes"),
        ({"images": torch.full((4, 1, 2, 2), math.nan)}, "NaN"),
        ({"images": torch.full((4, 1, 2, 2), math.inf)}, r"\[0, 1\]"),
        ({"images": torch.full((4, 1, 2, 2), 1.5)}, r"\[0, 1\], got 1.5"),
        ({"images": torch.full((4, 1, 2, 2), -0.5)}, r"\[0, 1\], got -0.5"),
        ({"images": torch.zeros(4, 1, 2, 2, dtype=torch.int64)}, "uint8 or floating"),
        (
            {"images": torch.zeros(0, 1, 2, 2), "labels": torch.zeros(0).long()},
            "expected at least one, got none",
        ),
    ],
)
def test_refuses_what_is_no_data_set(fields, said):
    with pytest.raises(UserError, match=said):
        make(**fields)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_is_a_shift_of_the_padded_image(rng, padding):
    images = torch.rand(10, 3, 6, 7, generator=rng)
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    for image, canvas in zip(random_crop(images, padding=padding, generator=rng), padded, strict=True):
        windows = [canvas[:, y : y + 6, x : x + 7] for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
        assert any(torch.equal(image, window) for window in windows)


def test_crop_shifts_both_ways_alike(rng):
    # A single bright pixel in the middle lands on each of 9 × 9 places about equally often.
    images = torch.zeros(20_000, 1, 17, 17)
    images[:, :, 8, 8] = 1
    mean = random_crop(images, padding=4, generator=rng).mean(0)[0]
    assert mean[4:13, 4:13].min() > 0.7 / 81
    assert mean[4:13, 4:13].sum().item() == pytest.approx(1)


def test_flip_mirrors_half_of_the_images(rng):
    images = torch.rand(2000, 1, 1, 5, generator=rng)
    flipped = random_flip(images, generator=rng)
    same = (flipped == images).all(3).flatten()
    mirrored = (flipped == images.flip(-1)).all(3).flatten()
    assert (same ^ mirrored).all()
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("augmentation", [CropFlip(), NoAugmentation()])
def test_augmentation_keeps_shape_and_range_and_repeats_itself(augmentation, rng):
    images = torch.rand(5, 3, 8, 8, generator=rng)
    one, two = (augmentation(images, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert one.shape == images.shape
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1


@given(st.integers(1, 300), st.integers(1, 150), st.integers(0, 5))
def test_batches_visit_every_example_once(n, batch_size, seed):
    data = Dataset(torch.zeros(n, 1, 1, 1), torch.zeros(n, dtype=torch.long), ("a", "b"))
    how = {"augmentation": NoAugmentation(), "sampling": Shuffled(), "epochs": 1}
    batches = Feed(dataset=data, batch_size=batch_size, seed=seed, **how).order(0)
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == math.ceil(n / batch_size)


def test_a_part_has_images_and_labels_in_the_order_asked_for():
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    part = make(images, torch.tensor([0, 1, 0, 1])).subset(torch.tensor([3, 0, 1]))
    assert part.images.flatten().tolist() == [3, 0, 1]
    assert part.labels.tolist() == [1, 0, 1]


def test_each_process_augments_in_its_own_way_and_mixes_as_the_others_do():
    how = {"augmentation": NoAugmentation(), "sampling": Shuffled(), "batch_size": 4, "epochs": 2, "seed": 0}
    feeds = [Feed(dataset=make(), processes=Processes(rank, 2), **how) for rank in (0, 1)]
    places = [(epoch, step) for epoch in (0, 1) for step in (0, 1)]
    augmenting, pairing = (
        [[getattr(feed, name)(*place).initial_seed() for place in places] for feed in feeds]
        for name in ("augmenting", "pairing")
    )
    assert len({*augmenting[0], *augmenting[1]}) == 8
    assert pairing[0] == pairing[1]
    assert len(set(pairing[0])) == 4


KEY = {"seed": 0, "purpose": "attack", "epoch": 1, "step": 2, "rank": 3}


@pytest.mark.parametrize("changed", [{"seed": 1}, {"purpose": "augment"}, {"epoch": 2}, {"step": 1}, {"rank": 0}])
def test_derived_seeds_depend_on_every_part_of_their_key(changed):
    assert derive_seed(**KEY) == derive_seed(**KEY)
    assert derive_seed(**KEY) != derive_seed(**{**KEY, **changed})


def test_derived_seeds_do_not_collide():
    seeds = {
        derive_seed(seed, "attack", epoch=epoch, step=step)
        for seed in range(10)
        for epoch in range(20)
        for step in range(50)
    }
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_key_agree():
    one, two = (torch.rand(3, generator=generator(7, "order", epoch=2)) for _ in range(2))
    assert torch.equal(one, two)


class TestSomeClasses:
    @pytest.fixture
    def full(self, rng):
        labels = torch.arange(20) % 4
        images = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8, generator=rng)
        images[:, 0, 0, 0] = labels.byte()
        return Dataset(images, labels, ("a", "b", "c", "d"))

    def test_are_renumbered_in_their_order(self, full):
        part = full.with_classes((3, 1))
        assert part.class_names == ("d", "b")
        assert len(part) == 10
        assert torch.equal(part.images[:, 0, 0, 0].long(), torch.tensor([3, 1])[part.labels])
        assert torch.equal(part.images, full.images[(full.labels == 1) | (full.labels == 3)])

    @pytest.mark.parametrize(("labels", "odd"), [((0, 0), (0,)), ((0, 4), (4,)), ((-1, 2), (-1,))])
    def test_refuses_labels_that_are_not_there_or_twice(self, full, labels, odd):
        with refusing("data.classes", odd):
            full.with_classes(labels)

    def test_one_class_is_too_few(self, full):
        with pytest.raises(UserError, match="at least two classes"):
            full.with_classes((2,))

    def test_of_a_source_both_parts_have_them(self):
        source = Digits(classes=(7, 2))
        assert source.train().class_names == source.test().class_names == ("7", "2")
        assert source.test().counts == (50, 50)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([-1, -1, 0, 1], "labels: expected integers from 0 to 1, got -1 to 1: 2 of 4 are -1"),
        ([-1, -2, 0, 1], "labels: expected integers from 0 to 1, got -2 to 1: 2 of 4 are below 0"),
        ([-1, 0, 3, 2], "labels: expected integers from 0 to 1, got -1 to 3: 1 of 4 is -1 and 2 of 4 are above 1"),
    ],
)
def test_labels_of_no_class_are_counted(labels, said):
    calls = [
        lambda: make(labels=torch.tensor(labels)),
        lambda: cross_entropy(torch.zeros(4, 2), labels),
        lambda: margin(torch.zeros(4, 2), labels),
    ]
    for call in calls:
        with pytest.raises(UserError) as error:
            call()
        assert str(error.value) == said


@pytest.mark.parametrize("call", [lambda y: Holdout().split(y, seed=0), lambda y: select(y, [1, 1], seed=0)])
def test_labels_below_zero_are_neither_held_out_nor_dropped(call):
    with pytest.raises(UserError, match="labels: expected integers from 0 on, got -1 to 1: 2 of 4 are -1$"):
        call([-1, 0, 1, -1])
