"""Sums over batches of unequal size give the means over the epoch."""

import math

import pytest
import torch

from srat.data import Targets
from srat.evaluation.counts import Counts
from srat.evaluation.groups import groups
from srat.methods.objective import Value
from srat.runs.metrics import Sums, accumulate, batch_sums, held_out_row, no_sums, training_row


def batch(total, feature, anchors, correct, under, gradient=1.0, logit=1.0):
    value = Value(torch.tensor(total), torch.tensor(total - feature), torch.tensor(feature), torch.tensor(anchors))
    logits = torch.tensor([[logit, 0.0] if right else [0.0, -logit] for right in correct])
    labels = torch.tensor([0 if right else 1 for right in correct])
    return batch_sums(value, logits, Targets(labels), torch.tensor(under), torch.tensor(gradient))


def test_an_epoch_by_hand():
    sums = no_sums()
    first = batch(2.0, 0.5, [True, True, False], [True, False, False], [False, False, True], gradient=3.0, logit=7.0)
    sums = accumulate(sums, first, step=0)
    sums = accumulate(sums, batch(4.0, 1.5, [True], [True], [True], gradient=2.0, logit=4.0), step=1)
    row = training_row(Sums(*sums.tolist()), has_feature_loss=True)
    assert row["loss"] == pytest.approx((3 * 2.0 + 4.0) / 4)
    assert row["prediction_loss"] == pytest.approx((3 * 1.5 + 2.5) / 4)
    # Of the anchors that count, two have 0.5 and one has 1.5.
    assert row["feature_loss"] == pytest.approx((2 * 0.5 + 1.5) / 3)
    assert row["anchors_without_positive"] == pytest.approx(1 / 4)
    assert row["under_anchors_without_positive"] == pytest.approx(1 / 2)
    assert row["train_accuracy"] == pytest.approx(2 / 4)
    assert row["gradient_norm"] == pytest.approx((3.0 + 2.0) / 2)
    assert row["largest_logit"] == 7.0


@pytest.mark.parametrize("field", ["total", "gradient"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_step_that_is_not_finite_can_be_told(field, bad):
    good = {"total": 2.0, "feature": 0.5, "anchors": [True], "correct": [True], "under": [False], "logit": 5.0}
    sums = no_sums()
    # The third step is bad; the fourth is finite again, and does not hide it.
    for step, change in enumerate(({}, {}, {field: bad, "logit": 9.0}, {"logit": 11.0})):
        sums = accumulate(sums, batch(**good | change), step=step)
    assert Sums(*sums.tolist()).steps == 2
    assert Sums(*sums.tolist()).largest_logit == 9.0
    assert sums.isfinite().all()


def test_logits_that_are_not_finite_are_not_the_largest():
    value = Value(*(torch.tensor(1.0),) * 3, torch.tensor([True, True, True]))
    logits = torch.tensor([[math.inf, 1.0], [-3.0, 2.0], [math.nan, -math.inf]])
    targets = Targets(torch.zeros(3, dtype=torch.long))
    sums = batch_sums(value, logits, targets, torch.tensor([True] * 3), torch.tensor(1.0))
    assert Sums(*sums.tolist()).largest_logit == 3.0


def test_without_a_feature_loss_no_anchor_is_missed():
    sums = batch(2.0, 0.0, [False], [True], [True])
    row = training_row(Sums(*sums.tolist()), has_feature_loss=False)
    assert row["anchors_without_positive"] == row["under_anchors_without_positive"] == row["feature_loss"] == 0


def test_the_held_out_part_by_hand():
    clean = Counts(correct=(10, 3), total=(10, 4))
    robust = Counts(correct=(8, 1), total=(10, 4))
    row = held_out_row(clean, robust, groups((100, 5)), (100, 5))
    assert row["held_out_clean"] == pytest.approx((1 + 0.75) / 2)
    assert row["held_out_robust"] == pytest.approx((0.8 + 0.25) / 2)
    assert row["held_out_as_trained"] == pytest.approx((100 * 0.8 + 5 * 0.25) / 105)
    assert (row["held_out_classes_right"], row["held_out_classes_silent"]) == (2, 0)
    none = held_out_row(Counts(correct=(10, 0), total=(10, 4)), robust, groups((100, 5)), (100, 5))
    assert (none["held_out_classes_right"], none["held_out_classes_silent"]) == (1, 1)
    assert row["held_out_under"] == 0.25
    assert row["held_out_under_low"] < 0.25 < row["held_out_under_high"]


def test_where_all_classes_have_as_many_images_nothing_is_said_of_rare_ones():
    counts = Counts(correct=(10, 3), total=(10, 4))
    row = held_out_row(counts, counts, groups((7, 7)), (7, 7))
    assert not any(name.startswith("held_out_under") for name in row)
    missing = Counts(correct=(10, 0), total=(10, 0))  # a class without a held-out image
    row = held_out_row(missing, missing, groups((7, 7)), (7, 7))
    assert (row["held_out_as_trained"], row["held_out_classes_right"], row["held_out_classes_silent"]) == (1.0, 1, 0)
    sums = batch(2.0, 0.5, [True, False], [True, True], [False, False])
    row = training_row(Sums(*sums.tolist()), has_feature_loss=True)
    assert (row["anchors_without_positive"], row["under_anchors_without_positive"]) == (0.5, 0.0)
