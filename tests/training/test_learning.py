"""Feedback while a run goes on: what it sees, when its factors apply, and what of it is kept."""

from dataclasses import dataclass, replace

import pytest
import torch
from test_families import small, small_set, stepped

import srat
from srat.attacks import PGD
from srat.attacks.budgets import CFA, FRL, ClassWise, UniformBudget
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.optimization.averaging import EMA
from srat.optimization.weight_perturbations import AWP
from srat.runtime.fabric import make_fabric
from srat.training import loop
from srat.training.fitting import fit
from srat.training.keeper import NullKeeper
from srat.training.setting_up import set_up


def a_training(**members):
    return set_up(small(**members), make_fabric("cpu"), small_set(), small_set(), None)


def stages(monkeypatch):
    """Return the list that the stage of each step comes into, and what the step saw."""
    seen, real = [], loop.train_step

    def spy(training, batch, stage, rng):
        seen.append(stage)
        return real(training, batch, stage, rng)

    monkeypatch.setattr(loop, "train_step", spy)
    return seen


def test_the_accuracies_of_an_epoch_are_the_budgets_of_the_next(monkeypatch):
    seen, told = stages(monkeypatch), []
    training = a_training(budget=CFA(start=0.0))
    feedback = training.parts["budget"]
    observe = feedback.observe
    monkeypatch.setattr(feedback, "observe", lambda y, z: told.append((y, z)) or observe(y, z))
    loop.run_epochs(training, NullKeeper(), Observer())
    steps = training.feed.steps
    assert all(stage.scales.tolist() == [1.0] * 10 for stage in seen[:steps])
    first = told[:steps]
    right = [
        [bool(z.argmax() == y) for ys, zs in first for y, z in zip(ys, zs, strict=True) if y == c] for c in range(10)
    ]
    expected = [0.5 + sum(each) / len(each) for each in right]
    assert sum(map(len, right)) == len(training.train)
    assert all(stage.scales.tolist() == pytest.approx(expected) for stage in seen[steps:])
    assert not any(z.requires_grad for _, z in told)


def test_dafas_weights_multiply_the_weights_once_they_apply():
    training = a_training(weighting="dafa")
    training.parts["weighting"].factors.copy_(torch.arange(1.0, 11))
    assert training.stage(0).weights.tolist() == [1.0] * 10  # `reweight_from` is 1
    assert training.stage(1).weights.tolist() == list(range(1, 11))


@dataclass(frozen=True, kw_only=True)
class Both(CFA):
    """A budget of the class and of feedback."""

    def scales(self, class_counts, epoch, *, epochs):
        return torch.arange(10)


def test_ramp_class_and_feedback_multiply():
    training = a_training(budget=Both(ramp=1.0))
    training = replace(training, config=replace(training.config, attack=PGD(steps=10)))
    training.parts["budget"].factors.fill_(0.8)
    assert training.stage(1).scales.tolist() == pytest.approx([0.4 * c for c in range(10)])
    assert training.stage(0).scales.tolist() == [0.0] * 10
    assert training.stage(1).attack.steps == 5


def test_the_held_out_part_is_what_frl_hears_of(monkeypatch):
    training = a_training(budget=FRL(start=0.0))
    told = []
    monkeypatch.setattr(training.parts["budget"], "close", lambda epoch, **given: told.append((epoch, given)))

    class Watched(Observer):
        def held_out(self, clean, robust):
            counts.append((robust.total, clean.correct, robust.correct))

    counts = []
    loop.run_epochs(training, NullKeeper(), Watched())
    assert [epoch for epoch, _ in told] == [0, 1]
    for (_, given), expected in zip(told, counts, strict=True):
        assert given["epochs"] == 2
        assert [tuple(each.tolist()) for each in given["held_out"]] == list(expected)


def test_without_a_held_out_part_epochs_end_as_well():
    training = set_up(small(budget=CFA(start=0.0)), make_fabric("cpu"), small_set(), None, None)
    loop.run_epochs(training, NullKeeper(), Observer())
    assert training.parts["budget"].factors.tolist() != [1.0] * 10


def test_the_attack_of_an_epoch_has_its_steps_and_the_evaluation_all_of_its(monkeypatch):
    asked, real = [], PGD.perturb

    def spy(self, loss_at, images, *, generator, scale=None):
        asked.append((self.steps, None if scale is None else float(scale.max())))
        return real(self, loss_at, images, generator=generator, scale=scale)

    monkeypatch.setattr(PGD, "perturb", spy)
    evaluated, count = [], loop.count
    monkeypatch.setattr(
        loop, "count", lambda model, data, attack, **o: evaluated.append(attack) or count(model, data, attack, **o)
    )
    config = replace(small(budget=ClassWise(ramp=1.0)), epochs=4)
    config = replace(config, attack=replace(config.attack, steps=6), schedule=replace(config.schedule, reweight_from=0))
    training = set_up(config, make_fabric("cpu"), small_set(), small_set(), None)
    loop.run_epochs(training, NullKeeper(), Observer())
    trained = [each for each in asked if each[1] is not None]
    steps = training.feed.steps
    assert [each[0] for each in trained] == [2] * steps + [2] * steps + [3] * steps + [5] * steps
    assert [each[1] for each in trained[::steps]] == pytest.approx([0, 0.25, 0.5, 0.75])
    assert [attack.epsilon for attack in evaluated[1::2]] == [config.evaluation.epsilon] * 4
    assert [attack.steps for attack in evaluated[1::2]] == [config.evaluation.steps] * 4


def test_every_row_says_what_the_budget_was():
    history = fit(small(budget=UniformBudget(ramp=0.5)), device="cpu", compiled="off").history
    assert [(row["budget_least"], row["budget_mean"], row["budget_largest"]) for row in history] == [
        (0, 0, 0),
        (1, 1, 1),
    ]
    assert "budget_mean" not in fit(small(), device="cpu", compiled="off").history[0]
    row = fit(small(budget="class-wise"), device="cpu", compiled="off").history[0]
    assert (row["budget_least"], row["budget_largest"]) == pytest.approx((0.7, 1.6))
    # Five classes of ten images and five of two are left beside the held-out part, which takes half of the rare.
    assert 0.7 < row["budget_mean"] < 1.0


class Told(Observer):
    def __init__(self):
        self.notices = []

    def notice(self, text):
        self.notices.append(text)


def test_the_budgets_are_told_of_before_a_training():
    told = Told()
    fit(small(budget=ClassWise(ramp=0.5)), device="cpu", compiled="off", observer=told)
    (line,) = [each for each in told.notices if "budget class-wise" in each]
    assert "ε is 0.07 to 0.16, 0.115 in the mean over classes" in line
    assert "grows from nothing over the first 1 epochs" in line
    plain = Told()
    fit(small(), device="cpu", compiled="off", observer=plain)
    assert not any("budget" in each for each in plain.notices)


def test_a_refused_budget_leaves_no_folder(tmp_path):
    config = replace(small(budget="robustlt"), imbalance=Step(ratio=5, cap=12))
    config = replace(config, budget=replace(config.budget, most=2.0))
    with pytest.raises(srat.UserError, match="budget` robustlt"):
        fit(config, out=tmp_path / "run", device="cpu", compiled="off")
    assert not (tmp_path / "run").exists()


def test_no_length_is_plain_training_to_the_bit():
    plain, same, late, real = (
        stepped(a_training(**members))
        for members in (
            {},
            {"weight_perturbation": AWP(gamma=0.0)},
            {"weight_perturbation": AWP(gamma=0.5, start=0.75)},
            {"weight_perturbation": AWP(gamma=0.5)},
        )
    )
    assert all(torch.equal(plain[name], same[name]) and torch.equal(plain[name], late[name]) for name in plain)
    assert any(not torch.equal(plain[name], real[name]) for name in plain)


def test_the_average_moves_after_the_perturbation_is_undone():
    training = a_training(weight_perturbation=AWP(gamma=0.5), averaging=EMA(decay=0.0, start=0.0))
    stepped(training)
    average = training.parts["average"].state_dict()
    assert all(torch.equal(average[name], tensor) for name, tensor in training.module.state_dict().items())


def test_a_learning_rate_of_zero_leaves_the_weights_to_the_bit():
    config = small(weight_perturbation=AWP(gamma=0.5))
    training = set_up(config, make_fabric("cpu"), small_set(), None, None)
    for group in training.optimizer.param_groups:
        group["lr"] = 0.0
    before = [p.detach().clone() for p in training.module.parameters()]
    stepped(training)
    assert all(torch.equal(a, b) for a, b in zip(before, training.module.parameters(), strict=True))
