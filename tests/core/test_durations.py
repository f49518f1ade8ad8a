"""Times: as people write them, and as they are said."""

import pytest

from srat.core.durations import duration, parse_duration, roughly
from srat.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), (" 1.5H ", 5400), ("0.5s", 0.5)],
)
def test_what_people_write_is_understood(text, seconds):
    assert parse_duration(text, "time") == seconds


@pytest.mark.parametrize("text", ["", "m", "-10m", "10 minutes", "1e3s", "inf", "nan", "10m later", "٣m", "1:30"])
def test_anything_else_is_refused_in_a_line(text):
    with pytest.raises(UserError, match="^`time`: expected a time with its unit, as 90s, 10m, 2h or 1d, got "):
        parse_duration(text, "time")


def test_a_number_without_a_unit_is_explained():
    with pytest.raises(UserError, match="got '10'; 10m is 10 minutes$"):
        parse_duration("10", "time")


@pytest.mark.parametrize("text", ["0s", "0h0m"])
def test_no_time_is_refused(text):
    with pytest.raises(UserError, match="^`time`: expected a time"):
        parse_duration(text, "time")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.43, "0.4 s"),
        (4, "4 s"),
        (59, "59 s"),
        (61, "1 min"),
        (89 * 60, "89 min"),
        (91 * 60, "1.5 h"),
        (46 * 3600, "46 h"),
        (1e6, "12 days"),
    ],
)
def test_times_as_people_say_them(seconds, said):
    assert roughly(seconds) == said


def test_times_as_clocks_show_them():
    assert [duration(seconds) for seconds in (4, 75, 3723)] == ["0:04", "1:15", "1:02:03"]
