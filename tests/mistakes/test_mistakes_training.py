"""Mistakes of the training: its arithmetic, what it sees, resumes, passes, mixed images; `planting` has them all."""

import copy
import itertools
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch
from planting import tiny
from torch import nn
from torch.nn import functional as F

import drift
from drift import attack_of_the_trainer, check_attack
from srat.attacks import PGD, Natural, input_gradient
from srat.attacks.budgets import CFA, DAFA, FRL
from srat.config.composition import compose
from srat.config.config import InnerMaximization
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.members import choices, choose
from srat.core.signals import Interrupted
from srat.data import Batch, Dataset, Targets
from srat.data.mixing import CutMix, MixUp
from srat.data.sources.digits import Digits
from srat.evaluation.observer import Observer
from srat.feature_losses import FeatureLoss, separation
from srat.feedback import HeldOut
from srat.losses import BalancedSoftmax, cross_entropy
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA, FAWA
from srat.robust_losses import RobustLoss
from srat.runtime.fabric import make_fabric
from srat.training import checkpoint, fitting, inner, session, step
from srat.training import loop as trainer
from srat.training.checkpoint import State
from srat.training.fitting import fit
from srat.training.keeper import NullKeeper
from srat.training.session import Training
from srat.training.stage import Stage
from srat.weightings.dafa_weighting import DAFAWeighting
from srat.weightings.held_out_weighting import HeldOutWeighting

# 8. Half precision weakens attacks.    9. Compiled or TF32 code drifts.


@pytest.fixture(scope="module")
def trained():
    """A confident model, and digits that it saw."""
    config, model, data = drift.trained(model=SmallCNN(width=8))
    return config, model, data.subset(torch.arange(1024))


@pytest.fixture(scope="module")
def reference(trained):
    """The attack of plain code in full precision."""
    return attack_of_the_trainer(trained, folding=False)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_8_half_precision_attacks_as_well(trained, reference, precision, monkeypatch):
    assert 20 < reference[2] < 90
    check_attack(attack_of_the_trainer(trained, precision=precision), reference, agreement=0.98, points=0.3)
    if precision == "fp16":
        monkeypatch.setattr(inner, "rescale_gradient", lambda logits: logits)
        with pytest.raises(AssertionError):
            check_attack(attack_of_the_trainer(trained, precision=precision), reference, agreement=0.98, points=0.3)


def test_8_the_loss_is_taken_in_full_precision(trained, monkeypatch):
    seen = []
    monkeypatch.setattr(inner, "entropy_of", lambda z, y: seen.append(z.dtype) or cross_entropy(z, y))
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


def test_9_folded_code_does_not_drift(trained, reference):
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


# 20. A resume that is not exact.


class StopsAfterSeven(Observer):
    """Asks the run to stop within its second epoch of five steps."""

    steps = 0

    def step(self):
        self.steps += 1
        if self.steps == 7:
            os.kill(os.getpid(), signal.SIGTERM)


def resumable(monkeypatch):
    """Return a run of three epochs, of which the first is the best: its weights must come back, too."""
    scores = itertools.cycle((0.3, 0.2, 0.1))
    monkeypatch.setattr(trainer, "validate", lambda *_: ({"held_out_robust": next(scores)}, []))
    config = replace(compose(method="srat-ldam", epochs=3, averaging="ema", guard="none"), model=SmallCNN(width=4))
    return replace(config, attack=replace(config.attack, steps=1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of that run, never stopped: no mistake in how one is resumed is in it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        fitting.fit(resumable(patch), out=folder)
    return folder


def check_resume(whole, folder, monkeypatch):
    config = resumable(monkeypatch)
    with pytest.raises(Interrupted):
        fitting.fit(config, out=folder, observer=StopsAfterSeven())
    fitting.fit(config, out=folder)
    for name in ("metrics.csv", "model.safetensors", "model-best.safetensors"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name


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


def test_20_a_resume_is_exact(whole, tmp_path, monkeypatch):
    check_resume(whole, tmp_path, monkeypatch)


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
def test_20_each_part_of_the_state_counts(monkeypatch, whole, tmp_path, name, mistake, shown):
    monkeypatch.setattr(checkpoint, name, mistake)
    with pytest.raises((AssertionError, UserError), match=shown):
        check_resume(whole, tmp_path, monkeypatch)


# 27. Feedback from the test set.


def learning():
    """Return runs of every member that learns while they go on."""
    config = replace(tiny(), schedule=replace(tiny().schedule, reweight_from=0))
    averaging = FAWA(batch_norm="attacked")
    yield replace(config, budget=CFA(start=0.0), weighting=DAFAWeighting(start=0.0), averaging=averaging)
    yield replace(config, budget=DAFA(start=0.0), weighting=HeldOutWeighting(start=0.0))
    yield replace(config, budget=FRL(start=0.0))


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


# 33. Attacks that find the model in another mode in the first batch of an epoch, after an evaluation.


def check_one_mode(batch_norm, monkeypatch):
    """Each look of the training attack finds BatchNorm as the configuration says, in every step of two epochs."""
    config = replace(tiny(), inner=InnerMaximization(batch_norm=batch_norm), batch_size=8)
    data = Dataset(torch.rand(32, 1, 8, 8), torch.arange(32) % 4, tuple("abcd"))
    made = fitting.set_up(config, make_fabric("cpu"), data, data, None)
    training = replace(made, folding=None)  # so that the attack passes BatchNorm too
    steps, attacking, real_step, real_attack = [], [], trainer.train_step, PGD.perturb

    def stepping(*args):
        steps.append([])
        return real_step(*args)

    def perturb(attack, loss_at, images, **named):
        attacking.append(attack)
        adversarial = real_attack(attack, loss_at, images, **named)
        attacking.clear()
        return adversarial

    for norm in (module for module in training.module.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.register_forward_pre_hook(lambda norm, _: steps[-1].append(norm.training) if attacking else None)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", stepping)
        patch.setattr(PGD, "perturb", perturb)
        trainer.run_epochs(training, NullKeeper(), Observer())
    assert len(steps) == 8
    assert all(step == steps[0] and set(step) == {batch_norm != "eval"} for step in steps)


def first_in_another_mode(monkeypatch):
    """As code does that lends the model in the mode in which the last evaluation has left it."""
    others = {"eval": "train_frozen_stats", "train_frozen_stats": "eval"}
    first, real_step, real_lent = [], trainer.train_step, session.lent

    def train_step(training, batch, stage, rng):
        first[:] = [stage.step % training.feed.steps == 0]
        return real_step(training, batch, stage, rng)

    def lent(model, mode="eval"):
        return real_lent(model, others[mode] if first == [True] else mode)

    monkeypatch.setattr(trainer, "train_step", train_step)
    monkeypatch.setattr(session, "lent", lent)


@pytest.mark.parametrize("batch_norm", ["eval", "train_frozen_stats"])
def test_33_every_batch_is_attacked_in_the_same_mode(batch_norm, monkeypatch):
    check_one_mode(batch_norm, monkeypatch)
    first_in_another_mode(monkeypatch)
    with pytest.raises(AssertionError):
        check_one_mode(batch_norm, monkeypatch)


# 40. Mixed images: budget, weight, loss or attack of one class alone; λ of a box that was cut off; features of both.

COUNTS_OF_FOUR = torch.tensor([8.0, 4.0, 3.0, 1.0])


def check_mixed_step(train_step):
    """Attack and update anew, with soft targets, by plain PyTorch; one step of PGD that begins at the image itself."""
    attack = PGD(epsilon=0.1, step_size=0.05, steps=1, random_start=False)
    config = replace(compose(method="cb-reweight", loss="balanced-softmax", mixing="cutmix"), model=Linear())
    labels = torch.arange(4).repeat_interleave(COUNTS_OF_FOUR.long())
    data = Dataset(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), labels, tuple("abcd"))
    training, by_hand = (
        fitting.set_up(replace(config, attack=attack), make_fabric("cpu"), data, None, None) for _ in range(2)
    )
    rng = partial(generator, 0)
    batch = training.feed.batch(torch.randperm(16, generator=rng("order")), rng("augment"))
    x, (a, b, share) = batch.images, batch.targets
    assert 0.2 < share < 0.8
    assert (a != b).sum() > 5
    weights, scales = torch.tensor([0.2, 0.5, 1.0, 4.0]), torch.tensor([0.5, 1.0, 1.5, 2.0])
    train_step(training, batch, training.stage(0)._replace(weights=weights, scales=scales), rng)
    soft = share * F.one_hot(a, 4) + (1 - share) * F.one_hot(b, 4)
    model, start = by_hand.module.train(), x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(start).logits, soft, reduction="sum"), start)
    x = (x + 0.05 * (soft @ scales)[:, None, None, None] * gradient.sign()).clamp(0, 1)
    losses = F.cross_entropy(model(x).logits + COUNTS_OF_FOUR.log(), soft, reduction="none")
    w = soft @ weights
    ((w * losses).sum() / w.sum()).backward()
    by_hand.optimizer.step()
    for ours, theirs in zip(training.module.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def single(value):
    """A batch, or targets, of the images' own classes; anything else as it is."""
    if isinstance(value, Batch):
        return value._replace(targets=single(value.targets))
    return value._replace(partners=None) if isinstance(value, Targets) else value


def of_one_class(real):
    """The function as of images that are not mixed."""

    def function(*args, **kwargs):
        return real(*map(single, args), **kwargs)

    return function


def of_the_images_own_labels(real):
    def references(training, stage, batch, taught):
        return lambda labels: real(training, stage, batch, taught)(batch.labels)

    return references


def without_offsets(real):
    """Soft targets by another function than the loss."""
    return lambda self, logits, labels, class_counts: cross_entropy(logits, labels)


def of_the_adjusted_logits(real):
    """The offsets of the loss in the attack, too."""

    def inner_loss(training, *args):
        inner = replace(training.config.inner, loss="training")
        return real(replace(training, config=replace(training.config, inner=inner)), *args)

    return inner_loss


@pytest.mark.parametrize(
    ("where", "attribute", "mistake"),
    [
        (Stage, "scale_of", of_one_class),
        (Stage, "weights_of", of_one_class),
        (step, "inner_loss", of_one_class),
        (step, "inner_loss", of_the_adjusted_logits),
        (step, "references", of_the_images_own_labels),
        (BalancedSoftmax, "__call__", without_offsets),
    ],
)
def test_40_a_mixed_image_has_two_classes_everywhere(where, attribute, mistake, monkeypatch):
    check_mixed_step(trainer.train_step)
    monkeypatch.setattr(where, attribute, mistake(getattr(where, attribute)))
    with pytest.raises(AssertionError):
        check_mixed_step(trainer.train_step)


def check_area(mixing):
    """Of white images on black ones λ is how bright they are then."""
    for seed in range(20):
        mix = mixing.draw(4, 8, 6, labels=torch.arange(4), generator=torch.Generator().manual_seed(seed))
        mixed = mix.blend(torch.ones(4, 1, 8, 6), torch.zeros(4, 1, 8, 6))
        assert mixed.mean().item() == pytest.approx(mix.share, abs=1e-6)


class AsDrawn(CutMix):
    """λ as it was drawn, whatever of the box is beyond the edge."""

    def blending(self, share, height, width, *, generator):
        return share, super().blending(share, height, width, generator=generator)[1]


class OfTheOther(MixUp):
    def blending(self, share, height, width, *, generator):
        return 1 - share, super().blending(share, height, width, generator=generator)[1]


def test_40_lambda_is_the_part_that_is_there():
    check_area(CutMix())
    check_area(MixUp())
    for mistake in (AsDrawn(), OfTheOther()):
        with pytest.raises(AssertionError):
            check_area(mistake)


def check_features_of_one_class(config):
    with pytest.raises(UserError, match="`mixing`: expected none with `feature_loss`"):
        fit(config)


@pytest.mark.parametrize("feature_loss", [name for name in choices(FeatureLoss) if name != "none"])
def test_40_no_feature_is_of_two_classes(feature_loss, monkeypatch):
    config = replace(tiny(), feature_loss=choose(FeatureLoss, feature_loss, "feature loss"), mixing=CutMix(), epochs=1)
    check_features_of_one_class(config)
    monkeypatch.setattr(fitting, "check", lambda config: None)
    with pytest.raises(pytest.fail.Exception):
        check_features_of_one_class(config)


# 26. A term of the attack without a gradient: here the feature loss.


def check_feature_loss_steers():
    """With a weight on the feature loss, the training attack makes other images, along the slope of that loss too."""
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    slopes = []
    for weight in (0.0, 2.0):
        config = replace(compose(method="srat-ce"), model=SmallCNN(width=4))
        config = replace(config, inner=replace(config.inner, feature_weight=weight))
        training = fitting.set_up(config, make_fabric("cpu"), data, None, None)
        with training.lent() as served:
            batch = Batch(data.images, Targets(data.labels), slice(0, 16))
            loss_at = inner.inner_loss(training, training.stage(0), served, batch)
            slopes.append(input_gradient(loss_at, data.images))
            alone = input_gradient(lambda x: separation(served(x).embedding, data.labels), data.images)
    torch.testing.assert_close(slopes[1] - slopes[0], 2 * alone, rtol=1e-3, atol=1e-5 * float(alone.abs().max()))
    assert alone.abs().max() > 0


def test_26_the_feature_loss_in_the_attack_has_one(monkeypatch):
    check_feature_loss_steers()
    real = inner.feature_values
    inert = lambda training, stage, embedding, batch: real(training, stage, embedding.detach(), batch)  # noqa: E731
    monkeypatch.setattr(inner, "feature_values", inert)
    with pytest.raises(AssertionError):
        check_feature_loss_steers()
