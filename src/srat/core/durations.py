"""Times, as people say them."""

import re

from srat.core.errors import FieldError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit."""
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_PART = rf"{_NUMBER}[smhd]"


def parse_duration(text: str, field: str) -> float:
    """Return the seconds that "90s", "10m", "2h", "1d" or "1h30m" says.

    Args:
        text: one or more numbers, each with its unit.
        field: the setting's path, for messages.

    Raises:
        UserError: if it is no such time; a number without a unit is none, for it may mean seconds or minutes.
    """
    written = text.strip().lower()
    expected = "a time with its unit, as 90s, 10m, 2h or 1d"
    if not re.fullmatch(rf"(?:{_PART})+", written):
        plain = re.fullmatch(_NUMBER, written)
        raise FieldError(field, expected, text, advice=f"{written}m is {written} minutes" if plain else "")
    seconds = sum(float(part[:-1]) * UNITS[part[-1]] for part in re.findall(_PART, written))
    if seconds <= 0:
        raise FieldError(field, expected, text)
    return seconds


def duration(seconds: float) -> str:
    """Return a time as "0:04" or "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def roughly(seconds: float) -> str:
    """Return a time as people say it: "0.4 s", "40 s", "12 min", "3.5 h", "2 days"."""
    if seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.0f} h" if 10 <= hours < 48 else f"{hours:.1f} h" if hours < 10 else f"{hours / 24:.0f} days"
