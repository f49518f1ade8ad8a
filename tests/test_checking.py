"""Types and shapes are checked in these tests: of functions that name axes and of those that do not."""

import itertools
from contextlib import suppress
from dataclasses import dataclass

import beartype
import pytest
import torch
from jaxtyping import AnnotationError, Bool, Float, Int, Shaped
from torch import Tensor

from checking import _fits, _scope, fits, jaxtyped
from srat.config.composition import compose
from srat.data.feed import count_batches
from srat.losses.base import checked_labels
from srat.recipes.base import Cell

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


@pytest.mark.parametrize(
    "shapes", [("n n", "n d"), ("2 _", " n"), ("", "d n"), ("*s n", " n"), ("#n d", "n d"), ("n+1", "n")]
)
@pytest.mark.parametrize("dtypes", [(Float, Float), (Float, Int), (Shaped, Bool)])
def test_what_has_passed_once_is_looked_at_as_jaxtyping_does(shapes, dtypes):
    """A second array after a first one, in one scope."""
    kinds = [dtype[Tensor, shape] for dtype, shape in zip(dtypes, shapes, strict=True)]
    sizes = [size for axes in range(3) for size in itertools.product((1, 2, 3), repeat=axes)]
    arrays = [torch.ones(size, dtype=dtype) for dtype in (torch.float32, torch.int64) for size in sizes]

    def said(ask):
        with _scope, suppress(AnnotationError):
            return ask(kinds[0], first), ask(kinds[1], second)

    for first, second in itertools.product(arrays, arrays):
        assert said(fits) == said(fits) == said(_fits), (first.shape, second.shape)


CHECKED = jaxtyped(typechecker=beartype.beartype(conf=beartype.BeartypeConf(violation_type=TypeError)))


def cut(rows: Float[Tensor, "n d"], others: Float[Tensor, " n"], at: int = 0) -> Float[Tensor, " n"]:
    return others[at:]


def test_axes_of_one_name_are_of_one_length_in_a_call_and_what_it_gives_back():
    of = CHECKED(cut)
    assert of.__annotations__ == cut.__annotations__
    for n in (2, 5):  # each call has axes of its own
        of(torch.ones(n, 3), torch.ones(n))
    rows, others = torch.ones(2, 3), torch.ones(2)
    for wrong in ((rows, torch.ones(3)), (rows, others, 1), (others, others), (rows, others, "0")):
        with pytest.raises(TypeError, match=REFUSED):
            of(*wrong)


@dataclass(frozen=True)
class Pair:
    rows: Float[Tensor, "n d"]
    others: Float[Tensor, " n"]
    name: str = ""


def test_what_a_dataclass_is_made_of_is_checked():
    pair, rows, others = CHECKED(Pair), torch.ones(2, 3), torch.ones(2)
    pair(rows, others)
    for wrong in ((rows, torch.ones(3)), (rows, others, 1)):
        with pytest.raises(TypeError, match=REFUSED):
            pair(*wrong)
    with pytest.raises(TypeError, match=REFUSED):  # as in srat itself
        Cell(row=3, column="", config=compose())
