"""Near twins across the parts of a folder, before a training, and what would keep them together."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Int
from torch import Tensor

from srat.core.words import counted
from srat.data.dataset import Dataset
from srat.data.image_folder.found import Hints
from srat.data.image_folder.grouping import COLUMN, FOUND
from srat.data.looks import Looks, looks_of
from srat.data.near_twins import mutual_twins, nearest
from srat.data.reading.image_files import ImageFiles
from srat.data.record import Part

Told = Callable[[int, int], None]
"""Told how many of how many images are done."""
MANY = 0.01
"""Share of the images of a part with a near twin in training, from which on the part is called dependent on it."""
MOST_PAIRS = 1 << 30
"""Pairs of images across parts that are compared at the most; more test images are looked at in even steps."""
MOST_OF_CLASS = 8_000
"""Images of a class, the first by name, among which its near twins are looked for."""
MOST_IMAGES, MOST_BYTES, LOOKED_AT = 2_000, 1 << 26, 1_000
"""Training images, and bytes of their files, that a training looks at beforehand, and test images, at the most."""
CANDIDATES = (
    r"^(\d+)_",
    r"^(\d+)-",
    r"^([^_/]+)_",
    r"^([^-/]+)-",
    r"^([^/]+)/",
    r"^(.*\D)\d+\.",
    r"^(.+)_[^_/]+$",
    r"(\d{4}-?\d\d-?\d\d)",
)
"""Patterns of names that are tried, simple ones first: 3_12.png, 3-12.png, walk_a.png, walk/12.png, walk12.png, …"""
KEPT_TOGETHER = 0.9
"""Share of near twins, at the least, that a pattern has to keep in one group, …"""
BY_CHANCE = 0.5
"""… while it does so with fewer than these of any two images of a class."""
FEWEST = 5
"""Pairs of near twins, and of a hundred images one, from which on a pattern is judged."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image, and its near twin in training."""

    image: int
    twin: int
    correlation: float
    """Of their thumbnails."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """The images of a part that have near twins in training."""

    part: Part
    pairs: tuple[Pair, ...]
    """The nearest ones first."""
    looked: int
    """Images of the part that were compared with those for training, …"""
    total: int
    """… of so many."""

    @property
    def many(self) -> bool:
        """Whether the part is no independent test."""
        return len(self.pairs) >= MANY * self.looked


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What would keep near twins together."""

    group: str
    """For `data.group`."""
    kept: float
    """Share of the near twins of a class that it keeps together; NaN where it is made of them."""
    kin: int
    """Images with a near twin in their class, …"""
    images: int
    """… of so many."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Near twins across parts."""

    by_part: tuple[Leak, ...] = ()
    """Those of parts in which images have near twins."""
    advice: Advice | None = None


NO_LEAKS = Leaks()


def leaks_among(
    looks: Looks,
    *,
    parts: Sequence[Part],
    labels: Sequence[int],
    hints: Sequence[Hints | None],
    drawn: bool,
    grouped: bool,
    told: Told = lambda *_: None,
) -> Leaks:
    """Return which images have near twins in training, and what would keep those together.

    Args:
        looks: what the images look like.
        parts: of each.
        labels: the class of each.
        hints: what may say the group of each; None of images that are not to be drawn.
        drawn: whether the test is drawn, not the folder's own.
        grouped: whether images are grouped already: then nothing is proposed.
        told: how many of how many images are compared.
    """
    places = {part: torch.tensor([n for n, each in enumerate(parts) if each == part]).long() for part in set(parts)}
    train = places.get("train", torch.arange(0))
    by_part, done, work = [], 0, 2 * len(parts) - len(train)  # each of the other parts, and then each in its class
    others: tuple[Part, ...] = ("validation", "test")
    for part in others:
        own = places.get(part, torch.arange(0))
        if len(own) and len(train):
            by_part.append(_leak(part, looks, own, train, _further(told, done, work)))
        done += len(own)
    there = tuple(leak for leak in by_part if leak.pairs)
    if grouped or (drawn and not any(leak.many for leak in there)):
        return Leaks(by_part=there)
    chosen = _first_of_classes(torch.tensor([n for n, hint in enumerate(hints) if hint]).long(), labels)
    found = mutual_twins(looks.subset(chosen), torch.tensor(labels)[chosen], _further(told, done, work))
    pairs = chosen[found]
    return Leaks(by_part=there, advice=_advice(pairs, chosen.tolist(), labels, hints, drawn=drawn))


def dependence_notes(train: Dataset, test: Dataset) -> Iterator[str]:
    """Yield that many test images have a near twin in training, as far as that is quickly seen.

    Twins are mostly of one class, so the smallest classes are looked at, as many as have few images in all.

    Args:
        train: training images in files.
        test: test images.
    """
    by_size = sorted(range(len(train.counts)), key=lambda label: train.counts[label])
    images = accumulate(train.counts[label] for label in by_size)
    small = [label for label, sofar in zip(by_size, images, strict=True) if sofar <= MOST_IMAGES]
    own, others = (
        torch.nonzero(torch.isin(each.labels.cpu(), torch.tensor(small))).flatten() for each in (test, train)
    )
    if not len(own) or not isinstance(train.images, ImageFiles):
        return
    known = train.subset(others)
    if not isinstance(known.images, ImageFiles) or _size(known.images) > MOST_BYTES:
        return
    looked = test.subset(own[:: -(-len(own) // LOOKED_AT)])
    twins = int(nearest(looks_of(looked), looks_of(known)).is_twin.sum())
    if twins >= max(1, MANY * len(looked)):
        share = f"{twins:,} of {counted(len(looked), 'test image')} looked at"
        have = "has" if twins == 1 else "have"
        ways = "'srat data' lists them, and proposes a `data.group`"
        yield f"the test is not independent: {share} {have} a near twin in training; {ways}"


def _size(images: ImageFiles) -> int:
    """Return the bytes of files of images; of those that are gone none."""
    return sum(path.stat().st_size for path in images.paths if path.is_file())


def _leak(part: Part, looks: Looks, own: Int[Tensor, " own"], train: Int[Tensor, " train"], told: Told) -> Leak:
    step = -(-len(own) * len(train) // MOST_PAIRS)
    looked = own[::step]
    near = nearest(looks.subset(looked), looks.subset(train), told=lambda n, count: told(n * step, count * step))
    pairs = [
        Pair(image=int(looked[n]), twin=int(train[near.which[n]]), correlation=min(1.0, float(near.correlation[n])))
        for n in torch.nonzero(near.is_twin).flatten().tolist()
    ]
    nearest_first = sorted(pairs, key=lambda pair: (-pair.correlation, pair.image))
    return Leak(part=part, pairs=tuple(nearest_first), looked=len(looked), total=len(own))


def _further(told: Told, before: int, work: int) -> Told:
    """Return what tells of a piece of the work."""
    return lambda n, _: told(before + n, work)


def _first_of_classes(images: Int[Tensor, " n"], labels: Sequence[int]) -> Int[Tensor, " chosen"]:
    """Return images of which no class has more than are compared, in the order of their names."""
    seen: Counter[int] = Counter()
    kept = []
    for image in images.tolist():
        seen[labels[image]] += 1
        kept += [image] * (seen[labels[image]] <= MOST_OF_CLASS)
    return torch.tensor(kept).long()


def _advice(
    pairs: Int[Tensor, "pairs 2"],
    images: Sequence[int],
    labels: Sequence[int],
    hints: Sequence[Hints | None],
    *,
    drawn: bool,
) -> Advice | None:
    """Return what keeps near twins together: a pattern or a column, else, of a drawn test, the twins themselves."""
    kin = len(set(pairs.flatten().tolist()))
    judged = len(pairs) >= max(FEWEST, MANY * len(images))
    hinted = [(image, hint) for image in images if judged and (hint := hints[image])]
    ranked = []
    for said, group_of in _candidates(hinted):
        kept = sum(group_of[one] == group_of[other] for one, other in pairs.tolist()) / len(pairs)
        if kept >= KEPT_TOGETHER and _by_chance(group_of, labels) < BY_CHANCE:
            ranked.append((kept, said))
    if ranked:
        kept, said = max(ranked, key=lambda each: each[0])  # the first of several
        return Advice(group=said, kept=kept, kin=kin, images=len(images))
    return Advice(group=FOUND, kept=float("nan"), kin=kin, images=len(images)) if drawn and kin else None


def _candidates(hints: Sequence[tuple[int, Hints]]) -> Iterator[tuple[str, dict[int, str]]]:
    """Yield what may say groups, with the group of each image, if it says that of all; nothing of no image."""
    if not hints:
        return
    for pattern in CANDIDATES:
        matches = [(image, re.search(pattern, hint.name)) for image, hint in hints]
        if all(match for _, match in matches):
            yield pattern, {image: match.group(1) for image, match in matches if match}
    for column in hints[0][1].row:
        cells = {image: hint.row.get(column, "").strip() for image, hint in hints}
        if all(cells.values()):
            yield COLUMN + column, cells


def _by_chance(group_of: dict[int, str], labels: Sequence[int]) -> float:
    """Return the share of pairs of one class that are of one group."""
    groups = Counter((labels[image], group) for image, group in group_of.items())
    classes = Counter(labels[image] for image in group_of)
    return sum(n * n for n in groups.values()) / max(1, sum(n * n for n in classes.values()))
