"""Mistakes of losses, weights and their reduction; `planting` has them all."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from planting import tiny
from torch import nn
from torch.nn import functional as F

from srat import attacks, robust_losses
from srat.attacks import PGD, Natural
from srat.config.checks import check
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.data import Dataset
from srat.feature_losses import PrototypeSeparation, has_positive, separation, tail_alignment
from srat.feature_losses.prototype_separation_loss import Prototypes
from srat.feature_losses.separation_loss import separation_of
from srat.losses import (
    balanced_softmax,
    cdt,
    cross_entropy,
    focal,
    harl,
    ldam,
    logit_adjustment,
    robal,
    vector_scaling,
)
from srat.methods.objective import reduce_weighted
from srat.models.heads import LinearHead
from srat.robust_losses import TRADES, References, kl_divergence
from srat.runtime.fabric import make_fabric
from srat.training import fitting
from srat.training import loop as trainer

# 13. Weights inside focal's p_t; weighted mean against 1/n.


def check_weighted_focal(loss):
    # p_y = 3/4 and weight 4: 4 · (1/4) · −log(3/4), not −(1 − (3/4)⁴) · 4 log(3/4).
    value = loss(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]), torch.tensor([4.0, 1.0]))
    assert value.tolist() == pytest.approx([-math.log(0.75)])


def weight_inside(logits, labels, weights):
    entropy = F.cross_entropy(logits, labels, weight=weights, reduction="none")
    return (1 - torch.exp(-entropy)) * entropy


def test_13_weights_stay_outside_focals_probability():
    check_weighted_focal(lambda z, y, w: w[y] * focal(z, y, gamma=1.0))
    with pytest.raises(AssertionError):
        check_weighted_focal(weight_inside)


def check_reduction(reduction, expected):
    losses, weights = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 1.0, 6.0])
    assert reduce_weighted(losses, weights, reduction).item() == pytest.approx(expected)
    assert reduce_weighted(losses, torch.ones(3), reduction).item() == pytest.approx(7 / 3)


def test_13_reductions_are_not_confused():
    check_reduction("weighted_mean", 27 / 8)
    check_reduction("mean", 27 / 3)
    with pytest.raises(AssertionError):
        check_reduction("mean", 27 / 8)


# 15. SupCon: NaN, self-pairs.


def check_separation(loss):
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    alone = loss(z, torch.arange(4))
    alone.sum().backward()
    assert alone.tolist() == [0] * 4
    assert z.grad.isfinite().all()
    pair = torch.eye(2)
    # Two of one class and nobody else: the softmax over the others is 1, unless an anchor pairs with itself.
    assert loss(pair, torch.zeros(2).long()).tolist() == pytest.approx([0, 0], abs=1e-6)


def with_itself(features, labels):
    z = F.normalize(features, dim=1)
    log_probability = (z @ z.T / 0.1).log_softmax(1)
    positive = (labels[:, None] == labels).float()
    return -(positive * log_probability).sum(1) / positive.sum(1)


def divides_by_zero(features, labels):
    z = F.normalize(features, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool)
    log_probability = (z @ z.T / 0.1).masked_fill(itself, -1e9).log_softmax(1)
    positive = ((labels[:, None] == labels) & ~itself).float()
    return -(positive * log_probability).sum(1) / positive.sum(1)


@pytest.mark.parametrize("mistake", [with_itself, divides_by_zero])
def test_15_no_nan_and_no_pair_with_oneself(mistake):
    check_separation(separation)
    with pytest.raises(AssertionError):
        check_separation(mistake)
    assert not has_positive(torch.arange(4)).any()


# 16. Losses that write into the logits.


def check_logits_stay(loss):
    z = torch.randn(5, 3)
    version = z._version
    loss(z, torch.tensor([0, 1, 2, 0, 1]))
    assert z._version == version


def writes_margins(logits, labels):
    logits[torch.arange(len(labels)), labels] -= 0.5
    return F.cross_entropy(logits, labels, reduction="none")


def test_16_losses_do_not_write_into_the_logits():
    adjusting = (ldam, balanced_softmax, logit_adjustment, cdt, vector_scaling, robal)
    for loss in (cross_entropy, focal, harl, *(partial(each, class_counts=(100, 10, 1)) for each in adjusting)):
        check_logits_stay(loss)
    with pytest.raises(AssertionError):
        check_logits_stay(writes_margins)


# 18. A class absent from a batch changes the others' loss.


def check_absent_class(weigh):
    losses, labels = torch.tensor([1.0, 3.0, 2.0, 5.0]), torch.tensor([0, 0, 1, 2])
    with_all = weigh(losses[:3], labels[:3], torch.tensor([1.0, 1.0, 9.0]))
    assert with_all.item() == pytest.approx(weigh(losses[:3], labels[:3], torch.tensor([1.0, 1.0, 2.0])).item())
    assert with_all.item() == pytest.approx(2.0)


def by_the_batchs_classes(losses, labels, weights):
    counts = torch.bincount(labels, minlength=3)
    batch = 1 / counts.clamp(min=1)
    return reduce_weighted(losses, (weights * batch / (weights * batch).mean())[labels], "mean")


def test_18_an_absent_class_changes_nothing():
    for reduction in ("weighted_mean", "mean"):
        check_absent_class(lambda losses, labels, weights, r=reduction: reduce_weighted(losses, weights[labels], r))
    with pytest.raises(AssertionError):
        check_absent_class(by_the_batchs_classes)


def test_18_in_a_step_of_the_trainer():
    data = Dataset(torch.rand(16, 1, 8, 8), torch.arange(16) % 4, tuple("abcd"))
    present = torch.nonzero(data.labels < 3).flatten()

    def step(weight_of_the_absent):
        training = fitting.set_up(replace(tiny(), attack=Natural()), make_fabric("cpu"), data, None, None)
        stage = training.stage(0)._replace(weights=torch.tensor([1.0, 1.0, 1.0, weight_of_the_absent]))
        rng = partial(generator, 0)
        return trainer.train_step(training, training.feed.batch(present, rng("augment")), stage, rng)

    assert torch.equal(step(1.0), step(78.0))


# 28. HARL: classes with a negative weight; classes that are absent.


def check_class_weights(loss):
    """Each class's part of the gradient points the way of its cross-entropy's."""
    z, labels = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
    z = (z + 3 * F.one_hot(labels, 4) * (labels < 2)[:, None]).requires_grad_()  # two classes are easy
    (ours,) = torch.autograd.grad(loss(z, labels).mean(), z)
    (plain,) = torch.autograd.grad(cross_entropy(z, labels).sum(), z)
    assert all((ours * plain)[labels == c].sum() >= 0 for c in range(4))


def check_absent_classes_are_left_out(loss):
    z, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    wider = torch.cat((z, torch.full((9, 2), -1e4)), dim=1)
    torch.testing.assert_close(loss(wider, labels), loss(z, labels))


def test_28_no_class_is_driven_up_and_no_absent_one_counts():
    check_class_weights(harl)
    check_absent_classes_are_left_out(harl)
    with pytest.raises(AssertionError):
        check_class_weights(partial(harl, floored=False))
    with pytest.raises(AssertionError):
        check_absent_classes_are_left_out(partial(harl, absent_as_zero=True))


# 29. Offsets and temperatures: written into logits and counts, taken from raw counts, served.


def check_adjusted(loss):
    z = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    labels, counts = torch.arange(9) % 3, [100, 10, 1]
    version, before = z._version, list(counts)
    value = loss(z, labels, counts)
    assert (z._version, counts) == (version, before)
    # Equal counts adjust nothing, and no class is favoured by their size.
    plain = cross_entropy(z, labels)
    torch.testing.assert_close(loss(z, labels, [50] * 3), plain)
    # Of rare classes more is asked, of common ones less.
    assert value[labels == 2].mean() > plain[labels == 2].mean()
    assert value[labels == 0].mean() < plain[labels == 0].mean()


def writes_offsets(logits, labels, counts):
    logits += torch.tensor(counts).log()
    return F.cross_entropy(logits, labels, reduction="none")


def writes_counts(logits, labels, counts):
    """The zero that REAT replaces, in the caller's list."""
    counts[-1] = max(counts[-1], 2)
    return balanced_softmax(logits, labels, counts)


def subtracts_the_prior(logits, labels, counts):
    return F.cross_entropy(logits - torch.tensor(counts).log(), labels, reduction="none")


def forgets_the_largest(logits, labels, counts):
    """Δ = n^−γ in the place of (n_max / n)^γ."""
    return F.cross_entropy(logits / torch.tensor(counts).pow(-0.3), labels, reduction="none")


@pytest.mark.parametrize("mistake", [writes_offsets, writes_counts, subtracts_the_prior, forgets_the_largest])
def test_29_logits_are_adjusted_and_nothing_else_is_touched(mistake):
    for loss in (balanced_softmax, logit_adjustment, vector_scaling):
        check_adjusted(loss)
    with pytest.raises(AssertionError):
        check_adjusted(mistake)


def check_served_is_balanced(loss, serve=lambda z, counts: z):
    """Of features that say nothing, what is trained and then served prefers no class."""
    counts = (90, 9, 1)
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    bias = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure():
        optimizer.zero_grad()
        value = loss(bias.expand(100, 3), labels, counts).mean()
        value.backward()
        return value

    optimizer.step(closure)
    served = serve(bias.detach(), counts)
    assert served.max() - served.min() < 0.02


def adjusted_by_the_head(z, counts):
    head = LinearHead(tau=1.0).served(nn.Identity(), counts).eval()
    return head(z[None])[0]


def test_29_what_is_served_is_balanced_once():
    plain = lambda z, y, counts: cross_entropy(z, y)  # noqa: E731
    check_served_is_balanced(balanced_softmax)
    check_served_is_balanced(logit_adjustment)
    check_served_is_balanced(plain, adjusted_by_the_head)
    for mistake in (
        (balanced_softmax, lambda z, counts: z + torch.tensor(counts).log()),  # the trained logits are served
        (balanced_softmax, adjusted_by_the_head),  # twice
        (plain,),  # not at all
    ):
        with pytest.raises(AssertionError):
            check_served_is_balanced(*mistake)


# 34. TRADES: a divergence of another reduction or direction, a clean side cut off, an attack from where it is flat.


def check_trades(divergence, monkeypatch):
    monkeypatch.setattr(robust_losses.trades, "kl_divergence", divergence)
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(8) % 5
    z, clean = (
        (2 * torch.randn(8, 5, generator=gen)).requires_grad_(),
        torch.randn(8, 5, generator=gen).requires_grad_(),
    )
    compared = References(labels, lambda logits: cross_entropy(logits, labels), clean)
    value = reduce_weighted(TRADES().outer(z, compared), torch.ones(8), "weighted_mean")
    p = clean.softmax(1)
    kl = F.kl_div(z.log_softmax(1), p, reduction="batchmean")
    expected = F.cross_entropy(clean, labels) + 6 * kl
    torch.testing.assert_close(value, expected)
    for ours, theirs in zip(*(torch.autograd.grad(v, (z, clean)) for v in (value, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def over_elements(p, q):
    return F.kl_div(q.log_softmax(1), p.softmax(1), reduction="none").mean(1)


def turned_round(p, q):
    return kl_divergence(q, p)


def of_logarithms(p, q):
    return F.kl_div(q.log_softmax(1), p.log_softmax(1), reduction="none").sum(1)


def cut_off(p, q):
    return kl_divergence(p.detach(), q)


def test_34_trades_is_what_it_says(monkeypatch):
    check_trades(kl_divergence, monkeypatch)


@pytest.mark.parametrize("mistake", [over_elements, turned_round, of_logarithms, cut_off])
def test_34_a_divergence_of_another_kind_is_seen(mistake, monkeypatch):
    with pytest.raises((AssertionError, RuntimeError)):
        check_trades(mistake, monkeypatch)


def check_attack_on_the_divergence(attack, model, images):
    """It finds images that the model takes for more different ones than the noise of the start alone makes."""
    model.double().eval()
    images = images.double()
    clean = model(images).detach()
    loss_at = lambda x: TRADES().inner(model(x), References(None, None, clean))  # noqa: E731
    start = attack.noise(images.shape, generator=torch.Generator().manual_seed(0))
    begun = images if start is None else (images + start).clamp(0, 1)
    assert attacks.input_gradient(loss_at, begun).abs().max() > 1e-8
    check(replace(compose(robust_loss="trades"), attack=attack))


def test_34_its_attack_begins_beside_the_image(model, images):
    check_attack_on_the_divergence(PGD(start_deviation=0.001), model, images)
    with pytest.raises(AssertionError):
        check_attack_on_the_divergence(PGD(random_start=False), model, images)
    with pytest.raises(UserError, match="random start"):
        check(replace(compose(robust_loss="trades"), attack=PGD(random_start=False)))


# 39. The tail by label.


def check_tail(loss):
    """Permuted classes permute the losses, and the anchors are those of the rarest classes."""
    counts = (500, 300, 120, 90, 60, 40, 19, 12, 7, 3)
    z, labels = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
    order = torch.from_numpy(np.random.default_rng(0).permutation(10))
    permuted = [counts[c] for c in order.argsort()]
    values = loss(z, labels, counts)
    torch.testing.assert_close(loss(z, order[labels], permuted), values)
    assert (values != 0).tolist() == [y >= 7 for y in labels.tolist()]


def with_the_last_labels(features, labels, class_counts, **options):
    """REAT's: anchors are of the labels from 2 ⌊C/3⌋ + 1 on, whatever their counts."""
    classes = len(class_counts)
    values = alignment_of_all(features, labels, class_counts, **options)
    return values * (labels >= 2 * (classes // 3) + 1)


def alignment_of_all(features, labels, class_counts, *, reduction="sum", signs=(-1, 1), detach=True):
    """The alignment of each example as an anchor, pair by pair."""
    log_q = features.log_softmax(1)
    log_p = log_q.detach() if detach else log_q
    v = (sum(class_counts) / torch.tensor(class_counts)).sqrt()[labels]
    kl = (log_p.exp()[:, None] * (log_p[:, None] - log_q)).sum(2)
    same = labels[:, None] == labels
    weighed = torch.where(same, *map(float, signs)) * (v[:, None] + v) * kl
    return weighed.mean(1) / (1 if reduction == "sum" else features.shape[1])


def test_39_anchors_of_the_tail_follow_the_counts_not_the_labels():
    check_tail(tail_alignment)
    with pytest.raises(AssertionError):
        check_tail(with_the_last_labels)


# 42. REAT's tail alignment: KLDivLoss's mean for the sum, signs turned round, anchors that move.


def check_alignment(loss):
    """KL divergences in nats, that drive a feature of the anchor's class away, and leave the anchor where it is."""
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels, counts = torch.tensor([1, 1, 0]), (4, 1)
    value = loss(z, labels, counts)[0]
    p, (v_common, v_rare) = z[0].softmax(0), (math.sqrt(5 / 4), math.sqrt(5))
    own, other = (F.kl_div(z[j].log_softmax(0), p, reduction="sum").item() for j in (1, 2))
    assert value.item() == pytest.approx(((v_rare + v_common) * other - 2 * v_rare * own) / 3, rel=1e-4)
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient[0].abs().max() < 1e-6
    assert gradient[1:].abs().amax(1).min() > 1e-3


def test_42_tail_alignment_is_what_it_says():
    check_alignment(tail_alignment)
    check_alignment(alignment_of_all)
    for mistake in ({"reduction": "reat"}, {"signs": (1, -1)}, {"signs": (1, 1)}, {"detach": False}):
        with pytest.raises(AssertionError):
            check_alignment(partial(alignment_of_all, **mistake))
    with pytest.raises(AssertionError):
        check_alignment(partial(tail_alignment, reduction="reat"))


# 43. Prototypes that have a gradient, and those of classes that have not come.


def check_prototypes(kind):
    """A class that has not come repels nobody, and what is remembered belongs to no graph."""
    z, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 1])
    loss, prototypes = PrototypeSeparation(), kind(5, 3, momentum=0.9, normalize=True)
    torch.testing.assert_close(loss(z, labels, prototypes).values, separation(z, labels))
    first = z.clone().requires_grad_()
    prototypes.remember(first, labels)
    assert not prototypes.features.requires_grad
    # Of two classes that came there are two, not five.
    means = torch.stack([F.normalize(z[labels == c]).mean(0) for c in (0, 1)])
    together = separation_of(z, labels, 0.1, normalize=True, others=(means, torch.tensor([0, 1])))
    torch.testing.assert_close(loss(z, labels, prototypes).values, together)


class OfAllClasses(Prototypes):
    """A class that has not come has a prototype at the origin."""

    def __init__(self, classes, dimensions, **options):
        super().__init__(classes, dimensions, **options)
        self.labels.copy_(torch.arange(classes))


class OfTheGraph(Prototypes):
    """The graph of each step hangs on to the next."""

    def remember(self, features, labels):
        super().remember(features, labels)
        own = F.normalize(features[labels == labels[0]]).mean(0)
        self.features = torch.cat((own[None], self.features[1:]))


def test_43_prototypes_are_of_classes_that_came_and_have_no_gradient():
    check_prototypes(Prototypes)
    for mistake in (OfAllClasses, OfTheGraph):
        with pytest.raises(AssertionError):
            check_prototypes(mistake)
