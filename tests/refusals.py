"""What settings refuse, by field and value: the words around them are free to change."""

from contextlib import contextmanager

import pytest

from srat.core.errors import FieldError


@contextmanager
def refusing(field, got):
    """Expect that a setting refuses a value, and that the text names both, and what was expected."""
    with pytest.raises(FieldError) as caught:
        yield caught
    error = caught.value
    assert (error.field, error.got) == (field, got)
    assert str(error).startswith(f"`{field}`: expected {error.expected}, got ")
