"""The mistakes that this field makes: each check passes on our code, and fails once the mistake is planted in it.

The numbers are those of the project's list, from 22 on of the field's other methods. Not in this file are logits of
another scale (5) and masked gradients (6):
``audit/test_audit.py``; parts of AutoAttack under its name (7) and two or three classes (21):
``attacks/test_reference.py``; and several processes (19): ``test_processes.py``.
The numbers are those of the project's list; from 22 on they are those of the field's methods. Not in this file are
logits of another scale (5) and masked gradients (6): ``audit/test_audit.py``; parts of AutoAttack under its name (7)
and two or three classes (21): ``attacks/test_reference.py``; and several processes (19): ``test_processes.py``.
"""

import contextlib
import copy
import itertools
import math
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drift
from drift import attack_of_the_trainer, check_attack
from srat import attacks, robust_losses
from srat.attacks import FGSM, NFGSM, PGD, Natural, projections
from srat.attacks.budgets import CFA, DAFA, FRL, ClassWise, RobustLT, calibrated, robustlt
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.members import choices, choose
from srat.core.signals import Interrupted
from srat.data import Dataset, Holdout, select
from srat.data.imbalance import step_counts
from srat.data.sampling import ClassBalanced, Progressive, Sampling, SquareRoot
from srat.data.sources import tiny_imagenet
from srat.data.sources.digits import Digits
from srat.data.sources.tiny_imagenet import TinyImageNet
from srat.evaluation.counts import Counts
from srat.evaluation.groups import GROUPINGS, Groups, NamedGroups
from srat.evaluation.observer import Observer
from srat.evaluation.record import Evaluation, Result
from srat.feature_losses import has_positive, separation
from srat.feedback import HeldOut
from srat.guards import CollapseGuard, Watch
from srat.losses import (
    balanced_softmax,
    cdt,
    cross_entropy,
    focal,
    harl,
    ldam,
    logit_adjustment,
    robal,
    vector_scaling,
)
from srat.methods.objective import reduce_weighted
from srat.models import Normalization, lent, wrap
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LinearHead
from srat.optimization.averaging import EMA, FAWA, NoAveraging, blend_
from srat.optimization.schedules import Steps
from srat.optimization.weight_perturbations import AWP
from srat.report.terminal.table import notes
from srat.robust_losses import TRADES, References, RobustLoss, kl_divergence
from srat.runtime.fabric import make_fabric
from srat.training import averages, checkpoint, fitting, guarding, session, setting_up, step
from srat.training import loop as trainer
from srat.training.checkpoint import State
from srat.training.fitting import fit
from srat.training.keeper import NullKeeper
from srat.training.session import Training
from srat.weightings.dafa_weighting import DAFAWeighting

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot reach the edge")  # so few steps are quick


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)
    )
    return net.train()


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


# 4. Normalised twice, or ε in normalised units.


def check_normalised_once(wrapped, model, images):
    mean, std = torch.full((3, 1, 1), 0.4), torch.full((3, 1, 1), 0.2)
    torch.testing.assert_close(wrapped.eval()(images).logits, model.eval()((images - mean) / std))


def test_4_normalised_once(model, images):
    statistics = {"mean": [0.4] * 3, "std": [0.2] * 3}
    check_normalised_once(wrap(model, **statistics), model, images)
    twice = wrap(model, **statistics).eval()
    twice(images)
    twice.backbone = nn.Sequential(Normalization(torch.full((3,), 0.4), torch.full((3,), 0.2)), twice.backbone)
    with pytest.raises(AssertionError):
        check_normalised_once(twice, model, images)


def test_4_a_model_that_normalises_already_is_refused(model):
    normalising = nn.Sequential(Normalization(torch.zeros(3), torch.ones(3)), model)
    with pytest.raises(UserError, match="normalise twice"):
        wrap(normalising, mean=[0.4] * 3, std=[0.2] * 3)


def test_4_budgets_are_in_pixel_units(model, images, labels, rng):
    wrapped = wrap(model, mean=[0.4] * 3, std=[0.2] * 3).eval()
    adversarial = PGD(epsilon=0.05)(lambda x: cross_entropy(wrapped(x).logits, labels), images, generator=rng)
    assert 0.04 < (adversarial - images).abs().max() <= 0.05 + 1e-6


# 8. Half precision weakens attacks.    9. Compiled or TF32 code drifts.


@pytest.fixture(scope="module")
def trained():
    """A confident model, and the digits that it saw."""
    return drift.trained()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_8_half_precision_attacks_as_well(trained, precision, monkeypatch):
    reference = attack_of_the_trainer(trained, folding=False)
    assert 20 < reference[2] < 90
    check_attack(attack_of_the_trainer(trained, precision=precision), reference, agreement=0.98, points=0.3)
    if precision == "fp16":
        monkeypatch.setattr(step, "rescale_gradient", lambda logits: logits)
        with pytest.raises(AssertionError):
            check_attack(attack_of_the_trainer(trained, precision=precision), reference, agreement=0.98, points=0.3)


def test_8_the_loss_is_taken_in_full_precision(trained, monkeypatch):
    seen = []
    monkeypatch.setattr(step, "entropy_of", lambda z, y: seen.append(z.dtype) or cross_entropy(z, y))
    attack_of_the_trainer(trained, precision="bf16")
    assert set(seen) == {torch.float32}


def test_8_evaluation_is_in_full_precision(trained):
    config, model, data = trained
    dtypes = []
    handle = model.head.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    run = fit(replace(config, epochs=1, precision="bf16"))
    trainer.count(model, data.subset(torch.arange(20)), config.evaluation, seed=0)
    handle.remove()
    assert set(dtypes) == {torch.float32}
    assert all(tensor.dtype == torch.float32 for tensor in run.model.parameters())


def test_9_folded_code_does_not_drift(trained):
    reference = attack_of_the_trainer(trained, folding=False)
    check_attack(attack_of_the_trainer(trained), reference, agreement=0.99, points=0.2)
    config, model, data = trained
    wrong = copy.deepcopy(model)
    wrong.backbone[1].running_var *= 1.5
    with pytest.raises(AssertionError):  # a factor that is off
        check_attack(attack_of_the_trainer((config, wrong, data)), reference, agreement=0.99, points=0.2)


def test_9_compiled_code_does_not_drift():
    # On its own: the checks of types that run in the tests are not for the compiler. (In half precision: on a GPU.)
    command = [sys.executable, "-W", "error::UserWarning", drift.__file__, "fp32"]
    alone = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"}  # more would each import torch first
    ran = subprocess.run(command, capture_output=True, text=True, env=alone)
    if ran.returncode == drift.NO_COMPILER:
        pytest.skip(ran.stdout)
    assert ran.returncode == 0, ran.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", ["off", "default", "reduce-overhead"])
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_9_on_a_gpu_neither_does_anything(precision, compiled):
    command = [sys.executable, drift.__file__, precision, compiled, "cuda"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


# 10. The checkpoint is chosen on the test set.


def tiny():
    config = compose(epochs=2, guard="none")
    return replace(config, model=SmallCNN(width=4), attack=replace(config.attack, steps=1))


def check_no_look_at_the_test(fit, monkeypatch):
    looked = []
    load = Digits.test
    with monkeypatch.context() as patch:
        patch.setattr(Digits, "test", lambda self: looked.append(1) or load(self))
        run = fit(tiny())
    assert not looked
    # The best epoch is the one that is best on the held-out part.
    scores = [row["held_out_robust"] for row in run.history]
    assert run.best_epoch == scores.index(max(scores))


def test_10_training_never_sees_the_test(monkeypatch):
    def peeks(config):
        config.data.test()
        return fitting.fit(config)

    check_no_look_at_the_test(fitting.fit, monkeypatch)
    with pytest.raises(AssertionError):
        check_no_look_at_the_test(peeks, monkeypatch)


# 11. Ten tail images of validation decide.


def check_tail_is_held_out(split):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((1000, 1000, 30, 20))])
    counts = torch.bincount(labels[split(labels)], minlength=4)
    assert counts.min() >= 5


def test_11_every_class_is_held_out_in_a_minimum():
    check_tail_is_held_out(lambda labels: Holdout().split(labels, seed=0)[1])
    with pytest.raises(AssertionError):
        check_tail_is_held_out(lambda labels: Holdout(minimum=0).split(labels, seed=0)[1])
    with pytest.raises(AssertionError):
        check_tail_is_held_out(
            lambda labels: torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:205]
        )


def test_11_its_interval_is_shown():
    rows = fitting.fit(tiny()).history
    assert all(row["held_out_under_high"] - row["held_out_under_low"] > 0.05 for row in rows)


# 12. An imbalanced test set.


def check_imbalance_is_told(say):
    counts = Counts(correct=(90, 1), total=(100, 10))
    evaluation = Evaluation(
        class_names=("a", "b"), train_counts=(5, 5), results={"clean": Result(counts=counts, attack={})}
    )
    assert any("not balanced (10 to 100" in note and "clean 50.0 %" in note for note in say(evaluation))


def test_12_an_imbalanced_test_set_is_told_of():
    check_imbalance_is_told(notes)
    with pytest.raises(AssertionError):
        check_imbalance_is_told(lambda evaluation: [])
    balanced = Result(counts=Counts(correct=(5, 1), total=(10, 10)), attack={})
    assert notes(Evaluation(class_names=("a", "b"), train_counts=(5, 5), results={"clean": balanced})) == []


# 13. Weights inside focal's p_t; weighted mean against 1/n.


def check_weighted_focal(loss):
    # p_y = 3/4 and weight 4: 4 · (1/4) · −log(3/4), not −(1 − (3/4)⁴) · 4 log(3/4).
    value = loss(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]), torch.tensor([4.0, 1.0]))
    assert value.tolist() == pytest.approx([-math.log(0.75)])


def weight_inside(logits, labels, weights):
    entropy = F.cross_entropy(logits, labels, weight=weights, reduction="none")
    return (1 - torch.exp(-entropy)) * entropy


def test_13_weights_stay_outside_focals_probability():
    check_weighted_focal(lambda z, y, w: w[y] * focal(z, y, gamma=1.0))
    with pytest.raises(AssertionError):
        check_weighted_focal(weight_inside)


def check_reduction(reduction, expected):
    losses, weights = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 6.0])
    assert reduce_weighted(losses, weights, reduction).item() == pytest.approx(expected)
    assert reduce_weighted(losses, torch.ones(3), reduction).item() == pytest.approx(7 / 3)


def test_13_reductions_are_not_confused():
    check_reduction("weighted_mean", 27 / 8)
    check_reduction("mean", 27 / 3)
    with pytest.raises(AssertionError):
        check_reduction("mean", 27 / 8)


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


# 15. SupCon: NaN, self-pairs.


def check_separation(loss):
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    alone = loss(z, torch.arange(4))
    alone.sum().backward()
    assert alone.tolist() == [0] * 4
    assert z.grad.isfinite().all()
    pair = torch.eye(2)
    # Two of one class and nobody else: the softmax over the others is 1, unless an anchor pairs with itself.
    assert loss(pair, torch.zeros(2).long()).tolist() == pytest.approx([0, 0], abs=1e-6)


def with_itself(features, labels):
    z = F.normalize(features, dim=1)
    log_probability = (z @ z.T / 0.1).log_softmax(1)
    positive = (labels[:, None] == labels).float()
    return -(positive * log_probability).sum(1) / positive.sum(1)


def divides_by_zero(features, labels):
    z = F.normalize(features, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool)
    log_probability = (z @ z.T / 0.1).masked_fill(itself, -1e9).log_softmax(1)
    positive = ((labels[:, None] == labels) & ~itself).float()
    return -(positive * log_probability).sum(1) / positive.sum(1)


@pytest.mark.parametrize("mistake", [with_itself, divides_by_zero])
def test_15_no_nan_and_no_pair_with_oneself(mistake):
    check_separation(separation)
    with pytest.raises(AssertionError):
        check_separation(mistake)
    assert not has_positive(torch.arange(4)).any()


# 16. Losses that write into the logits.


def check_logits_stay(loss):
    z = torch.randn(5, 3)
    version = z._version
    loss(z, torch.tensor([0, 1, 2, 0, 1]))
    assert z._version == version


def writes_margins(logits, labels):
    logits[torch.arange(len(labels)), labels] -= 0.5
    return F.cross_entropy(logits, labels, reduction="none")


def test_16_losses_do_not_write_into_the_logits():
    adjusting = (ldam, balanced_softmax, logit_adjustment, cdt, vector_scaling, robal)
    for loss in (cross_entropy, focal, harl, *(partial(each, class_counts=(100, 10, 1)) for each in adjusting)):
        check_logits_stay(loss)
    with pytest.raises(AssertionError):
        check_logits_stay(writes_margins)


# 17. Images and labels of an imbalanced set out of step.


def check_in_step(keep):
    labels = torch.randint(3, (300,), generator=torch.Generator().manual_seed(0))
    images = labels.byte().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    kept = keep(Dataset(images, labels, tuple("abc")), (60, 20, 5))
    assert torch.equal(kept.images[:, 0, 0, 0].long(), kept.labels)
    assert kept.counts == (60, 20, 5)


def labels_by_class(dataset, counts):
    """Images in their order, labels written down class by class: the mistake of LDAM-DRW on SVHN."""
    kept = dataset.subset(select(dataset.labels, counts, seed=0))
    return Dataset(kept.images, torch.from_numpy(np.repeat(np.arange(3), counts)), kept.class_names)


def test_17_images_and_labels_stay_in_step():
    check_in_step(lambda dataset, counts: dataset.subset(select(dataset.labels, counts, seed=0)))
    with pytest.raises(AssertionError):
        check_in_step(labels_by_class)


# 18. A class absent from a batch changes the others' loss.


def check_absent_class(weigh):
    losses, labels = torch.tensor([1.0, 3.0, 2.0, 5.0]), torch.tensor([0, 0, 1, 2])
    with_all = weigh(losses[:3], labels[:3], torch.tensor([1.0, 1.0, 9.0]))
    assert with_all.item() == pytest.approx(weigh(losses[:3], labels[:3], torch.tensor([1.0, 1.0, 2.0])).item())
    assert with_all.item() == pytest.approx(2.0)


def by_the_batchs_classes(losses, labels, weights):
    counts = torch.bincount(labels, minlength=3)
    batch = 1 / counts.clamp(min=1)
    return reduce_weighted(losses, (weights * batch / (weights * batch).mean())[labels], "mean")


def test_18_an_absent_class_changes_nothing():
    for reduction in ("weighted_mean", "mean"):
        check_absent_class(lambda losses, labels, weights, r=reduction: reduce_weighted(losses, weights[labels], r))
    with pytest.raises(AssertionError):
        check_absent_class(by_the_batchs_classes)


def test_18_in_a_step_of_the_trainer():
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    present = torch.nonzero(data.labels < 3).flatten()

    def step(weight_of_the_absent):
        training = fitting.set_up(replace(tiny(), attack=Natural()), make_fabric("cpu"), data, None, None)
        stage = training.stage(0)._replace(weights=torch.tensor([1.0, 1.0, 1.0, weight_of_the_absent]))
        rng = partial(generator, 0)
        return trainer.train_step(training, training.feed.batch(present, rng("augment")), stage, rng)

    assert torch.equal(step(1.0), step(78.0))


# 20. A resume that is not exact.


class StopsAfterSeven(Observer):
    """Asks the run to stop within its second epoch of five steps."""

    steps = 0

    def step(self):
        self.steps += 1
        if self.steps == 7:
            os.kill(os.getpid(), signal.SIGTERM)


def check_resume(folder, monkeypatch):
    # The best epoch is the first of the three: its weights must come back, too.
    scores = itertools.cycle((0.3, 0.2, 0.1))
    monkeypatch.setattr(trainer, "validate", lambda *_: {"held_out_robust": next(scores)})
    config = replace(compose(method="srat-ldam", epochs=3, averaging="ema"), model=SmallCNN(width=4))
    config = replace(config, attack=replace(config.attack, steps=1))
    fitting.fit(config, out=folder / "whole")
    with pytest.raises(Interrupted):
        fitting.fit(config, out=folder / "cut", observer=StopsAfterSeven())
    fitting.fit(config, out=folder / "cut")
    for name in ("metrics.csv", "model.safetensors", "model-best.safetensors"):
        assert (folder / "whole" / name).read_bytes() == (folder / "cut" / name).read_bytes(), name


def forgetting(*names):
    """Restore all of a state but what is named."""

    def restore(*args):
        state = real(*args)
        for name in names:
            setattr(state, name, getattr(State(), name))
        return state

    real = checkpoint._restore
    return restore


def without_parts(file, moving, run):
    """Resume without the average of the weights."""
    return REAL_RESTORE(file, moving._replace(parts=copy.deepcopy(moving.parts)), run)


REAL_RESTORE = checkpoint._restore


def weights_alone(file, moving, run):
    """Resume as most code of this field does."""
    moving.model.load_state_dict(checkpoint._without("model", file.tensors()))
    return State(epoch=file.facts["epoch"], history=file.facts["history"])


def test_20_a_resume_is_exact(tmp_path, monkeypatch):
    check_resume(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "mistake", "shown"),
    [
        ("_restore", weights_alone, "metrics.csv"),
        ("_restore", without_parts, "model.safetensors"),
        ("_restore", forgetting("step", "sums"), "metrics.csv"),
        ("_restore", forgetting("best_epoch", "best_score", "best_weights"), "model-best.safetensors"),
        ("_load_optimizer_tensors", lambda optimizer, tensors: None, "metrics.csv"),
        ("_restore", forgetting("step"), "metrics.csv"),
        # Sums of no step, where two have been done, look like a divergence in the first.
        ("_restore", forgetting("sums"), "infinite or NaN"),
    ],
)
def test_20_each_part_of_the_state_counts(monkeypatch, tmp_path, name, mistake, shown):
    monkeypatch.setattr(checkpoint, name, mistake)
    with pytest.raises((AssertionError, UserError), match=shown):
        check_resume(tmp_path, monkeypatch)


# 28. HARL: classes with a negative weight; classes that are absent.


def check_class_weights(loss):
    """Each class's part of the gradient points the way of its cross-entropy's."""
    z, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
    z = (z + 3 * F.one_hot(labels, 4) * (labels < 2)[:, None]).requires_grad_()  # two classes are easy
    (ours,) = torch.autograd.grad(loss(z, labels).mean(), z)
    (plain,) = torch.autograd.grad(cross_entropy(z, labels).sum(), z)
    assert all((ours * plain)[labels == c].sum() >= 0 for c in range(4))


def check_absent_classes_are_left_out(loss):
    z, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    wider = torch.cat((z, torch.full((9, 2), -1e4)), dim=1)
    torch.testing.assert_close(loss(wider, labels), loss(z, labels))


def test_28_no_class_is_driven_up_and_no_absent_one_counts():
    check_class_weights(harl)
    check_absent_classes_are_left_out(harl)
    with pytest.raises(AssertionError):
        check_class_weights(partial(harl, floored=False))
    with pytest.raises(AssertionError):
        check_absent_classes_are_left_out(partial(harl, absent_as_zero=True))


# 29. Offsets and temperatures: written into logits and counts, taken from raw counts, served.


def check_adjusted(loss):
    z = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    labels, counts = torch.arange(9) % 3, [100, 10, 1]
    version, before = z._version, list(counts)
    value = loss(z, labels, counts)
    assert (z._version, counts) == (version, before)
    # Equal counts adjust nothing, and no class is favoured by their size.
    plain = cross_entropy(z, labels)
    torch.testing.assert_close(loss(z, labels, [50] * 3), plain)
    # Of rare classes more is asked, of common ones less.
    assert value[labels == 2].mean() > plain[labels == 2].mean()
    assert value[labels == 0].mean() < plain[labels == 0].mean()


def writes_offsets(logits, labels, counts):
    logits += torch.tensor(counts).log()
    return F.cross_entropy(logits, labels, reduction="none")


def writes_counts(logits, labels, counts):
    """The zero that REAT replaces, in the caller's list."""
    counts[-1] = max(counts[-1], 2)
    return balanced_softmax(logits, labels, counts)


def subtracts_the_prior(logits, labels, counts):
    return F.cross_entropy(logits - torch.tensor(counts).log(), labels, reduction="none")


def forgets_the_largest(logits, labels, counts):
    """Δ = n^−γ in the place of (n_max / n)^γ."""
    return F.cross_entropy(logits / torch.tensor(counts).pow(-0.3), labels, reduction="none")


@pytest.mark.parametrize("mistake", [writes_offsets, writes_counts, subtracts_the_prior, forgets_the_largest])
def test_29_logits_are_adjusted_and_nothing_else_is_touched(mistake):
    for loss in (balanced_softmax, logit_adjustment, vector_scaling):
        check_adjusted(loss)
    with pytest.raises(AssertionError):
        check_adjusted(mistake)


def check_served_is_balanced(loss, serve=lambda z, counts: z):
    """Of features that say nothing, what is trained and then served prefers no class."""
    counts = (90, 9, 1)
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    bias = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure():
        optimizer.zero_grad()
        value = loss(bias.expand(100, 3), labels, counts).mean()
        value.backward()
        return value

    optimizer.step(closure)
    served = serve(bias.detach(), counts)
    assert served.max() - served.min() < 0.02


def adjusted_by_the_head(z, counts):
    head = LinearHead(tau=1.0).served(nn.Identity(), counts).eval()
    return head(z[None])[0]


def test_29_what_is_served_is_balanced_once():
    plain = lambda z, y, counts: cross_entropy(z, y)  # noqa: E731
    check_served_is_balanced(balanced_softmax)
    check_served_is_balanced(logit_adjustment)
    check_served_is_balanced(plain, adjusted_by_the_head)
    for mistake in (
        (balanced_softmax, lambda z, counts: z + torch.tensor(counts).log()),  # the trained logits are served
        (balanced_softmax, adjusted_by_the_head),  # twice
        (plain,),  # not at all
    ):
        with pytest.raises(AssertionError):
            check_served_is_balanced(*mistake)


# 37. A cosine head whose scale depends on who asks.


def check_one_scale(build_head=None):
    """The loss, the attack, the term that compares with clean images, and the evaluation see the same logits."""
    config = replace(compose(method="ce", loss="robal"), model=Linear())
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    training = fitting.set_up(config, make_fabric("cpu"), data, None, None)
    if build_head is not None:
        training.module.head = build_head(training.module.head)
    seen = {"loss": training.model.train()(data.images).logits}
    with training.lent() as served:
        seen["attack"] = served(data.images).logits
    seen["evaluation"] = training.kept.eval()(data.images).logits
    for logits in seen.values():
        torch.testing.assert_close(logits, seen["loss"])
    # And it is the scale that the loss takes its margins to be of.
    features, weight = training.module(data.images).features, training.module.head.weight
    cosines = F.normalize(features) @ (weight / (weight.norm(dim=1, keepdim=True) + 1 / 32)).T
    torch.testing.assert_close(seen["loss"], config.loss.scale * cosines)


class ScalesInTraining(nn.Module):
    """RoBal's: the loss scales, and nobody else does."""

    def __init__(self, head):
        super().__init__()
        self.head, self.weight = head, head.weight

    def forward(self, features):
        return self.head(features) / (1 if self.training else self.head.scale)


class NeverScales(ScalesInTraining):
    def forward(self, features):
        return self.head(features) / self.head.scale


@pytest.mark.parametrize("mistake", [ScalesInTraining, NeverScales])
def test_37_a_cosine_head_has_one_scale(mistake):
    check_one_scale()
    with pytest.raises(AssertionError):
        check_one_scale(mistake)
    with pytest.raises(UserError, match="must be the same number"):
        replace(compose(method="ce", loss="robal"), head=CosineHead(scale=1.0))


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


# 32. More forward passes in train mode than are declared: BatchNorm's momentum counts each.


def check_forwards(name):
    """Each step moves BatchNorm's statistics once for the adversarial images, and once for the clean ones if asked."""
    config = replace(tiny(), robust_loss=compose(robust_loss=name).robust_loss, averaging=EMA())
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    made = fitting.set_up(config, make_fabric("cpu"), data, None, None)
    training = replace(made, folding=None)  # so that the attack passes BatchNorm too
    training.model.train()
    norms = [module for module in training.module.modules() if isinstance(module, nn.BatchNorm2d)]
    seen = [[] for _ in norms]
    for norm, inputs in zip(norms, seen, strict=True):
        norm.register_forward_hook(
            lambda norm, args, _, inputs=inputs: inputs.append(args[0].detach()) if norm.training else None
        )
        norm.momentum = 0.5
    before = [norm.running_mean.clone() for norm in norms]
    rng = partial(generator, 0)
    step.train_step(training, training.feed.batch(torch.arange(16), rng("augment")), training.stage(0), rng)
    for norm, inputs, mean in zip(norms, seen, before, strict=True):
        assert len(inputs) == 1 + config.robust_loss.sees_clean
        for x in inputs:
            mean = 0.5 * mean + 0.5 * x.mean((0, 2, 3))
        torch.testing.assert_close(norm.running_mean, mean)
    teaching = training.parts["average"].modules()
    assert not any(module.training for module in teaching)


def asked_twice(real):
    def references(training, *args):
        real(training, *args)
        return real(training, *args)

    return references


def in_train_mode(real):
    @contextmanager
    def lent(model, mode="eval"):
        del mode
        yield model

    return lent


def for_the_metrics(real):
    def settle(training, *args):
        training.model(training.train.images)
        real(training, *args)

    return settle


@pytest.mark.parametrize("name", choices(RobustLoss))
def test_32_forward_passes_in_train_mode_are_as_declared(name):
    check_forwards(name)


@pytest.mark.parametrize(
    ("where", "attribute", "mistake"),
    [
        (step, "references", asked_twice),
        (session, "lent", in_train_mode),
        (session.Training, "settle", for_the_metrics),
    ],
)
def test_32_a_forward_pass_too_many_is_seen(where, attribute, mistake, monkeypatch):
    monkeypatch.setattr(where, attribute, mistake(getattr(where, attribute)))
    with pytest.raises(AssertionError):
        check_forwards("trades")


# 34. TRADES: a divergence of another reduction or direction, a clean side cut off, an attack from where it is flat.


def check_trades(divergence, monkeypatch):
    monkeypatch.setattr(robust_losses.trades, "kl_divergence", divergence)
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(8) % 5
    z, clean = (
        (2 * torch.randn(8, 5, generator=gen)).requires_grad_(),
        torch.randn(8, 5, generator=gen).requires_grad_(),
    )
    compared = References(labels, lambda logits: cross_entropy(logits, labels), clean)
    value = reduce_weighted(TRADES().outer(z, compared), torch.ones(8), "weighted_mean")
    p = clean.softmax(1)
    kl = F.kl_div(z.log_softmax(1), p, reduction="batchmean")
    expected = F.cross_entropy(clean, labels) + 6 * kl
    torch.testing.assert_close(value, expected)
    for ours, theirs in zip(*(torch.autograd.grad(v, (z, clean)) for v in (value, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def over_elements(p, q):
    return F.kl_div(q.log_softmax(1), p.softmax(1), reduction="none").mean(1)


def turned_round(p, q):
    return kl_divergence(q, p)


def of_logarithms(p, q):
    return F.kl_div(q.log_softmax(1), p.log_softmax(1), reduction="none").sum(1)


def cut_off(p, q):
    return kl_divergence(p.detach(), q)


def test_34_trades_is_what_it_says(monkeypatch):
    check_trades(kl_divergence, monkeypatch)


@pytest.mark.parametrize("mistake", [over_elements, turned_round, of_logarithms, cut_off])
def test_34_a_divergence_of_another_kind_is_seen(mistake, monkeypatch):
    with pytest.raises((AssertionError, RuntimeError)):
        check_trades(mistake, monkeypatch)


def check_attack_on_the_divergence(attack, model, images):
    """It finds images that the model takes for more different ones than the noise of the start alone makes."""
    model.double().eval()
    images = images.double()
    clean = model(images).detach()
    loss_at = lambda x: TRADES().inner(model(x), References(None, None, clean))  # noqa: E731
    start = attack.noise(images.shape, generator=torch.Generator().manual_seed(0))
    begun = images if start is None else (images + start).clamp(0, 1)
    assert attacks.input_gradient(loss_at, begun).abs().max() > 1e-8
    replace(compose(robust_loss="trades"), attack=attack).check()


def test_34_its_attack_begins_beside_the_image(model, images):
    check_attack_on_the_divergence(PGD(start_deviation=0.001), model, images)
    with pytest.raises(AssertionError):
        check_attack_on_the_divergence(PGD(random_start=False), model, images)
    with pytest.raises(UserError, match="random start"):
        replace(compose(robust_loss="trades"), attack=PGD(random_start=False)).check()


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


# 36. Catastrophic overfitting: a probe in train mode, the last epoch as reference, rare classes out of sight; the
# momentum of the collapse kept, or an average of it. That it collapses, and does not with the guard, is drilled in
# ``training/test_guarding.py``.


def single_step(**members):
    """Return a training under FGSM on images of four classes, two of them rare."""
    config = replace(tiny(), guard=CollapseGuard(), attack=FGSM(epsilon=0.1), batch_size=16, epochs=3, **members)
    labels = torch.tensor([0] * 30 + [1] * 30 + [2] * 10 + [3] * 10)
    images = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return fitting.set_up(config, make_fabric("cpu"), Dataset(images, labels, tuple("abcd")), None, None)


def check_probe_mode(probe):
    """What is probed is the model that is served: BatchNorm by its running statistics, which stay as they are."""
    training = single_step()
    for norm in (each for each in training.module.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    training.model.train()
    served = copy.deepcopy(training.module).eval()
    found = probe(training, training.stage(0), partial(trainer.count_raw, training, NullKeeper()))
    images, rng = guarding.probed_images(training.train, 0), generator(0, "guard", epoch=0, step=0, rank=0)
    clean = lambda x: F.cross_entropy(served(x).logits, images.labels[: len(x)], reduction="none")  # noqa: E731
    assert found.robust == trainer.count(served, images, trainer.selecting_attack(training.config), seed=0)
    attacked = FGSM(epsilon=0.1).perturb(clean, images.images[:16], generator=rng)
    right = served(attacked).logits.argmax(1) == images.labels[:16]
    assert int(right[images.labels[:16] == 0].sum()) == found.trained.correct[0]
    assert all(torch.equal(a, b) for a, b in zip(served.buffers(), training.module.buffers(), strict=True))


def in_train_mode(training, stage, counted):
    """As Wong's code: the model is probed as it is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarding, "lent", lambda model, _: contextlib.nullcontext(model.train()))
        return guarding.probe(training, stage, counted)


def test_36_the_probe_is_of_the_model_that_is_served():
    check_probe_mode(guarding.probe)
    with pytest.raises(AssertionError):
        check_probe_mode(in_train_mode)


def check_finds(kind, right, groups, guard=None):
    """A collapse is found in one of these epochs, each the images of four classes that are right, of 64."""
    guard, parts = guard or CollapseGuard(), nn.ModuleDict()
    watch, all_, trained = kind(nn.Linear(2, 2), parts, groups=groups, classes=4), (64,) * 4, (60,) * 4
    found = []
    for robust in right:
        seen = watch.seen((all_, robust, trained), (False,) * 4)
        found.append(guard.judge(seen))
        watch.close(seen)
    assert any(found)


class LastEpoch(Watch):
    """Wong's reference: the epoch before."""

    def close(self, seen):
        super().close(seen)
        self.best.copy_(torch.tensor([one.probe for one in seen.values()]))


def test_36_a_slow_collapse_is_one():
    groups = {"": (0, 1, 2, 3)}
    falling = [(n,) * 4 for n in (50, 42, 34, 26, 18)]
    check_finds(Watch, falling, groups)
    with pytest.raises(AssertionError):
        check_finds(LastEpoch, falling, groups)


def test_36_rare_classes_collapse_unseen_by_the_average(monkeypatch):
    check = partial(check_finds, Watch, [(48, 48, 52, 52), (48, 48, 36, 36)])
    check(single_step().watch.groups)
    monkeypatch.setattr(setting_up, "groups", lambda counts: Groups(well=tuple(range(len(counts))), under=()))
    with pytest.raises(AssertionError):
        check(single_step().watch.groups)


def check_nothing_of_a_collapse_stays():
    """After its second epoch, which is undone, a run is where it was after the first, and as if at rest."""
    training, ends = single_step(averaging=EMA(decay=0.5, start=0.0)), []

    class Watching(Observer):
        def epoch(self, row):
            weights = [t.clone() for model in (training.module, training.kept) for t in model.state_dict().values()]
            ends.append((weights, copy.copy(training.optimizer.state_dict()["state"])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CollapseGuard, "judge", lambda *_: "as told" if len(ends) == 1 else "")
        patch.setattr(CollapseGuard, "is_good", lambda *_: True)
        trainer.run_epochs(training, NullKeeper(), Watching())
    (first, moving), (second, at_rest), (third, _) = ends
    assert moving
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not at_rest
    assert not all(torch.equal(one, other) for one, other in zip(second, third, strict=True))


def of_the_model_alone(watch, model, parts):
    """The average stays, with the weights of the collapse in it."""
    model.load_state_dict(watch.good["model"].state_dict())
    watch.remedies += 1


@pytest.mark.parametrize(
    "mistake", [(guarding, "forget_momentum", lambda optimizer: None), (Watch, "restore", of_the_model_alone)]
)
def test_36_nothing_of_a_collapse_stays(mistake, monkeypatch):
    check_nothing_of_a_collapse_stays()
    monkeypatch.setattr(*mistake)
    with pytest.raises(AssertionError):
        check_nothing_of_a_collapse_stays()


# 38. A sampling's frequencies; losses and weights that are told another prior than is drawn.


def check_prior(sampling):
    labels = torch.tensor([0] * 60 + [1] * 9 + [2])
    for epoch in (0, 2, 4):
        order = sampling.order(labels, epoch=epoch, epochs=5, generator=torch.Generator().manual_seed(epoch))
        got = labels[order].bincount(minlength=3).tolist()
        told = sampling.drawn((60, 9, 1), epoch=epoch, epochs=5)
        assert max(abs(a - b) for a, b in zip(got, told, strict=True)) <= 1
        for label, total in enumerate(got):
            times = order.bincount(minlength=70)[labels == label]
            assert set(times.tolist()) <= {total // len(times), -(-total // len(times))}


class ToldOfAll(SquareRoot):
    """Tells of the examples that there are."""

    drawn = Sampling.drawn


class ToldOfTheStart(Progressive):
    """Tells of the first epoch alone."""

    def drawn(self, class_counts, *, epoch, epochs):
        return super().drawn(class_counts, epoch=0, epochs=epochs)


class WithReplacement(ClassBalanced):
    """Draws independently, so that an image may be missed for epochs."""

    def order(self, labels, *, epoch, epochs, generator):
        shares = 1 / labels.bincount()[labels]
        return torch.multinomial(shares, len(labels), replacement=True, generator=generator)


class BySquares(SquareRoot):
    """The more of the common classes."""

    def shares(self, class_counts, *, epoch, epochs):
        return class_counts**2

    def drawn(self, class_counts, *, epoch, epochs):
        return SquareRoot().drawn(class_counts, epoch=epoch, epochs=epochs)


def test_38_losses_are_told_what_is_drawn():
    for name in choices(Sampling):
        check_prior(choose(Sampling, name, "sampling"))
    for mistake in (ToldOfAll(), ToldOfTheStart(), WithReplacement(), BySquares()):
        with pytest.raises(AssertionError):
            check_prior(mistake)


# 39. Tail groups by the order of the labels.


def check_groups(definition):
    """Permuted classes are in permuted groups."""
    counts = (500, 300, 120, 90, 60, 40, 19, 12, 7, 3)
    order = np.random.default_rng(0).permutation(10)
    plain, permuted = definition(counts).named, definition(tuple(counts[c] for c in order)).named
    assert {name: sorted(order[c] for c in classes) for name, classes in permuted.items()} == {
        name: list(classes) for name, classes in plain.items()
    }


def last_third(train_counts):
    """REAT's: the labels from 2 ⌊C/3⌋ + 1 on."""
    first = 2 * (len(train_counts) // 3) + 1
    return NamedGroups(named={"head": tuple(range(first)), "tail": tuple(range(first, len(train_counts)))})


def test_39_groups_follow_the_counts_not_the_labels():
    for definition in GROUPINGS.values():
        check_groups(definition)
    with pytest.raises(AssertionError):
        check_groups(last_third)


# 41. Twenty classes under the name of Tiny-ImageNet.


def check_all_classes(root):
    """A folder of which a part of the classes is there is refused."""
    for c in range(20):
        (root / "train" / f"n{c:08d}" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="expected 200 classes, got 20"):
        TinyImageNet(dir=root, verify=False).train()
    assert TinyImageNet().classes == ()


def test_41_tiny_imagenet_has_200_classes(tmp_path, monkeypatch):
    check_all_classes(tmp_path / "ours")
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 20)
    with pytest.raises((AssertionError, UserError)):
        check_all_classes(tmp_path / "twenty")


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


# 27. Feedback from the test set.


def learning():
    """Return runs of every member that learns while they go on."""
    config = replace(tiny(), schedule=replace(tiny().schedule, reweight_from=0))
    for budget in (CFA(start=0.0), DAFA(start=0.0), FRL(start=0.0)):
        yield replace(config, budget=budget)
    yield replace(config, weighting=DAFAWeighting(start=0.0), averaging=FAWA(batch_norm="attacked"))


def test_27_what_learns_never_sees_the_test(monkeypatch):
    for config in learning():
        check_no_look_at_the_test(lambda _, config=config: fitting.fit(config), monkeypatch)

    def of_the_test(training, epoch, held_out):
        test = trainer.count(training.kept, training.config.data.test(), Natural(), seed=0)
        right = torch.tensor(test.correct).double()
        real(training, epoch, HeldOut(torch.tensor(test.total).double(), right, right))

    real = Training.close
    monkeypatch.setattr(Training, "close", of_the_test)
    with pytest.raises(AssertionError):
        check_no_look_at_the_test(lambda _: fitting.fit(next(learning())), monkeypatch)


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
