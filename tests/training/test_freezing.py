"""A frozen backbone: what stays, what learns, what an attack sees, and what is kept of it."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from refusals import refusing
from several import in_processes
from srat import UserError
from srat.attacks import PGD, Natural
from srat.cli.training import frozen_part
from srat.config.composition import compose
from srat.config.config import Config, InnerMaximization
from srat.config.doubts import doubts_of
from srat.config.passes import passes
from srat.core.keyed_random import generator
from srat.core.signals import Interrupted
from srat.core.tensor_file import open_tensors
from srat.data import Dataset
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.feature_losses import Separation
from srat.models import Init, wrap
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.averaging import EMA
from srat.optimization.optimizers import SGD, AdamW
from srat.optimization.weight_perturbations import AWP
from srat.robust_losses import TRADES
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE
from srat.training.checkpoint import State, list_checkpoints
from srat.training.fitting import fit
from srat.training.guarding import forget_momentum
from srat.training.keeper import NullKeeper
from srat.training.loop import set_learning_rate, train_epoch
from srat.training.memory_estimate import step_bytes
from srat.training.setting_up import make_optimizer, set_up
from srat.training.step import train_step
from stopping import StopAfter, content


def small(**changes):
    config = compose(method="ce", batch_size=16, epochs=2, imbalance=Step(ratio=5, cap=12))
    attack = PGD(epsilon=0.1, step_size=0.05, steps=2)
    evaluation = replace(config.evaluation, steps=1)
    return replace(config, model=SmallCNN(width=2), attack=attack, evaluation=evaluation, **changes)


def a_training(model=None, **changes):
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Dataset(images, torch.arange(32) % 4, tuple("abcd"))
    config = small(**changes)
    return set_up(config, make_fabric("cpu", config.precision), data, None, model)


def state_of(training):
    return {name: tensor.clone() for name, tensor in training.module.state_dict().items()}


def changed(training, before):
    """Return which tensors have moved."""
    now = training.module.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


def an_epoch(training, epoch=0):
    """Train an epoch, and return which tensors it has moved."""
    before = state_of(training)
    train_epoch(training, State(epoch=epoch), NullKeeper(), Observer())
    return changed(training, before)


MEMBERS = [
    {},
    {"robust_loss": TRADES()},
    {"weight_perturbation": AWP()},
    {"averaging": EMA()},
    {"averaging": EMA(batch_norm="attacked")},
    {"optimizer": AdamW()},
    {"inner": InnerMaximization(batch_norm="train_frozen_stats")},
    {"precision": "bf16"},
    {"precision": "fp16"},
]


@pytest.mark.parametrize("changes", MEMBERS, ids=lambda changes: "".join(map(str, changes)) or "plain")
class TestFrozen:
    def test_the_head_alone_moves_and_then_all_does(self, changes):
        training = a_training(freeze=1, **changes)
        assert an_epoch(training) == {"head.weight", "head.bias"}
        assert an_epoch(training, 1) == {
            name for name in training.module.state_dict() if not name.startswith("normalization")
        }

    def test_what_averages_and_optimisers_keep_is_of_the_head(self, changes):
        training = a_training(freeze=1, **changes)
        before = state_of(training)
        an_epoch(training)
        kept = training.kept.state_dict()
        for name, tensor in before.items():
            assert torch.equal(kept[name], tensor) == (not name.startswith("head")), name
        for name, parameter in training.module.named_parameters():
            slots = [slot for slot in training.optimizer.state.get(parameter, {}).values() if slot.any()]
            assert bool(slots) == name.startswith("head"), name

    def test_everything_is_as_it_was_afterwards(self, changes):
        training = a_training(freeze=1, **changes)
        an_epoch(training)
        assert all(parameter.requires_grad for parameter in training.module.parameters())
        assert all(module.training for module in training.module.modules())


def test_no_statistics_of_a_frozen_backbone_are_estimated_anew():
    training = a_training(freeze=2, averaging=EMA(batch_norm="clean"))
    before = state_of(training)
    an_epoch(training, 1)  # the last one, after which they would be
    kept = training.kept.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in before.items() if not name.startswith("head"))


def test_of_a_model_of_ones_own_all_but_its_head_stays():
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 5), nn.Linear(5, 4))
    module[3].weight.requires_grad_(False)
    training = a_training(wrap(module, mean=0.5, std=0.5), freeze=1)
    assert an_epoch(training) == {"backbone.4.weight", "backbone.4.bias"}
    assert "backbone.3.weight" not in an_epoch(training, 1)


def test_the_projection_learns():
    training = a_training(freeze=1, feature_loss=Separation(projection_dimensions=3))
    assert {name.split(".")[0] for name in an_epoch(training)} == {"head", "projection"}


def test_the_attack_goes_through_the_backbone_all_the_same():
    """The images under attack are those of a training without anything frozen, for it begins with the same weights."""
    found = []
    for freeze in (0, 2):
        training = a_training(freeze=freeze).at(0)
        training.model.train()
        batch = training.feed.batch(torch.arange(16), generator(0, "augment"))
        seen = []
        training.module.register_forward_pre_hook(lambda _, images, seen=seen: seen.append(images[0].detach()))
        with training.held():
            train_step(training, batch, training.stage(0), partial(generator, 0))
        found.append(seen[-1])
        assert (seen[-1] - batch.images).abs().amax(dim=(1, 2, 3)).min() > 0.04
    assert torch.equal(*found)


def test_the_attack_sees_batch_norm_as_training_does():
    config = small(freeze=1, inner=InnerMaximization(batch_norm="train_frozen_stats"))
    assert [config.at(epoch).inner.batch_norm for epoch in (0, 1)] == ["eval", "train_frozen_stats"]
    staged = compose(config, before={"part": 0.5, "attack": "natural"}).at(0)
    assert (staged.inner.batch_norm, type(staged.attack)) == ("eval", Natural)


@pytest.mark.parametrize("averaging", ["none", "ema"])
@pytest.mark.parametrize("steps", [2, 6])
def test_a_run_that_was_stopped_ends_in_the_same_bytes(averaging, steps, tmp_path):
    config = compose(small(freeze=1, backbone_rate=0.1), averaging=averaging, optimizer="adamw")
    fit(config, out=tmp_path / "whole", device="cpu", compiled="off")
    with pytest.raises(Interrupted):
        fit(config, out=tmp_path / "stopped", device="cpu", compiled="off", observer=StopAfter(steps))
    assert (list_checkpoints(tmp_path / "stopped" / "checkpoints")[-1].name[6:12] == "000000") == (steps == 2)
    fit(config, out=tmp_path / "stopped", device="cpu", compiled="off")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_whole_run_leaves_the_backbone_it_started_from(tmp_path):
    fit(small(seed=3, epochs=1), out=tmp_path / "a", device="cpu", compiled="off")
    config = small(freeze=2, init=Init(path=tmp_path / "a"))
    model = fit(config, device="cpu", compiled="off").model.state_dict()
    there = open_tensors(tmp_path / "a" / "model.safetensors").tensors()
    assert {name for name in there if not torch.equal(there[name], model[name])} == {"head.weight", "head.bias"}


class TestRate:
    @pytest.mark.parametrize("kind", [SGD, AdamW])
    def test_is_the_backbones_alone(self, kind):
        training = a_training(backbone_rate=0.25, optimizer=kind(learning_rate=0.5))
        set_learning_rate(training.optimizer, 0.5)
        rates = {id(p): group["lr"] for group in training.optimizer.param_groups for p in group["params"]}
        own = {name: rates[id(parameter)] for name, parameter in training.module.named_parameters()}
        assert own == {name: 0.5 if name.startswith("head") else 0.125 for name in own}

    def test_leaves_the_order_which_checkpoints_count_by(self):
        module = wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 4)), mean=0.5, std=0.5, head="1")
        optimizer = make_optimizer(small(backbone_rate=0.5), module)
        order = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
        assert order == [id(parameter) for parameter in module.parameters()]
        assert [group["factor"] for group in optimizer.param_groups] == [1.0, 0.5]

    def test_is_that_of_one_group_unless_it_differs(self):
        assert len(a_training().optimizer.param_groups) == 1


def test_memory_of_a_frozen_backbone_is_less():
    whole, first, none = (step_bytes(a_training(freeze=freeze), batch_size=8) for freeze in (2, 1, 0))
    assert whole < none <= first


def test_frozen_epochs_cost_no_gradient_of_weights():
    assert passes(small()) - passes(small(freeze=2)) == 2
    assert passes(small()) - passes(small(freeze=1)) == 1


def frozen_epochs(processes):
    """Return what two epochs move, the first of them with a frozen backbone, in one of several processes."""
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Dataset(images, torch.arange(32) % 4, tuple("abcd"))
    training = set_up(small(freeze=1), make_fabric("cpu"), data, None, None, processes=processes)
    return [sorted(an_epoch(training, epoch)) for epoch in (0, 1)]


def test_several_processes_freeze_it_too():
    alone = frozen_epochs(ALONE)
    assert alone[0] == ["head.bias", "head.weight"]
    assert in_processes(2, frozen_epochs) == [alone, alone]


class TestSettings:
    @pytest.mark.parametrize("value", [-1, 3])
    def test_refuse_more_epochs_than_there_are(self, value):
        with refusing("freeze", value):
            small(freeze=value)

    @pytest.mark.parametrize("value", [0.0, -1.0, 2000.0])
    def test_refuse_rates_that_are_none(self, value):
        with refusing("backbone_rate", value):
            small(backbone_rate=value)

    def test_refuse_a_head_alone(self):
        with pytest.raises(UserError, match="`freeze`: expected 0 with `model` linear, which is a head alone, got 1"):
            set_up(
                replace(small(freeze=1), model=Linear()),
                make_fabric("cpu"),
                Dataset(torch.rand(8, 1, 8, 8), torch.arange(8) % 2, ("a", "b")),
                None,
                None,
            )

    def test_leave_recorded_ids(self):
        plain = small().to_plain()
        without = {name: value for name, value in plain.items() if name not in ("freeze", "backbone_rate", "init")}
        assert Config.from_plain(without).id == small().id
        assert len({small().id, small(freeze=1).id, small(backbone_rate=0.5).id}) == 3

    def test_are_doubted_where_they_can_hardly_be_meant(self):
        def doubts(**changes):
            return [line for line in doubts_of(small(**changes), (1, 8, 8), (4, 4)) if "frozen" in line]

        assert doubts() == []
        assert doubts(freeze=1)[0].startswith("`freeze` 1: the backbone is frozen at random")
        assert doubts(freeze=1, init=Init(sha256="ab")) == []
        (said,) = doubts(freeze=2, init=Init(sha256="ab"), feature_loss=Separation())
        assert said == "`feature_loss` separation moves nothing: the backbone is frozen for the whole run"

    def test_are_said_before_a_training(self):
        assert frozen_part(small()) == ""
        assert frozen_part(small(freeze=1)) == ", backbone frozen for 1 epoch"
        assert frozen_part(small(freeze=2, backbone_rate=0.5)) == ", backbone frozen throughout"
        assert frozen_part(small(backbone_rate=0.5)) == ", backbone's rate × 0.5"


def test_momentum_that_a_guard_forgets_is_there_when_the_backbone_begins():
    training = a_training(freeze=1)
    optimizer = training.optimizer
    for kept in optimizer.state.values():
        kept["momentum_buffer"].fill_(1.0)
    forget_momentum(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert parameters
    assert not any(optimizer.state[parameter]["momentum_buffer"].any() for parameter in parameters)
