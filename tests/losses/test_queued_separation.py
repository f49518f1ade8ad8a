"""The separation loss with a queue of earlier features, against loops; the queue as a ring."""

import math
from collections import deque

import pytest
import torch
from torch.nn import functional as F

from srat.core.errors import UserError
from srat.feature_losses import QueuedSeparation, Separation
from srat.feature_losses.queued_separation_loss import Queue
from srat.feature_losses.separation_loss import separation_of


def naive(z, labels, queued, queued_labels, temperature):
    """Return the loss of each anchor of the batch by loops over batch and queue."""
    z, queued = F.normalize(z, dim=1), F.normalize(queued, dim=1)
    everyone = [*zip(z, labels.tolist(), strict=True), *zip(queued, queued_labels.tolist(), strict=True)]
    losses = []
    for i, (anchor, label) in enumerate(everyone[: len(z)]):
        others = [(x, c) for j, (x, c) in enumerate(everyone) if j != i and c >= 0]
        positive = [x for x, c in others if c == label]
        total = sum(math.exp(float(anchor @ x) / temperature) for x, _ in others)
        terms = [math.log(math.exp(float(anchor @ x) / temperature) / total) for x in positive]
        losses.append(-sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(losses)


@pytest.fixture
def filled():
    draw = torch.Generator().manual_seed(0)
    queue = Queue(6, 3)
    queue.remember(torch.randn(4, 3, generator=draw), torch.tensor([0, 1, 1, 3]))
    return queue


BATCH = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 0, 1, 2, 3])


def test_against_loops(filled):
    term = QueuedSeparation(temperature=0.5, size=6)(*BATCH, filled)
    torch.testing.assert_close(term.values, naive(*BATCH, filled.features, filled.labels, 0.5))
    # Class 2 has nobody, class 3 only the queue.
    assert term.counts.tolist() == [True, True, True, False, True]


def test_the_gradient_goes_through_the_batch_alone(filled):
    z = BATCH[0].double().requires_grad_()
    others = filled.features.double(), filled.labels

    def losses(z):
        return separation_of(z, BATCH[1], 0.5, normalize=True, others=others)

    assert torch.autograd.gradcheck(losses, (z,))


def test_in_parts_as_at_once(filled, monkeypatch):
    from srat.feature_losses import separation_loss

    def both():
        z = BATCH[0].clone().requires_grad_()
        values = QueuedSeparation()(z, BATCH[1], filled).values
        values.sum().backward()
        return values.detach(), z.grad

    whole = both()
    monkeypatch.setattr(separation_loss, "_CHUNK", 25)  # two anchors at a time
    for one, other in zip(both(), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_an_empty_queue_is_the_loss_of_the_batch():
    term, plain = QueuedSeparation(size=4)(*BATCH, Queue(4, 3)), Separation()(*BATCH)
    torch.testing.assert_close(term.values, plain.values)
    assert torch.equal(term.counts, plain.counts)


def test_the_queue_keeps_the_last(filled):
    queue, kept = Queue(5, 2), deque(maxlen=5)
    draw = torch.Generator().manual_seed(2)
    for size in (3, 4, 1, 9, 2, 5):
        features, labels = torch.randn(size, 2, generator=draw), torch.randint(9, (size,), generator=draw)
        queue.remember(features, labels)
        kept.extend((tuple(row.tolist()), label) for row, label in zip(features, labels.tolist(), strict=True))
        there = [(tuple(r.tolist()), c) for r, c in zip(queue.features, queue.labels.tolist(), strict=True) if c >= 0]
        assert sorted(there) == sorted(kept)


def test_what_it_remembers_is_part_of_its_state():
    assert set(QueuedSeparation(size=7).memory(dimensions=3, classes=4).state_dict()) == {
        "features",
        "labels",
        "oldest",
    }
    assert Separation().memory(dimensions=3, classes=4) is None


def test_refuses_a_queue_of_nothing():
    with pytest.raises(UserError) as error:
        QueuedSeparation(size=0)
    assert (error.value.field, error.value.got) == ("feature_loss.size", 0)


def test_features_that_are_no_numbers_are_not_remembered():
    queue = Queue(4, 2)
    queue.remember(torch.tensor([[1.0, 0.0], [math.nan, 1.0], [math.inf, 0.0]]), torch.tensor([0, 1, 1]))
    assert queue.labels.tolist() == [0, -1, -1, -1]
    loss = QueuedSeparation(size=4)(torch.eye(2), torch.tensor([0, 1]), queue)
    assert loss.values.isfinite().all()
