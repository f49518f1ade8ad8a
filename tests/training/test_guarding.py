"""The guard while a run goes on: what it sees, what going back undoes, and that a run in pieces is the same run."""

import copy
import os
import signal
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from test_families import small, small_set
from torch import nn
from torch.nn import functional as F

import srat
from several import in_processes
from srat.attacks import FGSM, NFGSM, PGD, Natural
from srat.attacks.budgets import UniformBudget
from srat.config.composition import compose
from srat.core.keyed_random import generator
from srat.core.signals import Interrupted
from srat.data import Dataset, to_unit
from srat.data.sources.digits import Digits
from srat.evaluation.evaluate import count
from srat.evaluation.observer import Observer
from srat.guards import CollapseGuard, NoGuard
from srat.methods.before import Before
from srat.optimization.averaging import EMA
from srat.optimization.optimizers import AdamW
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE
from srat.training import guarding, loop
from srat.training.fitting import fit
from srat.training.inner import FirstLook
from srat.training.keeper import NullKeeper
from srat.training.memory_estimate import step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step
from stopping import StopAfter, content

STATEFUL = {"averaging": "ema", "feature_loss": "separation-queue", "budget": "cfa", "weighting": "dafa"}
"""One of each kind of state that a run keeps beside its model."""


def guarded(epochs=4, **members):
    """Return a run of four steps an epoch under FGSM."""
    config = small(**{"guard": "collapse"} | members)
    attack = members.get("attack", FGSM(epsilon=0.1))
    schedule = replace(config.schedule, milestones=(), reweight_from=0)
    return replace(config, epochs=epochs, attack=attack, schedule=schedule)


def a_training(config=None, data=None, held_out=None, **options):
    return set_up(config or guarded(), make_fabric("cpu"), data or small_set(), held_out, None, **options)


@pytest.fixture
def alarm(monkeypatch):
    """Let the guard find collapses in these epochs of the runs that follow, counted from 0, and doubt others."""

    def at(*epochs, doubted=()):
        real = guarding.end_guarded

        def judged(training, stage, probed, notice):
            monkeypatch.setattr(CollapseGuard, "judge", lambda *_: "as told" if stage.epoch in epochs else "")
            monkeypatch.setattr(CollapseGuard, "is_good", lambda *_: stage.epoch not in doubted)
            return real(training, stage, probed, notice)

        monkeypatch.setattr(loop, "end_guarded", judged)

    return at


@cache
def taught():
    """Return a model's state that gets many of fifty digits right, and fewer under attack; and the digits."""
    digits = Digits().train().subset(torch.arange(50))
    digits = Dataset(to_unit(digits.images), digits.labels, digits.class_names)
    training = a_training(data=digits)
    model, optimizer = training.module.train(), torch.optim.Adam(training.module.parameters(), lr=0.02)
    for _ in range(30):
        F.cross_entropy(model(digits.images).logits, digits.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict(), digits


def a_taught_training(config=None):
    state, digits = taught()
    training = a_training(config, digits)
    training.module.load_state_dict(state)
    return training


class Watching(Observer):
    """Keeps the state and the row at each epoch's end, and what is said."""

    def __init__(self, training):
        self.watched, self.states, self.rows, self.said = training, [], [], []

    def epoch(self, row):
        parts = {name: part for name, part in self.watched.parts.items() if name != "guard"}
        modules = {"model": self.watched.module, **parts}
        self.states.append(
            {f"{name}.{key}": t.clone() for name, each in modules.items() for key, t in each.state_dict().items()}
        )
        self.rows.append(row)

    def notice(self, text):
        self.said.append(text)


def run(training):
    watching = Watching(training)
    return watching, loop.run_epochs(training, NullKeeper(), watching)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def kept_by(optimizer):
    """Return the tensors that an optimiser keeps of its parameters."""
    return [value for kept in optimizer.state.values() for value in kept.values()]


class TestGoingBack:
    @pytest.mark.parametrize("members", [{}, {"averaging": "swa"}, {"averaging": "fawa"}, STATEFUL])
    def test_everything_is_as_it_was_after_the_last_good_epoch(self, alarm, members):
        alarm(1, 2)
        training = a_training(guarded(**members), held_out=small_set())
        watching, _ = run(training)
        first, second, third, last = watching.states
        assert same(first, second)
        assert same(first, third)
        assert not same(first, last)

    def test_an_epoch_that_is_in_doubt_is_not_gone_back_to(self, alarm):
        alarm(2, doubted=(1,))
        watching, _ = run(a_training())
        first, second, third, _ = watching.states
        assert same(first, third)
        assert not same(first, second)
        [said] = watching.said
        assert "back to the weights after epoch 1, on" in said

    def test_a_run_that_collapses_at_once_begins_anew(self, alarm):
        alarm(0)
        training = a_training(guarded(epochs=1))
        before = {name: tensor.clone() for name, tensor in training.module.state_dict().items()}
        watching, _ = run(training)
        assert same(before, training.module.state_dict())
        [said] = watching.said
        assert said == (
            "catastrophic overfitting in epoch 1 (as told): back to the weights at the start, on with fgsm in 2 steps"
        )

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
    def test_the_momentum_of_the_weights_that_are_left_is_dropped(self, alarm, optimizer):
        alarm(1)
        training = a_training(guarded(epochs=2, optimizer=optimizer))
        assert not training.optimizer.state_dict()["state"]
        run(training)
        assert not any(each.any() for each in kept_by(training.optimizer))
        alarm(5)
        training = a_training(guarded(epochs=2, optimizer=optimizer))
        run(training)
        assert any(each.any() for each in kept_by(training.optimizer))

    def test_what_follows_is_what_begins_there_with_the_remedy(self, alarm, monkeypatch):
        """The epoch after is an epoch from the good weights without momentum, under the attack of two steps."""
        alarm(1)
        training = a_training(guarded(epochs=3))
        watching, _ = run(training)
        alarm()
        again = a_training(replace(guarded(epochs=3), attack=FGSM(epsilon=0.1)))
        again.module.load_state_dict({name[6:]: t for name, t in watching.states[0].items() if name[:6] == "model."})
        again.parts["guard"].remedies.fill_(1)
        monkeypatch.setattr(NullKeeper, "restore", lambda _: loop.State(epoch=2))
        other, _ = run(again)
        assert same(watching.states[2], other.states[0])

    def test_the_attack_is_of_one_more_step_each_time_and_no_more_after_the_last(self, alarm, monkeypatch):
        alarm(*range(1, 9))
        attacks, real = {}, loop.train_step

        def spy(training, batch, stage, rng):
            attacks[stage.epoch] = stage.attack
            return real(training, batch, stage, rng)

        monkeypatch.setattr(loop, "train_step", spy)
        training = a_training(guarded(epochs=9, guard=CollapseGuard(most=3)))
        watching, _ = run(training)
        assert [each.iterations for each in attacks.values()] == [1, 1, 2, 3, 4, 4, 4, 4, 4]
        assert [row["guard_remedies"] for row in watching.rows] == [0, 1, 2, 3, 3, 3, 3, 3, 3]
        assert [row["guard_rolled_back"] for row in watching.rows] == [0, 1, 1, 1, 0, 0, 0, 0, 0]
        assert [row["guard_collapsed"] for row in watching.rows] == [0] + [1] * 8
        assert len(watching.said) == 4  # what goes on is not said again and again
        assert watching.said[-1] == (
            "catastrophic overfitting in epoch 5 (as told): after going back 3 times, the run goes on as it is"
        )

    def test_an_epoch_that_is_undone_is_never_the_best(self, alarm, monkeypatch):
        alarm(1)
        scores = iter((0.2, 0.9, 0.1))
        monkeypatch.setattr(loop, "validate", lambda *_: ({"held_out_robust": next(scores)}, []))
        _, state = run(a_training(guarded(epochs=3)))
        assert (state.best_epoch, state.best_score) == (0, 0.2)

    def test_what_is_set_once_is_set_when_its_epoch_was_undone(self, alarm):
        """DAFA's factors come of the epoch before their start: of the next one, if the guard has undone that."""
        alarm(1)
        config = guarded(budget="dafa")
        training = a_training(replace(config, budget=replace(config.budget, start=0.5)))
        watching, _ = run(training)
        factors = [state["budget.factors"] for state in watching.states]
        assert [bool((each == 1).all()) for each in factors] == [True, True, False, False]
        assert torch.equal(factors[2], factors[3])


class TestWhatIsSeen:
    def test_a_step_counts_what_the_attack_finds_and_what_it_leaves(self):
        training = a_taught_training()
        training.model.train()
        rng = partial(generator, 0)
        batch = training.feed.batch(torch.arange(50), rng("augment"))
        with torch.no_grad():
            clean = copy.deepcopy(training.module).eval()(batch.images).logits.argmax(1) == batch.labels
        seen, real = [], training.module.forward
        training.module.forward = lambda x: seen.append((training.module.training, real(x))) or seen[-1][1]
        training = replace(training, folding=None)
        train_step(training, batch, training.stage(0), rng)
        assert [mode for mode, _ in seen] == [False, True]  # one look of the attack, and one of the update
        watch, labels = training.watch, batch.labels
        right = seen[-1][1].logits.argmax(1) == labels
        assert watch.images.tolist() == labels.bincount().tolist()
        assert watch.started.tolist() == [int(clean[labels == c].sum()) for c in range(10)]
        assert watch.attacked.tolist() == [int(right[labels == c].sum()) for c in range(10)]
        assert 0 < int(watch.attacked.sum()) < int(watch.started.sum())

    def test_the_first_look_counts_and_is_taken_at_once(self):
        first, logits = FirstLook(torch.tensor([0, 1])), torch.eye(2)
        first(logits)
        logits.fill_(0.0)  # as a graph does that writes its next answer there
        first(1 - torch.eye(2))
        assert first.right.tolist() == [True, True]

    def test_the_images_are_fixed_and_evenly_of_the_classes(self):
        labels = torch.tensor([0] * 900 + [1] * 300 + [2] * 40 + [3] * 5)
        data = Dataset(torch.rand(len(labels), 1, 2, 2), labels, tuple("abcd"))
        one, again, other = (guarding.probed_images(data, seed) for seed in (0, 0, 1))
        assert one.counts == (64, 64, 40, 5)
        assert torch.equal(one.images, again.images)
        assert not torch.equal(one.images, other.images)
        place = {image.numpy().tobytes(): int(label) for image, label in zip(data.images, labels, strict=True)}
        assert all(place[x.numpy().tobytes()] == y for x, y in zip(one.images, one.labels.tolist(), strict=True))

    def test_more_classes_than_images_have_one_each(self):
        data = Dataset(torch.rand(600, 1, 2, 2), torch.arange(600) % 300, tuple(map(str, range(300))))
        assert guarding.probed_images(data, 0).counts == (1,) * 300

    def probed(self, config):
        training = a_taught_training(config)
        training.model.train()
        return training, guarding.probe(training, training.stage(0), partial(loop.count_raw, training, NullKeeper()))

    def test_the_probe_is_pgd_in_eval_mode_on_the_weights_themselves(self):
        training, probed = self.probed(guarded(averaging="ema"))
        attack = loop.selecting_attack(training.config)
        for parameter in training.parts["average"].parameters():
            parameter.data.zero_()
        images = guarding.probed_images(training.train, 0)
        assert probed.robust == count(copy.deepcopy(training.module).eval(), images, attack, seed=0)
        assert 0 < sum(probed.robust.correct) < 50

    @pytest.mark.parametrize("attack", [FGSM(epsilon=0.05), FGSM(epsilon=0.05, random_start=True), NFGSM(epsilon=0.05)])
    @pytest.mark.parametrize("batch_size", [16, 64])
    def test_the_training_attack_is_tried_on_the_same_images_in_eval_mode(self, attack, batch_size):
        config = replace(guarded(attack=attack), batch_size=batch_size)
        training, probed = self.probed(config)
        images, model = guarding.probed_images(training.train, 0), copy.deepcopy(training.module).eval()
        right = []
        for step, (x, y) in enumerate(
            zip(images.images.split(batch_size), images.labels.split(batch_size), strict=True)
        ):
            rng, x = generator(0, "guard", epoch=0, step=step, rank=0), to_unit(x)
            adversarial = attack(lambda x: F.cross_entropy(model(x).logits, y, reduction="none"), x, generator=rng)  # noqa: B023
            right += (model(adversarial).logits.argmax(1) == y).tolist()
        assert sum(probed.trained.correct) == sum(right) > 5
        assert training.model.training

    def test_budgets_and_remedies_of_the_epoch_hold(self):
        training = a_taught_training(guarded(budget=UniformBudget(ramp=1.0)))
        images = guarding.probed_images(training.train, 0)
        clean = count(copy.deepcopy(training.module).eval(), images, Natural(), seed=0)
        trained = [guarding.count_trained(training, training.stage(epoch), images) for epoch in (0, 3)]
        assert trained[0] == clean  # balls of nothing
        assert sum(trained[1].correct) < sum(clean.correct)
        training.parts["guard"].remedies.fill_(1)
        stage = training.stage(3)
        assert stage.attack.iterations == 2
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FGSM, "perturb", None)  # what is asked is the remedy's
            guarding.count_trained(training, stage, images)

    @pytest.mark.parametrize(
        ("attack", "budget", "comparable"),
        [
            (FGSM(epsilon=0.3), UniformBudget(), True),
            (FGSM(epsilon=0.4), UniformBudget(), True),
            (FGSM(epsilon=0.2), UniformBudget(), False),
            (FGSM(epsilon=0.3), UniformBudget(ramp=1.0), False),
            (PGD(norm="l2", epsilon=0.3, steps=2), UniformBudget(), False),
        ],
    )
    def test_balls_are_compared_with_those_of_the_probe(self, attack, budget, comparable):
        config = guarded(attack=attack, budget=budget)
        config = replace(config, evaluation=replace(config.evaluation, epsilon=0.3))
        training = a_training(config)
        assert guarding.comparable(config, training.stage(2)) == [comparable] * 10

    def test_each_class_has_its_own_ball(self):
        training = a_training()
        stage = training.stage(0)._replace(scales=torch.linspace(0.5, 1.4, 10))
        config = replace(training.config, evaluation=replace(training.config.evaluation, epsilon=0.1))
        assert guarding.comparable(config, stage) == [False] * 5 + [True] * 5

    def test_an_attack_of_more_steps_is_let_be(self):
        for config in (replace(guarded(), attack=PGD(epsilon=0.1, steps=3)), guarded(guard="none")):
            training = a_training(config)
            assert training.watch is None
            watching, _ = run(training)
            assert not any(name.startswith("guard") for name in watching.rows[0])

    def test_a_part_of_the_run_under_more_steps_is_let_be(self, alarm):
        alarm(0, 1, 2, 3)
        config = replace(guarded(attack=PGD(epsilon=0.1)), before=Before(part=0.5, attack=FGSM(epsilon=0.1)))
        watching, state = run(a_training(config))
        assert [row["guard_collapsed"] for row in watching.rows] == [1, 1, 0, 0]
        assert len({tuple(row) for row in state.history}) == 1

    def test_columns_of_groups_where_there_are_groups(self):
        even = run(a_training(guarded(epochs=1)))[0].rows[0]
        labels = torch.tensor([0] * 12 + [1] * 12 + [2] * 6 + [3] * 6)
        data = Dataset(torch.rand(36, 1, 8, 8), labels, tuple("abcd"))
        uneven = run(a_training(guarded(epochs=1), data))[0].rows[0]
        columns = {"guard_probe", "guard_trained", "guard_ratio"}
        last = {"guard_remedies", "guard_collapsed", "guard_rolled_back"}
        assert {name for name in even if name.startswith("guard")} == columns | last
        assert {name for name in uneven if name.startswith("guard")} == columns | last | {f"{c}_under" for c in columns}


def test_a_guard_that_finds_nothing_changes_nothing(alarm):
    alarm()
    ends = [run(a_training(guarded(guard=guard, averaging="ema")))[0].states[-1] for guard in ("collapse", "none")]
    assert same(*ends)


def test_a_second_model_is_all_the_memory_that_it_takes():
    plain, watched = a_training(guarded(guard="none")), a_training()
    model, kept = (
        sum(tensor.nbytes for tensor in each.state_dict().values()) for each in (plain.module, watched.parts["guard"])
    )
    assert model <= kept <= model + 1_000
    assert step_bytes(watched, batch_size=20) <= step_bytes(plain, batch_size=20) + 1_000  # beside what is there


OPTIONS = {"device": "cpu", "compiled": "off", "checkpoint_every": "1"}


class TestInPieces:
    """A guarded run that goes back, stopped anywhere, ends in the same bytes."""

    def config(self, **members):
        return replace(guarded(epochs=4, **members), optimizer=AdamW() if members else guarded().optimizer)

    @pytest.mark.parametrize("members", [{}, STATEFUL])
    def test_stopped_at_every_epochs_beginning_middle_and_end(self, alarm, members, tmp_path):
        alarm(1, 2)
        config = self.config(**members)
        whole = fit(config, out=tmp_path / "whole", **OPTIONS)
        assert [row["guard_remedies"] for row in whole.history] == [0, 1, 2, 2]
        pieces = 0
        while not (tmp_path / "cut" / "model.safetensors").exists():
            with suppress(Interrupted):
                fit(config, out=tmp_path / "cut", observer=StopAfter(2), **OPTIONS)
            pieces += 1
        assert pieces > 6
        assert content(tmp_path / "cut") == content(tmp_path / "whole")

    def test_stopped_while_the_probe_is_counted(self, alarm, tmp_path, monkeypatch):
        alarm(1)
        fit(self.config(), out=tmp_path / "whole", **OPTIONS)
        real, calls = loop.count, []

        def signalled(*args, **options):
            calls.append(1)
            if len(calls) == 4:  # epoch 1: probe, clean, robust; epoch 2: its probe
                os.kill(os.getpid(), signal.SIGTERM)
            return real(*args, **options)

        monkeypatch.setattr(loop, "count", signalled)
        with pytest.raises(Interrupted):
            fit(self.config(), out=tmp_path / "cut", **OPTIONS)
        fit(self.config(), out=tmp_path / "cut", **OPTIONS)
        assert content(tmp_path / "cut") == content(tmp_path / "whole")

    def test_an_old_run_goes_on_unguarded(self, tmp_path):
        config = self.config(guard="none")
        plain = config.to_plain()
        del plain["guard"]
        old = srat.Config.from_plain(plain)
        with pytest.raises(Interrupted):
            fit(config, out=tmp_path / "old", observer=StopAfter(3), **OPTIONS)
        fit(old, out=tmp_path / "old", **OPTIONS)
        run = fit(config, out=tmp_path / "new", **OPTIONS)
        assert "guard_probe" not in run.history[0]
        assert (tmp_path / "old" / "metrics.csv").read_bytes() == (tmp_path / "new" / "metrics.csv").read_bytes()

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_in_half_precision(self, alarm, precision):
        alarm(1)
        config = replace(guarded(epochs=3), precision=precision)
        watching, _ = run(set_up(config, make_fabric("cpu", precision), small_set(channels=3), None, None))
        assert same(watching.states[0], watching.states[1])
        assert all(0 <= row["guard_trained"] <= 1 for row in watching.rows)


def shared(processes):
    """Return what a run of several processes sees and ends in; the guard finds a collapse in its second epoch."""
    with pytest.MonkeyPatch.context() as patch:
        stages, real = [], guarding.end_guarded
        patch.setattr(loop, "end_guarded", lambda t, stage, *rest: stages.append(stage.epoch) or real(t, stage, *rest))
        patch.setattr(CollapseGuard, "judge", lambda *_: "as told" if stages[-1] == 1 else "")
        # Batches that no two can halve, and BatchNorm over both; an attack that draws nothing.
        config = replace(guarded(epochs=3, attack=FGSM(epsilon=0.03)), batch_size=11, sync_batch_norm=True)
        config = replace(config, optimizer=replace(config.optimizer, learning_rate=0.001))
        state, digits = taught()
        training = a_training(config, digits, processes=processes)
        training.module.load_state_dict(state)
        watching, _ = run(training)
        columns = [[value for name, value in row.items() if name.startswith("guard")] for row in watching.rows]
        return columns, {name: tensor.numpy() for name, tensor in watching.states[-1].items()}


def test_two_processes_see_and_do_what_one_does():
    rows, state = shared(ALONE)
    assert all(0.1 < number < 0.99 for row in rows for number in row[::2][:2])
    assert [row[-1] for row in rows] == [0, 1, 0]
    for theirs, other in in_processes(2, shared):
        for ours, row in zip(theirs, rows, strict=True):
            assert ours == pytest.approx(row, abs=0.05)  # an image or two of fifty, by rounding
        for name, array in state.items():
            torch.testing.assert_close(torch.from_numpy(other[name]), torch.from_numpy(array), rtol=1e-3, atol=1e-4)


EPSILON = 45 / 255


@cache
def smooth_digits():
    """Digits drawn large, in which the fine pattern of a sign step shows: it tells a network the label."""

    def drawn(part, n):
        images = F.interpolate(to_unit(part.images[:n]), size=(16, 16), mode="bilinear")
        return Dataset(images, part.labels[:n], part.class_names)

    return drawn(Digits().train(), 600), drawn(Digits().test(), 300)


@cache
def drilled(attack, guard):
    """Train one convolution on digits; return what it has come to, and its and its average's accuracy under PGD-20."""
    train, test = smooth_digits()
    config = compose(method="ce", data="digits", epochs=12, batch_size=50, epsilon=EPSILON, step_size=EPSILON / 4)
    config = replace(config, attack=attack, guard=guard, optimizer=AdamW(learning_rate=0.01), averaging=EMA(start=0.0))
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 64, 10))
    model = srat.models.wrap(nn.Sequential(*layers), mean=[0.5], std=[0.25])
    training = set_up(config, make_fabric("cpu"), train, None, model)
    watching, _ = run(training)
    attack = PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=20)
    return watching, *(count(each, test, attack, seed=0).accuracy() for each in (training.module, training.kept))


class TestDrill:
    """FGSM without noise in large balls collapses; with the guard it does not."""

    def test_without_the_guard_it_collapses(self):
        watching, robust, _ = drilled(FGSM(epsilon=EPSILON), NoGuard())
        assert watching.rows[-1]["train_accuracy"] > 0.7
        assert robust.accuracy < 0.05

    def test_with_the_guard_it_is_as_robust_as_pgd_3_makes_it(self):
        watching, robust, _ = drilled(FGSM(epsilon=EPSILON), CollapseGuard())
        attack = PGD(epsilon=EPSILON, step_size=EPSILON / 2, steps=3)
        _, wanted, _ = drilled(attack, NoGuard())
        assert robust.accuracy > wanted.accuracy - 0.03
        assert wanted.accuracy > 0.15
        assert 1 <= sum(row["guard_rolled_back"] for row in watching.rows) <= 2
        assert len(watching.said) == watching.rows[-1]["guard_remedies"]

    def test_an_average_is_as_robust(self):
        *_, robust = drilled(FGSM(epsilon=EPSILON), CollapseGuard())
        assert robust.accuracy > 0.15
