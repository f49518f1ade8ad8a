"""What training tells of the classes, against loops and numbers by hand."""

import pytest
import torch

from srat.attacks.budgets import CFA, DAFA, FRL, calibrated, remargin
from srat.core.errors import UserError
from srat.data.imbalance import exponential_counts
from srat.feedback import HeldOut, SimilarityFeedback, first_epoch, similarity_factors
from srat.weightings.dafa_weighting import DAFAWeighting


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
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    family = "weighting" if kind is DAFAWeighting else "budget"
    with pytest.raises(UserError, match=rf"`{family}\.{field}`"):
        kind(**{field: value})
