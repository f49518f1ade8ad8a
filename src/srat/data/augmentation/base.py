"""What an augmentation is; what is random is drawn on the CPU, so that it is the same anywhere."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Num
from torch import Tensor

from srat.core.members import Member

Images = Num[Tensor, "batch channels height width"]
"""Bytes, or floating point in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Augmentation(Member):
    """A random change of training images that keeps their class."""

    mirrors: ClassVar[bool] = False
    """Whether images may come out as in a mirror, which of letters and digits is another thing."""

    def __call__(self, images: Images, *, generator: torch.Generator) -> Images:
        """Return changed images of the same shape and type."""
        raise NotImplementedError
