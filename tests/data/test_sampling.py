"""Which examples an epoch draws."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from refusals import refusing
from srat.core.members import choices, choose
from srat.data.sampling import ClassBalanced, EffectiveNumberSampling, Progressive, Sampling, Shuffled, SquareRoot

LABELS = torch.tensor([2] * 50 + [0] * 7 + [5] * 3 + [1])[
    torch.randperm(61, generator=torch.Generator().manual_seed(3))
]


def drawn(sampling, seed=0, labels=LABELS, epoch=0, epochs=1):
    return sampling.order(labels, epoch=epoch, epochs=epochs, generator=torch.Generator().manual_seed(seed))


def told(sampling, counts, epoch=0, epochs=1):
    return sampling.drawn(counts, epoch=epoch, epochs=epochs)


def test_shuffled_draws_each_once():
    assert torch.equal(drawn(Shuffled()), torch.randperm(61, generator=torch.Generator().manual_seed(0)))
    assert told(Shuffled(), (50, 7, 3)) == (50, 7, 3)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_draws_as_many_of_each_class(seed):
    order = drawn(ClassBalanced(), seed)
    counts = Counter(LABELS[order].tolist())
    assert len(order) == 61
    assert set(counts) == {0, 1, 2, 5}
    assert set(counts.values()) == {15, 16}
    for label, count in counts.items():
        there = (label == LABELS).sum().item()
        times = torch.bincount(order, minlength=61)[label == LABELS]
        assert set(times.tolist()) <= {count // there, -(-count // there)}


def test_balanced_does_not_draw_class_after_class():
    labels = LABELS[drawn(ClassBalanced())].tolist()
    assert sum(a != b for a, b in itertools.pairwise(labels)) > 30


def test_another_generator_draws_another_order():
    assert torch.equal(drawn(ClassBalanced(), 1), drawn(ClassBalanced(), 1))
    assert not torch.equal(drawn(ClassBalanced(), 1), drawn(ClassBalanced(), 2))


def test_which_classes_have_one_more_is_drawn_too():
    counts = [Counter(LABELS[drawn(ClassBalanced(), seed)].tolist()) for seed in range(20)]
    assert len({max(count, key=count.get) for count in counts}) > 1


def test_losses_and_weights_are_told_what_is_drawn():
    assert told(ClassBalanced(), (50, 7, 3, 0)) == (20, 20, 20, 0)


# Each share by its own formula, over counts that NumPy knows.
EPOCH, EPOCHS = 3, 11
COUNTS = np.array([50.0, 7.0, 3.0, 1.0])
SHARES = {
    SquareRoot(): np.sqrt(COUNTS),
    EffectiveNumberSampling(beta=0.9): COUNTS * 0.1 / (1 - 0.9**COUNTS),
    EffectiveNumberSampling(beta=0.0): COUNTS,
    EffectiveNumberSampling(beta=1 - 1e-12): np.ones(4),
    Progressive(): 0.7 * COUNTS / 61 + 0.3 / 4,
}
PRESENT = [2, 0, 5, 1]


@pytest.mark.parametrize("sampling", SHARES)
@pytest.mark.parametrize("seed", range(4))
def test_each_image_is_drawn_as_often_as_its_class_has_quota(sampling, seed):
    order = drawn(sampling, seed, epoch=EPOCH, epochs=EPOCHS)
    expected = SHARES[sampling] / SHARES[sampling].sum() * 61
    assert len(order) == 61
    for label, count, quota in zip(PRESENT, COUNTS.astype(int), expected, strict=True):
        times = torch.bincount(order, minlength=61)[label == LABELS]
        total = int(times.sum())
        assert np.floor(quota + 1e-9) <= total <= np.ceil(quota - 1e-9)
        assert set(times.tolist()) <= {total // count, -(-total // count)}


@pytest.mark.parametrize("sampling", SHARES)
def test_the_mean_over_epochs_is_the_share(sampling):
    expected = SHARES[sampling] / SHARES[sampling].sum() * 61
    orders = [drawn(sampling, seed, epoch=EPOCH, epochs=EPOCHS) for seed in range(600)]
    mean = torch.stack([LABELS[order].bincount(minlength=6) for order in orders]).double().mean(0)
    assert mean[PRESENT].numpy() == pytest.approx(expected, abs=4 * 0.5 / 600**0.5)
    assert mean.sum() == pytest.approx(61)


@pytest.mark.parametrize("sampling", SHARES)
def test_losses_and_weights_are_told_the_counts_of_this_very_epoch(sampling):
    expected = SHARES[sampling] / SHARES[sampling].sum() * 61
    counts = told(sampling, (7, 1, 50, 0, 0, 3), epoch=EPOCH, epochs=EPOCHS)
    assert counts[3] == counts[4] == 0
    assert [counts[c] for c in (2, 0, 5, 1)] == [max(1, round(x)) for x in expected]


def test_progressive_begins_shuffled_and_ends_balanced():
    first, last = (drawn(Progressive(), epoch=epoch, epochs=11) for epoch in (0, 10))
    assert sorted(first.tolist()) == list(range(61))
    assert set(Counter(LABELS[last].tolist()).values()) == {15, 16}
    assert told(Progressive(), (50, 7, 3), epoch=0, epochs=11) == (50, 7, 3)
    assert told(Progressive(), (50, 7, 3), epoch=10, epochs=11) == (20, 20, 20)
    assert told(Progressive(), (50, 7, 3), epoch=0, epochs=1) == (50, 7, 3)


def test_a_class_that_is_hardly_ever_drawn_is_told_as_one():
    assert told(SquareRoot(), (10**6, 1)) == (999002, 999)
    assert told(EffectiveNumberSampling(beta=0.0), (10**6, 1)) == (10**6, 1)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 2.0])
def test_beta_is_checked(beta):
    with refusing("sampling.beta", beta):
        EffectiveNumberSampling(beta=beta)


class TestEverySampling:
    @pytest.fixture(params=choices(Sampling))
    def sampling(self, request):
        return choose(Sampling, request.param, "sampling")

    def test_draws_as_many_as_there_are_and_what_it_tells(self, sampling):
        counts = tuple(LABELS.bincount().tolist())
        for epoch in (0, 2, 4):
            order = drawn(sampling, epoch=epoch, epochs=5)
            assert len(order) == 61
            got = LABELS[order].bincount(minlength=6)
            assert (got - torch.tensor(told(sampling, counts, epoch, 5))).abs().max() <= 1

    def test_its_order_follows_from_the_generator(self, sampling):
        assert torch.equal(drawn(sampling, 1), drawn(sampling, 1))
        assert not torch.equal(drawn(sampling, 1), drawn(sampling, 2))

    def test_has_no_class_after_another(self, sampling):
        labels = LABELS.sort().values
        order = drawn(sampling, labels=labels)
        assert not torch.equal(order, order.sort().values)

    def test_leaves_the_labels_alone(self, sampling):
        before = LABELS.clone()
        drawn(sampling)
        assert torch.equal(LABELS, before)
