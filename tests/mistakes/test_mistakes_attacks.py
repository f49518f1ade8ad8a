"""Mistakes of attacks and their budgets; `planting` has them all."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from srat import attacks
from srat.attacks import FGSM, NFGSM, PGD, projections
from srat.attacks.budgets import ClassWise, RobustLT, calibrated, robustlt
from srat.core.errors import UserError
from srat.data.imbalance import step_counts
from srat.losses import (
    cross_entropy,
)
from srat.models import lent
from srat.robust_losses import TRADES, References

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot reach the edge")  # so few steps are quick


def attack(model, images, labels, generator, mode="eval"):
    """The attack as the trainer makes it."""
    with lent(model, mode) as served:
        loss_at = lambda x: cross_entropy(served(x), labels)  # noqa: E731
        return PGD(steps=3)(loss_at, images, generator=generator)


# 1. The attack pollutes parameter gradients.


def polluting_gradient(loss_at, images):
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        loss_at(images).sum().backward()
    return images.grad


def check_gradients_stay(run, model):
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    run()
    assert all((parameter.grad == 0.5).all() for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_1_an_attack_leaves_parameter_gradients_alone(model, images, labels, rng, monkeypatch):
    def bare():
        PGD(steps=3)(lambda x: cross_entropy(model(x), labels), images, generator=rng)

    check_gradients_stay(bare, model)
    monkeypatch.setattr(attacks.base, "input_gradient", polluting_gradient)
    with pytest.raises(AssertionError):
        check_gradients_stay(bare, model)
    # A model that is lent has no gradients to pollute.
    check_gradients_stay(lambda: attack(model, images, labels, rng), model)


# 2. BatchNorm statistics or modes moved by an attack.


def check_model_stays(run, model, images, labels, rng):
    before = {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
    model[0].eval()
    modes = [module.training for module in model.modules()]
    run(model, images, labels, rng)
    assert before == {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
    assert modes == [module.training for module in model.modules()]


def moves_statistics(model, images, labels, rng):
    model.train()
    PGD(steps=3)(lambda x: cross_entropy(model(x), labels), images, generator=rng)


def forgets_modes(model, images, labels, rng):
    model.eval()
    PGD(steps=3)(lambda x: cross_entropy(model(x), labels), images, generator=rng)
    model.train()


@pytest.mark.parametrize("mode", ["eval", "train_frozen_stats"])
@pytest.mark.parametrize("mistake", [moves_statistics, forgets_modes])
def test_2_an_attack_leaves_statistics_and_modes_alone(mistake, mode, model, images, labels, rng):
    check_model_stays(partial(attack, mode=mode), model, images, labels, rng)
    with pytest.raises(AssertionError):
        check_model_stays(mistake, model, images, labels, rng)


# 3. One-sided random start; budget or range broken.


def check_budget(images, rng):
    images = images.clone()
    images[0], images[1] = 0, 1
    noise = PGD(steps=1, step_size=1e-9, epsilon=0.1)(lambda x: x.sum((1, 2, 3)), images, generator=rng) - images
    assert noise[2:].mean().abs() < 0.004
    strong = PGD(steps=5, step_size=0.08, epsilon=0.1)(lambda x: x.sum((1, 2, 3)), images, generator=rng)
    assert (strong - images).abs().max() <= 0.1 + 1e-6
    assert strong.min() >= 0
    assert strong.max() <= 1


def one_sided(shape, epsilon, *, generator):
    return epsilon * torch.rand(shape, generator=generator)


@pytest.mark.parametrize("mistake", [{"noise": one_sided}, {"project": lambda x, center, epsilon: x}])
def test_3_start_budget_and_range(mistake, rng, monkeypatch):
    images = 0.3 + 0.4 * torch.rand(12, 3, 8, 8, generator=rng)
    check_budget(images, rng)
    geometry = replace(projections.GEOMETRIES["linf"], **mistake)
    monkeypatch.setitem(projections.GEOMETRIES, "linf", geometry)
    with pytest.raises(AssertionError):
        check_budget(images, rng)


def test_3_images_outside_the_range_are_refused(model, images, labels, rng):
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        attack(model, images * 2, labels, rng)


# 22. Weights that are said to steer an attack of sign steps.


def check_weights_steer_nothing(images, labels, model):
    weights = 10 ** torch.linspace(-2, 2, len(images))
    for attack in (PGD(steps=3), PGD(steps=3, start_deviation=0.001), FGSM(random_start=True), NFGSM()):
        plain, weighted = (
            attack.perturb(
                lambda x, w=w: w * cross_entropy(model(x), labels), images, generator=torch.Generator().manual_seed(0)
            )
            for w in (torch.ones(len(images)), weights)
        )
        assert torch.equal(plain, weighted)


def test_22_positive_weights_steer_no_sign_step(model, images, labels, monkeypatch):
    model.eval()
    check_weights_steer_nothing(images, labels, model)
    by_size = lambda x, g, a: x + a * g / g.abs().mean()  # noqa: E731
    monkeypatch.setitem(projections.GEOMETRIES, "linf", replace(projections.GEOMETRIES["linf"], step=by_size))
    with pytest.raises(AssertionError):
        check_weights_steer_nothing(images, labels, model)


# 23. A budget of each class that start or steps ignore.


def check_budgets(attack, images):
    scale, seen = torch.tensor([0.5, 1.0, 1.5] * 4), []

    def loss_at(x):
        seen.append(x.detach())
        return x.sum((1, 2, 3))

    end = attack(loss_at, images, generator=torch.Generator().manual_seed(0), scale=scale)
    for x in (*seen, end):
        assert ((x - images).abs().amax((1, 2, 3)) <= 0.1 * scale + 1e-6).all()
    assert ((end - images).abs().amax((1, 2, 3)) >= 0.1 * scale - 1e-6).all()  # the whole ball is used


class StartsInTheOneBall(PGD):
    """As RobustLT's and FRL's code: the noise is of ε, whatever the image's own budget."""

    def _from_one_start(self, loss_at, images, generator, scale):
        adversarial = (images + self.noise(images.shape, generator=generator)).clamp(0, 1)
        for _ in range(self.steps):
            gradient = attacks.base.input_gradient(loss_at, adversarial)
            adversarial = self.step(adversarial, gradient, images, scale)
        return adversarial


class ProjectsOnTheOneBall(PGD):
    """As DAFA's: the step is of the class, and the ball is one for all."""

    def step(self, adversarial, gradient, images, scale=None):
        moved = adversarial + self.step_size * scale[:, None, None, None] * gradient.sign()
        return (images + (moved - images).clamp(-self.epsilon, self.epsilon)).clamp(0, 1)


@pytest.mark.parametrize("mistake", [StartsInTheOneBall, ProjectsOnTheOneBall])
def test_23_start_and_steps_stay_in_the_budget_of_each_image(mistake, rng):
    images = 0.3 + 0.4 * torch.rand(12, 3, 8, 8, generator=rng)
    settings = {"epsilon": 0.1, "step_size": 0.06, "steps": 4}
    check_budgets(PGD(**settings), images)
    with pytest.raises(AssertionError):
        check_budgets(mistake(**settings), images)


# 24. Budgets by class that explode; a ramp off by one.


def check_no_explosion(scales):
    counts = step_counts([5000] * 10, ratio=100)
    try:
        found = float(scales(counts).max())
    except UserError as error:
        found = 0.0 if "got 31" in str(error) else math.inf
    assert found <= 2


def test_24_no_class_has_a_multiple_of_the_budget():
    for budget in (ClassWise(), RobustLT()):
        check_no_explosion(lambda counts, budget=budget: budget.scales(counts, 0, epochs=10))
    with pytest.raises(AssertionError):
        check_no_explosion(robustlt)


def check_ramp(grown):
    assert grown(0) == 0
    assert grown(math.ceil(0.8 * 12)) == 1
    assert grown(math.ceil(0.8 * 12) - 1) < 1


def test_24_the_ramp_begins_and_ends_on_time():
    budget = ClassWise(ramp=0.8)
    check_ramp(lambda epoch: budget.grown(epoch, epochs=12))
    for shift in (-1, 1):
        with pytest.raises(AssertionError):
            check_ramp(lambda epoch, shift=shift: budget.grown(max(0, epoch + shift), epochs=12))


# 25. The accuracy of a class divided by the count of a balanced one.


def check_class_accuracy(budget_of):
    total = torch.tensor([1000, 10])
    assert budget_of(total * 2 // 5, total).tolist() == pytest.approx([0.9, 0.9])


def by_the_mean_count(correct, total):
    return 0.5 + len(total) * correct / total.sum()


def test_25_accuracies_are_of_each_classs_own_count():
    check_class_accuracy(calibrated)
    with pytest.raises(AssertionError):
        check_class_accuracy(by_the_mean_count)


# 26. A term of the attack that has no gradient.


def check_term_counts(term, model, images, rng):
    """The divergence steers the attack, along the gradient that finite differences show."""
    model.double().eval()
    images = images.double()
    clean = model(images).detach()
    x = images + 0.01 * torch.randn(images.shape, generator=rng, dtype=torch.float64)
    loss_at = lambda x: term(model(x), References(None, None, clean))  # noqa: E731
    gradient = attacks.input_gradient(loss_at, x)
    direction = torch.randn(images.shape, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        difference = (loss_at(x + 1e-6 * direction) - loss_at(x - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum((1, 2, 3)), difference, rtol=1e-3, atol=1e-8)
    assert difference.abs().min() > 0


def test_26_each_term_of_the_attack_has_a_gradient(model, images, rng):
    check_term_counts(TRADES().inner, model, images, rng)
    inert = lambda z, compared: 0 * z.sum(1) + TRADES().inner(z.detach(), compared)  # noqa: E731
    with pytest.raises(AssertionError):
        check_term_counts(inert, model, images, rng)


# 35. N-FGSM: clipped to the ball, noise of another range, values beyond the pixels, units of another kind.


def check_n_fgsm(attack, rng):
    images = 0.3 + 0.4 * torch.rand(12, 3, 8, 8, generator=rng)
    images[0], images[1] = 0, 1
    noise = attack.noise(images.shape, generator=rng)
    assert 1.95 * 0.04 < noise.max() <= 2 * 0.04
    assert -2 * 0.04 <= noise.min() < -1.95 * 0.04
    assert noise.mean().abs() < 0.005
    adversarial = attack.perturb(lambda x: x.sum((1, 2, 3)), images, generator=rng)
    moved = (adversarial - images)[2:]
    assert 2.9 * 0.04 < moved.max() <= 3 * 0.04 + 1e-6
    assert moved.min() == pytest.approx(-0.04, abs=2e-3)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


class Clipped(NFGSM):
    def step(self, adversarial, gradient, images, scale=None):
        return projections.project_linf(super().step(adversarial, gradient, images, scale), images, self.epsilon)


class Narrow(NFGSM):
    def noise(self, shape, *, generator):
        return super().noise(shape, generator=generator) / 2


class OneSided(NFGSM):
    def noise(self, shape, *, generator):
        return super().noise(shape, generator=generator).abs()


class Beyond(NFGSM):
    def step(self, adversarial, gradient, images, scale=None):
        return adversarial + self.epsilon * gradient.sign()


class Normalised(NFGSM):
    """ε/σ of the normalised images taken for ε."""

    def step(self, adversarial, gradient, images, scale=None):
        return (adversarial + self.epsilon / 0.25 * gradient.sign()).clamp(0, 1)


def test_35_n_fgsm_is_what_it_says(rng):
    check_n_fgsm(NFGSM(epsilon=0.04), rng)
    for mistake in (Clipped, Narrow, OneSided, Beyond, Normalised):
        with pytest.raises(AssertionError):
            check_n_fgsm(mistake(epsilon=0.04), rng)
