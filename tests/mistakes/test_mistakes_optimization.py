"""Mistakes of schedules, weight perturbations and averages; `planting` has them all."""

import copy
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from planting import tiny
from torch import nn

from srat.attacks import PGD, Natural
from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.losses import (
    cross_entropy,
)
from srat.optimization.averaging import EMA, NoAveraging, blend_
from srat.optimization.schedules import Steps
from srat.optimization.weight_perturbations import AWP
from srat.runtime.fabric import make_fabric
from srat.training import averages, fitting
from srat.training import loop as trainer

# 14. Learning rates compounding each epoch; deferral off by one.

GOLDEN = {159: (1e-1, False), 160: (1e-3, True), 179: (1e-3, True), 180: (1e-5, True)}


def check_schedule(rate_of, weights_apply):
    for epoch, (rate, weighted) in GOLDEN.items():
        assert rate_of(epoch) == pytest.approx(rate)
        assert weights_apply(epoch) is weighted


def test_14_rates_do_not_compound_and_deferral_is_on_time():
    schedule = Config().schedule
    rate = lambda epoch: Steps().learning_rate(5 * epoch, steps=5, epochs=200, base=0.1)  # noqa: E731
    weights = partial(schedule.weights_apply, epochs=200)
    check_schedule(rate, weights)
    compounding = lambda epoch: 0.1 * 0.01 ** max(0, epoch - 159)  # noqa: E731
    for mistake in (
        (compounding, weights),
        (lambda e: rate(e + 1), weights),
        (rate, lambda e: weights(e - 1)),
        (rate, lambda e: weights(e + 1)),
    ):
        with pytest.raises(AssertionError):
            check_schedule(*mistake)


# 30. A weight perturbation of the wrong size, of the wrong weights, or left behind.


def check_perturbation(perturbation, model, images, labels):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ascend = lambda: cross_entropy(model(images), labels).mean().backward()  # noqa: E731
    plain = copy.deepcopy(model)
    plain(images)
    with perturbation.perturbed(model, ascend, epoch=0, epochs=1):
        for name, p in model.named_parameters():
            wanted = 0.05 * before[name].norm() if p.ndim > 1 else torch.tensor(0.0)
            torch.testing.assert_close((p.detach() - before[name]).norm(), wanted, rtol=1e-3, atol=0)
        model(images)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    # The statistics are those of one pass at the weights themselves.
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), model.buffers(), strict=True))


class Subtracts(AWP):
    """Restores by w + v − v."""

    @contextmanager
    def perturbed(self, module, backward, *, epoch, epochs):
        before = [p.detach().clone() for p in module.parameters()]
        with super().perturbed(module, backward, epoch=epoch, epochs=epochs):
            steps = [p.detach() - was for p, was in zip(module.parameters(), before, strict=True)]
            yield
            after = [p.detach() - step for p, step in zip(module.parameters(), steps, strict=True)]
        with torch.no_grad():
            for p, value in zip(module.parameters(), after, strict=True):
                p.copy_(value)


class WithOneNorm(AWP):
    """As MAIR's: one length for all parameters, BatchNorm's and biases among them."""

    @contextmanager
    def perturbed(self, module, backward, *, epoch, epochs):
        backward()
        parameters, before = list(module.parameters()), [p.detach().clone() for p in module.parameters()]
        norm = lambda tensors: torch.cat([t.flatten() for t in tensors]).norm()  # noqa: E731
        ratio = self.gamma * norm(before) / norm([p.grad for p in parameters])
        with torch.no_grad():
            for p in parameters:
                p += ratio * p.grad
        module.zero_grad()
        yield
        with torch.no_grad():
            for p, was in zip(parameters, before, strict=True):
                p.copy_(was)


@pytest.mark.parametrize(
    "mistake", [Subtracts(gamma=0.05), WithOneNorm(gamma=0.05), AWP(gamma=0.05, statistics="perturbed")]
)
def test_30_a_perturbation_is_of_the_weights_and_leaves_nothing(mistake, model, images, labels):
    check_perturbation(AWP(gamma=0.05), copy.deepcopy(model), images, labels)
    with pytest.raises(AssertionError):
        check_perturbation(mistake, model, images, labels)


# 31. An average that shares what it averages, averages counters, or has another's statistics.


def check_average(begin, blend, model, images):
    average = begin(model)
    ours, theirs = ({tensor.data_ptr() for tensor in each.state_dict().values()} for each in (average, model))
    assert not ours & theirs
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model(images)
        for parameter in model.parameters():
            parameter.add_(1.0)
    blend(average, model, 0.25)
    for name, tensor in average.state_dict().items():
        now = model.state_dict()[name]
        expected = first[name] + 0.25 * (now - first[name]) if now.is_floating_point() else now
        torch.testing.assert_close(tensor, expected)


def aliasing(model):
    """As the code of Gowal's average: BatchNorm's buffers are the model's own."""
    average = copy.deepcopy(model)
    for ours, theirs in zip(average.modules(), model.modules(), strict=True):
        ours._buffers.update(theirs._buffers)
    return average


def all_alike(average, model, share):
    """As CFA's: the counters are averaged with the rest."""
    for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        ours.copy_(ours + share * (theirs - ours))


@pytest.mark.parametrize("mistake", [(aliasing, blend_), (EMA().begin, all_alike)])
def test_31_an_average_shares_nothing_and_averages_what_can_be(mistake, model, images):
    check_average(EMA().begin, blend_, copy.deepcopy(model), images)
    with pytest.raises(AssertionError):
        check_average(*mistake, model, images)


def check_order(train_step):
    """Of decay 0 the average is the weights after the step, which no perturbation is left in."""
    config = replace(tiny(), averaging=EMA(decay=0.0, start=0.0), weight_perturbation=AWP(gamma=0.5))
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    training = fitting.set_up(replace(config, attack=Natural()), make_fabric("cpu"), data, None, None)
    training.model.train()
    rng = partial(generator, 0)
    train_step(training, training.feed.batch(torch.arange(16), rng("augment")), training.stage(0), rng)
    average = training.parts["average"].state_dict()
    assert all(torch.equal(average[name], tensor) for name, tensor in training.module.state_dict().items())


def settles_too_soon(training, batch, stage, rng):
    """Move the average while the weights are still perturbed."""
    perturbation = training.config.weight_perturbation

    class Early(AWP):
        @contextmanager
        def perturbed(self, module, backward, *, epoch, epochs):
            with perturbation.perturbed(module, backward, epoch=epoch, epochs=epochs):
                yield
                blend_(training.parts["average"], module, 1.0)

    config = replace(training.config, weight_perturbation=Early(gamma=0.5), averaging=NoAveraging())
    return trainer.train_step(replace(training, config=config, parts=nn.ModuleDict()), batch, stage, rng)


def test_31_the_average_follows_what_is_undone():
    check_order(trainer.train_step)
    with pytest.raises(AssertionError):
        check_order(settles_too_soon)


def check_statistics(estimate):
    """BatchNorm of the average has met the attacked images of the epoch, and the raw model nothing."""
    data = Dataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 4, tuple("abcd"))
    config = replace(tiny(), averaging=EMA(batch_norm="attacked"), attack=PGD(epsilon=0.3, step_size=0.3, steps=1))
    training = fitting.set_up(config, make_fabric("cpu"), data, None, None)
    raw = {name: tensor.clone() for name, tensor in training.module.state_dict().items()}
    average, seen, met = training.parts["average"], [], []
    perturb = PGD.perturb
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PGD, "perturb", lambda *a, **k: seen.append(perturb(*a, **k)) or seen[-1])
        estimate(training, training.stage(0))
    norm = next(each for each in average.modules() if isinstance(each, nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda module, inputs: met.append(inputs[0].detach()))
    for images in seen:
        average(images)
    assert seen
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in met]).mean(0))
    assert all(torch.equal(raw[name], tensor) for name, tensor in training.module.state_dict().items())


def on_clean_images(training, stage):
    averages.estimate_statistics(training, stage, attacked=True)
    averages.estimate_statistics(training, stage, attacked=False)


def of_the_raw_model(training, stage):
    raw = replace(training, parts=nn.ModuleDict({"average": training.module}))
    averages.estimate_statistics(raw, stage, attacked=True)


@pytest.mark.parametrize("mistake", [on_clean_images, of_the_raw_model])
def test_31_statistics_are_of_the_chosen_images(mistake):
    check_statistics(partial(averages.estimate_statistics, attacked=True))
    with pytest.raises(AssertionError):
        check_statistics(mistake)
