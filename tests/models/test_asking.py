"""One door to every model: it leaves the images alone, speaks the model's type, and gives fp32 logits."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from torch import nn

import srat
from srat.attacks import FGSM, PGD, Natural, PGDMargin, input_gradient
from srat.attacks.named import named
from srat.audit.base import Subject
from srat.audit.suite import audit
from srat.core.errors import UserError
from srat.data import Dataset
from srat.data.sources.digits import Digits
from srat.evaluation.record import Evaluation
from srat.evaluation.separability import features_of
from srat.evaluation.serving import lent_exactly
from srat.inference.prediction import predict
from srat.models import ImageShape, build, logits_at, wrap
from srat.models.asking import first_logits, get_ready
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LinearHead
from srat.report.html.gallery import make_gallery

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot reach the edge")  # so few steps are quick
TYPES = [torch.float64, torch.float16, torch.bfloat16]
NAMES = tuple("0123456789")


def flat(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def small(architecture, head):
    shape, one = ImageShape(channels=1, height=8, width=8), torch.ones(1)
    return build(architecture, head, shape=shape, classes=10, mean=0.3 * one, std=0.4 * one)


class InPlace(nn.Module):
    """Writes into what it is given, in one way or another."""

    def __init__(self, how):
        super().__init__()
        self.net, self.how = flat(), how

    def forward(self, x):
        if self.how == "relu":
            return self.net(nn.ReLU(inplace=True)(x.sub_(0.5)))
        if self.how == "assignment":
            x[:, :, :4] = 0
        return self.net(x.mul_(2.0))


class Telling(nn.Module):
    """Returns its logits within something."""

    def __init__(self, form):
        super().__init__()
        self.net, self.form = flat(), form

    def forward(self, x):
        return self.form(self.net(x))


FORMS = [lambda z: (z, None), lambda z: {"logits": z, "features": z[:, :3]}, lambda z: [z.sum(), z]]


@pytest.fixture
def digits(rng):
    return torch.rand(12, 1, 8, 8, generator=rng)


@pytest.fixture
def dataset(digits):
    return Dataset(digits, torch.arange(12) % 10, NAMES)


class TestImages:
    @pytest.mark.parametrize("how", ["relu", "assignment", "product"])
    def test_stay_as_they_are(self, how, dataset):
        model, before = InPlace(how).eval(), dataset.images.clone()
        plain = logits_at(model, dataset.images)
        assert torch.equal(plain, model(before.clone()))
        gradient = input_gradient(lambda x: logits_at(model, x)[:, 0], dataset.images)
        assert gradient.shape == dataset.images.shape
        for attack in (None, "pgd-2", "fgsm", "apgd-ce"):
            srat.evaluate(model, dataset.images, dataset.labels, attack=attack)
        predict(model, dataset.images, PGD(steps=2), class_names=NAMES)
        assert torch.equal(dataset.images, before)

    def test_too_many_channels_are_told_in_a_line(self, images):
        with pytest.raises(UserError, match=r"model: Sequential does not take images of 3 × 8 × 8 \(RuntimeError: "):
            srat.evaluate(flat(), images, torch.arange(12) % 4)


class TestTypes:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("make", [flat, lambda: wrap(flat(), mean=[0.5], std=[0.5])], ids=["plain", "wrapped"])
    def test_are_the_models(self, dtype, make, digits):
        model = make().eval().to(dtype)
        logits = logits_at(model, digits)
        assert logits.dtype == torch.float32
        single = copy.deepcopy(model).float()
        torch.testing.assert_close(logits, logits_at(single, digits), rtol=0, atol=0.05)
        result = srat.evaluate(model, digits, torch.arange(12) % 10, attack="pgd-3")
        assert result.dtype == str(dtype).removeprefix("torch.")

    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize(("architecture", "head"), [(Linear(), LinearHead()), (SmallCNN(width=4), CosineHead())])
    def test_of_our_own_too(self, dtype, architecture, head, digits):
        model = small(architecture, head).to(dtype).eval()
        torch.testing.assert_close(logits_at(model, digits), logits_at(model.float(), digits), rtol=0.05, atol=0.5)

    def test_of_buffers_where_there_is_no_parameter(self, digits):
        class Fixed(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("weight", torch.randn(64, 10, dtype=torch.float64))

            def forward(self, x):
                return x.flatten(1) @ self.weight

        logits_at(Fixed(), digits)
        logits_at(nn.Flatten(), digits)

    def test_of_logits_that_are_half_are_said(self, digits):
        model = Telling(lambda z: z.bfloat16())
        assert srat.evaluate(model, digits, torch.arange(12) % 10).dtype == "bfloat16"
        assert srat.evaluate(flat(), digits, torch.arange(12) % 10).dtype == "float32"

    def test_are_in_the_file_where_they_are_not_fp32(self, digits, tmp_path):
        results = {
            name: srat.evaluate(model, digits, torch.arange(12) % 10)
            for name, model in (("clean", flat()), ("half", flat().half()))
        }
        evaluation = Evaluation(class_names=NAMES, train_counts=(1,) * 10, results=results)
        (tmp_path / "e.json").write_text(evaluation.to_json())
        assert evaluation.to_json().count('"dtype"') == 1
        assert Evaluation.read(tmp_path / "e.json").results["half"].dtype == "float16"
        assert Evaluation.read(tmp_path / "e.json").results["clean"].dtype == "float32"


@pytest.fixture(scope="module")
def confident():
    """A model whose cross-entropy has gradients far below what fp16 holds."""
    train = Digits().train()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    images = srat.data.to_unit(train.images)
    for _ in range(60):
        optimizer.zero_grad()
        srat.losses.cross_entropy(model(images), train.labels).mean().backward()
        optimizer.step()
    with torch.no_grad():
        model[3].weight *= 8
        model[3].bias *= 8
    return model.eval(), Digits().test()


class TestHalf:
    @pytest.mark.usefixtures("short_autoattack")
    @pytest.mark.parametrize("attack", ["pgd-5", "apgd-ce", "fab-t"])
    def test_does_not_look_more_robust(self, confident, attack):
        model, test = confident
        some = slice(0, 120)
        attack = named(attack, PGD(epsilon=0.1, step_size=0.03))
        single, half = (
            srat.evaluate(each, test.images[some], test.labels[some], attack=attack).accuracy.accuracy
            for each in (model, copy.deepcopy(model).half())
        )
        assert 0.05 < single < 0.9
        assert abs(half - single) < 0.03

    def test_gradients_come_out_at_their_own_size(self, confident):
        model, test = confident
        images, labels = srat.data.to_unit(test.images[:50]), test.labels[:50]

        def gradient(model):
            return input_gradient(lambda x: srat.losses.cross_entropy(logits_at(model, x), labels), images)

        exact, half = gradient(model), gradient(copy.deepcopy(model).half())
        assert float(exact.abs().flatten(1).amax(1).min()) < 1e-8
        assert (half.abs().flatten(1).amax(1) > 0).all()
        torch.testing.assert_close(half.flatten(1).norm(dim=1), exact.flatten(1).norm(dim=1), rtol=0.2, atol=0.0)


@contextlib.contextmanager
def grad_disabled():
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


MODES = [torch.inference_mode, torch.no_grad, grad_disabled]


@pytest.mark.parametrize("mode", MODES)
class TestModes:
    """All is as it would be outside of them; images made within are fine."""

    @pytest.fixture
    def images(self, digits, mode):
        with mode():
            return digits.clone(), torch.arange(12) % 10

    @pytest.mark.usefixtures("short_autoattack")
    @pytest.mark.parametrize("attack", [None, "fgsm", "pgd-3", "pgd-margin-3", "apgd-ce", "square"])
    def test_evaluate(self, mode, images, digits, attack):
        model = flat()
        attack = named("square", PGD()).__class__(queries=100) if attack == "square" else attack
        wanted = srat.evaluate(model, digits, torch.arange(12) % 10, attack=attack)
        with mode():
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            for each in (model, copy.deepcopy(model)):
                assert srat.evaluate(each, *images, attack=attack).counts == wanted.counts
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
        assert all(parameter.requires_grad for parameter in model.parameters())

    def test_a_model_made_within(self, mode, images):
        with mode():
            model = flat()
            twin = copy.deepcopy(model)
            result = srat.evaluate(model, *images, attack="pgd-3")
            found = predict(model, images[0], PGD(steps=2), class_names=NAMES)
        assert result.counts.total[0] == 2
        assert len(found) == 12
        assert all(map(torch.equal, model.parameters(), twin.parameters()))

    def test_a_lazy_model_is_made_to_be_trained(self, mode, images):
        model = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
        with mode():
            srat.evaluate(model, *images, attack="pgd-2")
        assert not any(parameter.is_inference() for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())

    def test_attacks(self, mode, images, digits):
        model = flat()

        def made(attack, images, labels):
            def loss_at(x):
                return attack.loss(srat.losses.cross_entropy, model(x), labels)

            return attack(loss_at, images, generator=torch.Generator().manual_seed(0))

        for attack in (FGSM(), PGD(steps=2), PGDMargin(steps=2, random_start=False), PGD(steps=2, restarts=2)):
            with mode():
                within = made(attack, *images)
            assert torch.equal(within, made(attack, digits, torch.arange(12) % 10))

    def test_predict_gallery_features_and_audit(self, mode, images):
        model = wrap(flat(), mean=[0.5], std=[0.5])
        with mode():
            data = Dataset(*images, NAMES)
            assert len(predict(model, images[0], PGD(steps=2), class_names=NAMES)) == 12
            make_gallery(model, data, PGD(steps=2), order=range(10), most=3, seed=0)
            assert features_of(model, data, PGD(steps=2), seed=0).shape == (12, 64)
            subject = Subject(model=model, images=data, threat=PGD(steps=2), seed=0)
            assert audit(subject, only=("zero-gradients", "loss-and-scale", "half-precision", "finite")).entries


class TestLazy:
    @pytest.mark.parametrize("door", ["evaluate", "predict", "wrapped", "served"])
    def test_parts_are_made(self, door, digits):
        conv = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
        model = wrap(conv, mean=[0.5], std=[0.5]) if door == "wrapped" else conv
        if door == "predict":
            predict(model, digits, PGD(steps=2), class_names=NAMES)
        elif door == "served":
            with lent_exactly(model) as lent:
                logits_at(lent, digits)
        else:
            srat.evaluate(model, digits, torch.arange(12) % 10, attack="pgd-2")
        assert conv[0].weight.shape == (4, 1, 3, 3)
        assert conv[1].num_batches_tracked == 0
        assert all(parameter.requires_grad for parameter in conv.parameters())
        assert conv.training

    def test_parts_that_are_never_called_are_refused(self, digits):
        net = flat()
        net.forward = lambda x: net[1](net[0](x))
        net.append(nn.LazyLinear(3))
        with pytest.raises(UserError, match=r"'2.weight' is lazy and has no shape"):
            get_ready(net, digits)


@pytest.mark.usefixtures("short_autoattack")
def test_outputs_are_understood_at_every_door(dataset):
    plain = Telling(lambda z: z).eval()

    def found(model):
        return (
            srat.evaluate(model, dataset.images, dataset.labels, attack="pgd-2").counts,
            srat.evaluate(model, dataset.images, dataset.labels, attack="apgd-t").counts,
            predict(model, dataset.images, Natural(), class_names=NAMES),
            make_gallery(model, dataset, PGD(steps=2), order=range(10), most=3, seed=0),
            audit(Subject(model=model, images=dataset, threat=PGD(steps=2), seed=0)).to_json(),
        )

    wanted = found(plain)
    for form in FORMS:
        model = Telling(form).eval()
        model.load_state_dict(plain.state_dict())
        assert first_logits(model, dataset.images).shape == (12, 10)
        assert found(model) == wanted


def test_logits_are_asked_of_arrays_and_lists_but_not_of_bytes(digits):
    net = flat()
    wanted = logits_at(net, digits)
    for images in (digits.numpy(), list(digits), digits.tolist()):
        torch.testing.assert_close(logits_at(net, images), wanted)
    for wrong, said in (((digits * 255).byte(), "a tensor of uint8"), (digits[0], "float32"), ("x", "'x'")):
        with pytest.raises(UserError, match=rf"images: expected a tensor of floats, \(batch, .*, got .*{said}"):
            logits_at(net, wrong)
    masked = np.ma.masked_array(digits.numpy(), mask=digits.numpy() > 0.5)
    for hidden in (masked, list(masked)):
        with pytest.raises(UserError, match="images: expected a tensor"):
            srat.evaluate(net, hidden, torch.zeros(len(digits)))
    with pytest.raises(UserError, match="got a masked array of float32"):
        logits_at(net, masked)
    assert torch.equal(logits_at(net, np.ma.masked_array(digits.numpy())), wanted)


def test_what_lies_on_meta_is_refused(digits):
    labels = torch.zeros(len(digits))
    with pytest.raises(UserError, match="images: expected values, got a tensor without contents"):
        srat.evaluate(flat(), digits.to("meta"), labels)
    with pytest.raises(UserError, match="labels: expected values, got a tensor without contents"):
        srat.evaluate(flat(), digits, labels.to("meta"))
    for model in (flat(), wrap(flat(), mean=0.5, std=0.5)):
        with pytest.raises(UserError, match=r"model: '.*1.weight' lies on meta and has no contents"):
            srat.evaluate(model.to("meta"), digits, labels)


class HalfHeadFirst(nn.Module):
    """A head of half precision before a body of fp32, which casts what it is given or not."""

    def __init__(self, dtype, *, casts):
        super().__init__()
        self.head = nn.Linear(16, 3).to(dtype)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16))
        self.casts = casts

    def forward(self, x):
        return self.head(self.body(x.float() if self.casts else x).to(self.head.weight.dtype))


@pytest.mark.parametrize("casts", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_are_never_rounded_for_a_head(dtype, casts):
    net, images, labels = HalfHeadFirst(dtype, casts=casts), torch.rand(4, 1, 8, 8), torch.arange(4) % 3
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(UserError, match=f"first weights are {name}, and it takes images in float32") as error:
        srat.evaluate(net, images, labels)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=f"first weights are {name}"):
        predict(net, images, Natural(), class_names=("a", "b", "c"))
    assert net.body[2].num_batches_tracked == 0
    own = srat.models.wrap(copy.deepcopy(net), mean=0.0, std=1.0, head="head")
    assert srat.evaluate(own, images, labels).counts.total == (2, 1, 1)
    assert srat.evaluate(net.float() if casts else net.to(dtype), images, labels).counts.total == (2, 1, 1)
