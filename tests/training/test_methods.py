"""Every named method of the field: stopped and resumed, written and read; what its name stands for."""

import itertools
import re
from dataclasses import replace
from functools import partial

import pytest
import torch

from named import of_method
from srat import Config, UserError, compose
from srat.attacks import FGSM, NFGSM, PGD, Natural
from srat.config.checks import check
from srat.config.command_line import command_of
from srat.config.passes import kept_state, passes, relative_passes
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.data.imbalance import Step
from srat.losses import BalancedSoftmax, CrossEntropy, Focal
from srat.methods import METHODS, Before, methods, protocols
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA
from srat.optimization.weight_perturbations import AWP
from srat.runtime.fabric import make_fabric
from srat.training import loop
from srat.training.fitting import fit
from srat.training.memory_estimate import step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step
from stopping import whole_and_cut

FIELD = [name for name in methods() if name not in METHODS]


def small(method, **choices):
    """Return a run of three epochs of three steps."""
    config = of_method(method, epochs=3, batch_size=16, imbalance=Step(ratio=5, cap=12), **choices)
    if isinstance(config.attack, PGD):
        config = replace(config, attack=replace(config.attack, steps=2))
    return replace(config, model=SmallCNN(width=2), evaluation=replace(config.evaluation, steps=2))


@pytest.mark.parametrize("method", FIELD)
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bytes(method, tmp_path):
    whole, cut = whole_and_cut(replace(small(method), epochs=2), tmp_path)
    assert whole == cut


@pytest.mark.parametrize("data", ["digits", "cifar10"])
@pytest.mark.parametrize("name", methods())
def test_a_method_is_called_by_its_name_written_and_made_again(name, data, cli):
    config = compose(method=name, data=data)
    check(config)
    assert config.method == name
    assert Config.from_json(config.to_json()) == config
    assert command_of(config) == f"srat train --method {name} --data {data}"


def test_another_method_leaves_nothing_of_the_former():
    made = {name: compose(method=name, data="cifar10") for name in methods()}
    for one, other in itertools.permutations(made, 2):
        assert compose(made[one], method=other) == made[other], (one, other)


def test_what_is_no_part_of_a_method_stays():
    base = compose(averaging="ema", augmentation="rand-augment", attack="pgd-3", epsilon=0.05)
    for name in ("ce", "trades", "dafa", "robustlt"):
        config = compose(base, method=name)
        assert config.averaging == EMA()
        assert config.augmentation.name == "rand-augment"
        assert (config.attack.steps, config.attack.epsilon) == (3, 0.05)
    assert compose(compose(base, method="at-awp"), method="ce") == compose(base, method="ce")


def test_the_name_is_that_of_the_method_that_says_most():
    assert compose(method="ce", weight_perturbation="awp").method == "at-awp"
    assert compose(method="ce", weight_perturbation=AWP(gamma=0.003)).method == "at-awp"
    assert compose(method="bsl", augmentation="rand-augment").method == "at-bsl"
    assert compose(method="ce", attack="fgsm").method == "ce"
    assert compose(method="ce", attack=FGSM(random_start=True)).method == "fast-at"
    assert compose(method="taet", before=Before()).method == "custom"


def test_an_attack_alone_may_make_another_method():
    ours = compose(method="fast-bsl")
    assert (ours.loss, ours.attack.name, ours.method) == (BalancedSoftmax(), "n-fgsm", "fast-bsl")
    assert replace(ours, loss=BalancedSoftmax(tau=1.25), attack=NFGSM(noise_factor=3.0)).method == "fast-bsl"
    assert compose(ours, attack="pgd").method == "bsl"
    assert compose(method="bsl", attack="n-fgsm") == ours


def test_an_attack_of_a_single_step_is_not_given_the_steps_of_others():
    for method in ("fast-bsl", "fast-at"):
        made = compose(method=method, data="cifar10")
        assert compose(compose(method=method), data="cifar10") == made
        assert compose(made, step_size=0.001).attack == made.attack
        assert compose(made, step_size=0.001).evaluation.step_size == 0.001
        assert compose(made, epsilon=0.05).attack == replace(made.attack, epsilon=0.05)
        own = replace(made, attack=replace(made.attack, step_size=0.01))
        assert compose(own, step_size=0.02).attack.step_size == 0.01


def test_an_attack_of_a_method_has_the_threat_models_ball():
    base = compose(epsilon=0.07, step_size=0.01)
    assert compose(base, method="fast-at").attack == FGSM(epsilon=0.07, random_start=True)
    trades = compose(base, method="trades").attack
    assert trades == PGD(epsilon=0.07, step_size=0.01, start_deviation=0.001)
    assert compose(compose(base, method="trades"), method="fast-at").attack.random_start
    assert compose(compose(base, method="fast-at"), method="ce").attack == base.attack


# The first part of a run.


def test_the_first_part_of_a_run_has_members_of_its_own():
    config = compose(method="taet", epochs=10)
    assert [type(config.at(epoch).attack) for epoch in (0, 3, 4, 9)] == [Natural, Natural, PGD, PGD]
    assert type(config.at(3).loss) is CrossEntropy
    assert config.at(4) is config
    assert config.at(0).before == Before()
    assert compose(config, epochs=1, before={"part": 0.9}).at(0).loss == config.loss  # which trains the last epoch


def test_each_epoch_is_trained_by_its_stage(monkeypatch):
    trained, real = [], loop.train_step

    def spy(training, *args):
        trained.append((training.config.attack.name, training.config.loss.name))
        return real(training, *args)

    monkeypatch.setattr(loop, "train_step", spy)
    config = small("ce", before={"part": 0.4, "attack": "natural", "loss": "focal"})
    run = fit(config, device="cpu", compiled="off")
    steps = len(trained) // 3
    assert trained == [("natural", "focal")] * steps + [("pgd", "cross-entropy")] * 2 * steps
    # The best epoch is chosen under attack from the first one on.
    assert all(0 <= row["held_out_robust"] <= row["held_out_clean"] for row in run.history)


def test_a_first_part_of_the_same_members_changes_nothing():
    plain = fit(small("ce"), device="cpu", compiled="off")
    staged = small("ce", before=Before(part=0.5, loss=CrossEntropy()))
    same = fit(staged, device="cpu", compiled="off")
    assert staged.id != plain.config.id
    for name, tensor in same.model.state_dict().items():
        assert tensor.equal(plain.model.state_dict()[name])


def test_memory_is_that_of_the_larger_stage():
    def traced(config):
        data = set_up(config, make_fabric("cpu"), *([fake_data()] * 2), None)
        return step_bytes(data, batch_size=50)

    natural, robust = small("natural"), small("trades")
    staged = replace(natural, before=Before(part=0.4, attack=robust.attack, robust_loss=robust.robust_loss))
    assert traced(staged) == traced(replace(robust, loss=natural.loss)) > traced(natural)


def fake_data():
    return Dataset(torch.zeros(20, 1, 8, 8), torch.arange(20) % 10, tuple("0123456789"))


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"part": 0.3}, "`before.part` 0.3: expected one of `before.attack`"),
        ({"loss": "focal"}, "`before.part`: expected above 0, the part of the run that `before.loss` focal is for"),
        ({"part": 1.0, "loss": "focal"}, "`before.part`: expected 0 or more and less than 1"),
        ({"part": 0.5, "robust_loss": "distillation"}, "`before.robust_loss`: expected one without teacher"),
        ({"part": 0.5, "robust_loss": "trades-calibrated"}, "`before.robust_loss`: expected one without teacher"),
        ({"part": 0.5, "feature_loss": "separation-queue"}, "`before.feature_loss`: expected one without"),
        (
            {"part": 0.5, "loss": "ldam"},
            "`before.loss`: ldam is for a cosine head of scale 30, and the run has another",
        ),
        ({"part": 0.5, "loss": "focl"}, "unknown `before.loss` 'focl', did you mean 'focal'"),
        ({"part": 0.5, "attack": "fgsm", "robust_loss": "trades"}, "expected one with a random start, got fgsm"),
    ],
)
def test_a_first_part_that_cannot_be_is_refused(before, said):
    with pytest.raises(UserError) as error:
        check(compose(method="ce", before=before))
    assert said in str(error.value)


def test_a_first_part_without_features_or_an_attack_asks_the_attack_for_none():
    config = compose(method="srat-ce", epochs=4)
    config = replace(config, inner=replace(config.inner, feature_weight=1.0))
    for member in ({"attack": "natural"}, {"feature_loss": "none"}):
        staged = compose(config, before={"part": 0.5, **member})
        check(staged)
        assert (staged.at(0).inner.feature_weight, staged.at(2).inner.feature_weight) == (0.0, 1.0)


def test_a_ball_reaches_the_attack_of_the_first_part():
    config = compose(method="ce", before={"part": 0.5, "attack": "fgsm"}, epsilon=0.07)
    assert config.before.attack.epsilon == config.attack.epsilon == 0.07


def test_a_constant_of_the_first_part_has_a_flag(cli, tmp_path):
    code, _, err = cli("train", "--before.loss", "focal", "--before.loss.gamma", "-1", "--before.part", "0.5")
    assert code == 2
    assert "gamma" in err
    code, _, err = cli("train", "--before.loss.gamma", "3")
    assert code == 2
    assert "--before.loss.gamma goes with --before.loss" in err
    kept = compose(method="ce", before=Before(part=0.5, loss=Focal(gamma=3.0)))
    assert command_of(kept).endswith("--before.loss focal --before.part 0.5 --before.loss.gamma 3.0")


# Costs.


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("natural", 3), ("ce", 23), ("trades", 1 + 20 + 6), ("mart", 20 + 6), ("at-awp", 20 + 3 + 3), ("fast-at", 5)],
)
def test_passes_of_a_step(name, wanted):
    config = compose(method=name)
    assert passes(config) == wanted
    assert relative_passes(config) == wanted / 23


def test_passes_are_the_mean_over_a_growing_ball_and_over_stages():
    ramped = compose(method="ce", budget="class-wise", epochs=10)
    ramped = replace(ramped, budget=replace(ramped.budget, ramp=0.8))
    steps = [max(2, -(-10 * epoch // 8)) for epoch in range(8)] + [10, 10]
    assert passes(ramped) == pytest.approx(sum(2 * each + 3 for each in steps) / 10)
    assert passes(compose(method="taet", epochs=10)) == pytest.approx((4 * 3 + 6 * 23) / 10)
    assert passes(replace(compose(method="at-awp", epochs=10), weight_perturbation=AWP(start=0.5))) == 24.5


def test_passes_are_those_that_are_made():
    """Forward passes, counted as they happen."""
    for name in ("ce", "trades", "mart", "at-awp", "fast-at", "robal"):
        config = replace(small(name), epochs=1)
        training = set_up(config, make_fabric("cpu"), *([fake_data()] * 2), None)
        training = replace(training, held_out=None, folding=None)
        made = []
        training.module.register_forward_hook(lambda *_, made=made: made.append(1))
        rng = partial(generator, 0)
        training.model.train()
        train_step(training, training.feed.batch(torch.arange(16), rng("augment")), training.stage(0), rng)
        robust = config.robust_loss
        learnt = (1 + robust.sees_clean) * (1 + (name == "at-awp"))
        assert len(made) == config.attack.iterations + robust.attack_sees_clean + learnt, name


def test_what_is_kept_besides():
    assert kept_state(compose(method="ce")) == ()
    assert kept_state(compose(method="fast-at")) == ("last good weights",)
    assert kept_state(compose(method="dafa")) == ("budget feedback", "weighting feedback")
    assert kept_state(compose(method="srat-ce", feature_loss="separation-queue", averaging="ema")) == (
        "averaged weights",
        "features",
    )


# Protocols.


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, each in protocols().items() for data in each.imbalances]
)
def test_a_protocol_sets_what_it_says(name, data):
    protocol, config = protocols()[name], compose(protocol=name, method="at-bsl", data=data)
    assert config.method == "at-bsl"
    assert (config.epochs, config.batch_size, config.model) == (protocol.epochs, protocol.batch_size, protocol.model)
    assert config.imbalance == protocol.imbalances[data]
    assert (config.attack.steps, config.attack.epsilon) == (protocol.steps, protocol.epsilon)
    assert (config.evaluation.steps, config.evaluation.epsilon) == (20, protocol.epsilon)
    assert config.augmentation.name == "rand-augment"  # the method's
    usual = protocol.augmentation or compose(data=data).augmentation.name
    assert compose(protocol=name, method="ce", data=data).augmentation.name == usual
    assert compose(compose(method="at-bsl", data=data), protocol=name) == config
    rates = [config.schedule.learning_rate(e, steps=1, epochs=config.epochs, base=1.0) for e in range(config.epochs)]
    for number, milestone in enumerate(protocol.milestones):
        assert rates[milestone - 1] == pytest.approx(protocol.factor**number)
        assert rates[milestone] == pytest.approx(protocol.factor ** (number + 1))
    assert Config.from_json(config.to_json()) == config


def test_tables_of_the_field_as_their_authors_have_them():
    robal = compose(protocol="robal", method="robal", data="cifar10")
    assert (robal.model.depth, robal.model.widen, robal.optimizer.weight_decay) == (34, 10, 2e-4)
    assert (robal.attack.steps, robal.attack.epsilon, robal.attack.step_size) == (5, 0.031, 0.0078)
    assert compose(protocol="robustlt", data="cifar10").optimizer.nesterov
    assert compose(protocol="robustlt", data="cifar10").evaluation.step_size == 1 / 255
    tiny = compose(protocol="at-bsl", data="tiny-imagenet")
    assert (tiny.imbalance.name, tiny.imbalance.ratio) == ("exp", 10)
    assert compose(protocol="taet", data="cifar10").evaluation.step_size == 1 / 255
    assert compose(protocol="srat", data="svhn").attack.step_size == 1 / 255
    assert compose(protocol="srat", data="svhn").augmentation.name == "none"
    first = compose(compose(method="ce", before={"part": 0.5, "attack": "fgsm"}, data="cifar10"), protocol="robal")
    assert first.before.attack.epsilon == first.attack.epsilon == 0.031
    srat = compose(protocol="srat", data="cifar10")
    assert (srat.epochs, srat.schedule.milestones, srat.schedule.factor) == (200, (160, 180), 0.01)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"protocol": "robal"}, "`protocol` robal: expected `data` cifar10 or cifar100, got digits"),
        ({"protocol": "robl", "data": "cifar10"}, "unknown protocol 'robl', did you mean 'robal'?"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(choices, said):
    with pytest.raises(UserError) as error:
        compose(**choices)
    assert said in str(error.value)


# The command.


def test_methods_are_listed(cli):
    code, out, _ = cli("methods")
    assert code == 0
    lines = [line for line in out.splitlines() if line.strip()]
    assert set(methods()) | set(protocols()) <= {line.split()[0] for line in lines}
    assert any(re.match(r" fast-at .*Wong 2020 +0.22", line) for line in lines)
    assert any(re.match(" robustlt .*RobustLT 2026", line) for line in lines)


@pytest.mark.parametrize("name", methods())
def test_a_method_is_explained(name, cli):
    code, out, _ = cli("methods", name)

    text = " ".join(out.replace("·", "").split())
    assert code == 0
    method = methods()[name]
    assert method.title in text
    assert f"srat train --method {name} --data cifar10" in text
    assert "`" not in text
    for word in (*method.formula.split(), *method.source.split()):
        assert word.replace("·", "") in text


def test_a_name_of_both_tells_both(cli):
    _, out, _ = cli("methods", "ROBAL")
    assert out.startswith("robal: ")
    assert "protocol robal: " in out
    assert "--loss.tau-b 1.5" in out


def test_an_unknown_method_is_told_with_those_there_are(cli):
    code, _, err = cli("methods", "robol")
    assert code == 2
    assert "unknown method or protocol 'robol', did you mean 'robal'?" in err
