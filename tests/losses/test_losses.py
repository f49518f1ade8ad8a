"""Prediction losses against hand-computed values, the library's loss, and finite differences."""

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from srat import losses
from srat.core.errors import UserError
from srat.core.members import members
from srat.losses import LDAM, CrossEntropy, Focal, Loss, ldam_margins

COUNTS = (1000, 100, 10)
EVERY_LOSS = [loss() for loss in members(Loss).values()]
OF_AN_EXAMPLE = [loss for loss in EVERY_LOSS if not loss.sees_batch]


@pytest.fixture
def logits(rng):
    return 4 * torch.randn(7, 3, generator=rng)


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 2, 0, 1, 2, 2])


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: loss.name)
class TestEveryLoss:
    def test_is_one_finite_number_per_example(self, loss, logits, labels):
        value = loss(logits, labels, COUNTS)
        assert value.shape == labels.shape
        assert value.isfinite().all()

    def test_leaves_the_logits_as_they_are(self, loss, logits, labels):
        before, version = logits.clone(), logits._version
        loss(logits, labels, COUNTS)
        assert logits._version == version
        assert torch.equal(logits, before)

    def test_leaves_counts_and_labels_as_they_are(self, loss, logits, labels):
        counts, as_tensor, before = list(COUNTS), torch.tensor(COUNTS), labels.clone()
        loss(logits, labels, counts)
        loss(logits, labels, as_tensor)
        assert counts == as_tensor.tolist() == list(COUNTS)
        assert torch.equal(labels, before)

    def test_waits_for_no_device(self, loss):
        """Tensors on "meta" have no contents to wait for."""
        there = {"device": "meta"}
        value = loss(torch.ones(7, 3, **there), torch.zeros(7, dtype=torch.long, **there), torch.ones(3, **there))
        assert value.shape == (7,)

    def test_stays_finite_with_extreme_logits(self, loss, labels):
        z = (1e4 * torch.eye(3)[labels]).requires_grad_()
        value = loss(z, labels, COUNTS)
        value.sum().backward()
        assert value.isfinite().all()
        assert z.grad.isfinite().all()

    def test_takes_counts_as_a_tensor(self, loss, logits, labels):
        torch.testing.assert_close(loss(logits, labels, torch.tensor(COUNTS)), loss(logits, labels, COUNTS))


@pytest.mark.parametrize("loss", OF_AN_EXAMPLE, ids=lambda loss: loss.name)
class TestEveryLossOfAnExample:
    def test_treats_examples_apart(self, loss, logits, labels):
        whole = loss(logits, labels, COUNTS)
        single = torch.cat([loss(z[None], y[None], COUNTS) for z, y in zip(logits, labels, strict=True)])
        torch.testing.assert_close(whole, single)

    def test_gradient(self, loss, logits, labels):
        z = logits.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda z: loss(z, labels, COUNTS), (z,))


def test_cross_entropy_by_hand():
    value = losses.cross_entropy(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]))
    assert value.item() == pytest.approx(-math.log(3 / 4))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_by_hand(gamma):
    # softmax of (log 3, 0) is (3/4, 1/4).
    z = torch.tensor([[math.log(3.0), 0.0]]).expand(2, 2)
    value = losses.focal(z, torch.tensor([0, 1]), gamma=gamma)
    expected = [-(0.25**gamma) * math.log(0.75), -(0.75**gamma) * math.log(0.25)]
    assert value.tolist() == pytest.approx(expected)


def test_focal_without_focus_is_cross_entropy(logits, labels):
    assert torch.equal(losses.focal(logits, labels, gamma=0.0), losses.cross_entropy(logits, labels))


def test_ldam_margins_by_hand():
    # n^(−1/4) of 10,000, 16 and 1 is 1/10, 1/2 and 1; the rarest class gets the largest margin.
    assert ldam_margins((10_000, 16, 1), max_margin=0.5).tolist() == pytest.approx([0.05, 0.25, 0.5])


def test_ldam_by_hand():
    value = losses.ldam(torch.tensor([[2.0, 1.0]]), torch.tensor([1]), class_counts=(16, 1), max_margin=0.5, scale=4.0)
    # Class 1 has margin 0.5, so its logit falls from 1 to 1 − 4 · 0.5 = −1.
    assert value.item() == pytest.approx(-math.log(math.exp(-1) / (math.exp(2) + math.exp(-1))))


def test_ldam_without_margin_is_cross_entropy(logits, labels):
    assert torch.equal(
        losses.ldam(logits, labels, COUNTS, max_margin=0.0), F.cross_entropy(logits, labels, reduction="none")
    )


def test_ldam_agrees_with_the_form_of_its_authors(logits, labels):
    # LDAM-DRW: x_m = x − m_y at the true class, cross_entropy(s · x_m), on cosines x = logits / s.
    s, cosines = 30.0, logits / 30.0
    margins = 0.5 * torch.tensor(COUNTS).pow(-0.25) / torch.tensor(COUNTS).pow(-0.25).max()
    shifted = torch.stack([x - F.one_hot(y, 3) * margins[y] for x, y in zip(cosines, labels, strict=True)])
    expected = F.cross_entropy(s * shifted, labels, reduction="none")
    torch.testing.assert_close(losses.ldam(logits, labels, COUNTS), expected)


def test_a_loss_is_made_of_its_own_settings(logits, labels):
    assert torch.equal(Focal(gamma=2.0)(logits, labels, COUNTS), losses.focal(logits, labels, 2.0))
    ours = LDAM(max_margin=0.3, scale=8.0)(logits, labels, COUNTS)
    torch.testing.assert_close(ours, losses.ldam(logits, labels, COUNTS, max_margin=0.3, scale=8.0))


def test_ldam_wants_a_cosine_head_of_its_scale():
    assert LDAM(scale=16.0).head.scale == 16.0
    assert CrossEntropy().head.name == Focal().head.name == "linear"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Focal(gamma=-1.0),
        lambda: LDAM(max_margin=-0.1),
        lambda: LDAM(scale=0.0),
        lambda: LDAM(max_margin=math.nan),
        lambda: losses.ldam(torch.zeros(1, 3), torch.tensor([0]), class_counts=(5, 0, 3)),
    ],
)
def test_refuses_what_is_out_of_range(make):
    with pytest.raises(UserError, match="expected"):
        make()


@pytest.mark.usefixtures("forked")
def test_every_loss_compiles_in_one_graph():
    """On its own: the checks of types that run in the tests are not for the compiler."""
    code = """
import torch
from srat.core.members import members
from srat.losses import Loss
z, y, n = torch.randn(8, 3), torch.arange(8) % 3, torch.tensor([100, 10, 1])
for kind in members(Loss).values():
    loss = kind()
    compiled = torch.compile(lambda z, y, n: loss(z, y, n), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(z, y, n), loss(z, y, n))
    torch._dynamo.reset()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
