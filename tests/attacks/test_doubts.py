"""Settings of attacks that can hardly be meant: said at every door, once."""

import logging
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

import srat
from srat.attacks import FGSM, PGD, Natural, PGDMargin, tell_doubts
from srat.attacks.autoattack import AutoAttack
from srat.attacks.named import named
from srat.config.config import Config
from srat.config.doubts import doubts_of
from srat.core.members import members
from srat.data import Source

SHAPE = (3, 32, 32)
SHORT = "cannot reach the edge of a ball of radius 0.1"
LONG = "is longer than the diameter of the ball, 0.2"


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (PGD(epsilon=0.1, step_size=0.001, steps=20), f"pgd-20: 20 steps of 0.001 {SHORT}"),
        (PGD(epsilon=0.1, step_size=0.05, steps=1), f"pgd-1: 1 step of 0.05 {SHORT}"),
        (PGDMargin(epsilon=0.1, step_size=0.3), f"pgd-margin-10: a step of 0.3 {LONG}"),
        (PGD(epsilon=0.6), "pgd-10: within a radius of 0.6 every image can become the same grey, so"),
        (FGSM(epsilon=0.1, step_size=0.01), f"fgsm: 1 step of 0.01 {SHORT}"),
        (FGSM(epsilon=0.1, step_size=0.21, random_start=True), f"fgsm: a step of 0.21 {LONG}"),
        (
            PGD(norm="l2", epsilon=56, step_size=10),
            "pgd-10-l2: a radius of 56 is beyond the diagonal of the space of images, √(3·32·32) = 55.4",
        ),
        (
            PGD(norm="l2"),
            "pgd-10-l2: a radius of 0.0313725 in L2, spread over all pixels, is 0.14 of 255 levels: is this an L∞",
        ),
        (named("square", PGD(norm="l2")), "square-l2: a radius of 0.0313725 in L2, spread over all pixels"),
        (AutoAttack(epsilon=0.6), "autoattack: within a radius of 0.6"),
        (named("square", PGD(norm="l2", epsilon=128, step_size=32)), "square-l2: a radius of 128 is beyond"),
    ],
)
def test_each_is_said_in_a_line(attack, said):
    assert attack.doubts(SHAPE)[0].startswith(said)


@pytest.mark.parametrize(
    "attack",
    [
        Natural(),
        PGD(),
        PGD(epsilon=0.1, step_size=0.01, steps=10),
        PGD(epsilon=0.3, step_size=0.1, steps=3),
        PGD(epsilon=0.1, step_size=0.2, steps=1),
        PGD(epsilon=0.5, step_size=0.5),
        PGD(norm="l2", epsilon=55, step_size=10),
        PGD(norm="l2", epsilon=0.25, step_size=0.1),
        FGSM(),
        FGSM(random_start=True),
        AutoAttack(),
    ],
)
def test_what_can_be_meant_is_not_doubted(attack):
    assert attack.doubts(SHAPE) == ()


@pytest.mark.parametrize("source", [kind.name for kind in members(Source).values()])
def test_no_suggestion_is_doubtful(source):
    config = srat.compose(data=source)
    assert config.attack.doubts(SHAPE) == config.evaluation.doubts(SHAPE) == ()


def test_the_same_line_is_told_once():
    told = []
    small = PGD(step_size=1e-4)
    tell_doubts((small, replace(small, random_start=False), Natural()), SHAPE, told.append)
    assert told == list(small.doubts(SHAPE))


@pytest.fixture
def small():
    """A run of one epoch whose attacks cannot reach the edge."""
    return srat.compose(method="ce", epochs=1, step_size=0.001, batch_size=64)


def cut(config):
    return replace(
        config, imbalance=replace(config.imbalance, cap=16, ratio=1), holdout=replace(config.holdout, fraction=0)
    )


def test_fit_tells_its_observer(small, caplog):
    with caplog.at_level(logging.WARNING, logger="srat"):
        srat.fit(cut(small), device="cpu")
    told = [message for message in caplog.messages if "cannot reach" in message]
    assert told == [f"pgd-{n}: {n} steps of 0.001 cannot reach the edge of a ball of radius 0.1" for n in (10, 20)]


@pytest.mark.parametrize("field", ["attack", "evaluation"])
@pytest.mark.parametrize("source", ["digits", "cifar10"])
def test_the_budget_of_another_norm_is_told(field, source):
    config = srat.compose(data=source)
    changed = replace(config, **{field: replace(getattr(config, field), norm="l2")})
    (told,) = doubts_of(changed, (1, 8, 8) if source == "digits" else SHAPE, (10,) * 10)
    assert told.startswith(f"{getattr(changed, field).label}: ")
    assert "another" in told or "is this an L∞ budget?" in told
    for other in (srat.compose(data=source, norm="l2", epsilon=0.5, step_size=0.1), config):
        assert doubts_of(other, SHAPE, (10,) * 10) == []


def test_the_command_line_tells_the_budget_of_another_norm(cli, tmp_path):
    small = ["--method", "ce", "--epochs", 1, "--imbalance.cap", 16, "--ratio", 1, "--evaluation.steps", 1]
    words = ["--evaluation.norm", "l2", "--holdout.fraction", 0, "--device", "cpu", "--out", tmp_path / "run"]
    _, out, err = cli("train", *small, *words)
    said = "note: pgd-1-l2: ε is 0.1, as in L∞; budgets of another norm are of another size"
    assert (out + err).count(said) == 1
    assert (out + err).index(said) < (out + err).index("Trained in")
    assert "under" not in (out + err)


def test_evaluate_warns_where_it_is_called():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images, labels = torch.rand(3, 1, 4, 4), torch.arange(3)
    with pytest.warns(UserWarning, match=r"pgd-2: 2 steps of 0\.001 cannot reach"):
        srat.evaluate(net, images, labels, attack=PGD(steps=2, step_size=0.001))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        srat.evaluate(net, images, labels, attack="pgd-4")


def test_the_command_line_says_each_once(cli, tmp_path):
    run = tmp_path / "run"
    small = ["--method", "ce", "--epochs", 1, "--imbalance.cap", 16, "--ratio", 1, "--holdout.fraction", 0]
    code, out, err = cli("train", *small, "--step-size", 0.001, "--device", "cpu", "--out", run)
    assert code == 0
    for steps in (10, 20):
        said = f"note: pgd-{steps}: {steps} steps of 0.001 cannot reach the edge of a ball of radius 0.1"
        assert (out + err).count(said) == 1
        assert (out + err).index(said) < (out + err).index("Trained in")
    code, out, err = cli("evaluate", run, "--attack", "pgd-3", "--device", "cpu")
    assert code == 0
    assert (out + err).count("pgd-3: 3 steps of 0.001 cannot reach") == 1


def test_values_that_can_only_be_mistakes_are_refused():
    for epsilon, said in (
        (8, "; it looks like units of 255: write 8/255"),
        (2.5, "write 2.5/255"),
        (256, "got 256"),
        (0, "got 0"),
    ):
        with pytest.raises(srat.UserError, match=said.replace("?", r"\?")):
            PGD(epsilon=epsilon)
    assert Config().attack.doubts((1, 8, 8)) == ()


DIRECT = [
    (PGD(epsilon=8 / 255, step_size=0.9, steps=1), "pgd-1: a step of 0.9 is longer than the diameter of the ball"),
    (PGDMargin(epsilon=0.6, step_size=0.1), "pgd-margin-10: within a radius of 0.6 every image"),
    (FGSM(epsilon=0.1, step_size=0.01), f"fgsm: 1 step of 0.01 {SHORT}"),
]


@pytest.mark.parametrize(("attack", "said"), DIRECT)
def test_a_direct_call_warns(attack, said):
    with pytest.warns(UserWarning, match=said):
        attack(lambda x: x.flatten(1).sum(1), torch.rand(2, 1, 4, 4), generator=torch.Generator())


def test_a_direct_call_of_the_reference_warns():
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False), torch.rand(3, 1, 4, 4)
    labels = net(images).argmax(1)
    with pytest.warns(UserWarning, match=r"apgd-ce: within a radius of 0\.6"):
        named("apgd-ce", PGD(epsilon=0.6))(net, images, labels, classes=3, seed=0)


def test_training_asks_without_warning():
    images = torch.rand(2, 1, 4, 4)
    PGD(epsilon=0.1, step_size=0.9).perturb(lambda x: x.flatten(1).sum(1), images, generator=torch.Generator())
