"""Counts of the paper, and indices that stay in step with their labels."""

import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refusals import refusing
from srat.core.errors import UserError
from srat.data import exponential_counts, prepare, select, step_counts
from srat.data.dataset import Dataset, Source
from srat.data.holdout import Holdout
from srat.data.imbalance import Explicit, Exponential, NoImbalance, Step, class_order, hash_indices, realised_ratio
from srat.evaluation.groups import groups

CIFAR10 = (5000,) * 10
SVHN = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)


@pytest.mark.parametrize(
    ("counts", "ratio", "total"),
    [
        (step_counts, 100, 25_250),
        (step_counts, 10, 27_500),
        (exponential_counts, 100, 12_406),
        (exponential_counts, 10, 20_431),
    ],
)
def test_totals_of_the_papers_cifar10(counts, ratio, total):
    kept = counts(CIFAR10, ratio=ratio)
    assert sum(kept) == total
    assert realised_ratio(kept) == ratio


def test_step_by_hand():
    assert step_counts((10, 20, 30, 40), ratio=10) == (10, 20, 3, 4)
    assert step_counts((10, 20, 30), ratio=10) == (10, 20, 3)


def test_exponential_by_hand():
    assert exponential_counts((100, 100, 100), ratio=100) == (100, 10, 1)
    assert exponential_counts((5000,) * 10, ratio=100) == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)


def test_svhn_to_the_letter_of_the_paper_is_more_uneven_than_its_name():
    assert realised_ratio(exponential_counts(SVHN, ratio=100)) == pytest.approx(180.6, abs=0.05)
    capped = Exponential(ratio=100, cap=min(SVHN)).counts(SVHN, seed=0)
    assert realised_ratio(capped) == pytest.approx(100, rel=0.02)


@given(st.lists(st.integers(200, 9000), min_size=2, max_size=30), st.floats(1, 200))
def test_profiles_keep_at_least_one_and_at_most_all(class_counts, ratio):
    for profile in (step_counts, exponential_counts):
        kept = profile(class_counts, ratio=ratio)
        assert all(1 <= k <= n for k, n in zip(kept, class_counts, strict=True))
        assert kept[0] == class_counts[0]


@given(st.integers(2, 30), st.floats(1, 100))
def test_the_realised_ratio_of_even_data_is_the_ratio(classes, ratio):
    for profile in (step_counts, exponential_counts):
        kept = profile((100_000,) * classes, ratio=ratio)
        assert realised_ratio(kept) == pytest.approx(ratio, rel=0.002)
        assert list(kept) == sorted(kept, reverse=True)


def test_a_ratio_of_one_keeps_all():
    assert step_counts(SVHN, ratio=1) == exponential_counts(SVHN, ratio=1) == SVHN


@pytest.mark.parametrize("ratio", [0.5, 0.0, -3.0, float("nan"), float("inf")])
def test_refuses_a_ratio_below_one(ratio):
    for profile in (step_counts, exponential_counts):
        with pytest.raises(UserError, match="ratio"):
            profile(CIFAR10, ratio=ratio)


def test_refuses_a_ratio_that_empties_a_class():
    with pytest.raises(UserError, match="leaves class 1 without a training image"):
        step_counts((50, 50), ratio=51)


def test_class_order_decides_who_is_rare():
    assert Step(ratio=10, class_order=(3, 2, 1, 0)).counts((10, 10, 10, 10), seed=0) == (1, 1, 10, 10)
    shuffled = Step(ratio=10, class_order="random").counts((10,) * 10, seed=0)
    assert sorted(shuffled) == [1] * 5 + [10] * 5
    assert shuffled == Step(ratio=10, class_order="random").counts((10,) * 10, seed=0)
    assert any(shuffled != Step(ratio=10, class_order="random").counts((10,) * 10, seed=seed) for seed in (1, 2, 3))


@pytest.mark.parametrize("kind", [Step, Exponential])
def test_a_random_order_moves_each_class_with_its_count(kind):
    plain = kind(ratio=10).counts((1000,) * 10, seed=4)
    order = class_order("random", 10, seed=4)
    assert sorted(order) == list(range(10))
    assert order != tuple(range(10))
    moved = kind(ratio=10, class_order="random").counts((1000,) * 10, seed=4)
    assert [moved[c] for c in order] == list(plain)
    # Which class is rare is drawn apart from which images are.
    assert moved == kind(ratio=10, class_order=order).counts((1000,) * 10, seed=9)
    orders = [kind(ratio=10, class_order="random").counts((1000,) * 10, seed=seed) for seed in range(5)]
    assert len({groups(counts).under for counts in orders}) == 5


class TestUneven:
    """Data that are uneven before a ratio is laid over them."""

    @pytest.mark.parametrize("kind", [Step, Exponential])
    def test_a_ratio_that_is_not_met_is_said_and_the_cap_that_is_named_meets_it(self, kind):
        there = (200, 900, 150, 3000)
        (said,) = kind(ratio=10).notes(there, seed=0)
        kept = kind(ratio=10).counts(there, seed=0)
        becomes = f"becomes {realised_ratio(kept):.1f}, as the classes have 150 to 3,000 images before it applies"
        assert said.startswith(f"`imbalance.ratio` 10 {becomes}; `imbalance.cap` 150 meets it, with ")
        capped = kind(ratio=10, cap=150)
        assert said.endswith(f"with {sum(capped.counts(there, seed=0))} images instead of {sum(kept):,}")
        assert realised_ratio(capped.counts(there, seed=0)) == 10
        assert capped.notes(there, seed=0) == ()

    @pytest.mark.parametrize(
        ("imbalance", "counts"),
        [
            (Step(ratio=10), (500,) * 4),
            (Step(ratio=7), (20,) * 4),  # 2 of 20 are kept: 10 : 1, by rounding alone
            (Exponential(ratio=10), (100, 101, 99, 98)),
            (Step(ratio=10, class_order=(1, 0)), (100, 105)),
            (Step(ratio=2, class_order=(1, 0)), (1000, 100)),
        ],
    )
    def test_of_one_that_is_met_or_nearly_nothing_is_said(self, imbalance, counts):
        ratio = realised_ratio(imbalance.counts(counts, seed=0))
        met = abs(ratio / imbalance.ratio - 1) < 0.1 or counts == (20,) * 4
        assert bool(imbalance.notes(counts, seed=0)) is not met

    def test_it_is_said_before_training_and_by_srat_data(self, cli, tmp_path):
        (said,) = prepare(Uneven(), Step(ratio=10), Holdout(), seed=0).notes
        assert said == Step(ratio=10).notes((400, 300, 30), seed=0)[0]
        assert prepare(Uneven(), NoImbalance(), Holdout(), seed=0).notes == ()
        data = Uneven().read("train")
        file = tmp_path / "uneven.npz"
        arrays = {"x_train": data.images.numpy(), "y_train": data.labels.numpy()}
        np.savez(file, **arrays, x_test=arrays["x_train"][::10], y_test=arrays["y_train"][::10])
        code, out, _ = cli("data", "arrays", "--data-dir", file, "--imbalance", "step", "--ratio", "10")
        assert code == 0
        assert said.replace("`imbalance.ratio`", "--ratio").replace("`imbalance.cap`", "--imbalance.cap") in out


def test_cap_comes_before_the_ratio():
    assert Step(ratio=100, cap=2000).counts((6000,) * 4, seed=0) == (2000, 2000, 20, 20)


def test_explicit_counts():
    assert Explicit(keep=(3, 1)).counts((10, 10), seed=0) == (3, 1)
    assert NoImbalance().counts((10, 7), seed=0) == (10, 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(class_order=(0, 0)).counts((10, 10), seed=0),
        lambda: Step(class_order=(0, 1, 2)).counts((10, 10), seed=0),
        lambda: Step(cap=0),
        lambda: Explicit(keep=(1,)).counts((10, 10), seed=0),
        lambda: Explicit(keep=(1, 11)).counts((10, 10), seed=0),
        lambda: Explicit(keep=(1, 0)).counts((10, 10), seed=0),
        lambda: select(torch.tensor([0, 0, 1]), (1, 2), seed=0),
    ],
)
def test_refuses_what_cannot_be_kept(make):
    with pytest.raises(UserError, match="expected|has 10 training images"):
        make()


@pytest.fixture
def labels():
    return torch.randint(4, (400,), generator=torch.Generator().manual_seed(1))


def test_kept_indices_are_sorted_distinct_and_of_the_right_counts(labels):
    kept = select(labels, (20, 10, 5, 1), seed=0)
    assert torch.equal(kept, kept.unique())
    assert torch.bincount(labels[kept]).tolist() == [20, 10, 5, 1]


def test_kept_indices_depend_on_the_seed_alone(labels):
    counts = (20, 10, 5, 1)
    assert torch.equal(select(labels, counts, seed=0), select(labels, counts, seed=0))
    assert not torch.equal(select(labels, counts, seed=0), select(labels, counts, seed=1))


def test_fewer_are_a_part_of_more(labels):
    more, fewer = (set(select(labels, (n,) * 4, seed=0).tolist()) for n in (40, 10))
    assert fewer < more


def test_the_hash_is_of_the_numbers():
    by_hand = hashlib.sha256(struct.pack("<3q", 0, 1, 2)).hexdigest()
    assert hash_indices(torch.tensor([0, 1, 2])) == by_hand
    assert hash_indices(torch.tensor([0, 2, 1])) != by_hand


class Numbered(Source):
    """Images whose first pixel is their own label, and whose second tells them apart."""

    def read(self, part):
        n = 500
        labels = torch.arange(n) % 5
        images = torch.zeros(n, 1, 4, 4, dtype=torch.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = labels.byte(), (torch.arange(n) % 256).byte()
        return Dataset(images, labels, tuple("abcde"))


class Uneven(Source):
    """Images of 400, 300 and 30 of three classes, no two alike."""

    def read(self, part):
        labels = torch.arange(3).repeat_interleave(torch.tensor([400, 300, 30]))
        images = torch.arange(len(labels)).to(torch.int16).view(-1, 1).view(torch.uint8).view(-1, 1, 1, 2)
        return Dataset(images.repeat(1, 1, 4, 2), labels, tuple("abc"))


def test_images_and_labels_stay_in_step():
    data = prepare(Numbered(), Step(ratio=10), Holdout(), seed=3)
    source = Numbered().train()
    for part, indices in ((data.train, data.train_indices), (data.held_out, data.held_out_indices)):
        assert torch.equal(part.labels, source.labels[indices])
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.labels)
    assert torch.bincount(source.labels[data.kept_indices]).tolist() == list(
        Step(ratio=10).counts(source.counts, seed=3)
    )


def test_the_record_holds_indices_and_their_hash():
    data = prepare(Numbered(), Step(ratio=10), Holdout(), seed=3)
    record = data.record()
    assert record["sha256"] == hash_indices(data.kept_indices)
    assert sorted(record["train"] + record["held_out"]) == data.kept_indices.tolist()


class TestHoldout:
    def test_takes_a_share_of_each_class_but_a_minimum(self):
        labels = torch.cat((torch.zeros(200), torch.ones(20), torch.full((6,), 2))).long()
        train, held = Holdout(fraction=0.1, minimum=5).split(labels, seed=0)
        # 10 % of 200; the minimum of 20; never more than half of 6.
        assert torch.bincount(labels[held]).tolist() == [20, 5, 3]
        assert torch.equal(torch.cat((train, held)).sort().values, torch.arange(226))

    def test_leaves_every_class_something_to_train_on(self):
        train, held = Holdout(minimum=5).split(torch.tensor([0, 1, 1]), seed=0)
        assert torch.bincount(torch.tensor([0, 1, 1])[train]).tolist() == [1, 1]
        assert len(held) == 1

    def test_holds_nothing_out_if_told_so(self):
        train, held = Holdout(fraction=0).split(torch.tensor([0, 1, 1]), seed=0)
        assert (len(train), len(held)) == (3, 0)

    def test_depends_on_the_seed(self):
        labels = torch.arange(300) % 3
        one, again, other = (Holdout().split(labels, seed=seed)[1] for seed in (0, 0, 1))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    @pytest.mark.parametrize(("field", "value"), [("fraction", -0.1), ("fraction", 0.9), ("minimum", -1)])
    def test_refuses_what_is_out_of_range(self, field, value):
        with refusing(f"holdout.{field}", value):
            Holdout(**{field: value})
