"""Types and shapes are checked in these tests: of functions that name axes and of those that do not."""

import pytest
import torch

from checking import jaxtyped
from srat.data.feed import count_batches
from srat.losses.base import checked_labels

REFUSED = "violates type hint|[Tt]ype-check error"


def test_a_value_of_another_type_is_refused():
    assert count_batches(5, 2) == 3
    with pytest.raises(TypeError, match=REFUSED):
        count_batches("5", 2)


def test_a_function_within_a_function_is_not_compiled_each_time():
    from srat.core.checked import checked
    from srat.core.errors import UserError

    def plain(x: int) -> int:
        return x

    assert jaxtyped(typechecker=None)(plain) is plain
    with pytest.raises(UserError):  # ours are checked as users' are
        checked(plain)("x")


def test_a_tensor_of_another_shape_is_refused():
    logits = torch.ones(2, 3)
    checked_labels(logits, torch.tensor([0, 1]))
    for labels in (torch.tensor([[0, 1]]), torch.tensor([0, 1, 2])):  # too many axes; an axis of another length
        with pytest.raises(TypeError, match=REFUSED):
            checked_labels(logits, labels)
