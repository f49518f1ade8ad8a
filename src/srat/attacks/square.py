"""Square: a search by logits alone, in squares at random places that become smaller."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from srat.attacks.base import Images
from srat.attacks.pgd_margin import margin_of
from srat.attacks.projections import NormName
from srat.attacks.searches import Search, lengths
from srat.attacks.walks import Ask, Labels, Stand, State, Walk, chosen
from srat.core.counted_random import uniform
from srat.core.errors import require_field

QUERIES = 5000
FIRST_PART = 0.8
"""p, the part of the image that the first squares cover."""
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which p is halved."""
_TINY = 1e-12


def part(query: int) -> float:
    """Return p, the part of the image that the square of a query covers; queries are counted from 0.

    Source: Andriushchenko et al., 2020, Section 5, and AutoAttack's code.
    """
    return FIRST_PART / 2.0 ** sum(query > halved for halved in _HALVED_AFTER)


@cache
def sides(queries: int, height: int, width: int, norm: NormName) -> tuple[int, ...]:
    """Return the side of each query's square, √(p · height · width); in L2 odd, and 3 at the least."""
    rounded = (round(math.sqrt(part(query) * height * width)) for query in range(queries))
    if norm == "linf":
        return tuple(min(max(side, 1), height, width) for side in rounded)
    return tuple(min(max(side, 3) // 2 * 2 + 1, height, width) for side in rounded)


@cache
def _side_of(queries: int, height: int, width: int, norm: NormName, device: torch.device) -> Int[Tensor, " queries"]:
    return torch.tensor(sides(queries, height, width, norm), device=device)


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Walk):
    """A square of the perturbation is drawn anew; the point is kept where its margin is the smallest so far."""

    norm: NormName
    epsilon: float
    queries: int = QUERIES

    @property
    @override
    def points(self) -> int:
        return self.queries + 1

    @override
    def draw(self, shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
        """Return the key of an image's random numbers."""
        del shape
        return torch.randint(-(1 << 62), 1 << 62, (1,), generator=generator)

    @override
    def begin(self, images: Images, drawn: Tensor | None) -> State:
        assert drawn is not None
        start = _BEGINNINGS[self.norm](images, drawn, self.epsilon)
        return {"point": start, "best": start, "margin": images.new_full((len(images),), -torch.inf), "key": drawn}

    @override
    def advance(self, ask: Ask, state: State, step: Int[Tensor, " batch"], images: Images, labels: Labels) -> Stand:
        point, key = state["point"], state["key"]
        with torch.no_grad():
            logits = ask(point)
        margin = margin_of(logits.float(), labels)  # above 0 where it is wrong
        better = margin > state["margin"]
        best = chosen(better, point, state["best"])
        height, width = images.shape[2:]
        side = _side_of(self.queries, height, width, self.norm, point.device)[step.clamp(max=self.queries - 1)]
        proposed = _PROPOSALS[self.norm](best, images, key, step + 1, side, self.epsilon)
        larger = torch.where(better, margin, state["margin"])
        return Stand(point, logits, {"point": proposed, "best": best, "margin": larger, "key": key})


def windows(
    corners: Float[Tensor, "n 2"], side: Int[Tensor, " n"], height: int, width: int
) -> tuple[Int[Tensor, "n height"], Int[Tensor, "n width"]]:
    """Return where each row and column lies from the corner of a square, (n, height) and (n, width).

    Args:
        corners: numbers in [0, 1) that say where the square lies.
        side: of the square; inside it are places from 0 to side − 1.
        height: of the image.
        width: of the image.
    """
    top, left = ((corners[:, axis] * (length - side)).long() for axis, length in enumerate((height, width)))
    rows, columns = (torch.arange(length, device=side.device) for length in (height, width))
    return rows - top[:, None], columns - left[:, None]


def _inside(places: tuple[Tensor, Tensor], side: Int[Tensor, " n"]) -> Tensor:
    """Return which pixels lie in the square, (n, 1, height, width)."""
    rows, columns = ((place >= 0) & (place < side[:, None]) for place in places)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _sign(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0)


def _stripes(images: Images, key: Tensor, epsilon: float) -> Images:
    """Return images with ±ε on each column of each channel."""
    n, channels, _, width = images.shape
    numbers = uniform(key, torch.zeros_like(key), channels * width).view(n, channels, 1, width)
    return (images + epsilon * _sign(numbers)).clamp(0, 1)


def _recoloured(best: Images, images: Images, key: Tensor, query: Tensor, side: Tensor, epsilon: float) -> Images:
    """Return the best images with ±2 ε on each channel of a square, back in the ball."""
    channels, height, width = images.shape[1:]
    numbers = uniform(key, query, 2 + channels)
    inside = _inside(windows(numbers[:, :2], side, height, width), side)
    colour = 2 * epsilon * _sign(numbers[:, 2:])[:, :, None, None]
    return (best + inside * colour).clamp(images - epsilon, images + epsilon).clamp(0, 1)


def _half_pyramid(height: int, width: int) -> Float[Tensor, "height width"]:
    """Return η of a rectangle: Σ_k 1/(k + 1)² over rectangles that grow around its middle; of length 1."""
    found = torch.zeros(height, width)
    top, left = height // 2, width // 2
    for k in range(max(top, left) + 1):
        found[max(top - k, 0) : top + k + 1, max(left - k, 0) : left + k + 1] += 1 / (k + 1) ** 2
    return _of_length_one(found)


@cache
def bump(side: int) -> Float[Tensor, "side side"]:
    """Return η of a square: a half of it up, the other half down, of length 1.

    Source: Andriushchenko et al., 2020, Eq. 2, and AutoAttack's code.
    """
    found = torch.cat((_half_pyramid(side // 2, side), -_half_pyramid(side - side // 2, side)))
    return _of_length_one(found)


def _of_length_one(pattern: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(pattern)
    return pattern / length


@cache
def _bumps(largest: int, device: torch.device) -> Float[Tensor, "sides 2 largest largest"]:
    """Return the bumps of all sides up to the largest, upright and turned, filled up with 0."""
    found = torch.zeros(largest + 1, 2, largest, largest)
    for side in range(2, largest + 1):
        found[side, 0, :side, :side], found[side, 1, :side, :side] = bump(side), bump(side).T
    return found.to(device)


def _tiles(images: Images, key: Tensor, epsilon: float) -> Images:
    """Return images with bumps on a grid of 5 × 5 squares, of length ε before they are clipped."""
    n, channels, height, width = images.shape
    side = max(height // 5, 1)
    offset, down, across = (height - side * 5) // 2, height // side, width // side
    delta = torch.zeros_like(images)
    numbers = uniform(key, torch.zeros_like(key), down * across * (1 + channels)).view(n, down * across, 1 + channels)
    patterns = torch.stack((bump(side), bump(side).T)).to(images.device)
    for tile in range(down * across):
        top, left = offset + tile // across * side, offset + tile % across * side
        place = delta[:, :, top : top + side, left : left + side]
        pattern = patterns[(numbers[:, tile, 0] > 0.5).long()][:, None]
        tiled = pattern * _sign(numbers[:, tile, 1:])[:, :, None, None]
        place += tiled[:, :, : place.shape[2], : place.shape[3]]
    return (images + epsilon * delta / (lengths(delta, "l2") + _TINY)).clamp(0, 1)


def _moved_length(best: Images, images: Images, key: Tensor, query: Tensor, side: Tensor, epsilon: float) -> Images:
    """Return the best images with the length of one square of the perturbation moved to a bump on another."""
    delta, (channels, height, width) = best - images, images.shape[1:]
    numbers = uniform(key, query, 5 + channels)
    places = windows(numbers[:, :2], side, height, width)
    there, away = _inside(places, side), _inside(windows(numbers[:, 2:4], side, height, width), side)
    pattern = _bumps(min(height, width), delta.device)[side, (numbers[:, 4] > 0.5).long()]
    rows, columns = (place.clamp(0, pattern.shape[1] - 1) for place in places)
    placed = pattern.gather(1, rows[:, :, None].expand(-1, -1, pattern.shape[2])).gather(
        2, columns[:, None, :].expand(-1, height, -1)
    )[:, None]
    old = delta * there / (_TINY + _over_pixels(delta * there))
    new = (placed * _sign(numbers[:, 5:])[:, :, None, None] + old) * there
    room = (epsilon**2 - lengths(delta, "l2") ** 2).clamp(min=0) / channels
    size = (room + _over_pixels(delta * (there | away)) ** 2).sqrt()
    moved = torch.where(there, new / (_TINY + _over_pixels(new)) * size, torch.where(away, 0, delta))
    return (images + epsilon * moved / (lengths(moved, "l2") + _TINY)).clamp(0, 1)


def _over_pixels(images: Images) -> Float[Tensor, "n channels 1 1"]:
    found: Tensor = torch.linalg.vector_norm(images, dim=(2, 3), keepdim=True)
    return found


_BEGINNINGS = {"linf": _stripes, "l2": _tiles}
_PROPOSALS = {"linf": _recoloured, "l2": _moved_length}


@dataclass(frozen=True, kw_only=True)
class Square(Search, name="square"):
    """Square, a black-box attack of 5,000 queries (Andriushchenko et al., 2020)."""

    queries: int = QUERIES
    """Of the model, for each image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_field(1 <= self.queries <= 10**9, "queries", "1 to 1,000,000,000", self.queries)

    @property
    @override
    def label(self) -> str:
        """The attack's name; another number of queries is part of it."""
        return super().label + (f"-{self.queries}" if self.queries != QUERIES else "")

    @override
    def walks(self, classes: int) -> Sequence[Walk]:
        del classes
        return (RandomSearch(norm=self.norm, epsilon=self.epsilon, queries=self.queries),)
