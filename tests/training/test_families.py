"""Every member of the families that a step is made of: resumed, traced, folded and shared as any other.

Compiled code of some of them is compared in ``drift.py``.
"""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import srat
from several import in_processes
from srat.attacks import PGD
from srat.attacks.budgets import Budget
from srat.config.composition import compose
from srat.config.config import FAMILIES, Config, InnerMaximization
from srat.core.keyed_random import generator
from srat.core.members import choices, members
from srat.core.tensor_file import open_tensors
from srat.data import Dataset
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.feature_losses import NoFeatureLoss
from srat.methods import methods
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA, FAWA, SWA
from srat.runs.folder import RunFolder
from srat.runs.metrics import Sums
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE
from srat.training import loop
from srat.training.fitting import fit
from srat.training.keeper import NullKeeper
from srat.training.memory_estimate import step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step
from srat.weightings import Weighting
from stopping import whole_and_cut

OF_A_STEP = (
    "augmentation",
    "sampling",
    "mixing",
    "budget",
    "loss",
    "robust_loss",
    "weighting",
    "feature_loss",
    "regularizer",
    "optimizer",
    "schedule",
    "averaging",
    "weight_perturbation",
    "guard",
)
UNGUARDED = {"guard": "none"}
"""Attacks of so few steps would have a guard; it is a member as others are."""
ALIKE = ("natural", "logit-adjustment", "fast-at", "fast-bsl", "at-bsl")
"""Methods that do here what another does, for nothing is drawn and all are attacked alike."""
MEMBERS = [(family, name) for family in OF_A_STEP for name in choices(FAMILIES[family])]
OTHERS = [
    (family, name)
    for family, name in MEMBERS
    if family not in ("loss", "weighting") and name != getattr(compose(method="srat-ce", **UNGUARDED), family).name
] + [("weighting", name) for name, member in members(Weighting).items() if member.feedback is not Weighting.feedback]
"""Beside those that every other test of the trainer has, and families of pure functions."""
IN_RUNS = {
    "augmentation": ("auto-augment", "crop-flip", "rand-augment", "random-resized-crop", "", ""),
    "sampling": ("class-balanced", "effective-number", "progressive", "square-root", "", ""),
    "mixing": ("cmo", "", "cutmix", "", "mixup", ""),
    "budget": ("cfa", "class-wise", "dafa", "frl", "robustlt", ""),
    "robust_loss": ("consistency", "distillation", "mart", "mixture", "trades", "trades-calibrated"),
    "weighting": ("", "", "", "", "dafa", "held-out"),
    "feature_loss": ("none", "separation-prototypes", "none", "separation-queue", "none", "tail-alignment"),
    "regularizer": ("", "", "", "", "", "simplex-head"),
    "optimizer": ("", "adamw", "", "", "", ""),
    "schedule": ("", "", "", "one-cycle", "", "cosine"),
    "averaging": ("ema", "", "fawa", "swa", "", ""),
    "weight_perturbation": ("", "", "", "", "awp", ""),
    "guard": ("", "", "", "", "", "collapse"),
}
"""Six runs, a column each, in which each of the others is once: what it does it does whatever is beside it."""
TOGETHER = [{family: names[run] for family, names in IN_RUNS.items() if names[run]} for run in range(6)]

AT_ONCE = {"ema": EMA(start=0.0), "swa": SWA(start=0.0), "fawa": FAWA(least=0.0)}


def small(**members):
    """Return a run of two epochs of three steps; what needs values gets some; averages by name begin at once."""
    asked = {"method": "srat-ce", "epochs": 2, "batch_size": 16, "imbalance": Step(ratio=5, cap=12)}
    if "averaging" in members:
        members["averaging"] = AT_ONCE.get(members["averaging"], members["averaging"])
    config = compose(**asked | UNGUARDED | members)
    if config.weighting.name == "fixed":
        config = replace(config, weighting=replace(config.weighting, values=tuple(range(1, 11))))
    if config.mixing.name != "none":
        config = replace(config, feature_loss=NoFeatureLoss())
    if config.robust_loss.sees_teacher and config.averaging.name == "none":
        config = replace(config, averaging=EMA())
    if config.budget.name == "robustlt":
        config = replace(config, budget=replace(config.budget, most=10.0))
    attack = PGD(epsilon=0.1, step_size=0.05, steps=2)
    config = replace(config, model=SmallCNN(width=2), attack=attack, evaluation=replace(config.evaluation, steps=2))
    return replace(config, schedule=replace(config.schedule, warmup=0.5, reweight_from=1))


def small_set(images=40, channels=1):
    pixels = torch.rand(images, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    return Dataset(pixels, torch.arange(images) % 10, tuple("0123456789"))


def stepped(training, steps=3, size=20):
    """Return what all tensors of a training are after some steps."""
    training.model.train()
    n = len(training.train)
    for step in range(steps):
        rng = partial(generator, 0, step=step, rank=training.processes.rank)
        indices = torch.arange(size * step, size * step + size) % n
        stage = training.stage(1)._replace(step=step)
        train_step(training, training.feed.batch(indices, rng("augment")), stage, rng)
    return {**training.module.state_dict(), **training.parts.state_dict()}


def test_every_other_member_is_in_one_of_the_runs():
    assert {member for run in TOGETHER for member in run.items()} == set(OTHERS)


@pytest.mark.parametrize("members", TOGETHER)
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bytes(members, tmp_path):
    config = small(**members)
    whole, cut = whole_and_cut(config, tmp_path)
    assert whole == cut
    assert ("model-raw.safetensors" in whole) == (config.averaging.name != "none")


@pytest.mark.parametrize(("family", "name"), MEMBERS)
def test_a_member_is_written_and_read(family, name):
    config = small(**{family: name})
    assert Config.from_json(config.to_json()) == config
    assert json.loads(config.to_json())[family]["name"] == name
    same = getattr(small(), family).name == name
    assert (config.id == small().id) == same
    assert bool(config.differences(small())) != same


@pytest.mark.parametrize("members", TOGETHER)
def test_its_memory_is_traced_and_the_run_left_as_it_is(members):
    training = set_up(small(**members), make_fabric("cpu"), small_set(), small_set(), None)
    before = {k: t.clone() for k, t in {**training.module.state_dict(), **training.parts.state_dict()}.items()}
    one, two = (step_bytes(training, batch_size=n) for n in (100, 200))
    after = {**training.module.state_dict(), **training.parts.state_dict()}
    assert 0 < one < two
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_slots_and_an_average_are_counted():
    def of(**members):
        return step_bytes(set_up(small(**members), make_fabric("cpu"), small_set(), None, None), batch_size=20)

    parameters = sum(p.nbytes for p in set_up(small(), make_fabric("cpu"), small_set(), None, None).module.parameters())
    assert of(optimizer="adamw") - of() == pytest.approx(parameters, rel=0.05)  # two slots in place of one
    # The average lies on the device before the step is, and so is not asked for once more.
    assert of(averaging="ema") - of() < 0.5 * parameters


@pytest.mark.parametrize("members", TOGETHER)
def test_folding_changes_nothing(members):
    def after(folded):
        training = set_up(small(**members), make_fabric("cpu"), small_set(), None, None)
        assert training.folding is not None
        return stepped(training if folded else replace(training, folding=None))

    plain = after(False)
    for key, tensor in after(True).items():
        torch.testing.assert_close(tensor, plain[key], rtol=1e-3, atol=1e-3, msg=key)


@dataclass(frozen=True, kw_only=True)
class Beside(PGD):
    """It begins beside each image, at a place that is not drawn."""

    def noise(self, shape, *, generator):
        return torch.linspace(-0.05, 0.05, shape[-1]).expand(*shape)


def without_noise(config):
    """BatchNorm over all processes, and an attack that draws nothing: then the number of processes is no matter.

    In L2, where rounding turns no sign.
    """
    attack = Beside(norm="l2", epsilon=0.5, step_size=0.2, steps=1)
    return replace(config, attack=attack, sync_batch_norm=True)


@dataclass(frozen=True, kw_only=True)
class ByClass(Budget):
    """Class c has a budget of c tenths."""

    def scales(self, class_counts, epoch, *, epochs):
        return torch.arange(len(class_counts)) / 10


def shared_epochs(processes, seed=1, **members):
    """Return what a run of several processes ends in, with its own order, rates and batches that no two can halve."""
    config = replace(without_noise(small(**members)), batch_size=11, seed=seed)
    images = partial(small_set, images=22, channels=3)
    # At larger rates what rounding does grows to a per cent of a weight in so few steps.
    config = replace(config, optimizer=replace(config.optimizer, learning_rate=0.01))
    held_out = images() if config.budget.sees_held_out else None
    training = set_up(config, make_fabric("cpu"), images(), held_out, None, processes=processes)
    loop.run_epochs(training, NullKeeper(), Observer())
    return {name: t.numpy() for name, t in {**training.module.state_dict(), **training.parts.state_dict()}.items()}


JOINT = InnerMaximization(feature_weight=1.0)


SHARED = (
    # AdamW would make much of the rounding of small gradients.
    {"sampling": "class-balanced", "feature_loss": "separation-queue", "schedule": "cosine", "averaging": "ema"},
    {"averaging": "swa", "schedule": "one-cycle", "budget": ByClass(), "loss": "harl"},
    {"robust_loss": "distillation"},
    {"mixing": "cutmix", "budget": ByClass(), "robust_loss": "mart"},
    {"mixing": "mixup", "loss": "balanced-softmax", "budget": "cfa"},
    {"mixing": "cmo", "loss": "balanced-softmax"},
    {"weight_perturbation": "awp", "budget": "dafa", "weighting": "dafa"},
    {"feature_loss": "separation-prototypes", "regularizer": "simplex-head", "inner": JOINT},
    {"feature_loss": "tail-alignment", "inner": JOINT},
    *({"method": name} for name in methods() if name not in ALIKE),
)


def all_shared(processes):
    return [shared_epochs(processes, **members) for members in SHARED]


@pytest.fixture(scope="module")
def by_two():
    """What each of two processes ends in; both take seconds to start, so they do all runs one after the other."""
    return in_processes(2, all_shared)


@pytest.mark.parametrize("number", range(len(SHARED)))
def test_two_processes_are_one(by_two, number):
    """Where rounding tips something over an edge, which depends on the CPU, another seed tells."""
    if unlike([ours[number] for ours in by_two], shared_epochs(ALONE, **SHARED[number])):
        again = partial(shared_epochs, seed=2, **SHARED[number])
        assert not unlike(in_processes(2, again), again(ALONE))


def unlike(several, alone):
    """Return the names of the tensors in which processes differ from one by more than rounding."""
    return [
        name
        for ours in several
        for name, array in alone.items()
        if not np.allclose(ours[name], array, rtol=1e-3, atol=1e-4)
    ]


def test_the_average_is_served_kept_and_chosen_and_the_raw_weights_beside_it(tmp_path):
    config = small(averaging="ema")
    run = fit(config, out=tmp_path, device="cpu", compiled="off")
    last, raw = (srat.load(tmp_path, which=which).state_dict() for which in ("last", "raw"))
    assert all(torch.equal(last[name], tensor) for name, tensor in run.model.state_dict().items())
    assert any(not torch.equal(last[name], raw[name]) for name in last)
    assert all(parameter.requires_grad for parameter in run.model.parameters())
    plain = fit(small(), device="cpu", compiled="off").model.state_dict()
    # To average is to look on: the weights move as they would without.
    assert all(torch.equal(plain[name], raw[name]) for name in raw)


def test_the_best_weights_are_averaged_ones(tmp_path, monkeypatch):
    scores = iter((0.1, 0.2))
    monkeypatch.setattr(loop, "validate", lambda *_: ({"held_out_robust": next(scores)}, []))
    fit(small(averaging="ema"), out=tmp_path, device="cpu", compiled="off")
    best, last = (open_tensors(RunFolder(tmp_path).weights(which)).tensors() for which in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_swa_is_the_mean_of_the_weights_at_the_ends_of_epochs():
    class Watching(Observer):
        ends = ()

        def epoch(self, row):
            self.ends += ({name: t.clone() for name, t in training.module.state_dict().items()},)

    config = replace(small(averaging="swa"), epochs=4, averaging=SWA(start=0.5))
    training, watching = set_up(config, make_fabric("cpu"), small_set(), None, None), Watching()
    loop.run_epochs(training, NullKeeper(), watching)
    for name, average in training.kept.state_dict().items():
        if average.is_floating_point():
            mean = (watching.ends[2][name] + watching.ends[3][name]) / 2
            torch.testing.assert_close(average, mean, msg=name)


def test_the_feed_draws_as_the_sampling_says():
    labels = torch.tensor([0] * 30 + [1] * 6 + [2] * 4)
    data = Dataset(torch.rand(40, 1, 8, 8), labels, tuple("abc"))
    training = set_up(small(sampling="class-balanced"), make_fabric("cpu"), data, None, None)
    drawn = torch.cat([batch.labels for batch in training.feed.epoch(0)])
    assert sorted(drawn.bincount().tolist()) == [13, 13, 14]


def test_the_feature_loss_is_asked_with_its_memory():
    def feature(name):
        training = set_up(small(feature_loss=name), make_fabric("cpu"), small_set(), None, None)
        rng = partial(generator, 0)
        batches = [training.feed.batch(torch.arange(20) + 20 * step, rng("augment")) for step in range(2)]
        return [Sums(*train_step(training, batch, training.stage(0), rng).tolist()).feature for batch in batches]

    alone, queued = feature("separation"), feature("separation-queue")
    assert alone[0] == pytest.approx(queued[0])  # with a queue that is empty yet
    assert alone[1] != pytest.approx(queued[1], rel=0.05)


def test_the_average_moves_after_the_weights(tmp_path):
    """Of decay 0 it is the weights after the last step, not before it."""
    fit(small(averaging=EMA(decay=0.0, start=0.0)), out=tmp_path, device="cpu", compiled="off")
    last, raw = (srat.load(tmp_path, which=which).state_dict() for which in ("last", "raw"))
    assert all(torch.equal(last[name], raw[name]) for name in last)


def test_the_held_out_part_is_evaluated_on_the_average(monkeypatch):
    asked, real = [], loop.count
    monkeypatch.setattr(loop, "count", lambda model, *a, **k: asked.append(model) or real(model, *a, **k))
    training = set_up(small(averaging="ema"), make_fabric("cpu"), small_set(), small_set(), None)
    loop.run_epochs(training, NullKeeper(), Observer())
    assert asked
    assert all(model is training.parts["average"] for model in asked)


def test_every_step_has_its_own_rate(monkeypatch):
    rates, real = [], loop.train_step

    def spy(training, *args):
        rates.append(training.optimizer.param_groups[0]["lr"])
        return real(training, *args)

    monkeypatch.setattr(loop, "train_step", spy)
    config = small(schedule="cosine")
    run = fit(config, device="cpu", compiled="off")
    steps = len(rates) // 2
    rate = partial(config.schedule.learning_rate, steps=steps, epochs=2, base=config.optimizer.learning_rate)
    assert rates == [rate(step) for step in range(2 * steps)]
    assert len(set(rates)) == len(rates)
    assert [row["learning_rate"] for row in run.history] == [rates[steps - 1], rates[-1]]


def test_there_are_no_raw_weights_without_an_average(tmp_path):
    fit(small(), out=tmp_path, device="cpu", compiled="off")
    with pytest.raises(srat.UserError, match="the run averaged no weights"):
        srat.load(tmp_path, which="raw")


def test_a_model_in_half_precision_is_not_averaged():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).bfloat16()
    model = srat.models.wrap(net, mean=[0.5], std=[0.5])
    with pytest.raises(srat.UserError, match=r"averaging.*fp32.*bfloat16"):
        set_up(small(averaging="ema"), make_fabric("cpu"), small_set(), None, model)


def test_a_new_schedule_keeps_the_first_epoch_with_weights():
    assert compose(method="cb-reweight", schedule="cosine").schedule.reweight_from == 0
    assert compose(method="cb-reweight", schedule="cosine").method == "cb-reweight"


def test_a_new_optimizer_has_its_own_rate_whatever_the_data():
    assert compose(optimizer="adamw").optimizer.learning_rate == 1e-3
    assert compose(compose(optimizer="adamw"), data="cifar10").optimizer.learning_rate == 1e-3


def test_configurations_of_before_are_read():
    config = compose()
    content = config.to_plain()
    for family in ("sampling", "mixing", "budget", "robust_loss", "regularizer", "averaging", "weight_perturbation"):
        del content[family]
    del content["inner"]["feature_weight"]
    for family in ("optimizer", "schedule"):
        del content[family]["name"]
    del content["schedule"]["warmup"]
    assert Config.from_plain(content) == config
