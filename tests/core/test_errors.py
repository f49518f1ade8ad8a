"""Errors of the user's making: what they name, and that their text costs nothing where nothing is wrong."""

import pickle

import pytest

from srat.core.errors import FieldError, UserError, require_field


class Untold:
    def __str__(self):
        raise AssertionError

    __repr__ = __format__ = __str__


@pytest.mark.parametrize(
    ("got", "bounds", "text"),
    [
        (2.0, (0, 1), "2"),
        (1 + 1e-9, (0, 1), "1.000000001"),
        (1e-9, (), "1e-09"),
        (7, (), "7"),
        ("x", (), "'x'"),
        (None, (), "none"),
        ((0.0, -1.0), (0,), "0, -1"),
        ((), (), "none"),
    ],
)
def test_a_field_says_what_was_expected_and_what_came(got, bounds, text):
    with pytest.raises(FieldError) as caught:
        require_field(False, "schedule.factor", "a number", got, *bounds)
    error = caught.value
    assert (error.field, error.expected, error.got, error.advice) == ("schedule.factor", "a number", got, "")
    assert str(error) == f"`schedule.factor`: expected a number, got {text}"


def test_advice_comes_last():
    assert str(FieldError("epsilon", "at most 1", 8, advice="write 8/255")).endswith(", got 8; write 8/255")


def test_it_goes_from_process_to_process():
    error = FieldError("loss.gamma", "0 to 100", 100.0000001, (0, 100), "take 2")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (FieldError, vars(error), str(error))
    assert isinstance(copy, UserError)


def test_nothing_is_written_where_nothing_is_wrong():
    require_field(True, "loss.gamma", "0 to 100", Untold())
