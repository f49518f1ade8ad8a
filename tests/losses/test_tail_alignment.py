"""REAT's tail alignment: against double loops, KLDivLoss, finite differences; its tail by counts."""

import math

import pytest
import torch
from torch.nn import functional as F

from srat.core.errors import UserError
from srat.feature_losses import TailAlignment, in_tail, tail_alignment

COUNTS = [500, 300, 120, 90, 60, 40, 30, 12, 7, 3]


def by_loops(features, labels, counts, *, tail, reduction="sum"):
    """The formula, letter by letter, in Python's numbers."""
    probabilities = [row.softmax(0).tolist() for row in features.double()]
    v = [math.sqrt(sum(counts) / n) for n in counts]
    size, dimensions = features.shape
    values = []
    for i in range(size):
        total = 0.0
        for j in range(size):
            kl = sum(p * math.log(p / q) for p, q in zip(probabilities[i], probabilities[j], strict=True))
            sign = -1 if labels[i] == labels[j] else 1
            total += sign * (v[labels[i]] + v[labels[j]]) * kl
        mean = total / size if reduction == "sum" else total / (size * dimensions)
        values.append(mean if int(labels[i]) in tail else 0.0)
    return values


def plain(features, labels, counts, tail):
    """The mean over anchors pair by pair, each pair by PyTorch, the anchor detached."""
    v = (sum(counts) / torch.tensor(counts, dtype=features.dtype)).sqrt()
    anchors = [i for i in range(len(labels)) if int(labels[i]) in tail]
    total = features.new_zeros(())
    for i in anchors:
        for j in range(len(labels)):
            p, log_q = features[i].detach().softmax(0), features[j].log_softmax(0)
            sign = -1 if labels[i] == labels[j] else 1
            total = total + sign * (v[labels[i]] + v[labels[j]]) * F.kl_div(log_q, p, reduction="sum")
    return total / (len(anchors) * len(labels))


@pytest.fixture
def features():
    return 2 * torch.randn(24, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([0] * 6 + [1, 2, 3, 4, 5, 6] * 2 + [7, 7, 8, 9, 9, 9])


@pytest.mark.parametrize("reduction", ["sum", "reat"])
def test_against_loops(features, reduction):
    values = tail_alignment(features, LABELS, COUNTS, reduction=reduction)
    wanted = by_loops(features, LABELS, COUNTS, tail={7, 8, 9}, reduction=reduction)
    assert values.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    term = TailAlignment(reduction=reduction)(features, LABELS, None, COUNTS)
    assert torch.equal(term.values, values)
    assert term.counts.tolist() == [int(y) >= 7 for y in LABELS]


def test_the_authors_reduction_is_that_of_kldivloss(features):
    """Of one anchor and one other example, of equal counts: (1 + 1) · √2 · KLDivLoss's mean over B · d elements."""
    two, labels = features[:2], torch.tensor([0, 1])
    values = tail_alignment(two, labels, [4, 4], reduction="reat")
    p, log_q = two[:1].softmax(1).expand(2, -1), two.log_softmax(1)
    assert values[0].item() == pytest.approx(2 * math.sqrt(2) * F.kl_div(log_q, p, reduction="none").mean().item())


def test_the_gradient_is_that_of_the_pairs_with_detached_anchors(features):
    features.requires_grad_()
    term = TailAlignment()(features, LABELS, None, COUNTS)
    ours = term.values.sum() / term.counts.sum()
    theirs = plain(features, LABELS, COUNTS, {7, 8, 9})
    torch.testing.assert_close(ours, theirs)
    (one,), (other,) = (torch.autograd.grad(value, features) for value in (ours, theirs))
    torch.testing.assert_close(one, other)
    assert one.abs().amax(dim=1).min() > 0  # of each example, rare or not


def test_gradcheck_where_nothing_is_detached(features):
    """An example that is no anchor is moved along the slope that finite differences show."""
    rest = features[12:]

    def others(moved):
        return tail_alignment(torch.cat((moved, rest)), LABELS, COUNTS)

    assert torch.autograd.gradcheck(others, (features[:12].requires_grad_(),))


def test_what_it_does_to_a_pair():
    """Minimised, it draws another class's feature to the rare anchor, and drives one of its own class away."""
    anchor, other = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    for label, drawn in ((0, True), (1, False)):
        moving = other.clone().requires_grad_()
        tail_alignment(torch.cat((anchor, moving)), torch.tensor([1, label]), [100, 1])[0].backward()
        kl = F.kl_div((other - 0.01 * moving.grad).log_softmax(1), anchor.softmax(1), reduction="sum")
        before = F.kl_div(other.log_softmax(1), anchor.softmax(1), reduction="sum")
        assert (kl < before) == drawn


@pytest.mark.parametrize(
    ("counts", "tail"),
    [
        (COUNTS, {7, 8, 9}),
        (COUNTS[::-1], {0, 1, 2}),
        ([5000] * 5 + [50] * 5, {5, 6, 7, 8, 9}),  # those that tie are in it, too
        ([100, 1], {1}),
        ([1, 100], {0}),
        ([9, 5, 7], {1}),
        ([3] * 4, {0, 1, 2, 3}),
        (list(range(100, 0, -1)), set(range(67, 100))),
    ],
)
def test_the_tail_is_the_last_third_by_count(counts, tail):
    assert set(in_tail(counts).nonzero()[:, 0].tolist()) == tail


@pytest.mark.parametrize("counts", [COUNTS, [50] * 4 + [5] * 6])
def test_permuted_classes_permute_the_results(features, counts):
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
    permuted = [0] * 10
    for c in range(10):
        permuted[order[c]] = counts[c]
    values = tail_alignment(features, LABELS, counts)
    torch.testing.assert_close(tail_alignment(features, order[LABELS], permuted), values)
    assert values.any()


def test_no_argument_is_changed(features):
    counts, version, labels = list(COUNTS), features._version, LABELS.clone()
    of_tensor = torch.tensor(COUNTS)
    tail_alignment(features, labels, counts)
    tail_alignment(features, labels, of_tensor)
    assert (counts, features._version) == (COUNTS, version)
    assert torch.equal(labels, LABELS)
    assert of_tensor.tolist() == COUNTS


def test_single_precision_holds_differences_of_many_dimensions():
    """Logarithms near −ln 512, of which differences matter: seen from their mean they are exact to more digits."""
    features = torch.rand(128, 512, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = tail_alignment(features, torch.arange(128) % 10, COUNTS)
    ours = tail_alignment(features.float(), torch.arange(128) % 10, COUNTS).double()
    torch.testing.assert_close(ours, exact, rtol=0, atol=1.2e-5)


def test_half_precision_is_computed_in_full(features):
    halves = features.bfloat16()
    exact = tail_alignment(halves.float(), LABELS, COUNTS)
    assert torch.equal(tail_alignment(halves, LABELS, COUNTS), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tail_alignment(halves.float(), LABELS, COUNTS), exact)


def test_without_an_anchor_it_is_zero_with_a_zero_gradient(features):
    features.requires_grad_()
    term = TailAlignment()(features[:6], LABELS[:6], None, COUNTS)
    term.values.sum().backward()
    assert not term.counts.any()
    assert features.grad.abs().max() == 0


def test_an_anchor_alone_is_at_zero():
    assert tail_alignment(torch.randn(1, 3), torch.tensor([1]), [9, 1]).tolist() == [pytest.approx(0.0, abs=1e-6)]


def test_no_pair_is_kept():
    """Memory grows in a line with the batch."""
    from srat.training.memory_estimate import Footprint

    peaks = []
    for size in (2_000, 4_000):
        features = torch.randn(size, 4, requires_grad=True)
        with Footprint() as footprint:
            tail_alignment(features, torch.arange(size) % 10, COUNTS).sum().backward()
        peaks.append(footprint.peak)
    assert peaks[1] < 2.2 * peaks[0]


def test_refuses_what_has_no_meaning(features):
    with pytest.raises(UserError, match=r"labels: expected integers from 0 to 9, got 0 to 10"):
        tail_alignment(features, LABELS + (LABELS == 9), COUNTS)
    with pytest.raises(UserError, match="at least 1 in each class, got 0 in class 9"):
        tail_alignment(features, LABELS, [*COUNTS[:9], 0])
    with pytest.raises(UserError, match="class_counts: expected the examples of each class, got none"):
        TailAlignment()(features, LABELS)
