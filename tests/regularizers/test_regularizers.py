"""The head's simplex: its value by loops and of a simplex itself; as a term of the objective; whose heads it takes."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.methods.objective import Objective
from srat.models import wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LinearHead, class_vectors
from srat.optimization.weight_perturbations import AWP
from srat.regularizers import NoRegularizer, SimplexHead, simplex_deviation
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import Processes
from srat.training.setting_up import set_up
from srat.training.step import train_step


def by_loops(vectors):
    rows, total = vectors.double().tolist(), 0.0
    classes = len(rows)
    for j, one in enumerate(rows):
        for k, other in enumerate(rows):
            lengths = math.sqrt(sum(x * x for x in one) * sum(x * x for x in other))
            cosine = sum(x * y for x, y in zip(one, other, strict=True)) / lengths
            total += (cosine - (1.0 if j == k else -1 / (classes - 1))) ** 2
    return total / classes**2


def simplex(classes, dimensions):
    """Return vectors of a simplex, turned and of any length."""
    draw = torch.Generator().manual_seed(0)
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    frame, _ = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64))
    # In the C − 1 dimensions that they span, and from there into as many as there are.
    _, _, basis = torch.linalg.svd(centred)
    flat = centred @ basis[: classes - 1].T
    lengths = 0.1 + torch.rand(classes, 1, generator=draw, dtype=torch.float64)
    return lengths * flat @ frame[: classes - 1]


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 1), (3, 2), (10, 9), (10, 64)])
def test_of_a_simplex_it_is_zero(classes, dimensions):
    assert simplex_deviation(simplex(classes, dimensions)).item() < 1e-25


def test_against_loops():
    vectors = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert simplex_deviation(vectors).item() == pytest.approx(by_loops(vectors))
    assert simplex_deviation(3.7 * vectors).item() == pytest.approx(by_loops(vectors))
    assert torch.autograd.gradcheck(simplex_deviation, (vectors.requires_grad_(),))


def test_by_hand():
    # At right angles all cosines are 0: each of 3 · 2 pairs is 1/2 away.
    assert simplex_deviation(torch.eye(3)).item() == pytest.approx(6 / 9 * 0.25)
    # Of one direction all are 1: each pair is 3/2 away.
    assert simplex_deviation(torch.ones(3, 2)).item() == pytest.approx(6 / 9 * 2.25)


def test_it_is_computed_in_full():
    vectors = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert simplex_deviation(vectors).dtype == torch.float32
    assert torch.equal(simplex_deviation(vectors), simplex_deviation(vectors.float()))


def test_of_one_vector_there_is_none():
    with pytest.raises(UserError, match="expected two classes at the least, got 1"):
        simplex_deviation(torch.ones(1, 3))


@pytest.mark.parametrize("head", [LinearHead(), CosineHead(), CosineHead(gamma=0.1), LinearHead(tau=1.0)])
def test_the_vectors_are_the_rows_of_each_head_of_ours(head):
    layer = head.build(6, 4)
    served = head.served(layer, [9, 5, 2, 1])
    assert class_vectors(served) is layer.weight
    assert layer.weight.shape == (4, 6)


def a_training(**changes):
    config = replace(compose(method="cb-reweight", batch_size=16), model=SmallCNN(width=2), **changes)
    config = replace(config, attack=replace(config.attack, steps=1, step_size=config.attack.epsilon))
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return set_up(config, make_fabric("cpu"), Dataset(images, torch.arange(16) % 4, tuple("abcd")), None, None)


def gradients(training):
    """Return the gradient of a step for each parameter, and its sums."""
    training.model.train()
    found, rng = {}, partial(generator, 0)

    def keep(*_):
        found.update({name: p.grad.clone() for name, p in training.module.named_parameters()})

    training.optimizer.step = keep
    sums = train_step(training, training.feed.batch(torch.arange(16), rng("augment")), training.stage(0), rng)
    return found, sums


def test_its_gradient_comes_to_the_heads_and_to_nothing_else():
    plain, without = gradients(a_training())
    training = a_training(regularizer=SimplexHead(weight=3.0))
    vectors = training.module.head.weight.detach().clone().requires_grad_()
    got, within = gradients(training)
    value = 3 * simplex_deviation(vectors)
    (extra,) = torch.autograd.grad(value, vectors)
    assert extra.norm() > 1e-3
    for name, gradient in got.items():
        wanted = plain[name] + extra if name == "head.weight" else plain[name]
        torch.testing.assert_close(gradient, wanted)
    objective = 1  # of Sums
    assert (within - without)[objective].item() == pytest.approx(16 * value.item(), rel=1e-5)


def test_the_objective_adds_it():
    losses, weights = torch.tensor([1.0, 3.0]), torch.ones(2)
    value = Objective()(losses, weights, None, torch.tensor(0.25))
    assert (value.total.item(), value.prediction.item()) == (2.25, 2.0)
    assert Objective()(losses, weights, None).total.item() == 2.0


def test_there_is_none_unless_it_is_chosen():
    training = a_training()
    assert training.config.regularizer == NoRegularizer()
    assert NoRegularizer()(training.module) is None


def test_a_weight_perturbation_looks_at_it_too():
    """Where it is all that counts, the weights are perturbed along its gradient."""
    heavy = SimplexHead(weight=1e6)
    training = a_training(regularizer=heavy, weight_perturbation=AWP(gamma=0.1))
    weight, seen = training.module.head.weight, []
    real = training.module.head.forward
    training.module.head.forward = lambda z: seen.append(weight.detach().clone()) or real(z)
    vectors = weight.detach().clone().requires_grad_()
    gradients(training)
    (up,) = torch.autograd.grad(simplex_deviation(vectors), vectors)
    moved = seen[-1] - vectors.detach()
    assert F.cosine_similarity(moved.flatten(), up.flatten(), dim=0) > 0.99


def test_it_draws_the_head_to_a_simplex():
    training = a_training(regularizer=SimplexHead(weight=10.0))
    training.model.train()
    before = simplex_deviation(training.module.head.weight).item()
    for step in range(20):
        rng = partial(generator, 0, step=step)
        train_step(training, training.feed.batch(torch.arange(16), rng("augment")), training.stage(0), rng)
    assert before > 0.1
    assert simplex_deviation(training.module.head.weight).item() < 0.2 * before


def test_of_several_processes_each_has_a_share_of_the_gradient():
    x = torch.tensor(3.0, requires_grad=True)
    value = Processes(1, 4).shared(x * x)
    (gradient,) = torch.autograd.grad(value, x)
    assert (value.item(), gradient.item()) == (9.0, 1.5)
    assert Processes().shared(x) is x


class Convolved(nn.Module):
    """Its head is a convolution of one pixel."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        return self.head(self.body(x).relu()).mean((2, 3))


def of_own(module, **changes):
    config = replace(compose(method="ce", batch_size=8), regularizer=SimplexHead(), **changes)
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    return set_up(config, make_fabric("cpu"), data, None, wrap(module, mean=[0.5], std=[0.5]))


def test_it_takes_a_model_of_ones_own_by_its_head():
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 4))
    training = of_own(own)
    value = training.config.regularizer(training.module)
    assert value.item() == pytest.approx(by_loops(own[3].weight), rel=1e-5)
    found, _ = gradients(training)
    assert found["backbone.3.weight"].abs().max() > 0


def test_it_refuses_a_head_without_rows_in_a_line():
    said = "`regularizer` simplex-head: expected a linear or cosine head with a row for each of 4 classes, got Conv2d"
    with pytest.raises(UserError) as error:
        of_own(Convolved())
    assert str(error.value) == said


@pytest.mark.parametrize("weight", [-1.0, float("inf")])
def test_refuses_a_weight_that_is_none(weight):
    with pytest.raises(UserError, match="weight"):
        SimplexHead(weight=weight)
