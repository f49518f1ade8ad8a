"""From the classes' counts to the indices that an imbalanced training set keeps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from typing_extensions import override

from srat.core.checked import checked
from srat.core.errors import FieldError, UserError, require, require_field
from srat.core.keyed_random import generator
from srat.core.members import Member
from srat.data.counts import require_labels

Counts = Sequence[int]
ClassOrder = Literal["label", "random"] | tuple[int, ...]
UNMET = 0.1
"""How far off a ratio may be, as a share of it, before that is said."""


@checked
def step_counts(class_counts: Counts, *, ratio: float) -> tuple[int, ...]:
    """Return how many examples Step imbalance keeps: n_i for the first half of the classes, ⌊n_i / K⌋ for the rest.

    Of an odd number of classes, the larger half is well-represented.

    Args:
        class_counts: (classes,), examples of each class, in the order from well- to under-represented.
        ratio: K ≥ 1, the largest count divided by the smallest.

    Returns:
        (classes,), the counts to keep.

    Raises:
        UserError: if the ratio is below 1 or leaves a class empty, or there are less than two classes.

    Source: Section 2.1 (after Buda et al., 2018).
    """
    _require_classes(class_counts)
    well = len(class_counts) - len(class_counts) // 2
    return _kept(class_counts, [1.0] * well + [1 / _checked(ratio)] * (len(class_counts) - well), ratio)


@checked
def exponential_counts(class_counts: Counts, *, ratio: float) -> tuple[int, ...]:
    """Return how many examples Exp imbalance keeps: ⌊n_i · τ^i⌋ with τ = K^(−1/(C−1)).

    Args:
        class_counts: (classes,), examples of each class, in the order from well- to under-represented.
        ratio: K ≥ 1, the largest share divided by the smallest.

    Returns:
        (classes,), the counts to keep.

    Raises:
        UserError: if the ratio is below 1 or leaves a class empty, or there are less than two classes.

    Source: Section 5.1 (after Cui et al., 2019).
    """
    _require_classes(class_counts)
    last = len(class_counts) - 1
    return _kept(class_counts, [_checked(ratio) ** (-i / last) for i in range(last + 1)], ratio)


@checked
def select(labels: Int[Tensor, " n"], counts: Counts, *, seed: int) -> Int[Tensor, " kept"]:
    """Return the sorted indices of ``counts[c]`` examples of each class c, drawn by the seed.

    Args:
        labels: (n,), the class of each example.
        counts: (classes,), how many to keep of each.
        seed: the draw; the same seed with a smaller count keeps a part of the same examples.

    Raises:
        UserError: if a class has fewer examples than asked for, or no count is given for it.
    """
    classes = int(labels.max()) + 1 if len(labels) else 0
    require(classes <= len(counts), f"counts: expected one for each of {classes} classes, got {len(counts)}")
    require_labels(labels, None)
    kept = []
    for c, count in enumerate(counts):
        members = torch.nonzero(labels == c).flatten()
        require(count >= 0, f"class {c}: expected a count of 0 or more, got {count}")
        require(count <= len(members), f"class {c}: expected at least {count} examples, there are {len(members)}")
        order = torch.randperm(len(members), generator=generator(seed, "imbalance", step=c))
        kept.append(members[order[:count]])
    return torch.cat(kept).sort().values


def hash_indices(indices: Int[Tensor, " kept"]) -> str:
    """Return the SHA-256 of the indices, as little-endian 64-bit integers."""
    return sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()


def realised_ratio(counts: Counts) -> float:
    """Return the largest count divided by the smallest."""
    return max(counts) / min(counts)


@dataclass(frozen=True, kw_only=True)
class Imbalance(Member):
    """How many training examples of each class are kept."""

    @property
    def title(self) -> str:
        """What it is called in tables, with its ratio if it has one: "step-100"."""
        ratio = getattr(self, "ratio", None)
        return self.name + ("" if ratio is None else f"-{ratio:g}")

    def counts(self, class_counts: Counts, *, seed: int) -> tuple[int, ...]:
        """Return the counts to keep of classes that have ``class_counts`` examples."""
        raise NotImplementedError

    def kept(self, labels: Int[Tensor, " n"], class_counts: Counts, *, seed: int) -> Int[Tensor, " kept"]:
        """Return the sorted indices of the training images to keep.

        Args:
            labels: (n,), of all training images.
            class_counts: (classes,), how many of them each class has.
            seed: of the draw.

        Raises:
            UserError: if they cannot be kept.
        """
        return select(labels, self.counts(class_counts, seed=seed), seed=seed)

    def notes(self, class_counts: Counts, *, seed: int) -> tuple[str, ...]:
        """Return what is to be said of the counts that it keeps; arguments as for `counts`."""
        del class_counts, seed
        return ()


@dataclass(frozen=True, kw_only=True)
class NoImbalance(Imbalance, name="none"):
    """Keep every training example."""

    @checked
    @override
    def counts(self, class_counts: Counts, *, seed: int) -> tuple[int, ...]:
        del seed
        return tuple(class_counts)


@dataclass(frozen=True, kw_only=True)
class _Profile(Imbalance):
    ratio: float = 10.0
    """K, the largest class divided by the smallest."""
    cap: int | None = None
    """Keep at most this many of any class, before the ratio applies; makes the ratio exact on uneven data."""
    class_order: ClassOrder = "label"
    """From common to rare: by label, at random (by the seed), or the labels in a given order."""

    def __post_init__(self) -> None:
        _checked(self.ratio)
        require_field(self.cap is None or self.cap >= 1, "imbalance.cap", "at least 1", self.cap)

    @checked
    @override
    def counts(self, class_counts: Counts, *, seed: int) -> tuple[int, ...]:
        """Return the profile's counts, laid over the classes in their order."""
        order = class_order(self.class_order, len(class_counts), seed=seed)
        capped = [min(class_counts[c], self.cap or class_counts[c]) for c in order]
        profile = dict(zip(order, self.profile(capped), strict=True))
        return tuple(profile[c] for c in range(len(class_counts)))

    @override
    def notes(self, class_counts: Counts, *, seed: int) -> tuple[str, ...]:
        """Return that the ratio is not met, and what meets it, where the classes are uneven themselves."""
        kept, least = self.counts(class_counts, seed=seed), min(class_counts)
        there = realised_ratio(kept)
        rounded = min(kept) == _share_of(max(kept), 1 / self.ratio)
        if rounded or abs(there / self.ratio - 1) < UNMET:
            return ()
        capped = replace(self, cap=least).counts(class_counts, seed=seed)
        uneven = f"the classes have {least:,} to {max(class_counts):,} images before it applies"
        met = f"; `imbalance.cap` {least} meets it, with {sum(capped):,} images instead of {sum(kept):,}"
        return (f"`imbalance.ratio` {self.ratio:g} becomes {there:.1f}, as {uneven}{met}",)

    def profile(self, class_counts: Counts) -> tuple[int, ...]:
        """Return the counts to keep, of classes in their order from well- to under-represented."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Step(_Profile, name="step"):
    """Step imbalance: the second half of the classes keep 1/K of their examples."""

    @override
    def profile(self, class_counts: Counts) -> tuple[int, ...]:
        return step_counts(class_counts, ratio=self.ratio)


@dataclass(frozen=True, kw_only=True)
class Exponential(_Profile, name="exp", aliases=("exponential",)):
    """Exp imbalance: class i keeps K^(−i/(C−1)) of its examples."""

    @override
    def profile(self, class_counts: Counts) -> tuple[int, ...]:
        return exponential_counts(class_counts, ratio=self.ratio)


@dataclass(frozen=True, kw_only=True)
class Explicit(Imbalance, name="counts"):
    """Counts given one by one."""

    keep: tuple[int, ...] = ()
    """Examples to keep of each class, in the order of the labels."""

    @checked
    @override
    def counts(self, class_counts: Counts, *, seed: int) -> tuple[int, ...]:
        del seed
        classes, given = len(class_counts), len(self.keep)
        require_field(given == classes, "imbalance.keep", f"a count for each of {classes} classes", given)
        for c, (count, available) in enumerate(zip(self.keep, class_counts, strict=True)):
            of_class = f"1 to {available} of class {c}, its training images"
            require_field(1 <= count <= available, "imbalance.keep", of_class, count)
        return self.keep


def class_order(order: ClassOrder, classes: int, *, seed: int) -> tuple[int, ...]:
    """Return the labels from well- to under-represented.

    Raises:
        UserError: if a given order does not name each class once.
    """
    if order == "label":
        return tuple(range(classes))
    if order == "random":
        return tuple(torch.randperm(classes, generator=generator(seed, "class-order")).tolist())
    given = tuple(c for c in order if isinstance(c, int))
    if sorted(given) != list(range(classes)):
        raise FieldError("imbalance.class_order", f"each label from 0 to {classes - 1} once", order)
    return given


def _require_classes(class_counts: Counts) -> None:
    require(len(class_counts) >= 2, f"class counts: expected at least two classes, got {len(class_counts)}")


def _checked(ratio: float) -> float:
    require_field(math.isfinite(ratio) and ratio >= 1, "imbalance.ratio", "a number of at least 1", ratio, 1)
    return ratio


def _share_of(count: int, share: float) -> int:
    # The tiny addend keeps 5000 · 0.01 at 50 where floating point has 49.999….
    return math.floor(count * share + 1e-9)


def _kept(class_counts: Counts, shares: Sequence[float], ratio: float) -> tuple[int, ...]:
    counts = tuple(map(_share_of, class_counts, shares))
    empty = [c for c, count in enumerate(counts) if count < 1]
    if empty:
        raise UserError(
            f"`imbalance.ratio` {ratio:g} leaves class {empty[0]} without a training image: "
            f"it has only {class_counts[empty[0]]}"
        )
    return counts
