"""A module that is another one than when it was wrapped is noticed: no weights of before are trained silently."""

import copy
import gc
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import srat
from srat.core.errors import UserError
from srat.models import wrap
from srat.models.wrapping.following import follow, followers
from srat.models.wrapping.original import Original
from srat.training.fitting import fit
from wrapping import GREY, Own, grey, tiny


@pytest.fixture
def digits(rng):
    return torch.rand(12, 1, 8, 8, generator=rng)


def set_to(name, value):
    return lambda net: setattr(net, name, value())


CHANGES = {
    "head": (set_to("fc", lambda: nn.Linear(16, 10)), "'fc'"),
    "head of other classes": (set_to("fc", lambda: nn.Linear(16, 7)), "'fc'"),
    "head taken out": (set_to("fc", nn.Identity), "'fc'"),
    "head deleted": (lambda net: delattr(net, "fc"), "'fc'"),
    "layer": (set_to("bn", lambda: nn.BatchNorm1d(16)), "'bn'"),
    "layer within": (lambda net: net.body.__setitem__(4, nn.Linear(144, 16)), "'body.4'"),
    "layer added": (lambda net: net.body.append(nn.Tanh()), "'body.6'"),
    "weight": (lambda net: setattr(net.fc, "weight", nn.Parameter(torch.zeros(10, 16))), "'fc.weight'"),
    "pruned": (lambda net: prune.l1_unstructured(net.fc, "weight", amount=0.5), r"'fc.weight(_orig)?'"),
}


class WithBuffers(nn.Module):
    """A net whose logits two buffers divide and shift; one is not kept in files, one is none."""

    def __init__(self):
        super().__init__()
        self.net = Own()
        self.register_buffer("t", torch.ones(()))
        self.register_buffer("shift", torch.zeros(10), persistent=False)
        self.register_buffer("scale", None)
        self.plain, self.factor = torch.ones(()), 1.0

    def forward(self, x):
        z = self.net(x) / self.t + self.shift * self.factor
        return z * self.plain * self.factor * (1 if self.scale is None else self.scale)


BUFFERS = {
    "t": torch.tensor(10.0),
    "t of another type": torch.tensor(10),
    "shift": torch.ones(10),
    "shift of another shape": torch.zeros(1),
    "scale": torch.tensor(2.0),
    "net.bn.running_mean": torch.ones(16),
}


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_that_is_replaced_is_told_of(name, called, digits):
    net = WithBuffers()
    model = wrap(net, **GREY)
    if called:
        model(digits)
    path = name.split(" ")[0]
    parent, _, leaf = path.rpartition(".")
    setattr(net.get_submodule(parent), leaf, BUFFERS[name])
    with pytest.raises(UserError, match=f"'{path}' of the module was changed after wrap.*: wrap it again"):
        model(digits)


def test_a_buffer_that_is_replaced_is_told_of_where_the_wrapped_model_was_moved(digits):
    net = WithBuffers()
    model = wrap(net, **GREY).double()
    net.t = torch.tensor(10.0)
    with pytest.raises(UserError, match="'t' of the module was changed"):
        model(digits.double())


@pytest.mark.parametrize(
    "change",
    [
        set_to("plain", lambda: torch.tensor(10.0)),
        set_to("factor", lambda: 2.0),
        lambda net: net.plain.fill_(10),
        lambda net: net.net.fc.register_forward_hook(lambda layer, args, out: out * 2),
    ],
)
def test_what_else_changes_the_module_before_the_first_call_is_refused(change, digits):
    net = WithBuffers()
    model = wrap(net, **GREY)
    change(net)
    with pytest.raises(UserError, match="gives other logits than the module itself"):
        model(digits)


def test_buffers_that_move_in_place_or_to_another_type_are_the_same(digits):
    net = WithBuffers()
    model = wrap(net, **GREY)
    net.train()(digits)  # BatchNorm's statistics
    net.t.fill_(3)
    net.double().float()
    net.t = net.t.clone()
    assert torch.equal(model.eval()(digits).logits, net.eval()(grey(digits)))
    model.train()(digits)
    model.load_state_dict(WithBuffers().state_dict(), strict=False)
    model.double()(digits.double())


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_module_that_is_converted_takes_the_wrapped_model_with_it(dtype, called, digits):
    net = WithBuffers()
    net.train()(digits)  # statistics that half precision rounds
    model = wrap(net.eval(), **GREY).eval()
    if called:
        model(digits)
    net.to(dtype)
    logits = model(digits).logits
    assert logits.dtype == dtype
    torch.testing.assert_close(logits, net(grey(digits).to(dtype)))
    model.train()(digits)  # statistics go on in the model's own buffers
    assert net.float()(grey(digits)).dtype == model.eval()(digits).logits.dtype == torch.float32
    model.double()
    net.float()
    assert model(digits).logits.dtype == torch.float32


def test_buffers_of_another_type_than_the_parameters_keep_it(digits):
    net = WithBuffers()
    net.t, net.shift = torch.tensor(2), torch.zeros(10, dtype=torch.float64)
    model = wrap(net, **GREY).eval()
    net.bfloat16().float()
    model(digits)
    assert model.backbone.t.dtype == torch.int64
    assert model.backbone.shift.dtype == torch.float64


def test_buffers_follow_the_parameters_beside_them_to_another_device():
    net = WithBuffers()
    known = followers(net)
    net.net.bn.weight = nn.Parameter(net.net.bn.weight.to("meta"))
    follow(net, known)
    assert {name for name, buffer in net.named_buffers() if buffer.is_meta} == {
        f"net.bn.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_the_normalisation_lies_where_the_module_does(digits):
    model = wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to("meta"), **GREY)
    model._follow()
    assert model.normalization(digits.to("meta")).is_meta


@pytest.fixture(scope="module")
def little_garbage():
    """What is there already is not looked through each time that garbage is collected."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("called", [False, True])
def test_a_part_that_is_replaced_is_told_of(change, called, digits):
    net = Own()
    model = wrap(net, **GREY)
    if called:
        model(digits)
    change, said = CHANGES[change]
    change(net)
    gc.collect()
    with pytest.raises(UserError, match=f"{said} of the module was changed after wrap.*: wrap it again"):
        model(digits)


@pytest.mark.parametrize("called", [False, True])
def test_a_head_that_is_replaced_is_told_of_at_every_door(called, digits):
    net = Own()
    model = wrap(net, **GREY, head="fc")
    if called:
        model(digits)
    net.fc = nn.Linear(16, 10)
    doors = (lambda: srat.evaluate(model, digits, torch.arange(12) % 10), lambda: fit(tiny(), model=model))
    for door in doors:
        with pytest.raises(UserError, match="'fc' of the module was changed after wrap"):
            door()
    assert torch.equal(wrap(net, **GREY).eval()(digits).logits, net.eval()(grey(digits)))


def test_what_trains_and_moves_and_loads_weights_is_no_change(digits):
    net = Own()
    model = wrap(net, **GREY)
    for step in (lambda: model(digits), model.double, model.float, net.eval, net.train):
        step()
        model(digits)
    net.load_state_dict(Own().state_dict())
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    net.fc.weight.data.zero_()
    net.requires_grad_(False)
    model(digits)
    model.head = nn.Linear(16, 3)
    assert model(digits).logits.shape == (12, 3)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_settled_model_have_nothing_to_do_with_the_module(twin, digits):
    net = Own(torch.relu)
    model = wrap(net, **GREY).eval()
    wanted = model(digits)
    other = twin(model)
    net.fc = nn.Linear(16, 10)
    assert all(map(torch.equal, other(digits), wanted))


def test_copies_of_a_model_that_was_never_called_are_of_the_module_as_it_was(digits):
    net = Own(torch.relu)
    model = wrap(net, **GREY).eval()
    twin, wanted = copy.deepcopy(model), copy.deepcopy(net).eval()(grey(digits))
    net.fc = nn.Linear(16, 10)
    assert torch.equal(twin(digits).logits, wanted)
    with pytest.raises(UserError, match="'fc' of the module was changed"):
        copy.deepcopy(model)


def test_a_module_is_not_kept_alive(digits):
    known = Original(net := Own()).released()
    known.require_unchanged()
    net.fc = nn.Linear(16, 10)
    with pytest.raises(UserError, match="'fc'"):
        known.require_unchanged()
    del net
    gc.collect()
    known.require_unchanged()


class TestTheCopy:
    def test_may_get_another_head_before_it_is_called(self, digits):
        model = wrap(Own(), **GREY).eval()
        model.backbone.fc = nn.Linear(16, 7)
        output = model(digits)
        assert torch.equal(model.head(output.features), output.logits)
        assert output.logits.shape == (12, 7)

    def test_of_which_the_head_is_replaced_later_is_refused(self, digits):
        model = wrap(Own(), **GREY)
        model(digits)
        model.backbone.fc = nn.Linear(16, 10)
        with pytest.raises(UserError, match=r"the head, 'fc', was replaced in the backbone: give it as model.head"):
            model(digits)

    def test_of_which_the_head_is_set_forgets_the_one_before(self, digits):
        model = wrap(Own(), **GREY).train()
        model(digits)
        before = model.head
        model.head = nn.Sequential(nn.Linear(16, 5), nn.ReLU(), before.__class__(5, 10))
        assert not before._forward_pre_hooks
        assert model(digits).features.shape == (12, 16)
        with pytest.raises(UserError, match="head: expected a Module, got None"):
            model.head = None

    def test_of_which_the_head_is_put_into_another_one_gives_what_enters_that(self, digits):
        model = wrap(Own(), **GREY).eval()
        features = model(digits).features
        model.head = nn.Sequential(nn.LayerNorm(16), model.head)
        assert torch.equal(model(digits).features, features)
