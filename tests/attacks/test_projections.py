"""Projections: into the ball, to its nearest point, and what clipping makes of that."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from srat.attacks import within
from srat.attacks.projections import GEOMETRIES


def lengths(delta, norm):
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


SIDES = dict.fromkeys(("channels", "height", "width"), st.integers(1, 3))
WHERE = {"seed": st.integers(0, 2**32), "epsilon": st.floats(0, 3), "away": st.floats(0, 4)}


FEW = settings(max_examples=40, deadline=None)


def around(seed, away, shape):
    """Return images in [0, 1], and points somewhere around them."""
    rng = torch.Generator().manual_seed(seed)
    center = torch.rand(4, *shape, generator=rng, dtype=torch.float64)
    return center, center + away * torch.randn(4, *shape, generator=rng, dtype=torch.float64), rng


@pytest.mark.parametrize("norm", ["linf", "l2"])
class TestProjections:
    @FEW
    @given(**WHERE, **SIDES)
    def test_end_in_the_ball_and_change_nothing_there(self, norm, seed, epsilon, away, **sides):
        center, points, _ = around(seed, away, sides.values())
        project = GEOMETRIES[norm].project
        projected = project(points, center, epsilon)
        assert (lengths(projected - center, norm) <= epsilon + 1e-12).all()
        torch.testing.assert_close(project(projected, center, epsilon), projected, rtol=0, atol=1e-12)

    @FEW
    @given(**WHERE, **SIDES)
    def test_end_at_the_nearest_point_of_the_ball(self, norm, seed, epsilon, away, **sides):
        # A point p of a convex set is the nearest to x if and only if (x − p) · (z − p) ≤ 0 for all z in the set.
        center, points, rng = around(seed, away, sides.values())
        projected = GEOMETRIES[norm].project(points, center, epsilon)
        rest = (points - projected).flatten(1)
        # The largest value over the ball is at its point farthest in that direction.
        farthest = epsilon * (rest.sign() if norm == "linf" else F.normalize(rest, dim=1, eps=1e-300))
        others = [torch.randn(points.shape, generator=rng, dtype=torch.float64) for _ in range(3)]
        inside = [GEOMETRIES[norm].project(center + 3 * epsilon * z, center, epsilon) for z in others]
        for z in (center.flatten(1) + farthest, *(each.flatten(1) for each in inside)):
            assert ((rest * (z - projected.flatten(1))).sum(1) <= 1e-9).all()

    @FEW
    @given(**WHERE, **SIDES)
    def test_clipping_the_result_leaves_neither_ball_nor_box(self, norm, seed, epsilon, away, **sides):
        center, points, _ = around(seed, away, sides.values())
        clipped = GEOMETRIES[norm].project(points, center, epsilon).clamp(0, 1)
        assert within(clipped, center, norm=norm, epsilon=epsilon, tolerance=1e-12).all()


def test_the_clipped_point_is_the_nearest_of_ball_and_box_in_linf_alone():
    """What `pgd_step` says of itself: of L2 there may be a nearer one."""
    center, point = torch.tensor([0.9, 0.5]).view(1, 1, 1, 2), torch.tensor([1.7, 1.1]).view(1, 1, 1, 2)
    grid = torch.cartesian_prod(torch.linspace(0, 1, 401), torch.linspace(0, 1, 401)).view(-1, 1, 1, 2)
    for norm, is_nearest in (("linf", True), ("l2", False)):
        clipped = GEOMETRIES[norm].project(point, center, 0.4).clamp(0, 1)
        there = grid[within(grid, center.expand_as(grid), norm=norm, epsilon=0.4, tolerance=0.0)]
        nearest = (there - point).flatten(1).norm(dim=1).min()
        assert ((clipped - point).norm() <= nearest + 0.005) == is_nearest
