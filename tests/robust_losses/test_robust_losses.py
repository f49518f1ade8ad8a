"""Robust losses against hand-computed values, loops, PyTorch's own divergence, and finite differences."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from refusals import refusing
from srat import UserError
from srat.attacks import FGSM, NFGSM, PGD, Natural, PGDMargin, ZeroGrad, input_gradient
from srat.config.checks import check
from srat.config.composition import compose
from srat.core.members import members
from srat.losses import cross_entropy
from srat.optimization.averaging import EMA
from srat.robust_losses import (
    MART,
    TRADES,
    CalibratedTRADES,
    Consistency,
    Distillation,
    Mixture,
    References,
    RobustLoss,
    Standard,
    kl_divergence,
    teacher_divergence,
    uncertain_divergence,
    wrong_class_loss,
)

EVERY = [
    Standard(),
    TRADES(),
    TRADES(detach_clean=True),
    TRADES(weighted="prediction"),
    CalibratedTRADES(),
    Consistency(),
    MART(),
    Mixture(share=0.3),
    Distillation(temperature=2.0),
    Distillation(maximises="divergence"),
]


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 2, 0, 1, 2, 2])


@pytest.fixture
def logits(rng):
    return {name: 3 * torch.randn(7, 3, generator=rng) for name in ("adversarial", "clean", "teacher")}


def compared(labels, clean, teacher):
    weights, factors = (torch.tensor(each)[labels] for each in ([0.5, 1.0, 2.0], [0.5, 0.9, 1.5]))
    return References(
        labels, lambda z: F.cross_entropy(z, labels, reduction="none"), clean, teacher, weights=weights, factors=factors
    )


def outer(loss, labels, adversarial, clean, teacher):
    return loss.outer(adversarial, compared(labels, clean, teacher))


def inner(loss, labels, adversarial, clean, teacher):
    return loss.inner(adversarial, compared(labels, clean, teacher))


def test_every_robust_loss_of_the_family_is_tested():
    assert {loss.name for loss in EVERY} == set(members(RobustLoss))


@pytest.mark.parametrize("side", [inner, outer])
@pytest.mark.parametrize("loss", EVERY, ids=repr)
class TestEveryRobustLoss:
    def test_is_one_finite_number_per_example(self, loss, side, labels, logits):
        value = side(loss, labels, **logits)
        assert value.shape == labels.shape
        assert value.isfinite().all()

    def test_treats_examples_apart(self, loss, side, labels, logits):
        whole = side(loss, labels, **logits)
        single = [side(loss, labels[i : i + 1], **{k: z[i : i + 1] for k, z in logits.items()}) for i in range(7)]
        torch.testing.assert_close(whole, torch.cat(single))

    def test_leaves_the_logits_as_they_are(self, loss, side, labels, logits):
        versions = [z._version for z in logits.values()]
        side(loss, labels, **logits)
        assert [z._version for z in logits.values()] == versions

    def test_gradient(self, loss, side, labels, logits):
        z, clean, teacher = (logits[name].double() for name in ("adversarial", "clean", "teacher"))
        z.requires_grad_()
        assert torch.autograd.gradcheck(lambda z: side(loss, labels, z, clean, teacher), (z,))

    def test_stays_finite_with_extreme_logits(self, loss, side, labels):
        z, clean = ((1e4 * torch.eye(3)[y]).requires_grad_() for y in (labels, (labels + 1) % 3))
        value = side(loss, labels, z, clean, clean.detach())
        value.sum().backward()
        assert value.isfinite().all()
        assert z.grad.isfinite().all()
        assert clean.grad is None or clean.grad.isfinite().all()


# The divergence.


def test_divergence_by_hand():
    # p = (3/4, 1/4), q = (1/2, 1/2): 3/4 log(3/2) + 1/4 log(1/2); the other way round 1/2 log(2/3) + 1/2 log 2.
    p, q = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    assert kl_divergence(p, q).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_divergence(q, p).item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))


def test_divergence_is_pytorchs_batchmean(logits):
    clean, z = logits["clean"], logits["adversarial"]
    theirs = F.kl_div(z.log_softmax(1), clean.softmax(1), reduction="batchmean")
    torch.testing.assert_close(kl_divergence(clean, z).mean(), theirs)


def test_divergence_is_that_of_the_two_distributions(logits):
    p, q = (torch.distributions.Categorical(logits=logits[name]) for name in ("clean", "adversarial"))
    theirs = torch.distributions.kl_divergence(p, q)
    torch.testing.assert_close(kl_divergence(logits["clean"], logits["adversarial"]), theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_half_precision_it_is_in_fp32(dtype, logits):
    clean, z = logits["clean"].to(dtype), logits["adversarial"].to(dtype)
    assert torch.equal(kl_divergence(clean, z), kl_divergence(clean.float(), z.float()))
    y = torch.zeros(7, dtype=torch.long)
    assert torch.equal(wrong_class_loss(z, y), wrong_class_loss(z.float(), y))
    assert torch.equal(uncertain_divergence(clean, z, y), uncertain_divergence(clean.float(), z.float(), y))


def test_its_gradient_is_p_minus_q_and_goes_through_both_sides(logits):
    clean, z = (logits[name].double().requires_grad_() for name in ("clean", "adversarial"))
    kl_divergence(clean, z).sum().backward()
    torch.testing.assert_close(z.grad, (z.softmax(1) - clean.softmax(1)).detach())
    assert torch.autograd.gradcheck(lambda c: kl_divergence(c, z.detach()), (clean,))
    assert clean.grad.abs().min() > 0


# TRADES.


def probabilities(z):
    """Return softmax by loops, in plain Python."""
    rows = [[math.exp(value - max(row)) for value in row] for row in z.tolist()]
    return [[value / sum(row) for value in row] for row in rows]


def test_trades_is_a_naive_loop(labels, logits):
    logits = {name: z.double() for name, z in logits.items()}
    p, q = probabilities(logits["clean"]), probabilities(logits["adversarial"])
    expected = []
    for i, y in enumerate(labels.tolist()):
        kl = sum(p[i][j] * (math.log(p[i][j]) - math.log(q[i][j])) for j in range(3))
        expected.append(-math.log(p[i][y]) + 6 * kl)
    assert outer(TRADES(), labels, **logits).tolist() == pytest.approx(expected)


def test_trades_without_beta_is_natural_training(labels, logits):
    natural = F.cross_entropy(logits["clean"], labels, reduction="none")
    assert torch.equal(outer(TRADES(beta=0.0), labels, **logits), natural)


def test_trades_attacks_the_divergence_whatever_the_label(labels, logits):
    kl = kl_divergence(logits["clean"], logits["adversarial"])
    assert torch.equal(inner(TRADES(beta=0.0), labels, **logits), kl)
    assert torch.equal(inner(TRADES(), labels.flip(0), **logits), kl)


@pytest.mark.parametrize("detached", [False, True])
def test_trades_has_its_gradient_through_the_clean_side_as_declared(detached, labels, logits):
    clean = logits["clean"].requires_grad_()
    z = logits["adversarial"]
    outer(TRADES(detach_clean=detached), labels, z, clean, None).sum().backward()
    (of_cross_entropy,) = torch.autograd.grad(cross_entropy(clean, labels).sum(), clean)
    (of_divergence,) = torch.autograd.grad(6 * kl_divergence(clean, z).sum(), clean)
    expected = of_cross_entropy + (0 if detached else of_divergence)
    torch.testing.assert_close(clean.grad, expected)
    assert of_divergence.norm() > 0.1


def test_the_divergence_is_flat_at_the_image_and_nowhere_else(rng):
    weight = torch.randn(3, 12, generator=rng, dtype=torch.float64)
    images = torch.rand(4, 3, 2, 2, generator=rng, dtype=torch.float64)
    at = lambda x: x.flatten(1) @ weight.T  # noqa: E731
    loss_at = lambda x: TRADES().inner(at(x), compared(None, at(images), None))  # noqa: E731
    assert input_gradient(loss_at, images).abs().max() < 1e-12
    noise = PGD(start_deviation=0.001).noise(images.shape, generator=rng)
    assert noise.std().item() == pytest.approx(0.001, rel=0.3)
    assert input_gradient(loss_at, images + noise).flatten(1).abs().amax(1).min() > 1e-5


# MART.


def test_mart_by_hand():
    # p(x') = (1/2, 1/3, 1/6), p(x) = (3/4, 1/8, 1/8), y = 0: the best wrong class has 1/3.
    z, clean = torch.tensor([[1 / 2, 1 / 3, 1 / 6]]).log(), torch.tensor([[3 / 4, 1 / 8, 1 / 8]]).log()
    kl = 3 / 4 * math.log(3 / 2) + 1 / 8 * math.log(3 / 8) + 1 / 8 * math.log(6 / 8)
    expected = math.log(2) - math.log(1.0001 - 1 / 3) + 5 * kl * (1 / 4)
    assert outer(MART(), torch.tensor([0]), z, clean, None).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("label", "wrong"), [(0, 1 / 3), (1, 1 / 2), (2, 1 / 2)])
def test_the_best_wrong_class_is_the_second_best_where_the_label_is_the_best(label, wrong):
    z = torch.tensor([[1 / 2, 1 / 3, 1 / 6]]).log()
    assert wrong_class_loss(z, torch.tensor([label])).item() == pytest.approx(-math.log(1.0001 - wrong), rel=1e-5)


def test_mart_is_a_naive_loop(labels, logits):
    logits = {name: z.double() for name, z in logits.items()}
    p, q = probabilities(logits["clean"]), probabilities(logits["adversarial"])
    expected = []
    for i, y in enumerate(labels.tolist()):
        wrong = max(q[i][j] for j in range(3) if j != y)
        kl = sum(p[i][j] * (math.log(p[i][j]) - math.log(q[i][j])) for j in range(3))
        boosted = -math.log(q[i][y]) - math.log(1.0001 - wrong + 1e-12)
        expected.append(boosted + 2.5 * kl * (1.0000001 - p[i][y]))
    assert outer(MART(beta=2.5), labels, **logits).tolist() == pytest.approx(expected)


def test_marts_certainty_of_the_clean_image_has_its_gradient(labels, logits):
    z, clean = logits["adversarial"].double(), logits["clean"].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: uncertain_divergence(c, z, labels), (clean,))


def test_mart_attacks_the_prediction_loss(labels, logits):
    assert torch.equal(
        inner(MART(), labels, **logits), F.cross_entropy(logits["adversarial"], labels, reduction="none")
    )


@pytest.mark.parametrize("function", [wrong_class_loss, lambda z, y: uncertain_divergence(z, z, y)])
def test_labels_that_are_of_no_class_are_refused(function):
    with pytest.raises(UserError, match="label"):
        function(torch.zeros(2, 3), torch.tensor([0, 3]))


# Mixture and distillation.


def test_a_mixture_has_both_ends(labels, logits):
    clean, adversarial = (F.cross_entropy(logits[n], labels, reduction="none") for n in ("clean", "adversarial"))
    assert torch.equal(outer(Mixture(share=0.0), labels, **logits), clean)
    assert torch.equal(outer(Mixture(share=1.0), labels, **logits), adversarial)
    torch.testing.assert_close(outer(Mixture(share=0.25), labels, **logits), 0.75 * clean + 0.25 * adversarial)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_distillation_is_pytorchs_divergence(temperature, logits):
    z, teacher = logits["adversarial"], logits["teacher"]
    theirs = F.kl_div((z / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(teacher_divergence(teacher, z, temperature), temperature**2 * theirs)


def test_the_gradient_of_distillation_keeps_its_size(logits):
    def size(temperature):
        z = (0.01 * logits["adversarial"]).requires_grad_()
        teacher_divergence(0.01 * logits["teacher"], z, temperature).sum().backward()
        return z.grad.norm().item()

    # Of small logits the gradient is (z − z_t) / C whatever T is.
    assert size(8.0) == pytest.approx(size(1.0), rel=0.05)


def test_distillation_mixes_label_and_teacher(labels, logits):
    z, teacher = logits["adversarial"], logits["teacher"]
    entropy = F.cross_entropy(z, labels, reduction="none")
    value = outer(Distillation(weight=0.3, temperature=2.0), labels, **logits)
    torch.testing.assert_close(value, 0.7 * entropy + 0.3 * teacher_divergence(teacher, z, 2.0))
    assert torch.equal(inner(Distillation(), labels, **logits), entropy)
    own = inner(Distillation(maximises="divergence", temperature=2.0), labels, **logits)
    assert torch.equal(own, teacher_divergence(teacher, z, 2.0))


# Settings, and what goes with what.


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (TRADES, "beta", -1.0),
        (MART, "beta", -0.5),
        (Mixture, "share", 1.5),
        (Mixture, "share", -0.1),
        (Distillation, "weight", 2.0),
        (Distillation, "temperature", 0.0),
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    with refusing(f"robust_loss.{field}", value):
        kind(**{field: value})


@pytest.mark.parametrize("attack", [Natural(), FGSM(), PGD(random_start=False), PGDMargin(random_start=False)])
def test_trades_refuses_an_attack_that_begins_at_the_image(attack):
    config = replace(compose(robust_loss="trades"), attack=attack)
    with pytest.raises(UserError, match=f"`attack`: expected one with a random start, got {attack.name}; .*trades"):
        check(config)
    check(replace(config, robust_loss=MART()))  # whose attack is on the prediction loss


@pytest.mark.parametrize(
    "attack", [FGSM(random_start=True), PGD(), PGD(start_deviation=0.001), PGDMargin(), NFGSM(), ZeroGrad()]
)
def test_trades_takes_an_attack_that_begins_beside_it(attack):
    check(replace(compose(robust_loss="trades"), attack=attack))


def test_the_average_can_teach_where_there_is_one():
    config = compose(robust_loss="distillation")
    with pytest.raises(UserError, match="`averaging`: expected one, the teacher of `robust_loss` distillation"):
        check(config)
    check(replace(config, averaging=EMA()))


def test_a_command_says_at_once_what_does_not_go_together(cli, tmp_path):
    words = ("train", "--robust-loss", "trades", "--attack", "fgsm", "--epochs", 1, "--out", tmp_path / "run")
    code, _, err = cli(*words)
    assert code == 2
    assert "--attack: expected one with a random start, got fgsm" in err
    assert not (tmp_path / "run").exists()


def test_a_command_takes_settings_that_go_together_in_the_end(cli, tmp_path):
    tiny = ("--model", "small-cnn", "--model.width", 2, "--epochs", 1, "--out", tmp_path / "run")
    words = ("train", "--robust-loss", "trades", "--attack", "fgsm", "--attack.random-start", *tiny)
    code, _, err = cli(*words)
    assert code == 0, err


def test_the_name_of_a_method_is_of_its_robust_loss_too():
    assert compose(method="ce", robust_loss="trades").method == "trades"
    assert compose(method="ce", robust_loss="mixture").method == "custom"
    assert compose(compose(robust_loss="trades"), method="ce").robust_loss == Standard()


# Losses that the methods of the field add.


def entropies(z, labels):
    return [-math.log(math.exp(row[y]) / sum(math.exp(each) for each in row)) for row, y in zip(z, labels, strict=True)]


def divergences(clean, z):
    return [
        sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        for p, q in zip(clean.softmax(1).tolist(), z.softmax(1).tolist(), strict=True)
    ]


def test_consistency_by_loops(labels, logits):
    z, clean = logits["adversarial"].double(), logits["clean"].double()
    of_attacked, between = entropies(z.tolist(), labels.tolist()), divergences(clean, z)
    wanted = [ce + 2.5 * kl for ce, kl in zip(of_attacked, between, strict=True)]
    got = Consistency(beta=2.5).outer(z, compared(labels, clean, None))
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize("name", ["trades", "mart", "consistency", "trades-calibrated"])
def test_a_divergence_may_leave_the_clean_side_alone(name, labels, logits):
    """Of β's part no gradient comes to the clean logits; the value is the same."""
    part = {}
    for detach in (False, True):
        loss = replace(compose(robust_loss=name).robust_loss, detach_clean=detach)
        z, clean = logits["adversarial"].double(), logits["clean"].double().requires_grad_()
        references = compared(labels, clean, None)._replace(prediction=lambda z: torch.zeros(len(z)).double())
        value = loss.outer(z.clone().requires_grad_(), references)
        value.sum().backward()
        part[detach] = value.detach(), torch.zeros(7, 3) if clean.grad is None else clean.grad
    torch.testing.assert_close(part[False][0], part[True][0])
    assert part[False][1].abs().max() > 0
    assert part[True][1].abs().max() == 0


def test_consistency_without_its_term_is_standard(labels, logits):
    given = logits["adversarial"], compared(labels, logits["clean"], None)
    assert torch.equal(Consistency(beta=0.0).outer(*given), Standard().outer(*given))
    assert torch.equal(Consistency().inner(*given), Standard().inner(*given))


def test_calibrated_trades_by_loops(labels, logits):
    z, clean = logits["adversarial"].double(), logits["clean"].double()
    factors = torch.tensor([0.5, 0.9, 1.5], dtype=torch.float64)  # λ₂ + A_c of accuracies 0, 0.4 and 1
    ratios = [6 * factors[y].item() for y in labels]
    shares = [ratio / (1 + ratio) for ratio in ratios]
    of_clean, between = entropies(clean.tolist(), labels.tolist()), divergences(clean, z)
    wanted = [(1 - b) * ce + b * kl for b, ce, kl in zip(shares, of_clean, between, strict=True)]
    got = CalibratedTRADES().outer(z, compared(labels, clean, None)._replace(factors=factors[labels]))
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64))


def test_class_weights_leave_the_divergence_alone_where_they_are_the_predictions(labels, logits):
    references = compared(labels, logits["clean"], None)
    alone = TRADES(weighted="prediction").outer(logits["adversarial"], references) * references.weights
    of_clean = F.cross_entropy(logits["clean"], labels, reduction="none")
    between = kl_divergence(logits["clean"], logits["adversarial"])
    torch.testing.assert_close(alone, references.weights * of_clean + 6 * between)


def test_the_beta_of_a_class_follows_its_accuracy_in_training():
    learning = CalibratedTRADES(start=0.0).feedback(classes=3)
    assert learning.factors.tolist() == [1, 1, 1]
    right = torch.eye(3)[[0, 0, 1, 0]]  # the last of class 1 is taken for 0; of class 2 there is none
    learning.observe(torch.tensor([0, 0, 1, 1]), right)
    learning.close(0, epochs=10, held_out=None)
    assert learning.factors.tolist() == [1.5, 1.0, 1.0]


def test_calibrated_trades_learns_by_its_own_settings():
    learning = CalibratedTRADES(offset=0.2, start=0.5).feedback(classes=2)
    factors = []
    for epoch in range(2):
        learning.observe(torch.tensor([0, 1]), torch.eye(2)[[0, 0]])
        learning.close(epoch, epochs=4, held_out=None)
        factors.append(learning.factors.tolist())
    assert factors == [[1, 1], pytest.approx([1.2, 0.2])]
