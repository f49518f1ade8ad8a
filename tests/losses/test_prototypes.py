"""The separation loss with a prototype of each class, against loops; the prototypes as running means."""

import math

import pytest
import torch

from srat.core.errors import UserError
from srat.feature_losses import PrototypeSeparation, QueuedSeparation, Separation
from srat.feature_losses.prototype_separation_loss import Prototypes


def prototypes_of(steps, *, classes, dimensions, momentum=0.9, normalize=True):
    """Return the prototypes after some steps, by loops in Python's numbers; None of a class that never came."""
    means = [None] * classes
    for features, labels in steps:
        for c in range(classes):
            rows = [x.tolist() for x, y in zip(features.double(), labels.tolist(), strict=True) if y == c]
            if not rows:
                continue
            if normalize:
                rows = [[value / math.sqrt(dot(row, row)) for value in row] for row in rows]
            mean = [sum(row[k] for row in rows) / len(rows) for k in range(dimensions)]
            before = means[c]
            means[c] = (
                mean if before is None else [momentum * before[k] + (1 - momentum) * mean[k] for k in range(dimensions)]
            )
    return means


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def naive(z, labels, prototypes, temperature, *, normalize=True):
    """Return the loss of each anchor of the batch by loops over batch and prototypes."""

    def direction(row):
        length = math.sqrt(dot(row, row)) if normalize else 1.0
        return [value / length for value in row]

    everyone = [(direction(x.tolist()), y) for x, y in zip(z.double(), labels.tolist(), strict=True)]
    everyone += [(direction(p), c) for c, p in enumerate(prototypes) if p is not None]
    losses = []
    for i, (anchor, label) in enumerate(everyone[: len(z)]):
        others = [(dot(anchor, x) / temperature, c) for j, (x, c) in enumerate(everyone) if j != i]
        total = math.log(sum(math.exp(s) for s, _ in others))
        terms = [s - total for s, c in others if c == label]
        losses.append(-sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(losses, dtype=torch.float64)


def steps(count=4, classes=4):
    """Return batches of some steps; the last class never comes."""
    draw = torch.Generator().manual_seed(0)
    for size in range(3, 3 + count):
        yield torch.randn(size, 3, generator=draw), torch.randint(classes, (size,), generator=draw)


def remembered(**options):
    prototypes = Prototypes(5, 3, **{"momentum": 0.9, "normalize": True} | options)
    for features, labels in steps():
        prototypes.remember(features, labels)
    return prototypes


BATCH = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 0, 1, 3, 4])


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("normalize", [True, False])
def test_they_are_running_means_of_what_came(momentum, normalize):
    prototypes = remembered(momentum=momentum, normalize=normalize)
    wanted = prototypes_of(steps(), classes=5, dimensions=3, momentum=momentum, normalize=normalize)
    assert prototypes.labels.tolist() == [-1 if p is None else c for c, p in enumerate(wanted)]
    assert wanted[4] is None
    for row, p in zip(prototypes.features, wanted, strict=True):
        torch.testing.assert_close(row, torch.zeros(3) if p is None else torch.tensor(p))


@pytest.mark.parametrize("normalize", [True, False])
def test_against_loops(normalize):
    loss = PrototypeSeparation(temperature=0.5, normalize=normalize)
    term = loss(*BATCH, remembered(normalize=normalize))
    wanted = prototypes_of(steps(), classes=5, dimensions=3, normalize=normalize)
    torch.testing.assert_close(
        term.values, naive(*BATCH, wanted, 0.5, normalize=normalize).float(), rtol=1e-4, atol=1e-5
    )
    # Alone in the batch are classes 1, 3 and 4; of these only 4 has never come.
    assert term.counts.tolist() == [True, True, True, True, False]


def test_without_any_it_is_the_loss_of_the_batch():
    loss = PrototypeSeparation()
    term, plain = loss(*BATCH, loss.memory(dimensions=3, classes=5)), Separation()(*BATCH)
    torch.testing.assert_close(term.values, plain.values)
    assert torch.equal(term.counts, plain.counts)


def test_each_anchor_of_a_class_that_came_has_a_positive():
    labels = torch.arange(4)  # one of each: in the batch itself nobody has
    features, prototypes = torch.randn(4, 3), remembered()
    assert PrototypeSeparation()(features, labels, prototypes).counts.all()
    assert not Separation()(features, labels).counts.any()


def test_the_gradient_goes_through_the_batch_alone():
    prototypes = remembered().double()
    z = BATCH[0].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: PrototypeSeparation()(z, BATCH[1], prototypes).values, (z,))
    prototypes.remember(z, BATCH[1])
    assert not any(tensor.requires_grad for tensor in prototypes.buffers())


def test_halves_are_remembered_in_full():
    prototypes, exact = remembered(), remembered()
    features = BATCH[0].bfloat16()
    prototypes.remember(features, BATCH[1])
    exact.remember(features.float(), BATCH[1])
    assert prototypes.features.dtype == torch.float32
    assert torch.equal(prototypes.features, exact.features)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_is_not_finite_is_passed_over(odd, normalize):
    prototypes, wanted = remembered(normalize=normalize), remembered(normalize=normalize)
    features = BATCH[0].clone()
    features[0, 1], features[4] = odd, odd
    prototypes.remember(features, BATCH[1])
    wanted.remember(BATCH[0][1:4], BATCH[1][1:4])
    assert torch.equal(prototypes.features, wanted.features)
    assert torch.equal(prototypes.labels, wanted.labels)


def test_features_of_length_zero_leave_all_finite():
    prototypes = Prototypes(2, 3, momentum=0.9, normalize=True)
    prototypes.remember(torch.zeros(2, 3), torch.tensor([0, 1]))
    z = torch.zeros(2, 3, requires_grad=True)
    PrototypeSeparation()(z, torch.tensor([0, 1]), prototypes).values.sum().backward()
    assert z.grad.isfinite().all()


def test_they_are_part_of_the_runs_state():
    memory = PrototypeSeparation().memory(dimensions=3, classes=4)
    assert {name: tuple(t.shape) for name, t in memory.state_dict().items()} == {"features": (4, 3), "labels": (4,)}
    settings = PrototypeSeparation(momentum=0.3, normalize=False).memory(dimensions=3, classes=4)
    assert (settings.momentum, settings.normalize) == (0.3, False)
    again = PrototypeSeparation().memory(dimensions=3, classes=5)
    again.load_state_dict(remembered().state_dict())
    for prototypes in (again, expected := remembered()):
        prototypes.remember(*BATCH)
    assert torch.equal(again.features, expected.features)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_refuses_a_momentum_that_is_none(momentum):
    with pytest.raises(UserError) as error:
        PrototypeSeparation(momentum=momentum)
    assert (error.value.field, error.value.got) == ("feature_loss.momentum", momentum)


def test_refuses_another_memory():
    with pytest.raises(UserError, match="expected the prototypes"):
        PrototypeSeparation()(*BATCH)
    with pytest.raises(UserError, match="expected the queue"):
        QueuedSeparation()(*BATCH, remembered())
