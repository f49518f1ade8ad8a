"""FAB: the authors' projections and their own run, and hyperplanes by hand."""

import pytest
import scipy.optimize
import torch
from pyautoattack.fab_projections import projection_l2, projection_linf
from pyautoattack.fab_pt import FABAttack_PT
from test_autopgd import N, images_and_labels, net

from srat.attacks import within
from srat.attacks.fab import FABT, Boundary, to_hyperplane
from srat.attacks.searches import lengths

THEIRS = {"linf": ("Linf", projection_linf), "l2": ("L2", projection_l2)}


def planes(n=200, seed=0):
    """Points, normals with zeros among them, and distances, some of which [0, 1] does not bridge."""
    rng = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 1, 4, 5, generator=rng).round(decimals=1)  # 0 and 1 among them
    normals = torch.randn(n, 1, 4, 5, generator=rng)
    normals[:, :, 0, 0] = 0
    offsets = (normals * torch.rand(n, 1, 4, 5, generator=rng)).flatten(1).sum(dim=1)
    offsets += 6 * torch.randn(n, generator=rng)
    return points, normals, offsets


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_goes_to_a_plane_as_the_authors_do(norm):
    points, normals, offsets = planes()
    distances = (normals * points).flatten(1).sum(dim=1) - offsets
    found = to_hyperplane(points, normals, distances, norm)
    expected = THEIRS[norm][1](points.flatten(1), normals.flatten(1), offsets)
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-3, atol=1e-3)
    reached = ((points + found) * normals).flatten(1).sum(dim=1)
    on_it = torch.isclose(reached, offsets, atol=1e-4)
    assert 20 < on_it.sum() < 180
    assert ((points + found >= -1e-6) & (points + found <= 1 + 1e-6)).all()


def test_no_way_to_a_plane_is_shorter():
    """A linear program for L∞, and a quadratic one for L2, of SciPy's."""
    points, normals, offsets = (each[:12] for each in planes(seed=1))
    distances = (normals * points).flatten(1).sum(dim=1) - offsets
    for norm in ("linf", "l2"):
        found = to_hyperplane(points, normals, distances, norm)
        for way, point, normal, distance in zip(found, points, normals, distances, strict=True):
            x, w, c = point.flatten().double().numpy(), normal.flatten().double().numpy(), distance.item()
            if abs((w * way.flatten().double().numpy()).sum() + c) > 1e-4:
                continue  # there is no way at all
            if norm == "linf":
                d = len(x)
                program = scipy.optimize.linprog(
                    [0.0] * d + [1.0],
                    A_ub=[[float(s * (i == j)) for j in range(d)] + [-1.0] for i in range(d) for s in (1, -1)],
                    b_ub=[0.0] * (2 * d),
                    A_eq=[[*w, 0.0]],
                    b_eq=[-c],
                    bounds=[*zip(-x, 1 - x, strict=True), (0, None)],
                )
                shortest = program.fun
            else:
                shortest = (
                    scipy.optimize.minimize(
                        lambda d: (d**2).sum(),
                        way.flatten().double().numpy() * 0.9,
                        jac=lambda d: 2 * d,
                        bounds=list(zip(-x, 1 - x, strict=True)),
                        constraints={"type": "eq", "fun": lambda d, w=w, c=c: w @ d + c, "jac": lambda d, w=w: w},
                        options={"maxiter": 500, "ftol": 1e-12},
                    ).fun
                    ** 0.5
                )
            length = way.abs().max().item() if norm == "linf" else way.norm().item()
            assert length == pytest.approx(shortest, abs=2e-4)


def test_a_plane_that_is_met_asks_for_nothing():
    points, normals, _ = planes(5)
    for norm in ("linf", "l2"):
        assert (to_hyperplane(points, normals, torch.zeros(5), norm) == 0).all()
        assert to_hyperplane(points, torch.zeros_like(normals), torch.ones(5), norm).abs().max() == 0


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_comes_as_near_as_the_authors_code(norm, rank):
    """The shortest perturbation of each image, whatever the budget."""
    model = net()
    images, labels = images_and_labels(model)
    walk = Boundary(norm=norm, rank=rank)
    state, nearest = walk.begin(images, None), torch.full((N,), torch.inf)
    for number in range(walk.points):
        point, logits, state, _ = walk.advance(model, state, torch.full_like(labels, number), images, labels)
        length = lengths(point - images, norm).flatten().where(logits.argmax(dim=1) != labels, torch.inf)
        nearest = torch.minimum(nearest, length)
        assert ((point >= 0) & (point <= 1)).all()
    reference = FABAttack_PT(model, norm=THEIRS[norm][0], eps=1.0, targeted=True, n_iter=100, device="cpu")
    reference.target_class = rank
    adversarial = reference.attack_single_run(images, labels, is_targeted=True)
    expected = lengths(adversarial - images, norm).flatten()
    expected = expected.where(model(adversarial).argmax(dim=1) != labels, torch.inf)
    torch.testing.assert_close(nearest, expected, rtol=1e-3, atol=1e-5)
    assert nearest.isfinite().sum() > N // 2


def test_each_target_is_a_class_of_its_own():
    assert [(walk.rank, walk.points) for walk in FABT().walks(10)] == [(rank, 100) for rank in range(2, 11)]
    assert [walk.rank for walk in FABT().walks(3)] == [2, 3]


def test_distances_that_are_no_numbers_keep_nobody_waiting():
    points = torch.rand(2, 1, 4, 4)
    distance = torch.tensor([torch.nan, 0.5])
    steps = to_hyperplane(points, torch.randn(2, 1, 4, 4), distance, "linf")
    assert torch.isfinite(steps[1]).all()


@pytest.mark.usefixtures("short_autoattack")
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.01), ("l2", 0.04)])
def test_what_it_finds_beyond_the_budget_counts_for_nothing(norm, epsilon):
    model = net()
    images, labels = images_and_labels(model)
    near, far = (FABT(norm=norm, epsilon=e)(model, images, labels, classes=10, seed=0) for e in (epsilon, 10 * epsilon))
    assert within(near, images, norm=norm, epsilon=epsilon).all()
    assert 0 < (near != images).flatten(1).any(dim=1).sum() < (far != images).flatten(1).any(dim=1).sum()
