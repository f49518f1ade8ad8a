"""Robust losses in a training: what they are compared with, whose teacher, and what is kept of it."""

import copy
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

import srat
from refusals import refusing
from srat import UserError
from srat.attacks import PGD
from srat.config.command_line import command_of
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.keyed_random import generator
from srat.core.tensor_file import digest_of, open_tensors
from srat.data import Dataset
from srat.data.imbalance import Step
from srat.models import lent
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA
from srat.robust_losses import MART, TRADES, Distillation, Mixture
from srat.runtime.fabric import make_fabric
from srat.training.fitting import fit
from srat.training.memory_estimate import step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step

ATTACK = PGD(epsilon=0.1, step_size=0.05, steps=2)
NAMES = tuple("abcd")


def small(**changes):
    config = compose(method="ce", batch_size=16, epochs=1, imbalance=Step(ratio=5, cap=12))
    config = replace(config, model=SmallCNN(width=2), attack=ATTACK, evaluation=replace(config.evaluation, steps=2))
    return replace(config, **changes)


def some(names=NAMES, channels=1, side=8):
    images = torch.rand(16, channels, side, side, generator=torch.Generator().manual_seed(0))
    return Dataset(images, torch.arange(16) % len(names), names)


def a_training(data=None, **changes):
    config = small(**changes)
    return set_up(config, make_fabric("cpu", config.precision), data or some(), None, None)


def stepped(training, steps=3):
    """Return the parameters after some steps of the whole data."""
    training.model.train()
    for step in range(steps):
        rng = partial(generator, 0, step=step)
        batch = training.feed.batch(torch.arange(16), rng("augment"))
        train_step(training, batch, training.stage(0)._replace(step=step), rng)
    return torch.cat([parameter.detach().flatten() for parameter in training.module.parameters()])


@pytest.mark.parametrize("loss", [TRADES(beta=0.0), Mixture(share=0.0)], ids=lambda loss: loss.name)
def test_of_the_clean_image_alone_it_is_natural_training(loss):
    natural = stepped(a_training(attack=srat.attacks.Natural()))
    torch.testing.assert_close(stepped(a_training(robust_loss=loss)), natural, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss", [Mixture(share=1.0), Distillation(weight=0.0)], ids=lambda loss: loss.name)
def test_of_the_adversarial_image_alone_it_is_standard(loss):
    changes = {"averaging": EMA()} if loss.sees_teacher else {}
    # BatchNorm's running statistics see the clean images too, and the next attack sees them.
    torch.testing.assert_close(stepped(a_training(robust_loss=loss, **changes), 1), stepped(a_training(), 1))


@pytest.mark.parametrize("loss", [TRADES(), MART(), Mixture()], ids=lambda loss: loss.name)
def test_weights_of_the_classes_multiply_all_of_it(loss):
    def step(weights):
        training = a_training(robust_loss=loss)
        training.model.train()
        batch = training.feed.batch(torch.arange(16), generator(0, "augment"))
        stage = training.stage(0)._replace(weights=torch.tensor(weights))
        train_step(training, batch, stage, partial(generator, 0))
        return torch.cat([parameter.detach().flatten() for parameter in training.module.parameters()])

    assert torch.equal(step([1.0, 1.0, 1.0, 1.0]), step([2.0, 2.0, 2.0, 2.0]))
    assert not torch.equal(step([1.0, 1.0, 1.0, 1.0]), step([8.0, 1.0, 1.0, 1.0]))


def test_trades_in_a_step_is_a_naive_one():
    """Attack and update anew, by plain PyTorch, on a copy of the model."""
    training = a_training(robust_loss=TRADES(), attack=replace(ATTACK, start_deviation=0.01))
    model, images, labels = copy.deepcopy(training.module), training.train.images, training.train.labels
    stepped(training, 1)
    noise = 0.01 * torch.randn(images.shape, generator=generator(0, "attack", step=0))
    with lent(model) as served:
        clean = served(images).logits.detach().softmax(1)
        x = (images + noise).clamp(0, 1)
        for _ in range(2):
            x = x.detach().requires_grad_()
            kl = F.kl_div(served(x).logits.log_softmax(1), clean, reduction="sum")
            (g,) = torch.autograd.grad(kl, x)
            x = (images + (x + 0.05 * g.sign() - images).clamp(-0.1, 0.1)).clamp(0, 1).detach()
    model.train()
    adversarial, clean = model(x).logits, model(images).logits
    loss = F.cross_entropy(clean, labels)
    loss = loss + 6 * F.kl_div(adversarial.log_softmax(1), clean.softmax(1), reduction="batchmean")
    loss.backward()
    config = training.config.optimizer
    optimizer = config.make(model.parameters())
    for group in optimizer.param_groups:
        group["lr"] = training.optimizer.param_groups[0]["lr"]
    optimizer.step()
    for ours, theirs in zip(training.module.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_what_does_not_go_together_is_refused_before_anything_is_read(tmp_path):
    for config, said in (
        (small(robust_loss=TRADES(), attack=srat.attacks.FGSM()), "`attack`: expected one with a random start"),
        (small(robust_loss=Distillation()), "`averaging`: expected one"),
    ):
        with pytest.raises(UserError, match=said):
            fit(config, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("loss", [TRADES(), MART(), Distillation(maximises="divergence")], ids=lambda loss: loss.name)
def test_half_precision_trains_as_full_does(loss, precision):
    changes = {"robust_loss": loss, "averaging": EMA()}
    half, full = (stepped(a_training(precision=p, **changes), 2) for p in (precision, "fp32"))
    assert half.isfinite().all()
    assert 0 < (half - full).norm() < 0.1 * full.norm()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    fit(small(seed=5), out=folder, device="cpu", compiled="off")
    return folder


class TestTeacher:
    def test_is_named_by_its_weights_wherever_they_lie(self, run, tmp_path):
        config = small(robust_loss=Distillation(teacher=run))
        loss, file = config.robust_loss, run / "model.safetensors"
        assert (loss.teacher, loss.teacher_sha256) == (file, digest_of(file))
        assert Distillation(teacher=file) == loss
        shutil.copy(file, tmp_path / "copy.safetensors")
        moved = small(robust_loss=Distillation(teacher=tmp_path / "copy.safetensors"))
        assert moved.id == config.id
        assert not moved.differences(config)
        other = small(robust_loss=replace(loss, teacher_sha256="0" * 64))
        assert other.id != config.id
        assert any("teacher_sha256" in line for line in other.differences(config))
        assert small(robust_loss=Distillation()).id not in (config.id, other.id)

    def test_of_a_relative_path_is_found_from_everywhere(self, run, monkeypatch, tmp_path):
        monkeypatch.chdir(run.parent)
        loss = Distillation(teacher="run")
        monkeypatch.chdir(tmp_path)
        assert Config.from_json(small(robust_loss=loss).to_json()).robust_loss == loss
        assert a_digits_training(loss).teacher is not None

    def test_that_is_gone_stops_no_reading(self, run, tmp_path):
        shutil.copy(run / "model.safetensors", tmp_path / "gone.safetensors")
        config = small(robust_loss=Distillation(teacher=tmp_path / "gone.safetensors"))
        (tmp_path / "gone.safetensors").unlink()
        assert Config.from_json(config.to_json()) == config
        with pytest.raises(UserError, match="gone.safetensors"):
            set_up(config, make_fabric("cpu"), some(), None, None)

    def test_that_is_not_there_is_refused(self, tmp_path):
        with refusing("robust_loss.teacher", str(tmp_path)):
            Distillation(teacher=tmp_path)
        with refusing("robust_loss.teacher_sha256", "abc"):
            Distillation(teacher_sha256="abc")

    def test_of_other_weights_than_named_is_refused(self, run):
        loss = replace(Distillation(teacher=run), teacher_sha256="0" * 64)
        with pytest.raises(UserError, match="expected weights with the checksum 000"):
            a_training(robust_loss=loss)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (some(), r"expected a model of 4 classes \(a, b, c, …\), got one of 10 classes \(0, 1, 2"),
            (some(tuple("9876543210")), r"expected a model of 10 classes \(9, 8, 7"),
            (some(tuple("0123456789"), channels=3), "expected a model of images of 3×8×8, got one of images of 1×8×8"),
            (some(tuple("0123456789"), side=12), "expected a model of images of 1×12×12"),
        ],
    )
    def test_of_other_classes_or_sizes_is_refused_in_a_line(self, run, data, said):
        with pytest.raises(UserError, match=said) as caught:
            a_training(data, robust_loss=Distillation(teacher=run))
        assert "\n" not in str(caught.value)

    def test_is_in_eval_mode_without_gradient_and_stays_as_it_is(self, run):
        training = a_digits_training(Distillation(teacher=run))
        loaded = srat.load(run).state_dict()
        stepped(training)
        assert not any(module.training for module in training.teacher.modules())
        assert not any(parameter.requires_grad for parameter in training.teacher.parameters())
        assert all(torch.equal(loaded[name], tensor) for name, tensor in training.teacher.state_dict().items())

    def test_says_what_its_model_says_of_the_clean_images(self, run):
        training = a_digits_training(Distillation(teacher=run))
        images = training.train.images
        with torch.no_grad():
            expected = srat.load(run)(images).logits
        taught = training.taught(images)
        torch.testing.assert_close(taught, expected)
        assert not taught.requires_grad
        assert a_training().taught(images) is None

    def test_is_shown_the_clean_images_in_a_step(self, run, monkeypatch):
        training = a_digits_training(Distillation(teacher=run))
        told, outer = [], Distillation.outer
        monkeypatch.setattr(Distillation, "outer", lambda *given: told.append(given[2].teacher) or outer(*given))
        batch = training.feed.batch(torch.arange(16), generator(0, "augment"))
        train_step(training, batch, training.stage(0), partial(generator, 0))
        torch.testing.assert_close(told, [training.taught(batch.images)])

    def test_is_in_no_checkpoint_and_its_run_resumes(self, run, tmp_path):
        config = small(robust_loss=Distillation(teacher=run))
        trained = fit(config, out=tmp_path / "run", device="cpu", compiled="off")
        for file in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
            assert not any("teacher" in name for name in open_tensors(file).shapes)
        assert not trained.model.state_dict().keys() ^ srat.load(run).state_dict().keys()
        assert Config.read(tmp_path / "run" / "config.json") == config

    def test_is_traced_and_stays_as_it_is(self, run):
        training = a_digits_training(Distillation(teacher=run))
        before = {name: tensor.clone() for name, tensor in training.teacher.state_dict().items()}
        one, two = (step_bytes(training, batch_size=size) for size in (64, 128))
        assert 0 < one < two
        assert all(torch.equal(before[name], tensor) for name, tensor in training.teacher.state_dict().items())

    def test_is_chosen_by_words(self, run, cli, tmp_path, monkeypatch):
        monkeypatch.chdir(run.parent)
        words = ("--robust-loss", "distillation", "--robust-loss.teacher", "run", "--model.width", 2, "--epochs", 1)
        code, _, err = cli("train", *words, "--method", "srat-ldam", "--attack.steps", 1, "--out", tmp_path / "run")
        assert code == 0, err
        config = Config.read(tmp_path / "run" / "config.json")
        assert config.robust_loss == Distillation(teacher=run)
        assert f"--robust-loss.teacher-sha256 {config.robust_loss.teacher_sha256}" in command_of(config)

    def test_teaches(self, run):
        """Of weight 1 the student comes nearer to it, whatever the labels."""
        loss = Distillation(teacher=run, weight=1.0)
        training = a_digits_training(loss)
        images = training.train.images

        def distance():
            with torch.no_grad(), lent(training.module) as served:
                return F.kl_div(
                    served(images).logits.log_softmax(1), training.taught(images).softmax(1), reduction="batchmean"
                )

        stepped(training, 1)  # after which the statistics are of these images
        before = distance()
        stepped(training, 30)
        assert distance() < 0.7 * before

    def test_the_average_teaches_with_the_weights_of_the_step_before(self):
        training = a_training(robust_loss=Distillation(), averaging=EMA(start=0.0))
        stepped(training, 2)
        images = training.train.images
        with torch.no_grad():
            assert torch.equal(training.taught(images), training.parts["average"](images).logits)
        assert training.teacher is None


def a_digits_training(loss):
    return a_training(some(tuple("0123456789")), robust_loss=loss)
