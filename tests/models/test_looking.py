"""What a module returns in train mode, and which type it takes: found at the first call, or asked for in a line."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import srat
from srat.core.errors import UserError
from srat.models import build, wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.classifier import Classifier, ImageShape
from srat.models.heads import CosineHead, LinearHead
from srat.training.fitting import fit
from wrapping import GREY, grey, tiny

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture
def digits(rng):
    return torch.rand(6, 1, 8, 8, generator=rng)


class TwoHeads(nn.Module):
    """Says more in train mode than in eval mode."""

    def __init__(self, says, says_in_eval=lambda aux, main: main):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.aux, self.fc = nn.Linear(16, 10), nn.Linear(16, 10)
        self.says, self.says_in_eval = says, says_in_eval

    def heads(self, x):
        z = self.body(x)
        return self.aux(z), self.fc(z)

    def forward(self, x):
        return (self.says if self.training else self.says_in_eval)(*self.heads(x))


MORE = {
    "aux first": lambda aux, main: (aux, main),
    "main first": lambda aux, main: (main, aux),
    "dict": lambda aux, main: {"aux": aux, "out": main},
    "dict without names": lambda aux, main: {"a": aux, "b": main},
    "logits of the other": lambda aux, main: {"logits": aux, "out": main},
    "nested": lambda aux, main: {"others": [aux, aux + 1], "out": [main]},
    "the same twice": lambda aux, main: (main, aux, main),
    "log-softmax": lambda aux, main: [aux, main.log_softmax(1)],
    "other shapes": lambda aux, main: (aux[:, :3], main.sum(), main),
}


class Wide(nn.Module):
    """Its features are as wide as its logits."""

    def __init__(self, says, *, between=lambda f: f, width=10):
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Flatten(), nn.Linear(64, width)), nn.Linear(width, 10)
        self.says, self.between = says, between

    def forward(self, x):
        f = self.between(self.body(x))
        return self.says(f, self.fc(f))


WIDE = {
    "tuple": lambda f, z: (f, z),
    "tuple, logits first": lambda f, z: (z, f),
    "dict": lambda f, z: {"embedding": f, "prediction": z},
    "nested": lambda f, z: {"others": {"f": f}, "z": z},
    "namespace": lambda f, z: SimpleNamespace(embedding=f, scores=z),
    "log-softmax": lambda f, z: (f, z.log_softmax(1)),
}


class TestFeaturesAsWideAsTheLogits:
    @pytest.mark.parametrize("between", [lambda f: f, torch.relu])
    @pytest.mark.parametrize("kind", WIDE)
    @pytest.mark.parametrize("width", [10, 16])
    def test_are_told_from_them_by_the_graph(self, kind, between, width, digits):
        net = Wide(WIDE[kind], between=between, width=width).eval()
        model = wrap(net, **GREY).eval()
        features = between(net.body(grey(digits)))
        wanted = net.fc(features)
        output = model(digits)
        assert torch.equal(output.logits, wanted.log_softmax(1) if kind == "log-softmax" else wanted)
        assert torch.equal(output.features, features)
        assert torch.equal(model.train()(digits).logits, output.logits)

    @pytest.mark.parametrize("says", [lambda f, z: (z, z.softmax(1)), lambda f, z: (z.softmax(1), z)])
    def test_are_no_logits_beside_what_a_function_makes_of_them(self, says, digits):
        net = Wide(says)
        with pytest.raises(UserError, match="several of its outputs could be the logits: tuple of .*output=…"):
            wrap(net, **GREY)(digits)

    def test_are_not_evaluated(self, digits):
        net = Wide(WIDE["dict"]).eval()
        labels = net(digits)["prediction"].argmax(1)
        with pytest.raises(UserError, match="several of its outputs could be the logits: dict of embedding"):
            srat.evaluate(net, digits, labels)
        own = wrap(net, mean=0.0, std=1.0)
        assert sum(srat.evaluate(own, digits, labels).counts.correct) == 6


@pytest.mark.parametrize("of", [lambda z: SimpleNamespace(logits=z), lambda z: type("Any", (), {"logits": z})()])
def test_an_object_with_logits_is_trained(of, digits):
    net = TwoHeads(lambda aux, main: of(main), lambda aux, main: of(main))
    model = wrap(net, **GREY).train()
    assert torch.equal(model(digits).logits, net.heads(grey(digits))[1])
    fit(tiny(), model=wrap(TwoHeads(lambda aux, main: of(main), lambda aux, main: of(main)), **GREY))


class TestImagesOfALaterCall:
    def test_of_another_size_are_told_of_in_a_line(self, digits):
        model = wrap(TwoHeads(lambda aux, main: main), **GREY).eval()
        model(digits)
        with pytest.raises(UserError, match=r"take images of 1 × 9 × 9, but of 1 × 8 × 8 \(RuntimeError: ") as error:
            model(torch.rand(2, 1, 9, 9))
        assert "\n" not in str(error.value)
        assert model(digits).logits.shape == (6, 10)

    def test_of_another_size_are_taken_where_the_module_takes_them(self, digits):
        pooled = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
        model = wrap(pooled, **GREY)
        model(digits)
        assert model(torch.rand(2, 1, 12, 9)).logits.shape == (2, 10)

    def test_what_fails_at_the_same_size_is_the_modules_own(self, digits):
        net = TwoHeads(lambda aux, main: main)
        model = wrap(net, **GREY)
        model(digits)
        model.backbone.says = lambda aux, main: 1 / 0
        with pytest.raises(ZeroDivisionError):
            model.train()(digits)

    def test_on_another_device_are_told_of_in_a_line(self, digits):
        shape, one = ImageShape(channels=1, height=8, width=8), torch.ones(1)
        ours = build(SmallCNN(width=4), LinearHead(), shape=shape, classes=10, mean=one, std=one)
        own = wrap(TwoHeads(lambda aux, main: main), **GREY)
        own(digits)
        for model in (ours, own):
            with pytest.raises(UserError, match="images: expected them on cpu, as the model is, got them on meta"):
                model(digits.to("meta"))


class TestTrainMode:
    @pytest.mark.parametrize("kind", MORE)
    def test_trains_the_logits_of_the_head(self, kind, digits):
        net = TwoHeads(MORE[kind])
        model = wrap(net, **GREY).train()
        logits = model(digits).logits
        wanted = net.heads(grey(digits))[1]
        assert torch.equal(logits, wanted.log_softmax(1) if kind == "log-softmax" else wanted)
        logits.sum().backward()
        assert net.fc.weight.grad is not None
        assert net.aux.weight.grad is None

    @pytest.mark.parametrize("first", [1, 6])
    def test_is_looked_at_without_a_trace(self, first, digits):
        net = TwoHeads(MORE["aux first"])
        model = wrap(net, **GREY).eval()
        model(digits[:first])
        assert net.body[2].num_batches_tracked == 0
        assert torch.equal(net.body[2].running_mean, torch.zeros(16))
        assert net.training
        model.train()(digits)

    def test_takes_the_place_of_eval_mode_where_there_is_one(self, digits):
        net = TwoHeads(lambda aux, main: (main, main.log_softmax(1), aux), lambda aux, main: (main,))
        assert torch.equal(wrap(net, **GREY).train()(digits).logits, net.heads(grey(digits))[1])

    @pytest.mark.parametrize(
        ("says", "said"),
        [
            (lambda aux, main: (main + 0, main.log_softmax(1)), r"tuple of 0: .*several of which could be.*output=…"),
            (lambda aux, main: (aux, aux + 1), "which does not come from its head, 'fc'"),
            (lambda aux, main: aux, "which does not come from its head, 'fc'"),
            (lambda aux, main: main[:, :4], "which does not come from its head, 'fc'"),
            (lambda aux, main: {"loss": main.sum()}, "returns dict of loss: .*which does not come from"),
            (lambda aux, main: 1 / 0, r"fails in train mode \(ZeroDivisionError"),
        ],
    )
    def test_that_leaves_it_open_is_refused_where_it_is_trained(self, says, said, digits):
        model = wrap(TwoHeads(says), **GREY).eval()
        model(digits)
        with pytest.raises(UserError, match=said):
            model.train()(digits)
        with pytest.raises(UserError, match=said):
            fit(tiny(), model=model)
        model.eval()(digits)

    @pytest.mark.parametrize("pick", [1, -1, (1,)])
    def test_takes_what_is_named(self, pick, digits):
        net = TwoHeads(lambda aux, main: (main, main.log_softmax(1)))
        model = wrap(net, **GREY, output=pick)
        assert torch.equal(model.train()(digits).logits, net.heads(grey(digits))[1].log_softmax(1))
        assert model.eval()(digits).logits.shape == (6, 10)

    def test_refuses_what_is_named_and_of_another_head(self, digits):
        with pytest.raises(UserError, match=r"where output=0 is not of its head, 'fc'"):
            wrap(TwoHeads(MORE["aux first"]), **GREY, output=0).train()(digits)

    def test_refuses_a_name_where_no_output_has_parts(self, digits):
        with pytest.raises(UserError, match=r"output=1: there is none in what the model returns, a tensor"):
            wrap(TwoHeads(lambda aux, main: main), **GREY, output=1)(digits)

    def test_is_that_of_the_module(self, digits):
        model = wrap(TwoHeads(MORE["aux first"], lambda aux, main: {"out": main}), **GREY).train()
        model.backbone.eval()
        assert torch.equal(model(digits).logits, model.eval()(digits).logits)

    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
    def test_of_a_head_without_a_trace_is_taken_as_it_is(self, digits):
        class Checkpointed(TwoHeads):
            def heads(self, x):
                return torch.utils.checkpoint.checkpoint(super().heads, x, use_reentrant=True)

        net = Checkpointed(lambda aux, main: {"out": main}, lambda aux, main: {"out": main})
        assert torch.equal(wrap(net, **GREY, head="fc").train()(digits).logits, net.heads(grey(digits))[1])

    def test_is_fitted(self):
        net = TwoHeads(MORE["aux first"])
        before = net.aux.weight.detach().clone(), net.fc.weight.detach().clone()
        fit(tiny(), model=wrap(net, **GREY))
        assert torch.allclose(net.aux.weight, before[0], atol=0.01)  # but for the weight decay
        assert not torch.allclose(net.fc.weight, before[1], atol=0.01)


class Mixed(nn.Module):
    """Has a body and a head of their own types, one after the other or the other way round."""

    def __init__(self, body, head, *, head_first, cast=True):
        super().__init__()
        layers = {"body": nn.Linear(64, 16).to(body), "fc": nn.Linear(16, 10).to(head)}
        for name in sorted(layers, reverse=head_first):
            setattr(self, name, layers[name])
        self.cast = cast

    def forward(self, x):
        z = self.body(x.flatten(1)).relu()
        return self.fc(z.to(self.fc.weight.dtype) if self.cast else z)


@pytest.mark.parametrize("body", DTYPES)
@pytest.mark.parametrize("head", DTYPES)
class TestTypes:
    @pytest.mark.parametrize("head_first", [True, False])
    def test_of_body_and_head_are_their_own(self, body, head, head_first, digits):
        net = Mixed(body, head, head_first=head_first)
        model = wrap(net, **GREY)
        output = model(digits)
        assert torch.equal(output.logits, net(grey(digits).to(body)))
        assert output.features.dtype == head
        model.head = nn.Linear(16, 10).half()
        assert model(digits).logits.dtype == torch.float16

    def test_that_the_module_does_not_cast_are_refused_in_a_line(self, body, head, digits):
        model = wrap(Mixed(body, head, head_first=True, cast=False), **GREY)
        if body == head:
            model(digits)
            return
        with pytest.raises(UserError, match=r"Mixed does not take images of 1 × 8 × 8 \(RuntimeError: mat1 and mat2"):
            model(digits)

    @pytest.mark.parametrize("kind", [LinearHead(), CosineHead()])
    def test_of_our_own_models_are_those_of_their_parts(self, body, head, kind, digits):
        shape, one = ImageShape(channels=1, height=8, width=8), torch.ones(1)
        model = build(
            SmallCNN(width=4), kind, shape=shape, classes=10, mean=0.5 * one, std=0.5 * one, projection=8
        ).eval()
        wanted = model(digits)
        model.backbone.to(body)
        model.head.to(head)
        model.projection.to(head)
        found = model(digits)
        assert [part.dtype for part in found] == [head, body, head]
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours.float(), theirs, rtol=0.1, atol=0.2)


def test_a_module_that_casts_what_it_is_given_gets_it_in_full(digits):
    class Casting(Mixed):
        def forward(self, x):
            return super().forward((x / 3).to(self.body.weight.dtype))

    net = Casting(torch.float64, torch.float16, head_first=True)
    assert torch.equal(wrap(net, **GREY)(digits).logits, net(grey(digits).double()))


def test_a_module_that_takes_another_type_than_its_first_weights_is_refused(digits):
    class Odd(Mixed):
        def __init__(self):
            super().__init__(torch.float16, torch.float16, head_first=False)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return super().forward(x) * self.scale

    with pytest.raises(UserError, match="its first weights are float32, and it takes images in float16 alone: cast"):
        wrap(Odd(), **GREY)(digits)


def test_autocast_sees_to_the_types_itself(digits):
    class Head(nn.Linear):
        def forward(self, z):
            self.seen = z.dtype
            return super().forward(z)

    head = Head(16, 10)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16))
    model = Classifier(wrap(body, **GREY).normalization, body, head)
    with torch.autocast("cpu", torch.bfloat16):
        assert [part.dtype for part in model(digits)] == [torch.bfloat16] * 3
    assert head.seen == torch.bfloat16
