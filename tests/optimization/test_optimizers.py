"""Optimisers: fused ones of torch against the formulas written out."""

import pytest
import torch
from torch import nn

from srat.core.errors import UserError
from srat.optimization.optimizers import SGD, AdamW


def moved(optimizer, gradients):
    """Return a parameter after steps along given gradients."""
    parameter = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))
    made = optimizer.make([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        made.step()
    return parameter.detach()


@pytest.fixture
def gradients():
    return list(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(gradients, nesterov):
    w, v = torch.tensor([0.5, -2.0, 3.0]), torch.zeros(3)
    for g in gradients:
        g = g + 0.1 * w
        v = 0.8 * v + g
        w = w - 0.03 * (g + 0.8 * v if nesterov else v)
    ours = moved(SGD(learning_rate=0.03, momentum=0.8, weight_decay=0.1, nesterov=nesterov), gradients)
    torch.testing.assert_close(ours, w)


def test_adamw(gradients):
    w, m, v = torch.tensor([0.5, -2.0, 3.0]), torch.zeros(3), torch.zeros(3)
    for t, g in enumerate(gradients, start=1):
        w = w - 0.03 * 0.2 * w  # decay is apart from the gradient's moments
        m, v = 0.7 * m + 0.3 * g, 0.9 * v + 0.1 * g * g
        w = w - 0.03 * (m / (1 - 0.7**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-4)
    ours = moved(AdamW(learning_rate=0.03, beta1=0.7, beta2=0.9, stability=1e-4, weight_decay=0.2), gradients)
    torch.testing.assert_close(ours, w)


def test_momentum_begins_at_zero_where_a_first_step_may_be_left_out():
    parameter = nn.Parameter(torch.ones(3))
    made = SGD().make([parameter], scaled=True)
    assert torch.equal(made.state[parameter]["momentum_buffer"], torch.zeros(3))
    assert not SGD().make([parameter]).state


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (SGD, "learning_rate", 0.0),
        (SGD, "momentum", 1.0),
        (SGD, "weight_decay", -1.0),
        (AdamW, "learning_rate", -1.0),
        (AdamW, "beta1", 1.0),
        (AdamW, "beta2", -0.1),
        (AdamW, "stability", 0.0),
        (AdamW, "weight_decay", 1e4),
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    with pytest.raises(UserError, match=rf"optimizer\.{field}.* got {value:g}"):
        kind(**{field: value})
    with pytest.raises(UserError, match="nesterov"):
        SGD(nesterov=True, momentum=0.0)
