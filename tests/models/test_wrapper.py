"""A wrapped model is the model: the same function, its features, and a module that stays as it was."""

import copy
import io
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import srat
from srat.core.errors import UserError
from srat.core.signals import Interrupted
from srat.core.tensor_file import open_tensors
from srat.models import Classifier, CosineLinear, ImageShape, Normalization, build, wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import LinearHead
from srat.models.wrapping.renaming import present_names
from srat.models.wrapping.wrapper import Custom
from srat.training.fitting import fit
from stopping import StopAfter
from wrapping import GREY, Notices, Own, grey, tiny

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.bn = nn.BatchNorm2d(5)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(5, 4))

    def forward(self, x):
        return self.classifier(self.bn(self.conv(x)).relu().mean((2, 3)))


def normalised(images, mean=MEAN, std=STD):
    return (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@pytest.fixture
def digits(rng):
    return torch.rand(12, 1, 8, 8, generator=rng)


def entering(module, name, x):
    """Return what enters a layer of a module, asked by itself."""
    seen = []
    handle = module.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    with torch.no_grad():
        module(x)
    handle.remove()
    return seen[-1]


def snapshot(module):
    """Return all that a wrapper might change of a module."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks")
    return (
        {name: tensor.numpy().tobytes() for name, tensor in module.float().state_dict().items()},
        [part.training for part in module.modules()],
        [parameter.requires_grad for parameter in module.parameters()],
        [len(getattr(part, kind)) for part in module.modules() for kind in hooks],
    )


class Named(NamedTuple):
    logits: torch.Tensor
    other: torch.Tensor | None = None


@dataclass
class Held:
    loss: torch.Tensor | None
    logits: torch.Tensor


OUTPUTS = {
    "tensor": (lambda z: z, None),
    "tuple": (lambda z: (z, z * 2), 0),
    "list": (lambda z: [z.sum(), z], 1),
    "dict": (lambda z: OrderedDict(loss=None, logits=z, extra=torch.ones(len(z), 3)), "logits"),
    "odd dict": (lambda z: {"loss": z.sum(), "scores": z}, "scores"),
    "namedtuple": (lambda z: Named(z), 0),
    "dataclass": (lambda z: Held(None, z), None),
}
AFTER = {
    "nothing": lambda z, _: z,
    "log-softmax": lambda z, _: z.log_softmax(1),
    "softmax": lambda z, _: z.softmax(1),
    "temperature": lambda z, _: z.div_(3.0),
    "residual": lambda z, features: z + features.mean(1, keepdim=True),
    "clamp": lambda z, _: z.clamp_(-1, 1),
}


class Made(nn.Module):
    """A module as hypothesis makes it."""

    def __init__(self, *, conv, depth, lazy, inplace, dropout, head_first, heads, cosine, after, output, parallel):
        super().__init__()
        width = 10 if parallel else 8
        head = CosineLinear(width, 10, 5.0) if cosine else nn.Linear(width, 10)
        if head_first:
            self.fc = head
        self.first = nn.ReLU(inplace=inplace)
        first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten()] if conv else []
        size = 36 if conv else 64
        body = nn.LazyLinear(width) if lazy else nn.Linear(size, width)
        norm = nn.LazyBatchNorm1d() if lazy else nn.BatchNorm1d(width)
        deep = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU(inplace))]
        self.body = nn.Sequential(*(first or [nn.Flatten()]), body, norm, *deep)
        self.drop = nn.Dropout(dropout)
        self.aux = nn.ModuleList(nn.Linear(width, 10) for _ in range(heads - 1))
        self.fc = head
        self.after, self.output, self.parallel = AFTER[after], OUTPUTS[output][0], parallel

    def forward(self, x):
        features = self.drop(self.body(self.first(x)))
        others = [layer(features) for layer in self.aux]
        z = self.fc(features) + sum(others if self.parallel else [])
        return self.output(self.after(z, features))


def plain_logits(output, kind):
    part = OUTPUTS[kind][1]
    return output if kind == "tensor" else output.logits if kind == "dataclass" else output[part]


made = st.fixed_dictionaries(
    {
        "conv": st.booleans(),
        "depth": st.integers(0, 2),
        "lazy": st.booleans(),
        "inplace": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.5]),
        "head_first": st.booleans(),
        "heads": st.integers(1, 3),
        "cosine": st.booleans(),
        "after": st.sampled_from(sorted(AFTER)),
        "output": st.sampled_from(sorted(OUTPUTS)),
        "parallel": st.booleans(),
    }
)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made, dtypes, st.integers(1, 6), st.booleans())
def test_any_module_is_wrapped_as_it_is_or_refused(how, dtype, count, training):
    torch.manual_seed(0)
    images = torch.rand(count, 1, 8, 8)
    module = Made(**how)
    module.eval()(images.clone())  # lazy ones are made, so that there is something to compare with
    lazy = Made(**how).to(dtype).train(training)
    module = (lazy if how["lazy"] else module).to(dtype).train(training)
    wrapped = wrap(module, **GREY, output=0 if how["output"] == "tuple" else None)
    before = None if how["lazy"] else snapshot(copy.deepcopy(module))
    if how["parallel"] and how["heads"] > 1:
        with pytest.raises(UserError, match=r"head=.*fc"):
            wrapped(images)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        logits, features, _ = wrapped.eval()(images)
    assert (how["after"] == "softmax") == any("probabilities" in str(warning.message) for warning in said)
    after = snapshot(copy.deepcopy(module))
    if before is not None:
        assert after == before
    assert after[1] == [training] * len(after[1])
    module.eval()
    x = grey(images).to(dtype)
    assert torch.equal(logits, plain_logits(module(x.clone()), how["output"]))
    assert torch.equal(features, entering(module, "fc", x.clone()))


class TestIsTheModel:
    @pytest.mark.parametrize(
        "after", [lambda z: z, lambda z: z.log_softmax(1), lambda z: z / 7, lambda z: z.clamp(-1, 1)]
    )
    @pytest.mark.parametrize("head_first", [False, True])
    def test_whatever_follows_the_head(self, after, head_first, digits):
        net = Own(after, head_first=head_first).eval()
        output = wrap(net, **GREY).eval()(digits)
        assert torch.equal(output.logits, net(grey(digits)))
        assert torch.equal(output.features, entering(net, "fc", grey(digits)))

    def test_in_training_too_with_the_same_draws(self, digits):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10))
        twin = copy.deepcopy(net)
        wrapped = wrap(net, **GREY).train()
        torch.manual_seed(3)
        got = wrapped(digits).logits
        torch.manual_seed(3)
        assert torch.equal(got, twin(grey(digits)))
        assert torch.equal(net[2].running_mean, twin[2].running_mean)
        assert net[2].num_batches_tracked == 1

    def test_gradients_are_the_modules(self, digits):
        net = Own(lambda z: z.log_softmax(1))
        twin = copy.deepcopy(net)
        output = wrap(net, **GREY)(digits)
        (output.logits[:, 0].sum() + output.features.square().sum()).backward()
        seen = []
        twin.fc.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        (twin(grey(digits))[:, 0].sum() + seen[0].square().sum()).backward()
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)

    def test_shares_tensors_and_leaves_the_module_whole(self, images):
        net = Net()
        wrapped = wrap(net, mean=MEAN, std=STD)
        assert {id(p) for p in net.parameters()} == {id(p) for p in wrapped.parameters()}
        wrapped.train()(images)
        assert net.bn.num_batches_tracked == 1
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())

    def test_is_compared_wherever_it_has_moved(self, digits):
        net = Own()
        wrapped = wrap(net, **GREY).double().eval()  # the statistics of BatchNorm are the copy's own from now on
        assert wrapped(digits).logits.dtype == torch.float64
        assert net.bn.running_mean.dtype == torch.float32

    def test_lets_go_of_the_module(self, digits):
        import weakref

        net = Own()
        gone = weakref.ref(net)
        wrapped = wrap(net, **GREY)
        wrapped(digits)
        del net
        assert gone() is None

    def test_draws_nothing_of_the_global_generator(self, digits):
        wrapped = wrap(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)), **GREY).eval()
        before = torch.get_rng_state()
        wrapped(digits)
        assert torch.equal(before, torch.get_rng_state())

    def test_a_module_that_draws_in_eval_mode_is_the_same_at_the_same_draws(self, digits):
        class Noisy(Own):
            def forward(self, x):
                return super().forward(x + torch.randn_like(x))

        wrap(Noisy(), **GREY)(digits)

    def test_counters_of_the_module_stay(self, digits):
        class Counting(Own):
            def __init__(self):
                super().__init__()
                self.register_buffer("calls", torch.zeros(()))
                self.register_buffer("asked", torch.zeros(()))

            def forward(self, x):
                self.calls += 1
                self.asked = self.asked + 1
                return super().forward(x)

        net = Counting()
        wrapped = wrap(net, **GREY)
        for _ in range(3):
            wrapped(digits)
        assert net.calls == wrapped.backbone.calls == wrapped.backbone.asked == 3

    def test_hooks_of_the_user_stay_the_users(self, digits):
        net = Own()
        net.fc.register_forward_hook(lambda *_: _[-1] * 2)
        assert torch.equal(wrap(net.eval(), **GREY).eval()(digits).logits, net(grey(digits)))


class TestFeatures:
    def test_are_kept_before_operations_in_place(self, digits):
        class InPlace(Own):
            def forward(self, x):
                features = self.body(x)
                z = self.fc(features)
                features.zero_()
                return z

        net = InPlace().eval()
        features = wrap(net, **GREY).eval()(digits).features
        assert torch.equal(features, net.body(grey(digits)))

    def test_of_maps_are_averaged_over_places(self, images):
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        output = wrap(net, mean=MEAN, std=STD).eval()(images)
        torch.testing.assert_close(output.features, net[0](normalised(images)).mean((2, 3)))

    @pytest.mark.parametrize("axes", [3, 4])
    def test_of_tokens_are_averaged_over_them(self, axes, digits):
        class Tokens(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed, self.fc = nn.Linear(8, 6), nn.Linear(6, 10)

            def forward(self, x):
                tokens = self.embed(x.flatten(1, 2) if axes == 3 else x)
                return self.fc(tokens).flatten(1, -2).mean(1)

        net = Tokens().eval()
        output = wrap(net, **GREY).eval()(digits)
        torch.testing.assert_close(output.features, net.embed(grey(digits)).flatten(1, 2).mean(1))

    def test_of_a_head_that_is_called_by_keyword(self, digits):
        class Keyword(Own):
            def forward(self, x):
                return self.fc(input=self.body(x))

        net = Keyword().eval()
        assert torch.equal(wrap(net, **GREY).eval()(digits).features, net.body(grey(digits)))

    def test_of_a_head_that_is_called_several_times_are_those_of_the_last(self, digits):
        class Several(Own):
            def forward(self, x):
                self.fc(-self.body(x))
                return self.fc(self.body(x))

        net = Several().eval()
        assert torch.equal(wrap(net, head="fc", **GREY).eval()(digits).features, net.body(grey(digits)))

    def test_head_makes_logits_of_them_and_keeps_nothing(self, digits):
        wrapped = wrap(Own(), **GREY).eval()
        output = wrapped(digits)
        assert torch.equal(wrapped.head(output.features), output.logits)
        assert wrapped._tap._kept is None

    def test_nothing_is_kept_of_a_pass_that_fails(self, digits):
        net = Own()
        wrapped = wrap(net, **GREY).eval()
        wrapped(digits)
        wrapped.backbone.after = lambda z: 1 / 0
        with pytest.raises(ZeroDivisionError):
            wrapped(digits)
        copy.deepcopy(wrapped)


class Cosine(nn.Module):
    """A head of several parts."""

    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.LayerNorm(16), nn.Parameter(torch.randn(10, 16))

    def forward(self, z):
        return 8 * F.linear(F.normalize(self.norm(z)), F.normalize(self.weight))


def pruned():
    layer = nn.Linear(16, 10)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return layer


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(16, 10))


HEADS = {
    "linear": lambda: nn.Linear(16, 10),
    "lazy": lambda: nn.LazyLinear(10),
    "cosine": lambda: CosineLinear(16, 10),
    "own cosine": Cosine,
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(16, 10)),
    "old weight norm": old_weight_norm,
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(16, 10)),
    "pruned": pruned,
}


class TestHead:
    @pytest.mark.parametrize("kind", HEADS)
    @pytest.mark.parametrize("head_first", [False, True])
    def test_of_every_kind_is_found(self, kind, head_first, digits):
        net = Own(lambda z: z.log_softmax(1), head=HEADS[kind](), head_first=head_first).eval()
        wrapped = wrap(net, **GREY).eval()
        output = wrapped(digits)
        assert wrapped.head is wrapped.backbone.fc
        torch.testing.assert_close(output.logits, net(grey(digits)))
        torch.testing.assert_close(output.features, entering(net, "fc", grey(digits)))

    def test_is_the_last_of_a_row_of_layers_as_wide(self, digits):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10))
        wrapped = wrap(net, **GREY)
        wrapped(digits)
        assert wrapped.head is wrapped.backbone[5]

    def test_is_the_one_that_the_logits_come_from(self, digits):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.one, self.two = nn.Linear(64, 16), nn.Linear(16, 10), nn.Linear(16, 10)

            def forward(self, x):
                z = self.body(x.flatten(1))
                return {"main": self.one(z), "aux": self.two(z)}

        net = Two()
        for pick, name in ((None, "one"), ("main", "one"), ("aux", "two"), (1, "two"), (-2, "one")):
            wrapped = wrap(net, **GREY, output=pick)
            assert torch.equal(wrapped(digits).logits, net(grey(digits))["main" if name == "one" else "aux"])
            assert wrapped._head == name

    @pytest.mark.parametrize("kind", ["side by side", "twice", "none", "functional"])
    def test_that_cannot_be_told_is_refused(self, kind, digits):
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.one, self.two = nn.Linear(64, 16), nn.Linear(16, 10), nn.Linear(16, 10)
                self.odd = nn.Parameter(torch.randn(10, 16))

            def forward(self, x):
                z = self.body(x.flatten(1))
                if kind == "side by side":
                    return self.one(z) + self.two(z)
                if kind == "twice":
                    return self.one(z) + self.one(-z)
                return z[:, :10] * 2 if kind == "none" else F.linear(z, self.one.weight)

        with pytest.raises(UserError, match=r"head=.*there are: body, one, two") as error:
            wrap(Odd(), **GREY)(digits)
        if kind == "side by side":
            assert "'two' and 'one' are side by side" in str(error.value)
            assert wrap(Odd(), **GREY, head="two")(digits).features.shape == (12, 16)

    def test_that_is_named_is_taken(self, images):
        wrapped = wrap(Net(), mean=MEAN, std=STD, head="classifier")
        assert isinstance(wrapped.head, nn.Sequential)
        assert wrapped(images).features.shape == (12, 5)

    def test_that_is_given_itself_is_taken(self, digits):
        class Two(Own):
            def forward(self, x):
                return self.first(self.body(x)) + self.second(self.body(x))

        net = Two()
        net.first, net.second = nn.Linear(16, 10), nn.Linear(16, 10)
        for name in ("first", "second", "body.4"):
            model = wrap(net, **GREY, head=net.get_submodule(name)).eval()
            model(digits)
            assert model.head is model.backbone.get_submodule(name)
        for other in (net, nn.Linear(16, 10)):
            with pytest.raises(UserError, match="is no layer of the model; there are: body.0, .*first, second"):
                wrap(net, **GREY, head=other)
        with pytest.raises(UserError, match="head: expected text or a Module or None, got 3"):
            wrap(net, **GREY, head=3)

    def test_that_is_named_and_not_there_is_refused(self):
        said = "there is no layer 'fc' in this model; there are: conv, bn, classifier.0, classifier.1"
        with pytest.raises(UserError, match=said):
            wrap(Net(), mean=MEAN, std=STD, head="fc")
        with pytest.raises(UserError, match="there is no layer ''"):
            wrap(Net(), mean=MEAN, std=STD, head="")

    def test_that_is_named_and_never_called_is_refused(self, digits):
        net = Own()
        net.unused = nn.Linear(16, 10)
        with pytest.raises(UserError, match="head='unused': this layer is not called in forward; name the last layer"):
            wrap(net, **GREY, head="unused")(digits)

    def test_is_unknown_before_the_first_call(self):
        with pytest.raises(UserError, match="found at its first call"):
            _ = wrap(Own(), **GREY).head

    def test_can_be_replaced(self, digits):
        wrapped = wrap(Own(), **GREY).eval()
        features = wrapped(digits).features
        wrapped.head = nn.Linear(16, 3)
        output = wrapped(digits)
        assert output.logits.shape == (12, 3)
        assert torch.equal(output.features, features)
        assert len(list(wrapped.parameters())) == len(list(Own().parameters()))


class TestRefuses:
    def test_layers_behind_a_closure(self, digits):
        net = Own()
        net.after = lambda z: net.bn(z.repeat(1, 2)[:, :16])[:, :10]
        with pytest.raises(UserError, match="calls 'bn' of the module itself: .*no lambda"):
            wrap(net, **GREY)(digits)

    def test_a_module_that_does_something_else_since(self, digits):
        net = Own()
        wrapped = wrap(net, **GREY)
        net.after = F.relu
        with pytest.raises(UserError, match="gives other logits than the module itself"):
            wrapped(digits)

    def test_a_copy_of_other_parameters(self):
        class Forgetful(Own):
            def __deepcopy__(self, memo):
                return Own()

        with pytest.raises(UserError, match="gives this Forgetful other parameters"):
            wrap(Forgetful(), **GREY)

    def test_what_cannot_be_copied(self):
        net = Own()
        net.generator = (i for i in range(3))
        with pytest.raises(UserError, match=r"this Own cannot be copied \(TypeError: .*__deepcopy__"):
            wrap(net, **GREY)

    def test_a_scripted_module(self, digits):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits)
        with pytest.raises(UserError, match="scripted"):
            wrap(traced, **GREY)

    def test_to_normalise_twice(self):
        shape, ones = ImageShape(channels=3, height=8, width=8), torch.ones(3)
        ours = build(SmallCNN(width=4), LinearHead(), shape=shape, classes=4, mean=ones, std=ones)
        for module in (wrap(Net(), mean=MEAN, std=STD), ours, nn.Sequential(Normalization(ones, ones), Net())):
            with pytest.raises(UserError, match="normalises its input already"):
                wrap(module, mean=MEAN, std=STD)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"std": (0.0, 1.0, 1.0)}, "positive"),
            ({"std": (1.0,)}, "for each channel"),
            ({"std": (-0.1, 1.0, 1.0)}, "positive"),
            (
                {"mean": (123.7, 116.3, 103.5)},
                r"mean: expected numbers in \[0, 1\] pixel units, got 123.7; it looks like units of 255",
            ),
            ({"std": (58.4, 57.1, 57.4)}, "it looks like units of 255"),
            ({"mean": (-0.5, 0.0, 0.0)}, r"in \[0, 1\] pixel units, got -0.5$"),
            ({"mean": (float("nan"), 0.1, 0.1)}, "got nan"),
            ({"std": (float("nan"), 0.1, 0.1)}, "got nan"),
            ({"mean": np.array(["a", "b", "c"])}, "expected a number for each channel"),
            ({"mean": 0.5}, "expected a mean and a std for each channel, got 1 and 3"),
            ({"mean": 127.5, "std": 127.5}, "it looks like units of 255"),
            ({"mean": 0.5, "std": 0}, "positive"),
            ({"mean": None}, "mean: expected a number or a list of numbers or an array or a tensor, got None"),
            ({"mean": True}, "mean: expected a number or a list of numbers"),
        ],
    )
    def test_statistics_that_are_none(self, options, said):
        with pytest.raises(UserError, match=said):
            wrap(Net(), **{"mean": MEAN, "std": STD, **options})

    def test_to_look_at_itself_while_it_is_traced(self, digits):
        with pytest.raises(UserError, match="call it once before it is compiled or exported"):
            torch.export.export(wrap(Own(), **GREY).eval(), (digits,), strict=False)

    def test_a_module_made_in_inference_mode(self):
        with torch.inference_mode():
            net = Own()
        with pytest.raises(UserError, match="inference_mode"):
            wrap(net, **GREY)

    def test_a_configuration_that_would_name_code(self):
        with pytest.raises(UserError, match="which no command can build"):
            Custom().backbone(ImageShape(channels=1, height=8, width=8))


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda v: torch.tensor(v).view(1, 3, 1, 1), tuple])
def test_statistics_of_every_kind_are_taken(kind, images):
    net = Net().eval()
    wrapped = wrap(net, mean=kind(MEAN), std=kind(STD)).eval()
    torch.testing.assert_close(wrapped(images).logits, net(normalised(images)))
    wrap(net, mean=kind([0.0] * 3), std=kind([1 / 255] * 3))


@pytest.mark.parametrize("half", [0.5, [0.5], np.float32(0.5), torch.tensor(0.5), "1/2"])
def test_one_number_is_for_all_channels(half, images):
    net = Net().eval()
    wrapped = wrap(net, mean=half, std=half).eval()
    assert torch.equal(wrapped(images).logits, net((images - 0.5) / 0.5))


class TestIsAModule:
    @pytest.mark.parametrize("called", [False, True])
    def test_copies_and_pickles(self, called, digits):
        wrapped = wrap(Own(F.relu), **GREY).eval()
        if called:
            wrapped(digits)
        twins = [copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))]
        torch.save(wrapped, file := io.BytesIO())
        file.seek(0)
        twins.append(torch.load(file, weights_only=False))
        for twin in twins:
            assert twin.backbone is not wrapped.backbone
            assert all(map(torch.equal, twin(digits), wrapped(digits)))

    def test_state_dict_holds_the_module_whole(self):
        names = wrap(Own(), **GREY).state_dict().keys()
        assert names == {
            "normalization.mean",
            "normalization.std",
            *(f"backbone.{name}" for name in Own().state_dict()),
        }

    def test_is_traced_whole_by_the_compiler(self):
        code = """
import torch
from torch import nn
from srat.models import wrap
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10), nn.LogSoftmax(1))
wrapped, x = wrap(net, mean=[0.5], std=[0.25]).eval(), torch.rand(5, 1, 8, 8, requires_grad=True)
plain, traced = wrapped(x), torch.compile(wrapped, backend="eager", fullgraph=True)(x)
assert all(map(torch.equal, traced, plain))
assert all(torch.autograd.grad(each.square().sum(), x, retain_graph=True)[0].abs().sum() > 0 for each in traced)
assert wrapped._tap._kept is None
class Both(nn.Sequential):
    def forward(self, x):
        z = super().forward(x)
        return (z[:, :3], z) if self.training else z
both = wrap(Both(*net), mean=[0.5], std=[0.25]).eval()
both(x), torch.compiler.reset()
assert torch.equal(torch.compile(both.train(), backend="eager", fullgraph=True)(x).logits, wrapped.train()(x).logits)
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_is_exported(self, digits):
        wrapped = wrap(Own(), **GREY).eval()
        plain = wrapped(digits)
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(wrapped, (digits,), dynamic_shapes=({0: batch},), strict=False)
        torch.testing.assert_close(program.module()(digits[:5])[0], plain.logits[:5])


def warned(call):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in said if "probabilities" in str(warning.message)]


class TestProbabilities:
    def test_are_warned_of_once(self, digits):
        wrapped = wrap(Own(lambda z: z.softmax(1)), **GREY).eval()
        with pytest.warns(UserWarning, match="take the softmax out") as said:
            wrapped(digits)
        assert len(said) == 1
        wrapped(digits)

    @pytest.mark.parametrize("after", [lambda z: z.log_softmax(1), lambda z: z, F.relu])
    def test_log_softmax_and_logits_are_not(self, after, digits):
        wrap(Own(after), **GREY)(digits)

    def test_are_warned_of_by_evaluate_once(self, digits):
        def evaluated(model):
            return warned(lambda: srat.evaluate(model, digits, torch.arange(12) % 10, attack="pgd-2"))

        assert len(evaluated(Own(lambda z: z.softmax(1)))) == 1
        assert len(evaluated(wrap(Own(lambda z: z.softmax(1)), **GREY))) == 1

    def test_are_told_of_once_by_whatever_comes_first(self, digits):
        wrapped = wrap(Own(lambda z: z.softmax(1)), **GREY).eval()
        labels = torch.arange(12) % 10
        assert len(warned(lambda: wrapped(digits))) == 1
        assert not warned(lambda: srat.evaluate(wrapped, digits, labels))
        assert len(warned(lambda: srat.evaluate(copy.deepcopy(wrapped), digits, labels))) == 1

    def test_in_train_mode_alone_are_noticed_where_it_is_trained(self, digits):
        class InTraining(Own):
            def forward(self, x):
                z = super().forward(x)
                return z.softmax(1) if self.training else z

        said = "in train mode, the model's outputs look like probabilities"
        called = wrap(InTraining(), **GREY).eval()
        called(digits)
        for model in (called, wrap(InTraining(), **GREY)):
            observer = Notices()
            fit(tiny(), model=model, observer=observer)
            assert [said in text for text in observer.said if "outputs" in text] == [True]
        with pytest.warns(UserWarning, match=said):
            wrap(InTraining(), **GREY).train()(digits)

    @pytest.mark.parametrize("after", [torch.sigmoid, lambda z: (99 * z).tanh(), lambda z: 5 * z.softmax(1)])
    def test_and_what_else_is_no_logits_are_told_of_at_every_door(self, after, digits):
        said = "not like logits: attacks need logits"
        with pytest.warns(UserWarning, match=said):
            srat.evaluate(Own(after), digits, torch.arange(12) % 10)
        with pytest.warns(UserWarning, match=said):
            wrap(Own(after), **GREY)(digits)
        observer = Notices()
        fit(tiny(), model=wrap(Own(after), **GREY), observer=observer)
        assert len([text for text in observer.said if said in text]) == 1

    def test_are_noticed_by_fit_once(self):
        observer = Notices()
        assert not warned(lambda: fit(tiny(), model=wrap(Own(lambda z: z.softmax(1)), **GREY), observer=observer))
        assert len([text for text in observer.said if "probabilities" in text]) == 1


def as_before(net, name):
    """Return a wrapped model as version 0.1 made it: the head taken out of a module that goes on without it."""
    net = copy.deepcopy(net)
    parent, _, leaf = name.rpartition(".")
    head = net.get_submodule(name)
    setattr(net.get_submodule(parent), leaf, nn.Identity())
    return Classifier(Normalization(torch.tensor([0.5]), torch.tensor([0.25])), net, head)


class Deep(nn.Module):
    """Its head is not its last parameter, and not at the top."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"fc": nn.Linear(16, 10), "body": nn.Linear(64, 16), "bn": nn.BatchNorm1d(16)})

    def forward(self, x):
        return self.parts["fc"](self.parts["bn"](self.parts["body"](x.flatten(1))).relu())


class TestWeightsOfBefore:
    @pytest.mark.parametrize(("kind", "name"), [(Own, "fc"), (Deep, "parts.fc")])
    def test_are_loaded(self, kind, name, tmp_path, digits):
        net = kind()
        run = fit(tiny(), model=as_before(net, name), out=tmp_path)
        assert "head.weight" in open_tensors(tmp_path / "model.safetensors").shapes
        loaded = srat.load(tmp_path, model=wrap(kind(), **GREY))
        torch.testing.assert_close(loaded(digits).logits, run.model(digits).logits)

    @pytest.mark.parametrize(("kind", "name"), [(Own, "fc"), (Deep, "parts.fc")])
    def test_are_trained_further(self, kind, name, tmp_path, digits):
        net, config = kind(), tiny(epochs=3)
        whole = fit(config, model=as_before(net, name)).model
        with pytest.raises(Interrupted):
            fit(config, model=as_before(net, name), out=tmp_path, observer=StopAfter(7), checkpoint_every="3")
        run = fit(config, model=wrap(kind(), **GREY), out=tmp_path)
        torch.testing.assert_close(run.model(digits).logits, whole(digits).logits, rtol=1e-4, atol=1e-5)
        assert "backbone." + name + ".weight" in open_tensors(tmp_path / "model.safetensors").shapes
        srat.load(tmp_path, which="best", model=wrap(kind(), **GREY))

    def test_of_another_model_are_refused(self, tmp_path):
        fit(tiny(), model=as_before(Own(), "fc"), out=tmp_path)
        with pytest.raises(UserError, match="these weights are of another model"):
            srat.load(tmp_path, model=wrap(Deep(), **GREY))

    def test_of_today_keep_their_names(self):
        wrapped = wrap(Own(), **GREY)
        names = wrapped.state_dict().keys()
        assert present_names(wrapped, names) == {name: name for name in names}


class Remembering(nn.Module):
    """Its head sees what a hook has put onto the module itself."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(64, 9), nn.Linear(9, 4)
        self.body.register_forward_hook(lambda _, __, output: setattr(self, "seen", output))

    def forward(self, x):
        self.body(x.flatten(1))
        return self.fc(self.seen)


@pytest.mark.parametrize("called_before", [False, True])
def test_a_module_that_answers_from_its_last_call_is_refused(called_before):
    module, images = Remembering(), torch.rand(4, 1, 8, 8)
    if called_before:
        with torch.no_grad():
            module(images - 0.5)
    with pytest.raises(UserError, match="the wrapped copy of this Remembering"):
        wrap(module, mean=[0.5], std=[1.0])(images)


@pytest.mark.parametrize("given", [lambda x: x, nn.Linear, None, "model"])
def test_what_is_no_module_is_refused(given):
    with pytest.raises(UserError, match="module: expected a Module, got"):
        wrap(given, mean=[0.5], std=[1.0])
