"""Numbers in words: none is rounded onto the border that it is beyond, or past it."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from srat import losses, theory, weightings
from srat.attacks import PGD
from srat.config.config import SGD, Config
from srat.core.errors import UserError
from srat.core.words import number, percent, percent_interval
from srat.data import Holdout
from srat.data.imbalance import Step
from srat.models import wrap
from srat.models.heads import CosineHead
from srat.optimization.schedules import Steps
from srat.statistics.intervals import wilson

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.lists(FINITE, max_size=3))
@example(1.0000001, [0.0, 1.0])
@example(math.nextafter(1, 2), [1.0])
@example(-1e-300, [0.0])
def test_a_number_is_read_on_the_same_sides_of_its_bounds(value, bounds):
    shown = float(number(value, *bounds))
    assert [(shown > bound, shown < bound) for bound in bounds] == [(value > bound, value < bound) for bound in bounds]
    assert shown == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "bounds", "shown"),
    [
        (0.1, (0, 1), "0.1"),
        (1 / 3, (0, 1), "0.333333"),
        (1.0000001, (0, 1), "1.0000001"),
        (-1e-7, (0, 1), "-1e-07"),
        (1.0000001, (), "1"),
        (255, (1,), "255"),
        (0.99999999, (1,), "0.99999999"),
        (1234567.0, (1234567.0,), "1234567"),
        (math.inf, (0, 1), "inf"),
        (math.nan, (0, 1), "nan"),
        (2**70, (0, 1), "1.18059e+21"),
    ],
)
def test_a_number_has_as_many_digits_as_it_takes(value, bounds, shown):
    assert number(value, *bounds) == shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [((0.612,), "61.2 %"), ((3, 8), "37.5 %"), ((0, 0), "–"), ((math.nan,), "–"), ((1, 1), "100.0 %"), ((0,), "0.0 %")],
)
def test_percent(arguments, shown):
    assert percent(*arguments) == shown


def test_percent_interval():
    assert percent_interval(0.458, 0.448, 1.0) == "45.8 [44.8, 100.0]"
    assert percent_interval(math.nan, 0.0, 1.0) == "–"


@pytest.mark.parametrize(
    ("make", "bound"),
    [
        (lambda x: losses.Focal(gamma=x), 100),
        (lambda x: losses.LDAM(max_margin=x), 2),
        (lambda x: weightings.EffectiveNumber(beta=x), 1),
        (lambda x: weightings.effective_number([2, 1], beta=x), 1),
        (lambda x: weightings.InverseFrequency(power=x), 10),
        (lambda x: PGD(epsilon=x), 1),
        (lambda x: PGD(norm="l2", epsilon=x), 1e4),
        (lambda x: SGD(momentum=x), 1),
        (lambda x: SGD(learning_rate=x), 1e3),
        (lambda x: Holdout(fraction=x), 0.5),
        (lambda x: Steps(factor=x), 1),
        (lambda x: wrap(nn.Linear(2, 2), mean=[x], std=[0.5]), 1),
        (lambda x: wilson(x, 5), 5),
        (lambda x: theory.Gaussians(ratio=x), 1e100),
    ],
)
def test_what_is_just_too_large_is_not_said_to_be_the_largest(make, bound):
    _said_beyond(make, math.nextafter(bound, math.inf), bound)


@pytest.mark.parametrize(("make", "bound"), [(lambda x: Step(ratio=x), 1), (lambda x: theory.Gaussians(ratio=x), 1)])
def test_what_is_just_too_small_is_not_said_to_be_the_least(make, bound):
    _said_beyond(make, math.nextafter(bound, -math.inf), bound)


def _said_beyond(make, value, bound):
    with pytest.raises(UserError) as error:
        make(value)
    got = str(error.value).rpartition(", got ")[2].split(";")[0]
    assert float(got) == value != bound


def test_two_scales_that_differ_a_little_are_told_apart():
    with pytest.raises(UserError, match=r"`head.scale` 30\.000000001 and `loss.scale` 30 must be the same number"):
        Config(head=CosineHead(scale=30.000000001))
