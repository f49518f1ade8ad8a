"""HARL against its letter, by autograd, and against what it implies."""

import pytest
import torch
from torch.nn import functional as F

from srat import losses
from srat.config.composition import compose
from srat.config.config import InnerMaximization
from srat.core.errors import UserError
from srat.losses import HARL
from srat.methods.objective import reduce_weighted


@pytest.fixture
def logits(rng):
    return (3 * torch.randn(16, 5, generator=rng)).double()


@pytest.fixture
def labels():
    """Classes of different sizes; class 3 is absent."""
    return torch.tensor([0] * 7 + [1] * 5 + [2] * 1 + [4] * 3)


def letter(logits, labels, factors, classes):
    """Return α · mean L_c + β · var L_c + γ · Σ (L_c / ΣL)² over some classes; an absent one has loss 0."""
    alpha, beta, gamma = factors
    entropy = F.cross_entropy(logits, labels, reduction="none")
    means = [entropy[labels == c].mean() if (labels == c).any() else entropy.new_zeros(()) for c in classes]
    mean, total = sum(means) / len(means), sum(means)
    variance = sum((each - mean) ** 2 for each in means) / len(means)
    return alpha * mean + beta * variance + gamma * sum((each / total) ** 2 for each in means)


def value_and_gradient(loss, logits):
    z = logits.clone().requires_grad_()
    value = loss(z)
    value.backward()
    return value.detach(), z.grad


@pytest.mark.parametrize("factors", [(0.1, 0.1, 0.1), (1.0, 0.3, 2.0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize(("absent_as_zero", "classes"), [(True, (0, 1, 2, 3, 4)), (False, (0, 1, 2, 4))])
def test_the_mean_has_the_letters_value_and_gradient(factors, absent_as_zero, classes, logits, labels):
    def ours(z):
        numbers = losses.harl(z, labels, *map(float, factors), floored=False, absent_as_zero=absent_as_zero)
        assert numbers.shape == labels.shape
        return reduce_weighted(numbers, torch.ones_like(numbers), "mean")

    value, gradient = value_and_gradient(ours, logits)
    expected, its_gradient = value_and_gradient(lambda z: letter(z, labels, factors, classes), logits)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, its_gradient)


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean"])
def test_both_reductions_of_equal_weights_are_the_mean(reduction, logits, labels):
    numbers = HARL()(logits, labels, (1,) * 5)
    value = reduce_weighted(numbers, torch.ones_like(numbers), reduction)
    torch.testing.assert_close(value, letter(logits, labels, (0.1, 0.1, 0.1), (0, 1, 2, 4)))


def class_weights(logits, labels, **options):
    """Return w_c, which a class's mean cross-entropy is multiplied by in the gradient."""
    _, gradient = value_and_gradient(lambda z: losses.harl(z, labels, **options).mean(), logits)
    _, plain = value_and_gradient(lambda z: F.cross_entropy(z, labels, reduction="sum"), logits)
    ratio = (gradient * plain).sum(dim=1) / plain.square().sum(dim=1)
    return torch.stack([ratio[labels == c].sum() for c in range(logits.shape[1])])


def of_losses(*values):
    """Return logits of two classes and more whose cross-entropies, class by class, are these."""
    count = len(values)
    wrong = torch.tensor(values).double().expm1().log() - torch.tensor(float(count - 1)).log()
    z = wrong[:, None].expand(count, count).clone()
    z[torch.arange(count), torch.arange(count)] = 0
    return z, torch.arange(count)


def test_class_weights_by_hand():
    # L = 1, 2, 6: L̄ = 3, S = 9, Σ(L/S)² = 41/81.
    z, y = of_losses(1.0, 2.0, 6.0)
    expected = [0.1 / 3 + 0.2 / 3 * (loss - 3) + 0.2 / 9 * (loss / 9 - 41 / 81) for loss in (1, 2, 6)]
    assert class_weights(z, y, floored=False).tolist() == pytest.approx(expected)
    assert min(expected) < 0


def test_the_letter_drives_easy_classes_up_and_the_floor_does_not():
    z, y = of_losses(*torch.linspace(0.4, 3.2, 10).tolist())
    letters = class_weights(z, y, floored=False)
    below = torch.linspace(0.4, 3.2, 10) < 1.8 - 0.5
    assert (letters[below] < 0).all()
    assert letters.min().item() == pytest.approx(-0.0195, abs=1e-3)
    assert letters.max().item() == pytest.approx(0.038, abs=1e-3)
    floored = class_weights(z, y)
    assert (floored >= -1e-12).all()
    assert torch.allclose(floored, letters.clamp(min=0))


def test_a_class_that_is_absent_changes_nothing(logits, labels):
    more = torch.cat((logits, torch.full((16, 3), -1e4).double()), dim=1)
    assert torch.equal(losses.harl(more, labels), losses.harl(logits, labels))
    assert not torch.allclose(
        losses.harl(more, labels, absent_as_zero=True), losses.harl(logits, labels, absent_as_zero=True)
    )


def test_a_batch_of_one_class():
    z, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), torch.full((4,), 2)
    entropy = losses.cross_entropy(z, y).mean()
    # No variance, and one share of 1.
    assert losses.harl(z, y).mean().item() == pytest.approx(0.1 * entropy.item() + 0.1)


def test_no_attack_maximises_what_is_of_the_batch():
    with pytest.raises(UserError, match=r"`inner.loss`: expected cross-entropy with harl.*got 'training'"):
        compose(loss="harl", inner=InnerMaximization(loss="training"))


@pytest.mark.parametrize("field", ["alpha", "beta", "gamma"])
def test_refuses_what_is_out_of_range(field, logits, labels):
    with pytest.raises(UserError, match=f"`loss.{field}`: expected 0 to 1,000"):
        HARL(**{field: -0.1})
    with pytest.raises(UserError, match=f"`{field}`: expected 0 to 1,000"):
        losses.harl(logits, labels, **{field: 1001.0})
