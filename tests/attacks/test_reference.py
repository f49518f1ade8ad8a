"""The attacks of AutoAttack: what the reference finds on the same model, images and seed."""

import logging
import warnings
from dataclasses import replace

import pyautoattack
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import nn

from shortening import shorten_autoattack
from srat.attacks import PGD, Search, within
from srat.attacks.apgd import APGDCE, APGDT, AutoPGD
from srat.attacks.autoattack import AutoAttack
from srat.attacks.fab import FABT
from srat.attacks.named import named
from srat.attacks.reference import ReferenceAutoAttack, ReferenceStage
from srat.attacks.square import Square
from srat.core.members import members
from srat.data import Dataset
from srat.evaluation import survival
from srat.evaluation.evaluate import count
from srat.evaluation.journal import Progress
from srat.evaluation.observer import Observer
from srat.evaluation.outcome import NEVER
from srat.evaluation.survival import outcome
from srat.evaluation.trial import Trial
from srat.models import lent
from srat.runtime.processes import ALONE, Processes

STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")


@pytest.fixture(autouse=True)
def _ten_steps(monkeypatch):
    shorten_autoattack(monkeypatch.setattr, steps=10)


def net(classes):
    """Smooth enough for attacks to agree upon much, and not upon all."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, classes)).eval()


def before(classes, n=45, batch_size=20, seed=3):
    """A trial on images that the model gets right, but for a few."""
    model = net(classes)
    images = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model[-1].bias -= model(images).mean(dim=0)
        labels = model(images).argmax(dim=1)
    labels[::9] = (labels[::9] + 1) % classes
    data = Dataset(images, labels, tuple(map(str, range(classes))))
    return Trial(model=model, dataset=data, seed=seed, batch_size=batch_size, observer=Observer())


EPSILON = {"linf": 0.03, "l2": 0.12}


def theirs(trial, names, norm, epsilon):
    """Which images the reference leaves unbroken, by its own evaluation."""
    data, classes = trial.dataset, len(trial.dataset.class_names)
    version = "standard" if len(names) == 4 else "custom"
    given = {"attacks": list(names)} if version == "custom" else {}
    attack = pyautoattack.AutoAttack(
        trial.model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon, seed=trial.seed, version=version, **given
    )
    attack.apgd.n_restarts = attack.fab.n_restarts = 1  # of the standard version
    attack.square.n_queries = 250  # which it sets anew
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
    attack.logger.setLevel(logging.CRITICAL)
    adversarial, _ = attack.run_standard_evaluation(data.images, data.labels, batch_size=trial.batch_size)
    with torch.no_grad():
        return trial.model(adversarial).argmax(dim=1) == data.labels


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_reference_finds_what_it_finds_by_itself(norm):
    trial = before(classes=10)
    attack = named("autoattack-reference", PGD(norm=norm, epsilon=EPSILON[norm]))
    with lent(trial.model):
        found = outcome(trial, attack)
        expected = theirs(trial, STAGES, norm, EPSILON[norm])
    assert torch.equal(found.survived, expected)
    assert 3 < expected.sum() < 37
    assert (found.broken_at == 0).sum() == 5
    assert set(found.broken_at.unique().tolist()) <= {NEVER, *range(len(attack.stages) + 1)}
    assert torch.equal(found.predicted == trial.dataset.labels, found.survived)


@pytest.mark.parametrize("name", STAGES)
def test_every_attack_finds_what_the_reference_finds_but_for_its_noise(name):
    trial = before(classes=10)
    with lent(trial.model):
        found = outcome(trial, named(name, PGD(epsilon=0.03)))
        expected = theirs(trial, (name,), "linf", 0.03)
    differing = int((found.survived != expected).sum())
    assert differing <= {"fab-t": 0, "apgd-t": 1}.get(name, 4)
    assert 3 < expected.sum() < 37


def test_autoattack_is_no_weaker_than_any_part_of_it_and_than_pgd():
    trial = before(classes=10, n=20)
    with lent(trial.model):
        broken = {
            name: ~outcome(trial, named(name, PGD(epsilon=0.03, step_size=0.005))).survived
            for name in (*STAGES, "pgd-20", "autoattack")
        }
    assert all((broken["autoattack"] >= broken[name]).all() for name in STAGES)
    assert broken["autoattack"].sum() >= broken["pgd-20"].sum()


@pytest.mark.parametrize("ball", [{"norm": "linf", "epsilon": 0.03}, {"norm": "l2", "epsilon": 0.5}])
def test_autoattack_is_all_four_as_they_are_by_themselves(ball):
    four = APGDCE(**ball), APGDT(**ball, targets=9), FABT(**ball), Square(**ball, queries=5000)
    assert AutoAttack(**ball).stages == four


def settings(attack):
    return {name: value for name, value in vars(attack).items() if isinstance(value, bool | int | float | str)}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_reference_is_asked_for_its_standard_version(norm, monkeypatch):
    asked = []
    for kind in (APGDAttack, APGDAttack_targeted, FABAttack_PT, SquareAttack):
        monkeypatch.setattr(kind, "perturb", lambda self, images, labels: asked.append(self) or images)
    labels = torch.arange(3)
    ReferenceAutoAttack(norm=norm, epsilon=0.3).perturb(
        nn.Identity(), torch.rand(3, 1, 2, 2), labels, classes=10, seed=7
    )
    name = {"linf": "Linf", "l2": "L2"}[norm]
    standard = pyautoattack.AutoAttack(None, norm=name, eps=0.3, seed=7, version="standard", device=torch.device("cpu"))
    standard.fab.targeted = True  # as its run does
    standard.square.n_queries //= 20  # as those of ours here
    four = standard.apgd, standard.apgd_targeted, standard.fab, standard.square
    assert [(type(ours), settings(ours)) for ours in asked] == [(type(theirs), settings(theirs)) for theirs in four]


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_take_the_margin_and_say_so(classes):
    trial = before(classes=classes)
    with lent(trial.model):
        found = [outcome(trial, kind(epsilon=0.03)) for kind in (AutoAttack, ReferenceAutoAttack)]
    assert all((each.broken_at > 0).sum() > 0 for each in found)
    assert int((found[0].survived != found[1].survived).sum()) <= 1
    for attack in (AutoAttack(), ReferenceAutoAttack()):
        assert attack.note(classes) == f"apgd-t: on {classes} classes DLR is undefined, the margin took its place"
    assert APGDT().note(4) == ""


def test_four_to_nine_classes_have_fewer_targets():
    trial = before(classes=5)
    done = []
    trial.observer.images_done = done.append
    with lent(trial.model):
        attack = ReferenceAutoAttack(epsilon=0.03)
        assert torch.equal(outcome(trial, attack).survived, theirs(trial, STAGES, "linf", 0.03))
    assert len(APGDT().walks(5)) == len(FABT().walks(5)) == 4
    assert sum(done) == len(trial.dataset)  # each image is counted once, when it is done


def test_dlr_is_undefined_on_three_classes():
    trial = before(classes=3)
    with lent(trial.model), pytest.raises(IndexError):
        theirs(trial, ("apgd-t",), "linf", 0.03)


@pytest.mark.parametrize("name", sorted(members(Search)))
def test_leaves_everything_as_it_was(name):
    trial = before(classes=4, n=20)
    model = trial.model
    before_state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    images = trial.dataset.images.clone()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count(model, trial.dataset, named(name, PGD(epsilon=0.03)), seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before_state[key], tensor) for key, tensor in model.state_dict().items())
    assert torch.equal(trial.dataset.images, images)


def test_what_leaves_the_budget_counts_for_nothing(monkeypatch):
    """A search that goes a million times as far as it may breaks nothing."""
    trial = before(classes=10, n=20)

    def too_far(self, logits_at, images, labels, numbers, real=ReferenceStage.attacked, **settings):
        return images + 1e6 * (real(self, logits_at, images, labels, numbers, **settings) - images)

    def further(self, ask, state, step, images, labels, real=AutoPGD.advance):
        stand = real(self, ask, state, step, images, labels)
        return stand._replace(point=images + 1e6 * (stand.point - images))

    with lent(trial.model):
        for name in ("apgd-ce", "autoattack-reference"):
            assert (outcome(trial, named(name, PGD(epsilon=0.03))).broken_at > 0).any()
        monkeypatch.setattr(ReferenceStage, "attacked", too_far)
        monkeypatch.setattr(AutoPGD, "advance", further)
        for name in ("apgd-ce", "autoattack-reference"):
            assert (outcome(trial, named(name, PGD(epsilon=0.03))).broken_at <= 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_within_by_hand(norm):
    center = torch.full((6, 1, 2, 2), 0.5)
    points = center.clone()
    points[1] += 0.1 if norm == "linf" else 0.05  # on the border
    points[2, 0, 0, 0] += 0.1 + 1e-4
    points[3, 0, 1, 1] = torch.nan
    points[4], center[4] = 1.01, 1.0
    points[5, 0, 0, 0] -= 0.1
    assert within(points, center, norm=norm, epsilon=0.1).tolist() == [True, True, False, False, False, True]


class One(Processes):
    """One of two processes, which hears nothing of the other's part."""

    def sum(self, tensor):
        return tensor

    def told(self, value):
        return value


def test_batches_are_shared_and_not_changed_by_the_number_of_processes():
    trial = before(classes=10)
    with lent(trial.model):
        clean = Progress.none(trial.dataset.labels)
        for images, found in survival.rounds(trial, named("clean", PGD()))[0](clean):
            clean = clean.noted(images, 0, found)
        first = ReferenceAutoAttack(epsilon=0.03).stages[0]
        shares = [
            list(survival._searched(replace(trial, processes=processes), first, clean, number=1, point=1))
            for processes in (ALONE, One(0, 2), One(1, 2))
        ]
    alone, *others = shares
    assert len(alone) == 2
    assert [len(each) for each in others] == [1, 1]
    for (batch, found), (other_batch, other_found) in zip(alone, others[0] + others[1], strict=True):
        assert torch.equal(batch, other_batch)
        assert torch.equal(found.broken_at, other_found.broken_at)
