"""The cross-entropy of adjusted logits against loops, hand-computed values, and the losses that it contains."""

import math

import pytest
import torch

from srat import losses
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.members import members
from srat.losses import CDT, HARL, LDAM, BalancedSoftmax, CrossEntropy, LogitAdjustment, Loss, RoBal, VectorScaling
from srat.losses.base import SmoothedLoss

COUNTS = (1000, 100, 10)
SMOOTHED = [kind for kind in members(Loss).values() if issubclass(kind, SmoothedLoss)]


@pytest.fixture
def logits(rng):
    return 4 * torch.randn(7, 3, generator=rng)


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 2, 0, 1, 2, 2])


def by_loops(logits, labels, delta, b, m, smoothing=0.0):
    """Return the formula of the family, in Python's numbers: functions of a class give Δ, b and m."""
    values = []
    for z, y in zip(logits.double().tolist(), labels.tolist(), strict=True):
        adjusted = [x / delta(j) + b(j) - (m(j) if j == y else 0) for j, x in enumerate(z)]
        log_sum = math.log(sum(math.exp(x) for x in adjusted))
        surprises = [log_sum - x for x in adjusted]
        values.append((1 - smoothing) * surprises[y] + smoothing * sum(surprises) / len(z))
    return torch.tensor(values)


def one(_):
    return 1.0


def zero(_):
    return 0.0


def log_share(tau):
    return lambda j: tau * math.log(COUNTS[j] / sum(COUNTS))


CASES = [
    (BalancedSoftmax(tau=0.7), one, lambda j: 0.7 * math.log(COUNTS[j]), zero),
    (LogitAdjustment(tau=1.3), one, log_share(1.3), zero),
    (CDT(gamma=0.4), lambda j: (1000 / COUNTS[j]) ** 0.4, zero, zero),
    (VectorScaling(gamma=0.2, tau=1.2), lambda j: (1000 / COUNTS[j]) ** 0.2, log_share(1.2), zero),
    (LDAM(scale=8.0), one, zero, lambda j: 8 * 0.5 * (10 / COUNTS[j]) ** 0.25),
    (RoBal(scale=10.0), one, log_share(1.5), lambda j: 10 * (0.1 + 0.3 / 10 * math.log(COUNTS[j] / 10))),
]


@pytest.mark.parametrize(("loss", "delta", "b", "m"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_is_the_familys_formula(loss, delta, b, m, logits, labels):
    torch.testing.assert_close(loss(logits, labels, COUNTS), by_loops(logits, labels, delta, b, m))


@pytest.mark.parametrize("kind", [CrossEntropy, BalancedSoftmax, LogitAdjustment, CDT, VectorScaling])
def test_smoothing_is_a_mixture(kind, logits, labels):
    """(1 − s) CE + s · mean_j(−log p_j), the latter as the mean of the losses against each class."""
    sharp, smooth = kind(), kind(smoothing=0.15)
    every = torch.stack([sharp(logits, torch.full_like(labels, j), COUNTS) for j in range(3)])
    expected = 0.85 * sharp(logits, labels, COUNTS) + 0.15 * every.mean(dim=0)
    torch.testing.assert_close(smooth(logits, labels, COUNTS), expected)


@pytest.mark.parametrize("kind", SMOOTHED, ids=lambda kind: kind.name)
def test_a_little_smoothing_is_not_none(kind, logits, labels):
    assert torch.equal(kind(smoothing=0.0)(logits, labels, COUNTS), kind()(logits, labels, COUNTS))
    assert not torch.allclose(kind(smoothing=0.1)(logits, labels, COUNTS), kind()(logits, labels, COUNTS))


def test_a_margin_is_smoothed_with_the_rest(logits, labels):
    """All of p is that of the lowered logits."""
    _, delta, b, m = CASES[-1]
    expected = by_loops(logits, labels, delta, b, m, smoothing=0.2)
    torch.testing.assert_close(RoBal(smoothing=0.2)(logits, labels, COUNTS), expected)


def test_smoothed_cross_entropy_by_hand():
    # p = (3/4, 1/4); half of the label is spread: (1 − 1/4) for class 0, 1/4 for class 1.
    value = losses.cross_entropy(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]), smoothing=0.5)
    assert value.item() == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


def test_focal_without_focus_is_cross_entropy_without_smoothing(logits, labels):
    assert torch.equal(losses.focal(logits, labels, gamma=0.0), losses.cross_entropy(logits, labels, smoothing=0.0))


def test_balanced_softmax_by_hand():
    # Equal logits and counts 3 : 1 make p = (3/4, 1/4).
    z, y = torch.zeros(2, 2), torch.tensor([0, 1])
    expected = [math.log(4 / 3), math.log(4)]
    assert losses.balanced_softmax(z, y, (3, 1)).tolist() == pytest.approx(expected)
    assert losses.logit_adjustment(z, y, (3, 1)).tolist() == pytest.approx(expected)


def test_cdt_by_hand():
    # (16 / 1)^0.5 = 4: logits 2 and 2 become 2 and 1/2.
    value = losses.cdt(torch.tensor([[2.0, 2.0]]), torch.tensor([1]), (16, 1), gamma=0.5)
    assert value.item() == pytest.approx(math.log(1 + math.exp(1.5)))


@pytest.mark.parametrize(("gamma", "largest"), [(0.3, 3.98), (0.2, 2.51), (0.15, 2.0)])
def test_temperatures_of_a_ratio_of_100(gamma, largest):
    z, y = torch.tensor([[0.0, 1.0]]), torch.tensor([1])
    value = losses.cdt(z, y, (5000, 50), gamma=gamma).item()
    assert 1 / -math.log(math.exp(value) - 1) == pytest.approx(largest, abs=0.005)


class TestIdentities:
    def test_on_equal_counts_all_are_cross_entropy(self, logits, labels):
        expected = losses.cross_entropy(logits, labels)
        for loss in (BalancedSoftmax(), LogitAdjustment(), CDT(), VectorScaling(), RoBal(min_margin=0.0)):
            torch.testing.assert_close(loss(logits, labels, (70, 70, 70)), expected)

    def test_counts_and_shares_differ_by_a_constant(self, logits, labels):
        for tau in (0.5, 1.0, 2.0):
            counts, shares = BalancedSoftmax(tau=tau), LogitAdjustment(tau=tau)
            torch.testing.assert_close(counts(logits, labels, COUNTS), shares(logits, labels, COUNTS))

    def test_vector_scaling_has_both(self, logits, labels):
        without_temperatures, without_offsets = VectorScaling(gamma=0.0), VectorScaling(tau=0.0)
        expected = LogitAdjustment()(logits, labels, COUNTS)
        torch.testing.assert_close(without_temperatures(logits, labels, COUNTS), expected)
        assert torch.equal(without_offsets(logits, labels, COUNTS), CDT()(logits, labels, COUNTS))

    def test_of_nothing_all_are_cross_entropy(self, logits, labels):
        expected = losses.cross_entropy(logits, labels)
        nothing = RoBal(min_margin=0.0, tau_b=0.0, tau_m=0.0)
        for loss in (BalancedSoftmax(tau=0.0), LogitAdjustment(tau=0.0), CDT(gamma=0.0), nothing):
            assert torch.equal(loss(logits, labels, COUNTS), expected)

    def test_a_robal_of_one_margin_and_no_offset_is_an_ldam_of_equal_counts(self, logits, labels):
        robal = losses.robal(logits, labels, COUNTS, min_margin=0.5, scale=10.0, tau_b=0.0, tau_m=0.0)
        torch.testing.assert_close(robal, losses.ldam(logits, labels, (7, 7, 7), max_margin=0.5, scale=10.0))


class TestRoBal:
    counts = tuple(int(5000 * 50 ** (-c / 9)) for c in range(10))

    def test_margins_of_its_main_configuration(self):
        margins = losses.robal_margins(self.counts)
        assert margins[0].item() == pytest.approx(0.217, abs=5e-4)
        assert margins[-1].item() == pytest.approx(0.1)

    def test_common_classes_get_wider_margins(self):
        margins = losses.robal_margins(self.counts).tolist()
        assert margins == sorted(margins, reverse=True)
        assert losses.ldam_margins(self.counts).tolist() == sorted(losses.ldam_margins(self.counts).tolist())
        assert losses.robal_margins((50, 5, 500)).tolist() == pytest.approx(
            [0.1 + 0.03 * math.log(10), 0.1, 0.1 + 0.03 * math.log(100)]
        )

    def test_offsets_of_its_main_configuration(self):
        # With equal logits and no margin, the loss of a class is −ln softmax(1.5 · ln π).
        z, y = torch.zeros(10, 10), torch.arange(10)
        loss = losses.robal(z, y, self.counts, min_margin=0.0, tau_m=0.0).double()
        powers = torch.tensor(self.counts, dtype=torch.float64) / sum(self.counts)
        offsets = -loss + powers.pow(1.5).sum().log()
        assert (offsets[0].item(), offsets[-1].item()) == pytest.approx((-1.5, -7.4), abs=0.05)

    def test_agrees_with_the_form_of_its_authors(self, logits, labels):
        """Cosines go in, and the loss scales: CE(s · (cos θ − m_y e_y) + τ_b · ln π, y)."""
        s, cosines, n = 10.0, logits / 10, torch.tensor(COUNTS).double()
        wanted = []
        for x, y in zip(cosines.double(), labels, strict=True):
            lowered = x.clone()
            lowered[y] -= 0.1 + 0.3 / s * (n[y] / n.min()).log()
            wanted.append(-(s * lowered + 1.5 * (n / n.sum()).log()).log_softmax(0)[y])
        torch.testing.assert_close(losses.robal(logits, labels, COUNTS), torch.stack(wanted).float())

    def test_wants_a_cosine_head_of_its_scale(self):
        head = RoBal(scale=16.0).head
        assert (head.name, head.scale, head.gamma) == ("cosine", 16.0, 1 / 32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_left_before_counts_come_in(dtype, labels, rng):
    """ln 5,000,000 is 15.4, of which bfloat16 keeps two digits."""
    z, counts = torch.randn(7, 3, generator=rng).to(dtype), (5_000_000, 4_900_000, 3)
    for loss in (BalancedSoftmax(), LogitAdjustment(), VectorScaling(), RoBal(), HARL()):
        value = loss(z, labels, counts)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(z.float(), labels, counts))


def test_aliases():
    kinds = {"bsl": BalancedSoftmax, "la": LogitAdjustment, "vs": VectorScaling}
    assert {word: type(compose(loss=word).loss) for word in kinds} == kinds


@pytest.mark.parametrize(
    "make",
    [
        lambda: BalancedSoftmax(tau=-0.1),
        lambda: LogitAdjustment(tau=101.0),
        lambda: CDT(gamma=1.5),
        lambda: VectorScaling(gamma=-1.0),
        lambda: VectorScaling(tau=-1.0),
        lambda: RoBal(min_margin=3.0),
        lambda: RoBal(scale=0.0),
        lambda: RoBal(tau_b=-1.0),
        lambda: RoBal(tau_m=-1.0),
        lambda: CrossEntropy(smoothing=1.1),
        lambda: LDAM(smoothing=-0.1),
        lambda: losses.cross_entropy(torch.zeros(1, 3), torch.tensor([0]), smoothing=-0.1),
        *[
            lambda f=f: f(torch.zeros(1, 3), torch.tensor([0]), (5, 0, 3))
            for f in (losses.balanced_softmax, losses.logit_adjustment, losses.cdt, losses.vector_scaling, losses.robal)
        ],
        lambda: losses.balanced_softmax(torch.zeros(1, 3), torch.tensor([0]), (5, 3)),
        lambda: losses.robal_margins((5, 0, 3)),
    ],
)
def test_refuses_what_is_out_of_range(make):
    with pytest.raises(UserError, match="expected"):
        make()


@pytest.mark.parametrize("kind", members(Loss).values(), ids=lambda kind: kind.name)
def test_whether_it_balances_is_what_it_does_to_features_that_say_nothing(kind):
    """At equal logits, what does not balance asks for more of the common class."""
    counts, bias = (64, 8), torch.zeros(2, requires_grad=True)
    labels = torch.arange(2).repeat_interleave(torch.tensor(counts))
    loss = RoBal(min_margin=0.0, tau_m=0.0) if kind is RoBal else kind()  # margins ask for more of every class
    (gradient,) = torch.autograd.grad(loss(bias.expand(72, 2), labels, counts).mean(), bias)
    assert loss.balances == bool(gradient[0] > -1e-3)


def test_an_offset_of_nothing_balances_nothing():
    nothing = (BalancedSoftmax(tau=0.0), LogitAdjustment(tau=0.0), VectorScaling(tau=0.0), RoBal(tau_b=0.0))
    assert not any(loss.balances for loss in nothing)
