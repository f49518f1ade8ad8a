"""Mistakes of data and of what is drawn of it; `planting` has them all."""

import numpy as np
import pytest
import torch
from planting import tiny

from srat.core.errors import UserError
from srat.core.members import choices, choose
from srat.data import Dataset, Holdout, select
from srat.data.sampling import ClassBalanced, Progressive, Sampling, SquareRoot
from srat.data.sources import tiny_imagenet
from srat.data.sources.tiny_imagenet import TinyImageNet
from srat.training import fitting

# 11. Ten tail images of validation decide.


def check_tail_is_held_out(split):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((1000, 1000, 30, 20))])
    counts = torch.bincount(labels[split(labels)], minlength=4)
    assert counts.min() >= 5


def test_11_every_class_is_held_out_in_a_minimum():
    check_tail_is_held_out(lambda labels: Holdout().split(labels, seed=0)[1])
    with pytest.raises(AssertionError):
        check_tail_is_held_out(lambda labels: Holdout(minimum=0).split(labels, seed=0)[1])
    with pytest.raises(AssertionError):
        check_tail_is_held_out(
            lambda labels: torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:205]
        )


def test_11_its_interval_is_shown():
    rows = fitting.fit(tiny()).history
    assert all(row["held_out_under_high"] - row["held_out_under_low"] > 0.05 for row in rows)


# 17. Images and labels of an imbalanced set out of step.


def check_in_step(keep):
    labels = torch.randint(3, (300,), generator=torch.Generator().manual_seed(0))
    images = labels.byte().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    kept = keep(Dataset(images, labels, tuple("abc")), (60, 20, 5))
    assert torch.equal(kept.images[:, 0, 0, 0].long(), kept.labels)
    assert kept.counts == (60, 20, 5)


def labels_by_class(dataset, counts):
    """Images in their order, labels written down class by class: the mistake of LDAM-DRW on SVHN."""
    kept = dataset.subset(select(dataset.labels, counts, seed=0))
    return Dataset(kept.images, torch.from_numpy(np.repeat(np.arange(3), counts)), kept.class_names)


def test_17_images_and_labels_stay_in_step():
    check_in_step(lambda dataset, counts: dataset.subset(select(dataset.labels, counts, seed=0)))
    with pytest.raises(AssertionError):
        check_in_step(labels_by_class)


# 38. A sampling's frequencies; losses and weights that are told another prior than is drawn.


def check_prior(sampling):
    labels = torch.tensor([0] * 60 + [1] * 9 + [2])
    for epoch in (0, 2, 4):
        order = sampling.order(labels, epoch=epoch, epochs=5, generator=torch.Generator().manual_seed(epoch))
        got = labels[order].bincount(minlength=3).tolist()
        told = sampling.drawn((60, 9, 1), epoch=epoch, epochs=5)
        assert max(abs(a - b) for a, b in zip(got, told, strict=True)) <= 1
        for label, total in enumerate(got):
            times = order.bincount(minlength=70)[labels == label]
            assert set(times.tolist()) <= {total // len(times), -(-total // len(times))}


class ToldOfAll(SquareRoot):
    """Tells of the examples that there are."""

    drawn = Sampling.drawn


class ToldOfTheStart(Progressive):
    """Tells of the first epoch alone."""

    def drawn(self, class_counts, *, epoch, epochs):
        return super().drawn(class_counts, epoch=0, epochs=epochs)


class WithReplacement(ClassBalanced):
    """Draws independently, so that an image may be missed for epochs."""

    def order(self, labels, *, epoch, epochs, generator):
        shares = 1 / labels.bincount()[labels]
        return torch.multinomial(shares, len(labels), replacement=True, generator=generator)


class BySquares(SquareRoot):
    """The more of the common classes."""

    def shares(self, class_counts, *, epoch, epochs):
        return class_counts**2

    def drawn(self, class_counts, *, epoch, epochs):
        return SquareRoot().drawn(class_counts, epoch=epoch, epochs=epochs)


def test_38_losses_are_told_what_is_drawn():
    for name in choices(Sampling):
        check_prior(choose(Sampling, name, "sampling"))
    for mistake in (ToldOfAll(), ToldOfTheStart(), WithReplacement(), BySquares()):
        with pytest.raises(AssertionError):
            check_prior(mistake)


# 41. Twenty classes under the name of Tiny-ImageNet.


def check_all_classes(root):
    """A folder of which a part of the classes is there is refused."""
    for c in range(20):
        (root / "train" / f"n{c:08d}" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="expected 200 classes, got 20"):
        TinyImageNet(dir=root, verify=False).train()
    assert TinyImageNet().classes == ()


def test_41_tiny_imagenet_has_200_classes(tmp_path, monkeypatch):
    check_all_classes(tmp_path / "ours")
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 20)
    with pytest.raises((AssertionError, UserError)):
        check_all_classes(tmp_path / "twenty")
