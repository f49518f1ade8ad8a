"""The trainer: Algorithm 1 by hand, resume, devices, folders, and data that it must not see."""

import csv
import itertools
import json
import math
import os
import shutil
import signal
import threading
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import srat
import srat.training.session
from srat.attacks import FGSM, PGD, Natural, input_gradient
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.signals import STOPPING, Interrupted
from srat.core.tensor_file import TensorFile, open_tensors, write_tensors
from srat.data import Batch, Dataset, Feed, Source, Targets, prepare
from srat.data.augmentation import CropFlip
from srat.data.holdout import Holdout
from srat.data.imbalance import NoImbalance, Step
from srat.data.sources.digits import Digits
from srat.evaluation.observer import Observer
from srat.feature_losses import Separation
from srat.methods.objective import Objective
from srat.models import wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.folder import RunFolder
from srat.runs.metrics import Sums
from srat.runs.run import load_with_facts
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import Processes
from srat.training import fitting
from srat.training import loop as trainer
from srat.training.checkpoint import Moving, State, list_checkpoints, load_checkpoint, position_of
from srat.training.fitting import fit
from srat.training.inner import inner_loss
from srat.training.keeper import NullKeeper, Stopwatch, check_finite
from srat.training.setting_up import set_up
from srat.training.step import train_step


def tiny(method="srat-ldam", **options):
    """Return a run of five steps an epoch, of 17 images each."""
    config = compose(method=method, epochs=options.pop("epochs", 3), **{"guard": "none", "batch_size": 17} | options)
    attack = config.attack if method == "natural" else replace(config.attack, steps=2)
    return replace(
        config,
        model=SmallCNN(width=4),
        attack=attack,
        imbalance=replace(config.imbalance, cap=20),
        holdout=Holdout(fraction=0.2, minimum=1),
        evaluation=replace(config.evaluation, steps=2),
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run that has ended, in a folder that nobody changes."""
    return fit(tiny(), out=tmp_path_factory.mktemp("ended"))


@pytest.fixture
def ended_here(ended, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(ended.folder, tmp_path, dirs_exist_ok=True)
    return ended


@pytest.fixture(scope="module")
def short():
    """A run of one epoch, without a folder."""
    return fit(tiny(epochs=1))


def whole(data):
    """Return all examples as one batch."""
    return Batch(data.images, Targets(data.labels), slice(0, len(data)))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestStep:
    """One step against Algorithm 1 written out in plain PyTorch."""

    @pytest.fixture
    def batch(self, rng):
        return Dataset(torch.rand(32, 1, 8, 8, generator=rng), torch.arange(32) % 4, tuple("abcd"))

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("reduction", ["weighted_mean", "mean"])
    def test_is_algorithm_one(self, batch, weighted, reduction):
        config = replace(tiny("srat-ce"), objective=Objective(reduction=reduction, feature_weight=0.7))
        training = set_up(config, make_fabric("cpu"), batch, None, None)
        reference = set_up(config, make_fabric("cpu"), batch, None, None).module
        weights = torch.tensor([0.1, 0.4, 1.0, 2.5]) if weighted else torch.ones(4)

        def rng(purpose):
            return generator(0, purpose)

        training.model.train()
        train_step(
            training,
            training.feed.batch(torch.arange(32), rng("augment")),
            training.stage(0)._replace(weights=weights),
            rng,
        )
        self.by_hand(reference, batch, weights, config, rng("attack"))
        for ours, theirs in zip(training.module.state_dict().values(), reference.state_dict().values(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)

    @staticmethod
    def by_hand(model, batch, weights, config, rng):
        x, y, pgd = batch.images, batch.labels, config.attack
        model.eval()
        noise = 2 * torch.rand(x.shape, generator=rng) - 1
        adversarial = (x + pgd.epsilon * noise).clamp(0, 1)
        for _ in range(pgd.steps):
            adversarial = adversarial.detach().requires_grad_()
            gradient = torch.autograd.grad(F.cross_entropy(model(adversarial).logits, y), adversarial)[0]
            moved = adversarial + pgd.step_size * gradient.sign()
            adversarial = (x + (moved - x).clamp(-pgd.epsilon, pgd.epsilon)).clamp(0, 1).detach()
        model.train()
        output = model(adversarial)
        w = weights[y]
        losses = w * F.cross_entropy(output.logits, y, reduction="none")
        prediction = losses.sum() / (w.sum() if config.objective.reduction == "weighted_mean" else len(y))
        z = F.normalize(output.features, dim=1)
        similarity = (z @ z.T / 0.1).fill_diagonal_(-1e9)
        log_p = similarity - similarity.logsumexp(1, keepdim=True)
        positive = (y[:, None] == y).float().fill_diagonal_(0)
        separation = -((positive * log_p).sum(1) / positive.sum(1)).mean()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        (prediction + 0.7 * separation).backward()
        optimizer.step()

    def test_no_class_is_changed_by_one_that_is_absent(self, batch):
        training = set_up(tiny("cb-reweight"), make_fabric("cpu"), batch, None, None)
        present = torch.nonzero(batch.labels < 3).flatten()
        rng = partial(generator, 0)
        stage = training.stage(0)._replace(weights=torch.ones(4))
        sums = train_step(training, training.feed.batch(present, rng("augment")), stage, rng)
        other = set_up(tiny("cb-reweight"), make_fabric("cpu"), batch, None, None)
        stage = stage._replace(weights=torch.tensor([1.0, 1.0, 1.0, 78.0]))
        again = train_step(other, other.feed.batch(present, rng("augment")), stage, rng)
        assert torch.equal(sums, again)
        assert same(training.module.state_dict(), other.module.state_dict())


class TestFit:
    def test_learns_digits_under_attack(self):
        config = compose(method="ce", epochs=4, imbalance=Step(ratio=1, cap=60), batch_size=32)
        attack = replace(config.attack, steps=3, step_size=0.05)
        run = fit(replace(config, model=SmallCNN(width=8), attack=attack))
        test = Digits().test().subset(torch.arange(200))
        clean = srat.evaluate(run.model, test.images, test.labels).accuracy.accuracy
        robust = srat.evaluate(run.model, test.images, test.labels, attack=config.evaluation).accuracy.accuracy
        assert clean > 0.8
        assert 0.4 < robust < clean

    def test_repeats_itself(self, short):
        again = fit(tiny(epochs=1))
        assert same(short.model.state_dict(), again.model.state_dict())
        assert short.history == again.history

    def test_depends_on_the_seed(self, short):
        assert not same(short.model.state_dict(), fit(tiny(epochs=1, seed=1)).model.state_dict())

    def test_never_loads_the_test_part(self, monkeypatch):
        real = Digits.read

        def refuse(self, part):
            assert part != "test", "the test part was loaded"
            return real(self, part)

        monkeypatch.setattr(Digits, "read", refuse)
        assert len(fit(tiny(epochs=1)).history) == 1

    def test_writes_the_folder_of_the_contract(self, ended, short):
        folder = RunFolder(ended.folder)
        assert Config.read(folder.config) == ended.config
        with folder.metrics.open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
        assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.1, 0.1, 0.001])
        assert [int(row["weights_apply"]) for row in rows] == [0, 0, 1]
        assert all(
            float(row["held_out_under_low"]) <= float(row["held_out_under"]) <= float(row["held_out_under_high"])
            for row in rows
        )
        record = json.loads(folder.indices.read_text())
        assert len(record["sha256"]) == 64
        assert not set(record["train"]) & set(record["held_out"])
        assert list_checkpoints(folder.checkpoints)
        environment = json.loads(folder.environment.read_text())
        assert environment["torch"] == torch.__version__
        assert environment["training_seconds"] > 0
        assert short.seconds > 0  # without a folder, too

    def test_loads_what_it_wrote(self, ended, images):
        x = images[:, :1]
        assert torch.equal(srat.load(ended.folder)(x).logits, ended.model(x).logits)
        best = srat.load(ended.folder, which="best")
        scores = [row["held_out_robust"] for row in ended.history]
        assert ended.best_epoch == scores.index(max(scores))
        assert same(best.state_dict(), ended.model.state_dict()) == (ended.best_epoch == 2)

    def test_reports_the_rate_of_anchors_without_a_positive(self):
        config = tiny(epochs=1, batch_size=45)
        (row,) = fit(replace(config, imbalance=replace(config.imbalance, cap=60))).history
        assert 0 < row["anchors_without_positive"] < 0.2
        assert 0.2 < row["under_anchors_without_positive"] < 1
        (row,) = fit(tiny("ce", epochs=1)).history
        assert row["anchors_without_positive"] == 0

    def test_does_without_a_held_out_part(self, tmp_path):
        config = tiny(epochs=1)
        run = fit(replace(config, holdout=replace(config.holdout, fraction=0)), out=tmp_path / "run")
        assert run.best_epoch is None
        assert not RunFolder(tmp_path / "run").weights("best").exists()

    def test_attacks_by_the_batchs_statistics_if_told_so(self, short):
        inner = replace(Config().inner, batch_norm="train_frozen_stats")
        run = fit(replace(tiny(epochs=1), inner=inner))
        assert not same(run.model.state_dict(), short.model.state_dict())

    @pytest.mark.parametrize("name", ["cross-entropy", "training"])
    def test_the_attack_maximises_the_loss_that_is_chosen(self, name, rng):
        config = tiny("ldam")
        config = replace(config, inner=replace(config.inner, loss=name))
        batch = Dataset(torch.rand(32, 1, 8, 8, generator=rng), torch.arange(32) % 10, tuple("0123456789"))
        training = set_up(config, make_fabric("cpu"), batch, None, None)
        logits = training.module.eval()(batch.images).logits
        ldam = config.loss(logits, batch.labels, training.stage(0).class_counts)
        expected = {"cross-entropy": F.cross_entropy(logits, batch.labels, reduction="none"), "training": ldam}
        got = inner_loss(training, training.stage(0), training.module, whole(batch))(batch.images)
        torch.testing.assert_close(got, expected[name])

    @pytest.mark.parametrize("method", ["ce", "focal", "ldam"])
    def test_the_inner_loss_may_be_any_of_the_three(self, method, rng):
        # All three fall with p_y alone, so that the sign of the gradient is one and the same.
        config = tiny(method)
        batch = Dataset(torch.rand(32, 1, 8, 8, generator=rng), torch.arange(32) % 10, tuple("0123456789"))
        gradients = []
        for loss in ("cross-entropy", "training"):
            training = set_up(
                replace(config, inner=replace(config.inner, loss=loss)), make_fabric("cpu"), batch, None, None
            )
            gradient = input_gradient(
                inner_loss(training, training.stage(0), training.module.eval(), whole(batch)),
                batch.images,
            )
            gradients.append(F.normalize(gradient.flatten(1), dim=1))
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)

    def test_batches_larger_than_the_data(self):
        assert len(fit(tiny(epochs=1, batch_size=100_000)).history) == 1

    def test_trains_two_classes(self, monkeypatch):
        real = Digits.read
        monkeypatch.setattr(Digits, "read", lambda self, part: real(self, part).with_classes((0, 1)))
        assert fit(tiny(epochs=2)).history[-1]["train_accuracy"] > 0.5


class TestEpochs:
    """What the steps of a run are given, seen from inside."""

    @pytest.fixture
    def steps(self, monkeypatch):
        """Record learning rate, weights, indices and a draw for each step."""
        seen, orders = [], []
        real, real_made = trainer.train_step, Feed._made

        def spy_made(feed, indices, generator, pairing):
            orders.append((indices.tolist(), torch.rand(2, generator=generator.clone_state()).tolist()))
            return real_made(feed, indices, generator, pairing)

        def spy(training, batch, stage, rng):
            rate = training.optimizer.param_groups[0]["lr"]
            indices, augmenting = orders.pop()
            draws = (torch.rand(2, generator=rng("attack")).tolist(), augmenting)
            seen.append((rate, stage.weights.tolist(), indices, str(draws)))
            return real(training, batch, stage, rng)

        monkeypatch.setattr(Feed, "_made", spy_made)
        monkeypatch.setattr(trainer, "train_step", spy)
        return seen

    @staticmethod
    def twenty():
        """Return twenty epochs of two steps, without a held-out part."""
        config = tiny("drcb-ce", epochs=20)
        attack = replace(config.attack, steps=1)
        return replace(config, attack=attack, batch_size=60, holdout=Holdout(fraction=0))

    @pytest.mark.parametrize("stop", [None, 32])
    def test_each_step_has_the_rate_and_the_weights_of_its_epoch(self, steps, tmp_path, stop):
        config = self.twenty()
        if stop is not None:
            stopped_after(stop, config, tmp_path / "run")
        run = fit(config, out=tmp_path / "run")
        assert len(steps) == 40
        # The paper's 160 and 180 of 200 epochs are 16 and 18 of 20.
        rates = [rate for rate, *_ in steps[::2]]
        assert rates == pytest.approx([0.1] * 16 + [0.001] * 2 + [0.00001] * 2)
        weights = [w for _, w, *_ in steps[::2]]
        expected = config.weighting.weights(load_counts(tmp_path / "run")).tolist()
        assert weights[15] == [1.0] * 10
        assert weights[16] == weights[19] == pytest.approx(expected)
        assert [row["weights_apply"] for row in run.history] == [0] * 16 + [1] * 4

    def test_epochs_and_steps_draw_anew(self, steps):
        fit(replace(self.twenty(), epochs=3))
        orders = [indices for _, _, indices, _ in steps]
        assert len({str(order) for order in orders}) == len(orders)
        assert len({draws for *_, draws in steps}) == len(steps)
        for epoch in range(3):
            assert sorted(orders[2 * epoch] + orders[2 * epoch + 1]) == list(range(110))

    def test_no_numbers_are_drawn_twice(self, monkeypatch):
        """Of attack, augmentation and model, whatever the seed, the process, the epoch and the step."""
        drawn, orders = [], {}
        real = Feed._made

        def made(feed, indices, generator, pairing):
            drawn.append(torch.rand(2, generator=generator.clone_state()))
            orders.setdefault((feed.seed, feed.processes.rank), []).append(indices.tolist())
            return real(feed, indices, generator, pairing)

        def step(training, batch, stage, rng):
            drawn.extend((torch.rand(2, generator=rng("attack")), torch.rand(2)))
            return torch.ones(len(Sums._fields), dtype=torch.float64)

        monkeypatch.setattr(Feed, "_made", made)
        monkeypatch.setattr(trainer, "train_step", step)
        data = split()[0].subset(torch.arange(78))
        for seed, rank in itertools.product((0, 1), repeat=2):
            config = tiny("ce", epochs=13, seed=seed, batch_size=6)
            training = set_up(config, make_fabric("cpu"), data, None, None, processes=Processes(rank, 2))
            trainer.run_epochs(training, NullKeeper(), Observer())
        assert len({tuple(numbers.tolist()) for numbers in drawn}) == len(drawn) == 3 * 4 * 13 * 13
        assert all(orders[seed, 0] == orders[seed, 1] for seed in (0, 1))
        assert len({str(indices) for seed in (0, 1) for indices in orders[seed, 0]}) == 2 * 13 * 13

    def test_a_row_is_of_its_own_epoch_alone(self, monkeypatch):
        losses = itertools.count(1)

        def step(*_):
            sums = Sums(*[0.0] * len(Sums._fields))._replace(examples=1, objective=next(losses), steps=1)
            return torch.tensor(sums, dtype=torch.float64)

        monkeypatch.setattr(trainer, "train_step", step)
        assert [row["loss"] for row in fit(tiny("ce")).history] == [3, 8, 13]  # of five steps each

    def test_what_a_model_draws_itself_is_drawn_anew_in_each_step(self, monkeypatch):
        states, real = [], trainer.train_step
        monkeypatch.setattr(
            trainer, "train_step", lambda *of: states.append(torch.get_rng_state().numpy().tobytes()) or real(*of)
        )
        fit(tiny(epochs=2))
        assert len(set(states)) == len(states) == 10

    def test_images_are_augmented(self, monkeypatch):
        calls = []
        monkeypatch.setattr(CropFlip, "__call__", lambda self, x, *, generator: calls.append(1) or x)
        fit(replace(tiny(epochs=1), augmentation=CropFlip()))
        assert len(calls) == 5

    def test_the_held_out_part_is_what_is_counted(self, monkeypatch):
        counted = []
        real = trainer.count
        monkeypatch.setattr(
            trainer, "count", lambda m, data, *a, **k: counted.append(len(data)) or real(m, data, *a, **k)
        )
        fit(tiny(epochs=1))
        data = prepare(Digits(), tiny().imbalance, tiny().holdout, seed=0)
        assert counted == [len(data.held_out)] * 2

    def test_the_best_epoch_is_best_under_attack(self, monkeypatch):
        rows = iter([(0.9, 0.1), (0.5, 0.4), (0.95, 0.3)])

        def scripted(training, *_):
            clean, robust = next(rows)
            return {"held_out_clean": clean, "held_out_robust": robust}, []

        monkeypatch.setattr(trainer, "validate", scripted)
        assert fit(tiny()).best_epoch == 1

    def test_the_best_weights_are_those_of_the_best_epoch(self, monkeypatch, tmp_path):
        scores, weights = iter([0.1, 0.4, 0.3]), []

        def scripted(training, *_):
            weights.append({name: tensor.clone() for name, tensor in training.kept.state_dict().items()})
            score = next(scores)
            return {"held_out_clean": score, "held_out_robust": score}, []

        monkeypatch.setattr(trainer, "validate", scripted)
        fit(tiny(), out=tmp_path)
        for which, epoch in (("best", 1), ("last", 2)):
            model, facts = load_with_facts(tmp_path, which=which)
            assert facts.epoch == epoch
            assert same(model.state_dict(), weights[epoch])
        assert not same(weights[1], weights[2])

    def test_of_epochs_that_are_as_good_the_first_is_best(self, monkeypatch):
        monkeypatch.setattr(trainer, "validate", lambda *_: ({"held_out_clean": 0.5, "held_out_robust": 0.4}, []))
        assert fit(tiny()).best_epoch == 0

    @pytest.mark.parametrize(("steps", "chosen_by"), [(20, 10), (7, 7)])
    def test_the_best_epoch_is_chosen_by_the_evaluations_attack(self, monkeypatch, steps, chosen_by):
        attacks, real = [], trainer.count
        monkeypatch.setattr(
            trainer, "count", lambda *a, **k: attacks.append(a[2] if len(a) > 2 else k["attack"]) or real(*a, **k)
        )
        config = tiny(epochs=1)
        evaluation = replace(config.evaluation, steps=steps, restarts=3)
        fit(replace(config, attack=FGSM(epsilon=config.evaluation.epsilon), evaluation=evaluation))
        assert attacks == [Natural(), replace(evaluation, steps=chosen_by, restarts=1)]
        attacks.clear()
        fit(tiny("natural", epochs=1))
        assert attacks == [Natural()]

    @pytest.mark.parametrize(("attack", "forgotten"), [(FGSM(), True), (PGD(epsilon=0.1, step_size=0.025), False)])
    def test_what_version_0_1_chose_under_another_attack_is_forgotten(self, attack, forgotten):
        said = []
        config = replace(tiny(), attack=attack, evaluation=compose().evaluation)
        state = State(epoch=1, best_epoch=0, best_score=0.9, best_weights={"a": torch.ones(1)})
        observer = Observer()
        observer.notice = said.append
        trainer.forget_other_selection(state, config, observer)
        assert (state.best_epoch is None) == forgotten
        assert (state.best_score == -1) == forgotten
        assert bool(said) == forgotten
        state = replace(state, best_epoch=0, selected_under="pgd-10")
        trainer.forget_other_selection(state, config, observer)
        assert state.best_epoch == 0

    def test_the_feature_loss_sees_the_projection(self, monkeypatch):
        dimensions = []
        monkeypatch.setattr(Separation, "__call__", lambda self, features, *_: dimensions.append(features.shape[1]))
        config = tiny(epochs=1)
        fit(replace(config, feature_loss=replace(config.feature_loss, projection_dimensions=6)))
        assert set(dimensions) == {6}

    @pytest.mark.parametrize("field", [{"nesterov": True}, {"momentum": 0.5}, {"weight_decay": 0.1}])
    def test_the_optimiser_is_the_configurations(self, short, field):
        other = fit(replace(short.config, optimizer=replace(short.config.optimizer, **field)))
        assert not same(other.model.state_dict(), short.model.state_dict())

    def test_dropout_repeats_itself_and_leaves_the_global_generator_alone(self):
        def run():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
            torch.manual_seed(torch.randint(1000, ()).item())
            before = torch.get_rng_state()
            history = fit(tiny("ce", epochs=2), model=wrap(net, mean=[0.5], std=[0.5])).history
            assert torch.equal(before, torch.get_rng_state())
            torch.rand(7)
            return history

        assert run() == run()


def load_counts(folder):
    return load_with_facts(folder)[1].train_counts


FILES = ("metrics.csv", "model.safetensors", "model-best.safetensors", "config.json", "indices.json")


def assert_same_files(one, other):
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


class StopAfter(Observer):
    """Sends a signal to this process after so many steps."""

    def __init__(self, steps, number=signal.SIGTERM):
        self.left, self.number = steps, number

    def step(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def stopped_after(steps, config, out, number=signal.SIGTERM):
    with pytest.raises(Interrupted) as raised:
        fit(config, out=out, observer=StopAfter(steps, number))
    return raised.value


class TestResume:
    """A run that was stopped, and goes on, is the run that never stopped: mistake 20."""

    @pytest.fixture(scope="class")
    @staticmethod
    def whole(tmp_path_factory):
        folder = tmp_path_factory.mktemp("whole")
        fit(tiny(augmentation="crop-flip"), out=folder)
        return folder

    @pytest.fixture(scope="class")
    @staticmethod
    def cut_once(tmp_path_factory):
        folder = tmp_path_factory.mktemp("cut")
        with pytest.raises(Interrupted):
            fit(tiny(ratio=10), out=folder, observer=StopAfter(7), checkpoint_every="3")
        return folder

    @pytest.fixture
    def cut(self, cut_once, tmp_path):
        """A run that stopped after seven of its fifteen steps, with two checkpoints."""
        shutil.copytree(cut_once, tmp_path, dirs_exist_ok=True)
        return tmp_path

    # Of five steps an epoch: within one, at its end (before the held-out part is counted), at the start of the next.
    @pytest.mark.parametrize("steps", [1, 4, 5, 6, 15])
    def test_at_any_step(self, whole, tmp_path, steps):
        stop = stopped_after(steps, tiny(augmentation="crop-flip"), tmp_path)
        epoch, step = divmod(steps, 5) if steps % 5 else (steps // 5 - 1, 5)
        said = f"epoch {epoch + 1}, step {step} is saved; 'srat train --out {tmp_path}' continues from there"
        assert stop.advice == said
        assert position_of(list_checkpoints(tmp_path / "checkpoints")[-1]) == f"epoch {epoch + 1}, step {step}"
        fit(tiny(augmentation="crop-flip"), out=tmp_path)
        assert_same_files(whole, tmp_path)

    def test_metrics_of_all_epochs_are_there_while_a_run_goes_on(self, tmp_path):
        stopped_after(12, tiny(), tmp_path)
        assert [row["epoch"] for row in RunFolder(tmp_path).read_metrics()] == [0, 1]

    def test_at_every_step_in_turn(self, whole, tmp_path):
        for _ in range(15):
            stopped_after(1, tiny(augmentation="crop-flip"), tmp_path)
        fit(tiny(augmentation="crop-flip"), out=tmp_path)
        assert_same_files(whole, tmp_path)

    def test_while_the_held_out_part_is_counted(self, whole, tmp_path, monkeypatch):
        real = trainer.count

        def signalled(*args, **options):
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "count", signalled)
            with pytest.raises(Interrupted, match="epoch 1, step 5 is saved"):
                fit(tiny(augmentation="crop-flip"), out=tmp_path)
        fit(tiny(augmentation="crop-flip"), out=tmp_path)
        assert_same_files(whole, tmp_path)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
    def test_by_other_signals(self, whole, tmp_path, number):
        assert stopped_after(3, tiny(augmentation="crop-flip"), tmp_path, number).exit_code == 128 + number
        fit(tiny(augmentation="crop-flip"), out=tmp_path)
        assert_same_files(whole, tmp_path)

    def test_a_second_control_c_ends_at_once(self, tmp_path):
        class Impatient(Observer):
            def step(self):
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt) as raised:
            fit(tiny(), out=tmp_path, observer=Impatient())
        assert type(raised.value) is KeyboardInterrupt
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["epoch-000000-step-0000000.safetensors"]

    def test_a_signal_at_the_very_end_is_not_forgotten(self, whole, tmp_path):
        class AtTheEnd(Observer):
            def finished(self):
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Interrupted):
            fit(tiny(augmentation="crop-flip"), out=tmp_path, observer=AtTheEnd())
        assert_same_files(whole, tmp_path)

    def test_by_an_error_of_the_users(self, whole, tmp_path):
        class Broken(StopAfter):
            def step(self):
                self.left -= 1
                if self.left == 0:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fit(tiny(augmentation="crop-flip"), out=tmp_path, observer=Broken(7), checkpoint_every="3")
        fit(tiny(augmentation="crop-flip"), out=tmp_path)
        assert_same_files(whole, tmp_path)

    def test_handlers_come_back(self, tmp_path):
        before = [signal.getsignal(number) for number in STOPPING]
        stopped_after(1, tiny(), tmp_path)
        assert [signal.getsignal(number) for number in STOPPING] == before

    def test_without_a_folder_signals_are_not_ours(self):
        class Curious(Observer):
            def step(self):
                assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

        fit(tiny(epochs=1), observer=Curious())

    def test_in_another_thread(self, whole, tmp_path):
        thread = threading.Thread(target=fit, args=(tiny(augmentation="crop-flip"),), kwargs={"out": tmp_path})
        thread.start()
        thread.join()
        assert_same_files(whole, tmp_path)

    def test_a_ratio_of_ten_is_a_ratio_of_ten(self, cut):
        # JSON has 10.0 where Python had 10; both are one configuration.
        assert tiny(ratio=10).id == tiny(ratio=10.0).id == Config.read(cut / "config.json").id
        fit(tiny(ratio=10), out=cut)

    def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(self, cut, ended):
        older, newest = list_checkpoints(cut / "checkpoints")
        newest.write_bytes(newest.read_bytes()[:-100])
        said = []

        class Listening(Observer):
            def notice(self, text):
                said.append(text)

        fit(tiny(ratio=10), out=cut, observer=Listening())
        # Not of the two short steps, nor of what such a short training comes to.
        said = [text for text in said if "cannot reach" not in text and not text.startswith("after epoch")]
        assert [newest.name in text and older.name in text for text in said] == [True]
        assert_same_files(ended.folder, cut)

    def test_a_notice_is_logged_where_nobody_listens(self, cut, caplog):
        newest = list_checkpoints(cut / "checkpoints")[-1]
        newest.write_bytes(b"")
        fit(tiny(ratio=10), out=cut)
        assert newest.name in caplog.text

    def test_refuses_a_checkpoint_of_another_model(self, cut, tmp_path_factory):
        other = tmp_path_factory.mktemp("other")
        fit(replace(tiny(), model=SmallCNN(width=5)), out=other, checkpoint_every="5")
        newest = list_checkpoints(other / "checkpoints")[-1]
        (cut / "checkpoints" / newest.name).write_bytes(newest.read_bytes())
        with pytest.raises(UserError, match="not a checkpoint of this run"):
            fit(tiny(ratio=10), out=cut)

    def test_refuses_data_that_have_changed(self, cut):
        record = json.loads((cut / "indices.json").read_text())
        (cut / "indices.json").write_text(json.dumps({**record, "sha256": "0" * 64}))
        with pytest.raises(UserError, match="the data has changed"):
            fit(tiny(ratio=10), out=cut)

    def test_refuses_images_that_have_changed(self, cut, monkeypatch):
        real = Digits.read
        monkeypatch.setattr(Digits, "read", lambda *of: replace(real(*of), images=255 - real(*of).images))
        with pytest.raises(UserError, match="the data has changed"):
            fit(tiny(ratio=10), out=cut)

    def test_refuses_labels_that_have_changed(self, tmp_path, monkeypatch):
        config = replace(tiny(), imbalance=NoImbalance(), holdout=Holdout(fraction=0))  # all images are kept
        stopped_after(1, config, tmp_path)
        real = Digits.read
        monkeypatch.setattr(Digits, "read", lambda *of: replace(real(*of), labels=9 - real(*of).labels))
        with pytest.raises(UserError, match="the data has changed"):
            fit(config, out=tmp_path)

    def test_refuses_a_checkpoint_of_another_configuration(self, cut):
        # As if someone had edited config.json between stop and resume.
        (cut / "config.json").write_text(tiny(ratio=10, epochs=2).to_json())
        with pytest.raises(UserError, match="not a checkpoint of this run.*its configuration is another"):
            fit(tiny(ratio=10, epochs=2), out=cut)

    def test_a_run_whose_checkpoints_are_gone_says_that_it_starts_anew(self, cut, caplog):
        shutil.rmtree(cut / "checkpoints")
        fit(tiny(ratio=10), out=cut)
        assert "there is no checkpoint in" in caplog.text

    @pytest.mark.parametrize("content", ["", "{", "[1]", "\x1b[2J"])
    def test_does_without_a_readable_environment(self, cut, content):
        (cut / "environment.json").write_text(content)
        fit(tiny(ratio=10), out=cut)

    def test_a_strangers_environment_reaches_no_terminal_as_it_is(self, cut, caplog):
        (cut / "environment.json").write_text(json.dumps({"device": "\x1b[2J\nx"}))
        fit(tiny(ratio=10), out=cut)
        assert "\x1b" not in caplog.text

    def test_a_run_that_another_process_began_meanwhile_is_not_mixed_with_it(self, tmp_path, monkeypatch):
        real = fitting.prepare

        def meanwhile(*args, **options):
            monkeypatch.setattr(fitting, "prepare", real)
            fit(tiny(seed=1), out=tmp_path)
            return real(*args, **options)

        monkeypatch.setattr(fitting, "prepare", meanwhile)
        with pytest.raises(UserError, match=r"holds another run, with seed 1 \(not 0\)"):
            fit(tiny(), out=tmp_path)

    def test_a_run_that_another_process_ended_meanwhile_is_left_alone(self, tmp_path, monkeypatch):
        real = fitting.prepare

        def meanwhile(*args, **options):
            monkeypatch.setattr(fitting, "prepare", real)
            fit(tiny(), out=tmp_path)
            written.append((tmp_path / "model.safetensors").stat().st_mtime_ns)
            return real(*args, **options)

        written = []
        monkeypatch.setattr(fitting, "prepare", meanwhile)
        assert len(fit(tiny(), out=tmp_path).history) == 3
        assert written == [(tmp_path / "model.safetensors").stat().st_mtime_ns]

    @pytest.mark.parametrize("content", ["", '{"sha256": 3}', "[1]", "[" * 100_000])
    def test_refuses_indices_that_are_none(self, cut, content):
        (cut / "indices.json").write_text(content)
        with pytest.raises(UserError, match=r"indices.json: "):
            fit(tiny(ratio=10), out=cut)

    def test_metrics_are_whole_even_if_the_last_write_was_lost(self, tmp_path, monkeypatch):
        real = RunFolder.write_metrics
        monkeypatch.setattr(RunFolder, "write_metrics", lambda self, history: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(tiny(epochs=1), out=tmp_path)
        monkeypatch.setattr(RunFolder, "write_metrics", real)
        fit(tiny(epochs=1), out=tmp_path)
        assert (tmp_path / "metrics.csv").read_text().count("\n") == 2

    def test_another_number_of_threads_is_told_of(self, cut, caplog):
        environment = json.loads((cut / "environment.json").read_text())
        (cut / "environment.json").write_text(json.dumps({**environment, "device": "cpu, 99 threads"}))
        fit(tiny(ratio=10), out=cut)
        assert "this run began with device cpu, 99 threads, now cpu" in caplog.text

    def test_metrics_that_are_no_numbers_come_back(self, tmp_path):
        # No image of a rare class is held out: their accuracy is not a number.
        config = replace(tiny(), holdout=Holdout(fraction=0.06, minimum=0))
        stopped_after(7, config, tmp_path)
        rows = fit(config, out=tmp_path).history
        assert len(rows) == 3
        assert math.isnan(rows[0]["held_out_under"])
        assert math.isnan(fit(config, out=tmp_path).history[0]["held_out_under"])

    def test_time_is_counted_over_all_sessions(self, cut):
        before = load_checkpoint(
            cut / "checkpoints", Moving(*small(), None), run=tiny(ratio=10).id, notice=print
        ).seconds
        assert before > 0
        fit(tiny(ratio=10), out=cut)
        assert json.loads((cut / "environment.json").read_text())["training_seconds"] >= round(before, 1)
        state = State(seconds=1000.0)
        Stopwatch().tick(state)
        assert 1000 < state.seconds < 1100


def small():
    training = set_up(tiny(), make_fabric("cpu"), *split(), None)
    return training.module, training.optimizer, training.parts


def split():
    data = prepare(tiny().data, tiny().imbalance, tiny().holdout, seed=0)
    return data.train, data.held_out


class TestFolders:
    @pytest.mark.usefixtures("ended_here")
    def test_refuses_a_folder_with_another_run(self, tmp_path):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        other = replace(tiny("ce", seed=1), model=SmallCNN(width=5))
        with pytest.raises(UserError, match="holds another run, with ") as raised:
            fit(other, out=tmp_path)
        for said in (
            "seed 0 (not 1)",
            "model.width 4 (not 5)",
            "loss ldam (not cross-entropy)",
            "feature_loss separation (not none)",
        ):
            assert said in str(raised.value)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def test_a_finished_run_comes_back_and_is_left_alone(self, ended_here, tmp_path):
        run = ended_here
        before = {
            path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*") if path.is_file()
        }
        again = fit(tiny(), out=tmp_path)
        after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*") if path.is_file()}
        assert before == after
        assert same(run.model.state_dict(), again.model.state_dict())
        assert (again.history, again.best_epoch, again.config) == (run.history, run.best_epoch, run.config)

    @pytest.mark.parametrize("rows", [0, 2])
    def test_a_finished_run_without_all_its_metrics_is_refused(self, ended_here, tmp_path, rows):
        run = ended_here
        text = (tmp_path / "metrics.csv").read_text()
        (tmp_path / "metrics.csv").write_text("".join(text.splitlines(keepends=True)[: rows + 1]))
        with pytest.raises(UserError, match=rf"expected 3 epochs, got {rows}; remove model.safetensors"):
            fit(tiny(), out=tmp_path)
        # And that is true.
        (tmp_path / "model.safetensors").unlink()
        again = fit(tiny(), out=tmp_path)
        assert (again.history, again.best_epoch) == (run.history, run.best_epoch)
        assert (tmp_path / "metrics.csv").read_text() == text

    def test_refuses_a_folder_with_something_else(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(UserError, match="holds something else"):
            fit(tiny(), out=tmp_path)
        with pytest.raises(UserError, match="holds something else"):
            fit(tiny(), out=tmp_path / "thesis.tex")
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_what_a_killed_process_left_is_cleared_away(self, tmp_path):
        (tmp_path / "checkpoints").mkdir()
        for name in (".config.json.12ab34cd.tmp", "checkpoints/.epoch-1.safetensors.34cd12ab.tmp"):
            (tmp_path / name).write_bytes(b"half")
        theirs = tmp_path / ".notes.tmp"
        theirs.write_text("not ours")
        fit(tiny(epochs=1), out=tmp_path)
        assert list(tmp_path.rglob("*.tmp")) == [theirs]

    @pytest.mark.parametrize("which", ["last", "best"])
    def test_refuses_to_load_what_is_not_there(self, tmp_path, which):
        with pytest.raises(UserError, match="not a run's folder"):
            srat.load(tmp_path, which=which)
        RunFolder(tmp_path).config.write_text(tiny().to_json())
        with pytest.raises(UserError, match=r"there is no model.*continues it"):
            srat.load(tmp_path, which=which)

    @pytest.mark.parametrize("option", [{"checkpoint_every": "0"}, {"checkpoint_every": "soon"}])
    def test_refuses_options_that_are_none(self, option):
        with pytest.raises(UserError, match="expected"):
            fit(tiny(), **option)

    def test_a_rollback_needs_checkpoints(self):
        with pytest.raises(UserError, match="needs `out`"):
            fit(tiny(), on_divergence="rollback")


class TestWeights:
    """A file of weights says all that it takes to use it."""

    @pytest.fixture
    def folder(self, ended):
        return ended.folder

    def test_say_what_they_are(self, folder):
        facts = open_tensors(folder / "model.safetensors").facts
        assert facts["config"] == json.loads((folder / "config.json").read_text())
        assert facts["class_names"] == [str(c) for c in range(10)]
        assert facts["shape"] == {"channels": 1, "height": 8, "width": 8}
        assert facts["srat_version"] == srat.__version__
        train = split()[0].images.double() / 255
        assert facts["normalization"]["mean"] == pytest.approx([train.mean().item()], rel=1e-5)
        assert facts["normalization"]["std"] == pytest.approx([train.std(correction=0).item()], rel=1e-5)

    def test_need_nothing_beside_them(self, folder, tmp_path, images):
        shutil.copy(folder / "model.safetensors", tmp_path / "mine.safetensors")
        one, two = srat.load(folder), srat.load(tmp_path / "mine.safetensors")
        assert torch.equal(one(images[:, :1]).logits, two(images[:, :1]).logits)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"config": {"model": {"name": "small-cnn", "width": 5}}}, "of another model"),
            ({"config": {"model": {"name": "wide-resnet", "depth": 6_000_004}}}, "up to 1,000"),
            ({"config": {"model": {"name": "resnet18", "width": 1024}}}, "of another model"),
            ({"config": {"model": {"name": "custom"}}}, "take it"),
            ({"config": []}, "expected a JSON object"),
            ({"class_names": ["a", "b"]}, "classes and counts do not match"),
            ({"class_names": None}, "does not say what its model is"),
            ({"train_counts": ["x"] * 10}, "does not say what its model is"),
            ({"shape": {"channels": 10**9, "height": 8, "width": 8}}, "no shape of images"),
            ({"shape": {"channels": 1, "height": 8}}, "does not say what its model is"),
            ({"shape": {"channels": 1, "height": 8, "width": 8, "depth": 1}}, "does not say what its model is"),
        ],
    )
    def test_a_strangers_are_refused_unread(self, folder, tmp_path, monkeypatch, change, said):
        file = open_tensors(folder / "model.safetensors")
        write_tensors(tmp_path / "x", file.tensors(), {**file.facts, **change})
        monkeypatch.setattr(TensorFile, "tensors", None)
        with pytest.raises(UserError, match=said):
            srat.load(tmp_path / "x")

    def test_damaged_ones_are_refused(self, folder, tmp_path):
        (tmp_path / "x").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
        with pytest.raises(UserError, match="x: not a readable file of tensors, or damaged"):
            srat.load(tmp_path / "x")


class Own(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        return self.fc(self.body(x))


class TestOwnModel:
    def test_trains_and_comes_back(self, tmp_path, images):
        net = Own()
        run = fit(tiny("srat-ce", epochs=2), model=wrap(net, mean=[0.5], std=[0.5]), out=tmp_path)
        assert run.config.model.name == "custom"
        loaded = srat.load(tmp_path, model=wrap(Own(), mean=[0.5], std=[0.5]))
        assert torch.equal(loaded(images[:, :1]).logits, run.model(images[:, :1]).logits)
        with pytest.raises(UserError, match="take it"):
            srat.load(tmp_path)

    def test_is_trained_in_train_mode_however_it_came(self):
        ends = []
        for mode in (True, False):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
            ends.append(
                fit(tiny("ce", epochs=1), model=wrap(net, mean=[0.5], std=[0.5]).train(mode)).model.state_dict()
            )
        assert same(*ends)

    def test_refuses_a_bare_module(self):
        with pytest.raises(UserError, match=r"expected srat.models.wrap"):
            fit(tiny(), model=Own())

    def test_refuses_another_number_of_classes(self):
        with pytest.raises(UserError, match="expected 10 logits, one for each class, got 7"):
            fit(tiny(), model=wrap(Own(7), mean=[0.5], std=[0.5]))


def test_refuses_data_that_leave_a_class_empty():
    class Hollow(Source):
        def read(self, part):
            return Dataset(torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 2, 2]), tuple("abc"))

    with pytest.raises(UserError, match="no training image in class b"):
        fit(replace(tiny(), data=Hollow(), imbalance=NoImbalance()))


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:99", ""])
def test_refuses_a_device_that_is_not_there(device):
    with pytest.raises(UserError, match="^`device`"):
        make_fabric(device)


class TestDivergence:
    @staticmethod
    def wild(rate=900.0, epochs=60):
        config = tiny("ce", epochs=epochs)
        return replace(config, optimizer=replace(config.optimizer, learning_rate=rate, momentum=0.99))

    def test_stops_and_keeps_the_last_good_checkpoint(self, tmp_path):
        kept = "the last good checkpoint is kept"
        said = r"infinite or NaN in epoch \d+, (by )?step \d+ \(largest logit until then: \d\S+\); " + kept
        with pytest.raises(UserError, match=said) as raised:
            fit(self.wild(), out=tmp_path, checkpoint_every="2")
        for path in list_checkpoints(tmp_path / "checkpoints"):
            assert all(tensor.isfinite().all() for tensor in open_tensors(path).tensors().values())
        # The same again, if nothing changes.
        with pytest.raises(UserError) as again:
            fit(self.wild(), out=tmp_path, checkpoint_every="2")
        assert str(again.value) == str(raised.value)

    def test_stops_without_a_folder_too(self):
        with pytest.raises(UserError, match="infinite or NaN in epoch"):
            fit(self.wild())

    def test_a_gradient_that_is_not_finite_is_enough(self, monkeypatch, tmp_path):
        real, norms = srat.training.session.get_total_norm, []

        def third(gradients):
            norms.append(real(gradients))
            return norms[-1] * (math.inf if len(norms) == 3 else 1)

        monkeypatch.setattr(srat.training.session, "get_total_norm", third)
        with pytest.raises(UserError, match=r"in epoch 1, step 3 \(largest logit until then"):
            fit(tiny(), out=tmp_path)

    def test_what_has_diverged_is_not_saved(self, monkeypatch, tmp_path):
        real, done = trainer.train_step, []

        def poison(training, *args):
            sums = real(training, *args)
            done.append(1)
            if len(done) == 3:
                next(training.module.parameters()).data.fill_(math.nan)
            return sums

        monkeypatch.setattr(trainer, "train_step", poison)
        with pytest.raises(UserError, match="a weight, or a statistic of BatchNorm, .* by step 3 "):
            fit(tiny(), out=tmp_path, checkpoint_every="1")
        assert list_checkpoints(tmp_path / "checkpoints")[-1].stem == "epoch-000000-step-0000002"

    def test_a_statistic_that_is_not_finite_is_enough(self):
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
        check_finite(State(), model)
        model[1].running_var[1] = math.inf
        with pytest.raises(UserError, match="a statistic of BatchNorm, became infinite or NaN in epoch 1"):
            check_finite(State(), model)

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_a_rollback_halves_the_rate_and_goes_on(self, monkeypatch, tmp_path, epoch, caplog):
        real, poisoned = trainer.train_step, []

        def poison(training, batch, weights, rng):
            sums = real(training, batch, weights, rng)
            if len(poisoned) == 5 * (epoch - 1) + 3:  # the fourth step of that epoch, once
                sums[:] = math.nan
            poisoned.append(training.optimizer.param_groups[0]["lr"])
            return sums

        monkeypatch.setattr(trainer, "train_step", poison)
        run = fit(tiny(), out=tmp_path, checkpoint_every="2", on_divergence="rollback")
        assert f"in epoch {epoch}, step 4" in caplog.text
        assert "with 0.5 of the learning rate" in caplog.text
        done = [row["learning_rate"] for row in run.history]
        full = [0.1, 0.1, 0.001]
        assert done == pytest.approx([rate * (0.5 if i >= epoch - 1 else 1) for i, rate in enumerate(full)])

    @pytest.mark.parametrize("good", [3, 7])
    def test_a_rollback_that_does_not_help_ends_and_keeps_a_checkpoint(self, monkeypatch, tmp_path, good, caplog):
        real, done = trainer.train_step, []

        def poison(training, batch, weights, rng):
            sums = real(training, batch, weights, rng)
            if len(done) >= good:
                sums[:] = math.nan
            done.append(1)
            return sums

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "train_step", poison)
            with pytest.raises(
                UserError, match="with 0.00098 of the learning rate it still does: the checkpoints are kept"
            ):
                fit(tiny(), out=tmp_path, checkpoint_every="2", on_divergence="rollback")
        assert caplog.text.count("back to epoch") == 10
        assert list_checkpoints(tmp_path / "checkpoints")
        # It goes on from there, and says at which rate.
        run = fit(tiny(), out=tmp_path)
        assert "the learning rate is 0.000976562 of the schedule's, since a roll-back" in caplog.text
        assert len(run.history) == 3

    def test_a_damaged_checkpoint_is_not_gone_back_to(self, monkeypatch, tmp_path, caplog):
        real, done = trainer.train_step, []

        def poison(training, batch, weights, rng):
            sums = real(training, batch, weights, rng)
            done.append(1)
            if len(done) == 5:
                newest = list_checkpoints(tmp_path / "checkpoints")[-1]
                newest.write_bytes(newest.read_bytes()[:-1])
                sums[:] = math.nan
            return sums

        monkeypatch.setattr(trainer, "train_step", poison)
        assert len(fit(tiny(), out=tmp_path, checkpoint_every="2", on_divergence="rollback").history) == 3
        assert "step-0000004.safetensors: not a readable file" in caplog.text
        assert "back to epoch 1, step 2" in caplog.text

    def test_an_interrupted_rollback_goes_on_with_half_the_rate(self, monkeypatch, tmp_path):
        real, seen = trainer.train_step, []

        def poison(training, batch, weights, rng):
            sums = real(training, batch, weights, rng)
            seen.append(training.optimizer.param_groups[0]["lr"])
            if len(seen) == 4:
                sums[:] = math.nan
            if len(seen) == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return sums

        monkeypatch.setattr(trainer, "train_step", poison)
        with pytest.raises(Interrupted):
            fit(tiny(), out=tmp_path, checkpoint_every="2", on_divergence="rollback")
        fit(tiny(), out=tmp_path)
        assert seen[:4] == [0.1] * 4
        assert seen[4:8] == [0.05] * 4


@pytest.mark.gpu
def test_trains_on_cuda(tmp_path):
    run = fit(tiny(), out=tmp_path, device="cuda")
    assert next(run.model.parameters()).is_cuda
    assert srat.load(tmp_path)(torch.rand(1, 1, 8, 8)).logits.shape == (1, 10)
