"""Eq. 7: weights, reduction, and the mean over anchors."""

import pytest
import torch

from srat.feature_losses import FeatureTerm
from srat.methods.objective import Objective, reduce_anchors, reduce_weighted
from srat.weightings import effective_number

LOSSES = torch.tensor([1.0, 2.0, 4.0])
WEIGHTS = torch.tensor([1.0, 1.0, 6.0])


def test_weighted_mean_by_hand():
    assert reduce_weighted(LOSSES, WEIGHTS, "weighted_mean").item() == pytest.approx(27 / 8)


def test_mean_by_hand():
    assert reduce_weighted(LOSSES, WEIGHTS, "mean").item() == pytest.approx(27 / 3)


@pytest.mark.parametrize("reduction", ["weighted_mean", "mean"])
def test_weights_of_one_give_the_plain_mean(reduction):
    assert reduce_weighted(LOSSES, torch.ones(3), reduction).item() == pytest.approx(LOSSES.mean().item())


def test_weighted_mean_is_pytorchs(rng):
    logits, labels, weights = torch.randn(9, 3, generator=rng), torch.arange(9) % 3, torch.tensor([0.2, 0.8, 2.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(reduce_weighted(losses, weights[labels], "weighted_mean"), expected)


def test_the_two_reductions_differ_manyfold_on_a_step_100_batch():
    # 127 well-represented examples of loss 1 and one under-represented: Σw is far below n.
    weights = effective_number((5000,) * 5 + (50,) * 5)
    of_examples = torch.cat((weights[:1].expand(127), weights[-1:]))
    ratio = reduce_weighted(torch.ones(128), of_examples, "weighted_mean") / reduce_weighted(
        torch.ones(128), of_examples, "mean"
    )
    assert ratio > 10


def test_anchors_without_a_positive_do_not_dilute_the_mean():
    term = FeatureTerm(torch.tensor([3.0, 0.0, 5.0, 0.0]), torch.tensor([True, False, True, False]))
    assert reduce_anchors(term) == 4


def test_no_anchor_at_all_gives_zero():
    assert reduce_anchors(FeatureTerm(torch.zeros(2), torch.tensor([False, False]))) == 0


def test_equation_seven_by_hand():
    term = FeatureTerm(torch.tensor([3.0, 0.0, 5.0]), torch.tensor([True, False, True]))
    value = Objective(feature_weight=0.5)(LOSSES, WEIGHTS, term)
    assert value.total.item() == pytest.approx(27 / 8 + 0.5 * 4)
    assert (value.prediction.item(), value.feature.item()) == (pytest.approx(27 / 8), 4)
    assert value.anchors.tolist() == [True, False, True]


def test_a_regulariser_stands_beside_both():
    term = FeatureTerm(torch.tensor([3.0, 0.0, 5.0]), torch.tensor([True, False, True]))
    value = Objective(feature_weight=0.5)(LOSSES, WEIGHTS, term, torch.tensor(0.3))
    assert value.total.item() == pytest.approx(27 / 8 + 0.5 * 4 + 0.3)
    assert (value.prediction.item(), value.feature.item()) == (pytest.approx(27 / 8), 4)


def test_without_a_feature_loss_the_total_is_the_prediction():
    value = Objective()(LOSSES, WEIGHTS, None)
    assert value.total == value.prediction
    assert not value.anchors.any()


def test_a_class_absent_from_a_batch_changes_nothing_for_the_others():
    # The weights come from the training set's counts, never from the batch.
    without = reduce_weighted(LOSSES[:2], WEIGHTS[:2], "weighted_mean")
    assert without.item() == pytest.approx(1.5)
