"""What a validation part of a data set of the user's own is for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from srat.core.errors import require
from srat.data.record import Part

ValidationUse = Literal["auto", "held-out", "test"]
"""What a validation part is for; auto: to be held out if there is a test part too, else it is asked for."""
T = TypeVar("T")


def with_use(parts: Mapping[Part, T], validation: ValidationUse, place: Path) -> dict[Part, T]:
    """Return the parts, the validation part as what it is for.

    Args:
        parts: the training part, and others.
        validation: what the validation part is for.
        place: where they lie, for messages.

    Raises:
        UserError: if that is to be asked for.
    """
    ways = (
        "`data.validation` test tests on the validation part, `data.validation` held-out draws a test from the "
        "training part"
    )
    asked = validation != "auto" or "validation" not in parts or "test" in parts
    require(asked, f"{place}: there are parts for training and validation, and none for the test: {ways}")
    if validation == "test" and "validation" in parts:
        require("test" not in parts, f"{place}: `data.validation` test, but there is a test part, too")
        return {"train": parts["train"], "test": parts["validation"]}
    return dict(parts)
