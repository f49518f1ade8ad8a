"""Mistakes of the guard against catastrophic overfitting; `planting` has them all."""

import contextlib
import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from planting import tiny
from torch import nn
from torch.nn import functional as F

from srat.attacks import FGSM
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.evaluation.groups import Groups
from srat.evaluation.observer import Observer
from srat.guards import CollapseGuard, Watch
from srat.optimization.averaging import EMA
from srat.runtime.fabric import make_fabric
from srat.training import fitting, guarding, setting_up
from srat.training import loop as trainer
from srat.training.keeper import NullKeeper

# 36. Catastrophic overfitting: a probe in train mode, the last epoch as reference, rare classes out of sight; the
# momentum of the collapse kept, or an average of it. That it collapses, and does not with the guard, is drilled in
# ``training/test_guarding.py``.


def single_step(**members):
    """Return a training under FGSM on images of four classes, two of them rare."""
    config = replace(tiny(), attack=FGSM(epsilon=0.1), batch_size=16, epochs=3, guard=CollapseGuard(), **members)
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


def momenta(training):
    """Return what an optimiser keeps of its parameters, as it is now."""
    return [value.clone() for kept in training.optimizer.state.values() for value in kept.values()]


def check_nothing_of_a_collapse_stays():
    """After its second epoch, which is undone, a run is where it was after the first, and as if at rest."""
    training, ends = single_step(averaging=EMA(decay=0.5, start=0.0)), []

    class Watching(Observer):
        def epoch(self, row):
            weights = [t.clone() for model in (training.module, training.kept) for t in model.state_dict().values()]
            ends.append((weights, momenta(training)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CollapseGuard, "judge", lambda *_: "as told" if len(ends) == 1 else "")
        patch.setattr(CollapseGuard, "is_good", lambda *_: True)
        trainer.run_epochs(training, NullKeeper(), Watching())
    (first, moving), (second, at_rest), (third, _) = ends
    assert any(each.any() for each in moving)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not any(each.any() for each in at_rest)
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
