"""A training attack that maximises the feature loss beside the prediction loss: ``inner.feature_weight``."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from several import in_processes
from srat.attacks import PGD, PGDMargin, input_gradient, margin
from srat.config.checks import check
from srat.config.composition import compose
from srat.config.config import Config, InnerMaximization
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.data import Batch, Dataset, Targets
from srat.feature_losses import Separation, separation, tail_alignment
from srat.models import wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import LinearHead
from srat.robust_losses import TRADES, kl_divergence
from srat.runtime.fabric import make_fabric
from srat.runtime.processes import ALONE
from srat.training.fitting import fit
from srat.training.inner import inner_loss
from srat.training.setting_up import set_up

IMAGES = torch.rand(18, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1, 2, 3] * 3)


def a_training(weight=1.0, *, processes=ALONE, **changes):
    config = replace(compose(method="srat-ce", batch_size=18), model=SmallCNN(width=3))
    config = replace(config, inner=InnerMaximization(feature_weight=weight), **changes)
    data = Dataset(IMAGES, LABELS, tuple("abcd"))
    return set_up(config, make_fabric("cpu", config.precision), data, None, None, processes=processes)


def whole():
    return Batch(IMAGES, Targets(LABELS), slice(0, len(LABELS)))


def maximised(training, x=IMAGES, served=None):
    """Return what the attack maximises at some images, and its gradient there."""
    with training.lent() as lent:
        loss_at = inner_loss(training, training.stage(0), served or lent, whole())
        return loss_at(x).detach(), input_gradient(loss_at, x)


def by_hand(training, *, prediction=None, feature=None, x=IMAGES):
    """The same on the module itself, without folding."""
    prediction = prediction or (lambda z: F.cross_entropy(z, LABELS, reduction="none"))
    feature = feature or (lambda e: separation(e, LABELS))

    def loss_at(x):
        output = training.module.eval()(x)
        return prediction(output.logits) + training.config.inner.feature_weight * feature(output.embedding)

    return loss_at(x).detach(), input_gradient(loss_at, x)


def assert_alike(one, other):
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_it_maximises_the_sum_of_both(weight):
    training = a_training(weight)
    ours = maximised(training)
    assert_alike(ours, by_hand(training))
    assert not torch.allclose(ours[1], by_hand(a_training(0.0))[1], rtol=0.1, atol=1e-4)


def test_it_is_of_the_embedding():
    training = a_training(feature_loss=Separation(projection_dimensions=5))
    assert_alike(maximised(training), by_hand(training))


def test_it_is_of_the_images_under_attack():
    """Not of those that the step began with."""
    training, x = a_training(), (IMAGES + 0.1).clamp(0, 1)
    assert_alike(maximised(training, x), by_hand(training, x=x))


@pytest.mark.parametrize("name", ["separation-queue", "separation-prototypes"])
def test_it_is_of_the_memory_too(name):
    training = a_training(feature_loss=compose(feature_loss=name).feature_loss)
    draw = torch.Generator().manual_seed(1)
    remembered = torch.randn(8, 24, generator=draw), torch.arange(8) % 4
    empty = maximised(training)
    training.memory.remember(*remembered)
    before = {key: tensor.clone() for key, tensor in training.memory.state_dict().items()}
    filled = maximised(training)
    assert all(torch.equal(before[key], tensor) for key, tensor in training.memory.state_dict().items())
    assert_alike(
        filled, by_hand(training, feature=lambda e: training.config.feature_loss(e, LABELS, training.memory).values)
    )
    assert not torch.allclose(empty[1], filled[1], rtol=1e-2)


def test_tail_alignment_is_told_the_counts():
    training = a_training(feature_loss=compose(feature_loss="tail-alignment").feature_loss)
    counts = training.stage(0).class_counts
    assert counts.tolist() == [6, 6, 3, 3]
    assert_alike(maximised(training), by_hand(training, feature=lambda e: tail_alignment(e, LABELS, counts)))


def test_a_head_that_serves_other_logits_is_attacked_as_it_is_served():
    training = a_training(head=LinearHead(tau=1.0))
    assert_alike(maximised(training), by_hand(training))


def test_a_robust_loss_of_its_own_stands_beside_it():
    training = a_training(robust_loss=TRADES(), attack=PGD(start_deviation=0.001))
    clean = training.module.eval()(IMAGES).logits.detach()
    x = (IMAGES + 0.05).clamp(0, 1)
    wanted = by_hand(training, prediction=lambda z: kl_divergence(clean, z), x=x)
    assert_alike(maximised(training, x), wanted)


def test_an_attack_with_a_loss_of_its_own_keeps_it_beside():
    training = a_training(attack=PGDMargin())
    assert_alike(maximised(training), by_hand(training, prediction=lambda z: margin(z, LABELS)))


def own_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))


def test_a_model_of_ones_own():
    config = replace(compose(method="srat-ce"), inner=InnerMaximization(feature_weight=1.0))
    model = wrap(own_net(), mean=[0.5], std=[0.5])
    training = set_up(config, make_fabric("cpu"), Dataset(IMAGES, LABELS, tuple("abcd")), None, model)
    assert_alike(maximised(training), by_hand(training))


def test_finite_differences_see_the_term():
    """Its gradient is that of what is returned: along any direction the sum grows as it says."""
    training = a_training(2.0)
    training.module.double().eval()
    x = IMAGES.double()
    loss_at = lambda x: separation(training.module(x).embedding, LABELS)  # noqa: E731
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        slope = (loss_at(x + 1e-6 * direction) - loss_at(x - 1e-6 * direction)).sum() / 2e-6
    joint, plain = (maximised(replace(training, folding=None, config=c))[1] for c in (training.config, of_weight(0.0)))
    assert abs(slope) > 1e-3
    assert (direction * (joint - plain)).sum().item() == pytest.approx(2 * slope.item(), rel=1e-3)


def of_weight(weight):
    return replace(a_training().config, inner=InnerMaximization(feature_weight=weight))


def attacked(training):
    attack = PGD(epsilon=0.1, step_size=0.02, steps=10)
    with training.lent() as served:
        loss_at = inner_loss(training, training.stage(0), served, whole())
        return attack(loss_at, IMAGES, generator=generator(0, "attack"))


def test_it_makes_the_feature_loss_larger_than_an_attack_on_the_label_does():
    training = a_training(0.0)
    joint = replace(training, config=of_weight(3.0))
    values = [separation(training.module.eval()(attacked(t)).embedding, LABELS).sum() for t in (training, joint)]
    assert values[1] > 1.01 * values[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_goes_the_same_way(precision):
    """Both parts of an image's gradient are scaled by one number."""
    exact = maximised(a_training(2.0))[1]
    half = maximised(a_training(2.0, precision=precision))[1]
    assert (exact.sign() == half.sign()).double().mean() > 0.97
    directions = F.cosine_similarity(exact.flatten(1), half.flatten(1))
    assert directions.mean() > 0.99


def test_a_confident_model_of_fp16_weights_is_attacked_too():
    """Its gradient is beyond fp16 both where it is certain of the label and where the feature loss weighs little."""
    net = own_net()
    with torch.no_grad():
        net[3].weight *= 150
    config, gradients = replace(compose(method="srat-ce"), inner=InnerMaximization(feature_weight=1e-8)), []
    for module in (net, copy.deepcopy(net).half()):
        model = wrap(module, mean=[0.5], std=[0.5])
        data = Dataset(IMAGES, LABELS, tuple("abcd"))
        training = set_up(config, make_fabric("cpu"), data, None, model, notice=lambda _: None)
        gradients.append(maximised(training)[1].flatten(1).float())
    assert gradients[0].abs().amax(dim=1).min() < 1e-7
    assert F.cosine_similarity(*gradients).median() > 0.99
    assert (gradients[1].abs().amax(dim=1) > 0).all()


def share_of(processes):
    """Return this process's part of what a batch's attack maximises, and of its gradient."""
    training = a_training(2.0, processes=processes)
    own = processes.share(len(LABELS))
    batch = Batch(IMAGES[own], Targets(LABELS), own)
    with training.lent() as served:
        loss_at = inner_loss(training, training.stage(0), served, batch)
        return loss_at(batch.images).detach().numpy(), input_gradient(loss_at, batch.images).numpy()


def test_several_processes_attack_as_one():
    alone = [torch.from_numpy(part) for part in share_of(ALONE)]
    shares = in_processes(3, share_of)
    for number, whole_of_it in enumerate(alone):
        parts = torch.cat([torch.from_numpy(share[number]) for share in shares])
        torch.testing.assert_close(parts, whole_of_it, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feature_loss": "none"}, "`inner.feature_weight`: expected 0 with `feature_loss` none, where there is none"),
        (
            {"attack": PGD(restarts=3)},
            "`attack.restarts`: expected 1 with `inner.feature_weight`: .* among the others of its start, got 3",
        ),
        ({"attack": "natural"}, "`inner.feature_weight`: expected 0 with `attack` natural, where there is none"),
    ],
)
def test_refused_where_there_is_nothing_to_maximise(changes, said):
    config = compose(replace(Config(), inner=InnerMaximization(feature_weight=1.0)), **changes)
    with pytest.raises(UserError, match=said):
        fit(config)
    check(replace(config, inner=InnerMaximization()))


@pytest.mark.parametrize("weight", [-0.1, float("inf")])
def test_refuses_a_weight_that_is_none(weight):
    with pytest.raises(UserError, match="feature_weight"):
        InnerMaximization(feature_weight=weight)
