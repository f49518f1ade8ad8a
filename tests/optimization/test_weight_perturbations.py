"""Weight perturbations against loops over single numbers."""

import math

import pytest
import torch
from torch import nn

from srat.core.errors import UserError
from srat.optimization.weight_perturbations import AWP, NoPerturbation, adversarial_step


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.fc = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean(dim=(2, 3)))


@pytest.fixture
def net():
    return Net().train()


@pytest.fixture
def images():
    return torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def ascending(net, images, scale=1.0):
    labels = torch.arange(len(images)) % 2
    return lambda: (scale * nn.functional.cross_entropy(net(images), labels)).backward()


def moved_by(awp, net, images, scale=1.0, epoch=0):
    """Return w and w + v by name."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    with awp.perturbed(net, ascending(net, images, scale), epoch=epoch, epochs=10):
        return before, {name: p.detach().clone() for name, p in net.named_parameters()}


def test_a_step_by_hand():
    w, g = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, -2.0]])
    torch.testing.assert_close(adversarial_step(w, g, 0.1), torch.tensor([[0.0, -0.5]]))
    assert adversarial_step(w, 0 * g, 0.1).tolist() == [[0, 0]]
    assert adversarial_step(w, g * torch.inf, 0.1).tolist() == [[0, 0]]
    assert adversarial_step(w.half(), g.half(), 0.1).dtype == torch.float32
    torch.testing.assert_close(adversarial_step(w, 1024 * g, 0.1), adversarial_step(w, g, 0.1))
    with pytest.raises(UserError, match="gamma"):
        adversarial_step(w, g, -1.0)


def test_each_weight_moves_by_its_share_along_its_gradient(net, images):
    ascending(net, images)()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    before, during = moved_by(AWP(gamma=0.02), net, images)
    for name in ("conv.weight", "fc.weight"):
        w, g = before[name].flatten().tolist(), gradients[name].flatten().tolist()
        lengths = [math.sqrt(sum(x * x for x in each)) for each in (w, g)]
        expected = [a + 0.02 * lengths[0] * b / lengths[1] for a, b in zip(w, g, strict=True)]
        assert during[name].flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for name in ("conv.bias", "fc.bias", "norm.weight", "norm.bias"):
        assert torch.equal(before[name], during[name])


def test_it_is_upwards(net, images):
    labels = torch.arange(6) % 2
    loss = lambda: nn.functional.cross_entropy(net(images), labels).item()  # noqa: E731
    lower = loss()
    with AWP(gamma=0.05).perturbed(net, ascending(net, images), epoch=0, epochs=1):
        assert loss() > lower + 1e-3


def test_the_weights_come_back_to_the_bit_and_no_gradient_is_left(net, images):
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    with AWP(gamma=0.3).perturbed(net, ascending(net, images), epoch=0, epochs=1):
        assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())
    with pytest.raises(ZeroDivisionError), AWP(gamma=0.3).perturbed(net, ascending(net, images), epoch=0, epochs=1):
        raise ZeroDivisionError
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())


def after_a_step(net, images, perturbation):
    with perturbation.perturbed(net, ascending(net, images), epoch=0, epochs=1):
        ascending(net, images)()
    return {name: buffer.clone() for name, buffer in net.norm.named_buffers()}


def test_batch_norm_sees_each_batch_once(images):
    plain = after_a_step(Net().train(), images, NoPerturbation())
    at_weights = after_a_step(Net().train(), images, AWP(gamma=0.3))
    perturbed = after_a_step(Net().train(), images, AWP(gamma=0.3, statistics="perturbed"))
    assert all(torch.equal(plain[name], at_weights[name]) for name in plain)
    assert int(perturbed["num_batches_tracked"]) == 1
    assert not torch.allclose(perturbed["running_mean"], plain["running_mean"])


@pytest.mark.parametrize(("awp", "epoch"), [(AWP(gamma=0.0), 9), (AWP(start=0.5), 4)])
def test_nothing_is_done_without_a_length_or_before_the_start(awp, epoch, net):
    with awp.perturbed(net, lambda: pytest.fail("a gradient was taken"), epoch=epoch, epochs=10):
        pass


def test_it_begins_with_its_start(net, images):
    before, during = moved_by(AWP(start=0.5), net, images, epoch=5)
    assert not torch.equal(before["fc.weight"], during["fc.weight"])


def test_a_scaled_loss_perturbs_alike(images):
    _, one = moved_by(AWP(), Net().train(), images)
    _, scaled = moved_by(AWP(), Net().train(), images, scale=2.0**10)
    for name in one:
        torch.testing.assert_close(one[name], scaled[name])


def test_frozen_weights_stay(net, images):
    net.conv.weight.requires_grad_(False)
    before, during = moved_by(AWP(gamma=0.5), net, images)
    assert torch.equal(before["conv.weight"], during["conv.weight"])
    assert not torch.equal(before["fc.weight"], during["fc.weight"])


@pytest.mark.parametrize(("field", "value"), [("gamma", -0.1), ("start", 1.0)])
def test_refuses_what_is_out_of_range(field, value):
    with pytest.raises(UserError, match=rf"`weight_perturbation\.{field}`"):
        AWP(**{field: value})
