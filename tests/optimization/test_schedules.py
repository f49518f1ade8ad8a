"""The paper's epochs, counted from 0, as a golden table."""

import pytest

from srat.core.errors import UserError
from srat.optimization.schedules import Steps

PAPER = [  # epoch, learning rate, weights apply
    (0, 1e-1, False),
    (159, 1e-1, False),
    (160, 1e-3, True),
    (179, 1e-3, True),
    (180, 1e-5, True),
    (199, 1e-5, True),
]


@pytest.mark.parametrize(("epoch", "rate", "weighted"), PAPER)
def test_the_papers_two_hundred_epochs(epoch, rate, weighted):
    schedule = Steps()
    assert schedule.learning_rate(7 * epoch, steps=7, epochs=200, base=0.1) == pytest.approx(rate)
    assert schedule.weights_apply(epoch, epochs=200) is weighted


def test_the_rate_does_not_depend_on_earlier_calls():
    rates = [Steps().learning_rate(7 * 170 + 3, steps=7, epochs=200, base=0.1) for _ in range(50)]
    assert set(rates) == {0.1 * 0.01}


@pytest.mark.parametrize(
    ("epochs", "milestones", "weights_from"),
    [(200, (160, 180), 160), (100, (80, 90), 80), (40, (32, 36), 32), (2, (2, 2), 1), (1, (1, 1), 0)],
)
def test_scales_with_the_number_of_epochs(epochs, milestones, weights_from):
    assert Steps().milestones_of(epochs) == milestones
    assert Steps().reweight_epoch_of(epochs) == weights_from


def test_what_is_given_is_not_scaled():
    schedule = Steps(milestones=(7, 10), reweight_from=7)
    assert schedule.milestones_of(12) == (7, 10)
    assert [schedule.weights_apply(epoch, epochs=12) for epoch in (6, 7)] == [False, True]


def test_deferred_weights_come_with_the_first_fall_of_the_rate():
    schedule = Steps(milestones=(7, 10))
    assert [schedule.weights_apply(epoch, epochs=12) for epoch in (6, 7)] == [False, True]
    assert Steps(milestones=()).reweight_epoch_of(200) == 160


def test_from_the_start():
    assert Steps(reweight_from=0).weights_apply(0, epochs=200)


@pytest.mark.parametrize(
    "fields", [{"factor": 0.0}, {"factor": 1.5}, {"milestones": (5, 3)}, {"milestones": (0,)}, {"reweight_from": -1}]
)
def test_refuses_what_is_out_of_range(fields):
    with pytest.raises(UserError, match="schedule"):
        Steps(**fields)
