"""Which examples an epoch draws."""

import itertools
from collections import Counter

import pytest
import torch

from srat.data.sampling import ClassBalanced, Shuffled

LABELS = torch.tensor([2] * 50 + [0] * 7 + [5] * 3 + [1])[
    torch.randperm(61, generator=torch.Generator().manual_seed(3))
]


def drawn(sampling, seed=0, labels=LABELS):
    return sampling.order(labels, epoch=0, epochs=1, generator=torch.Generator().manual_seed(seed))


def test_shuffled_draws_each_once():
    assert torch.equal(drawn(Shuffled()), torch.randperm(61, generator=torch.Generator().manual_seed(0)))
    assert Shuffled().drawn((50, 7, 3)) == (50, 7, 3)


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
    assert ClassBalanced().drawn((50, 7, 3, 0)) == (20, 20, 20, 0)
