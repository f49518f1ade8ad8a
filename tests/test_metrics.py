"""Sums over batches of unequal size give the means over the epoch."""

import pytest
import torch

from srat.evaluation import Counts, groups
from srat.metrics import Sums, batch_sums, held_out_row, training_row
from srat.objective import Value


def batch(total, feature, anchors, correct, under):
    value = Value(torch.tensor(total), torch.tensor(total - feature), torch.tensor(feature), torch.tensor(anchors))
    return batch_sums(value, torch.tensor(correct), torch.tensor(under))


def test_an_epoch_by_hand():
    sums = batch(2.0, 0.5, [True, True, False], [True, False, False], [False, False, True])
    sums += batch(4.0, 1.5, [True], [True], [True])
    row = training_row(Sums(*sums.tolist()), has_feature_loss=True)
    assert row["loss"] == pytest.approx((3 * 2.0 + 4.0) / 4)
    assert row["prediction_loss"] == pytest.approx((3 * 1.5 + 2.5) / 4)
    # Of the anchors that count, two have 0.5 and one has 1.5.
    assert row["feature_loss"] == pytest.approx((2 * 0.5 + 1.5) / 3)
    assert row["anchors_without_positive"] == pytest.approx(1 / 4)
    assert row["under_anchors_without_positive"] == pytest.approx(1 / 2)
    assert row["train_accuracy"] == pytest.approx(2 / 4)


def test_without_a_feature_loss_no_anchor_is_missed():
    row = training_row(Sums(*batch(2.0, 0.0, [False], [True], [True]).tolist()), has_feature_loss=False)
    assert row["anchors_without_positive"] == row["under_anchors_without_positive"] == row["feature_loss"] == 0


def test_the_held_out_part_by_hand():
    clean = Counts(correct=(10, 3), total=(10, 4))
    robust = Counts(correct=(8, 1), total=(10, 4))
    row = held_out_row(clean, robust, groups((100, 5)))
    assert row["held_out_clean"] == pytest.approx((1 + 0.75) / 2)
    assert row["held_out_robust"] == pytest.approx((0.8 + 0.25) / 2)
    assert row["held_out_under"] == 0.25
    assert row["held_out_under_low"] < 0.25 < row["held_out_under_high"]
