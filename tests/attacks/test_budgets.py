"""Budgets of each image's own: start, every step and end lie within them."""

import pytest
import torch

from srat.attacks import FGSM, PGD, Natural
from srat.core.errors import UserError

SCALE = torch.tensor([0.0, 0.5, 1.0, 1.7, 3.0])
ATTACKS = [
    PGD(epsilon=0.05, step_size=0.02, steps=4),
    PGD(epsilon=0.05, step_size=0.02, steps=4, restarts=2),
    PGD(norm="l2", epsilon=0.5, step_size=0.2, steps=4),
    FGSM(epsilon=0.05),
    FGSM(epsilon=0.05, random_start=True),
]


@pytest.fixture
def images():
    return 0.3 + 0.4 * torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def length(attack, delta):
    flat = delta.flatten(1)
    return flat.abs().amax(dim=1) if getattr(attack, "norm", "linf") == "linf" else flat.norm(dim=1)


def rng():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_point_is_within_its_own_ball(attack, images):
    seen = []

    def loss_at(x):
        seen.append(x.detach())
        return (x * torch.linspace(-1, 1, x[0].numel()).view_as(x[0])).flatten(1).sum(1)

    end = attack(loss_at, images, generator=rng(), scale=SCALE)
    for x in (*seen, end):
        assert (length(attack, x - images) <= attack.epsilon * SCALE + 1e-6).all()
    # The linear loss is largest on the boundary of each ball.
    assert length(attack, end - images) == pytest.approx(attack.epsilon * SCALE, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_scale_is_an_attack_of_that_size(attack, images):
    from dataclasses import replace

    def loss_at(x):
        return x.square().flatten(1).sum(1).sin()

    twice = replace(attack, epsilon=2 * attack.epsilon)
    twice = replace(twice, step_size=2 * attack.step_size) if attack.step_size else twice
    ours = attack(loss_at, images, generator=rng(), scale=torch.full((5,), 2.0))
    torch.testing.assert_close(ours, twice(loss_at, images, generator=rng()))
    ones = attack(loss_at, images, generator=rng(), scale=torch.ones(5))
    torch.testing.assert_close(ones, attack(loss_at, images, generator=rng()))


def test_no_attack_has_no_budget(images):
    assert Natural()(lambda x: x.sum((1, 2, 3)), images, generator=rng(), scale=SCALE) is images


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (torch.ones(4), "expected one number for each of 5 images, got 4"),
        (torch.tensor([1.0, 1, 1, 1, -1]), "expected finite numbers, 0 or more"),
        (torch.tensor([1.0, 1, 1, 1, torch.inf]), "scale"),
    ],
)
def test_refuses_what_is_no_scale(scale, said, images):
    with pytest.raises(UserError, match=said):
        ATTACKS[0](lambda x: x.sum((1, 2, 3)), images, generator=rng(), scale=scale)
