"""Budgets of each image's own: start, every step and end lie within them; and by class and epoch."""

import math

import pytest
import torch

from srat.attacks import FGSM, PGD, Natural
from srat.attacks.budgets import ClassWise, RobustLT, UniformBudget, class_wise, robustlt
from srat.core.errors import UserError
from srat.data.imbalance import exponential_counts, step_counts

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


# By class and epoch.

EXP_10, EXP_50, EXP_100 = (exponential_counts([5000] * 10, ratio=ratio) for ratio in (10, 50, 100))
STEP_10, STEP_100 = (step_counts([5000] * 10, ratio=ratio) for ratio in (10, 100))


def test_class_wise_goes_from_end_to_end_by_the_root_of_the_logarithm():
    scales = class_wise([1000, 100, 10], head=0.5, tail=1.5)
    assert scales.tolist() == pytest.approx([0.5, 0.5 + math.sqrt(0.5), 1.5])
    assert class_wise([10, 1000], cap=1.2).tolist() == pytest.approx([1.2, 0.7])
    assert class_wise([7, 7, 7]).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "least", "largest"),
    [(EXP_10, 0.70, 1.38), (EXP_50, 0.70, 1.61), (EXP_100, 0.70, 1.73), (STEP_10, 0.70, 4.0), (STEP_100, 0.70, 31.0)],
)
def test_robustlts_numbers(counts, least, largest):
    scales = robustlt(counts)
    assert float(scales.min()) == pytest.approx(least, abs=0.005)
    assert float(scales.max()) == pytest.approx(largest, abs=0.006)
    n = torch.tensor(counts).double()
    assert float((n * scales).sum() / n.sum()) == pytest.approx(1)


def test_between_the_same_ends_the_two_forms_are_one():
    theirs = robustlt(EXP_50)
    ours = class_wise(EXP_50, head=float(theirs.min()), tail=float(theirs.max()))
    assert ours.tolist() == pytest.approx(theirs.tolist())
    assert ours.tolist() == pytest.approx(class_wise(EXP_50).tolist(), abs=0.015)


def test_robustlt_is_refused_where_it_explodes():
    with pytest.raises(
        UserError, match=r"`budget` robustlt: expected at most 2 times ε for every class, got 31"
    ) as told:
        RobustLT().scales(STEP_100, 0, epochs=10)
    assert "\n" not in str(told.value)
    assert RobustLT(most=40).scales(STEP_100, 0, epochs=10) is not None
    assert float(ClassWise().scales(STEP_100, 0, epochs=10).max()) == pytest.approx(1.6)


def test_a_budget_is_made_of_its_own_settings():
    def scales(budget):
        return budget.scales(EXP_50, 0, epochs=10).tolist()

    assert scales(ClassWise(head=0.5, tail=3.0, cap=1.3)) == class_wise(EXP_50, 0.5, 3.0, 1.3).tolist()
    assert scales(RobustLT(share=0.1)) == robustlt(EXP_50, 0.1).tolist()
    assert scales(RobustLT(share=0.1)) != scales(RobustLT())


@pytest.mark.parametrize("epochs", [1, 7, 10, 100, 200])
@pytest.mark.parametrize("ramp", [0.0, 0.2, 0.55, 0.8, 1.0])
def test_the_ramp_begins_at_nothing_and_is_whole_after_its_part(ramp, epochs):
    budget = UniformBudget(ramp=ramp)
    grown = [budget.grown(epoch, epochs=epochs) for epoch in range(epochs + 1)]
    assert grown[0] == (0 if ramp else 1)
    assert grown[math.ceil(round(ramp * epochs, 6))] == 1
    assert grown == sorted(grown)
    rising = ramp * epochs
    assert grown == pytest.approx([min(t / rising, 1) if rising else 1 for t in range(epochs + 1)])


def test_steps_fall_with_the_ramp_and_with_them_the_cost():
    budget, attack = ClassWise(ramp=0.8), PGD(steps=10)
    steps = [attack.shortened(budget.effort(epoch, epochs=100)).steps for epoch in range(100)]
    assert steps[:17] == [2] * 17
    assert steps[24] == 3
    assert PGD(steps=50).shortened(0.28).steps == 14  # 0.28 · 50, not 14.000000000000002
    assert steps[80:] == [10] * 20
    assert sum(1 + n for n in steps) / (11 * 100) == pytest.approx(0.67, abs=0.01)
    kept = ClassWise(ramp=0.8, fewer_steps=False)
    assert {attack.shortened(kept.effort(epoch, epochs=100)) for epoch in range(100)} == {attack}


@pytest.mark.parametrize("attack", [FGSM(), Natural(), PGD(steps=1)])
def test_what_has_few_steps_stays(attack):
    assert attack.shortened(0.0) == attack


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (UniformBudget, "ramp", 1.1),
        (ClassWise, "head", -0.1),
        (ClassWise, "tail", -0.1),
        (ClassWise, "cap", 0.0),
        (RobustLT, "share", 1.1),
        (RobustLT, "most", 0.5),
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    with pytest.raises(UserError, match=rf"`budget\.{field}`"):
        kind(**{field: value})
