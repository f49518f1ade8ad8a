"""What training tells of the classes, against loops and numbers by hand."""

import itertools
import math

import pytest
import torch

from srat.attacks.budgets import CFA, DAFA, FRL, calibrated, remargin
from srat.core.errors import UserError
from srat.data.imbalance import exponential_counts
from srat.feedback import HeldOut, SimilarityFeedback, first_epoch, similarity_factors
from srat.weightings.dafa_weighting import DAFAWeighting
from srat.weightings.held_out_weighting import HeldOutWeighting, reweighted


def by_pairs(similarity, strength):
    """DAFA's rule, one pair after another."""
    n = len(similarity)
    factors = [1.0] * n
    for i in range(n):
        for j in range(n):
            if similarity[i][i] < similarity[j][j]:
                moved = strength * similarity[i][j] * similarity[j][j]
                factors[i] += moved
                factors[j] -= moved
    return factors


def a_matrix(classes=7):
    return torch.rand(classes, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(dim=1)


@pytest.mark.parametrize("strength", [0.0, 1.0, 1.5])
def test_similarity_factors_are_those_of_all_pairs(strength):
    factors = similarity_factors(a_matrix(), strength)
    assert factors.tolist() == pytest.approx(by_pairs(a_matrix().tolist(), strength))
    assert float(factors.sum()) == pytest.approx(7)


def test_similarity_factors_by_hand():
    # Of class 0 half is right, of class 1 nine tenths; 0.3 of class 0 is taken for 1: 0.3 · 0.9 goes over.
    s = torch.tensor([[0.5, 0.3, 0.2], [0.05, 0.9, 0.05], [0.1, 0.2, 0.7]])
    to_0_of_1, to_0_of_2, to_2_of_1 = 0.3 * 0.9, 0.2 * 0.7, 0.2 * 0.9
    expected = [1 + to_0_of_1 + to_0_of_2, 1 - to_0_of_1 - to_2_of_1, 1 - to_0_of_2 + to_2_of_1]
    assert similarity_factors(s).tolist() == pytest.approx(expected)
    with pytest.raises(UserError, match="strength"):
        similarity_factors(s, -1.0)


def test_the_matrix_is_the_mean_softmax_of_one_epoch():
    feedback = SimilarityFeedback(3, strength=1.0, start=0.5, floor=0.25)
    draw = torch.Generator().manual_seed(0)

    def epoch(number, steps=3):
        seen = []
        for _ in range(steps):
            labels, logits = torch.tensor([0, 0, 1, 0]), torch.randn(4, 3, generator=draw)
            feedback.observe(labels, logits)
            seen += zip(labels.tolist(), logits.softmax(dim=1).double(), strict=True)
        feedback.close(number, epochs=4, held_out=None)
        return seen

    epoch(0)
    assert feedback.factors.tolist() == [1, 1, 1]
    seen = epoch(1)
    rows = [torch.stack([p for y, p in seen if y == c]).mean(dim=0) for c in (0, 1)]
    expected = by_pairs(torch.stack([*rows, torch.zeros(3)]).tolist(), 1.0)
    assert expected[2] == 1  # of which there was no image
    assert feedback.factors.tolist() == pytest.approx(expected, rel=1e-6)
    epoch(2)
    epoch(3)
    assert feedback.factors.tolist() == pytest.approx(expected, rel=1e-6)


def test_no_factor_is_below_the_floor():
    # 29 classes are taken for class 0 more often than for themselves, and class 0 for itself: W of it is −3.6.
    probabilities = torch.full((30, 30), 0.25 / 28)
    probabilities.fill_diagonal_(0.35)
    probabilities[:, 0] = 0.4
    probabilities[0] = 0.6 / 29
    probabilities[0, 0] = 0.4
    assert float(similarity_factors(probabilities)[0]) == pytest.approx(1 - 29 * 0.4 * 0.4)
    feedback = SimilarityFeedback(30, strength=1.0, start=0.0, floor=0.25)
    feedback.observe(torch.arange(30), probabilities.log())
    feedback.close(0, epochs=2, held_out=None)
    assert float(feedback.factors[0]) == 0.25
    assert float(feedback.factors[1:].min()) > 1


def test_accuracies_are_divided_by_the_classes_own_counts():
    total = torch.tensor(exponential_counts([5000] * 10, ratio=100))
    correct = (total * 2) // 5
    assert calibrated(correct, total).tolist() == pytest.approx([0.9] * 10, abs=0.01)
    absent = calibrated(torch.tensor([3, 0]), torch.tensor([4, 0]), 0.25)
    assert absent.tolist() == [1.0, 1.0]


def test_cfa_goes_by_the_last_epoch_alone():
    feedback = CFA(start=0.5, offset=0.5).feedback(classes=2)
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])

    def epoch(number, labels):
        feedback.observe(torch.tensor(labels), logits)
        feedback.observe(torch.tensor(labels), logits)
        feedback.close(number, epochs=4, held_out=None)
        return feedback.factors.tolist()

    assert epoch(0, [0, 0, 1, 1]) == [1, 1]  # the next one is before the start
    assert epoch(1, [0, 0, 1, 1]) == [1.0, 1.0]  # half of each, and λ
    assert epoch(2, [0, 1, 1, 1]) == pytest.approx([1.5, 0.5 + 2 / 3])
    assert epoch(3, [1, 0, 0, 1]) == [0.5, 0.5]


def counts(total, clean, robust):
    return HeldOut(*(torch.tensor(each, dtype=torch.float64) for each in (total, clean, robust)))


def test_remargin_by_hand():
    told = counts([10, 20, 0], [8, 18, 0], [4, 16, 0])
    # Boundary errors 0.4 and 0.1, their mean 0.25: the class without an image is in neither.
    moved = remargin(torch.tensor([0.0, 0.0, 0.5]).double(), told.clean, told.robust, told.total)
    assert moved.tolist() == pytest.approx([0.2 * (0.15 - 0.07), 0.2 * (-0.15 - 0.07), 0.5])


def test_frl_clips_the_exponential_of_what_has_come_together():
    feedback = FRL(start=0.5, rate=1.0).feedback(classes=2)
    told = counts([10, 10], [10, 8], [0, 8])
    factors = []
    for epoch in range(6):
        feedback.close(epoch, epochs=6, held_out=told)
        factors.append(feedback.factors.tolist())
    assert factors[:2] == [[1, 1]] * 2
    assert factors[2] == pytest.approx([2.718281828 ** (2 * 0.43), 0.98])
    assert factors[3:] == [pytest.approx([3.0, 0.98])] * 3


def test_weights_follow_the_held_out_accuracy_by_loops():
    weights, right, images = [1.0, 2.0, 0.5, 1.0], [9.0, 1.0, 0.0, 0.0], [10.0, 10.0, 3.0, 0.0]
    found = reweighted(*(torch.tensor(each, dtype=torch.float64) for each in (weights, right, images)), 0.8, 2.2)
    accuracies = [(r + 1) / (n + 2) for r, n in zip(right, images, strict=True)]
    mean = sum(a for a, n in zip(accuracies, images, strict=True) if n) / 3
    expected = [
        min(2.2, max(1 / 2.2, w * math.exp(0.8 * (mean - a)))) if n else w
        for w, a, n in zip(weights, accuracies, images, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected)
    assert found[1] == 2.2  # cut off
    assert found[0] < 1 < weights[1] < found[1]


def test_weights_move_from_their_start_on_and_have_mean_1():
    feedback = HeldOutWeighting(start=0.5).feedback(classes=3)
    told = counts([20, 20, 4], [20, 20, 4], [15, 5, 0])
    factors = []
    for epoch in range(5):
        feedback.close(epoch, epochs=4, held_out=told)
        factors.append(feedback.factors.tolist())
    assert factors[0] == [1, 1, 1]
    assert all(sum(each) == pytest.approx(3) for each in factors)
    for before, after in itertools.pairwise(factors[1:]):
        assert after[0] < before[0] < 1 < before[1] < after[1]
    feedback.close(5, epochs=4, held_out=None)
    assert feedback.factors.tolist() == factors[-1]
    assert HeldOutWeighting().weights((9, 5, 1)).tolist() == [1, 1, 1]


def test_members_learn_by_their_own_settings():
    labels, logits = torch.arange(3), 3 * a_matrix(3)
    for kind in (DAFA, DAFAWeighting):
        feedback = kind(strength=1.5, floor=0.9, start=0.0).feedback(classes=3)
        feedback.observe(labels, logits)
        feedback.close(0, epochs=4, held_out=None)
        wanted = similarity_factors(logits.softmax(dim=1), 1.5).clamp(min=0.9)
        assert feedback.factors.tolist() == pytest.approx(wanted.tolist())
        assert wanted.min() == 0.9
    calibrating = CFA(offset=0.2, start=0.0).feedback(classes=3)
    calibrating.observe(labels, torch.eye(3)[[0, 0, 2]])
    calibrating.close(0, epochs=4, held_out=None)
    assert calibrating.factors.tolist() == pytest.approx([1.2, 0.2, 1.2])
    told = counts([20, 20, 4], [20, 20, 4], [15, 5, 0])
    following = HeldOutWeighting(rate=0.1, most=1.02, start=0.0).feedback(classes=3)
    following.close(0, epochs=4, held_out=told)
    wanted = reweighted(torch.ones(3).double(), told.robust, told.total, 0.1, 1.02)
    assert following.factors.tolist() == pytest.approx((wanted / wanted.mean()).tolist())


def test_one_image_moves_a_small_class_little():
    """One more of four images moves a weight by a twelfth of the rate: by a sixth, less what the mean moves."""
    for images, least in ((4.0, 1 / 6), (100.0, 1 / 102)):
        some, more = (
            reweighted(torch.ones(2), torch.tensor([right, 0.0]), torch.tensor([images, images]), 1.0)
            for right in (1.0, 2.0)
        )
        assert float((some[0] / more[0]).log()) == pytest.approx(least / 2, rel=1e-3)  # the mean moves as well


def test_the_very_first_epoch_has_no_feedback():
    assert [first_epoch(start, 110) for start in (0.0, 0.05, 70 / 110)] == [1, 6, 70]
    assert first_epoch(10 / 200, 200) == 10


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (CFA, "offset", -0.1),
        (CFA, "start", 1.0),
        (DAFA, "strength", -1.0),
        (DAFA, "floor", 0.0),
        (FRL, "rate", -1.0),
        (FRL, "tolerance", 2.0),
        (FRL, "least", 1.5),
        (FRL, "most", 0.5),
        (DAFAWeighting, "floor", 0.0),
        (DAFAWeighting, "start", 1.0),
        (HeldOutWeighting, "rate", -0.1),
        (HeldOutWeighting, "most", 0.9),
        (HeldOutWeighting, "start", 1.0),
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    family = "weighting" if kind in (DAFAWeighting, HeldOutWeighting) else "budget"
    with pytest.raises(UserError, match=rf"`{family}\.{field}`"):
        kind(**{field: value})
