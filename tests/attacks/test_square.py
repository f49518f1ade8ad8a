"""Square: the authors' schedule and patterns, and what is found by it in all."""

import itertools

import numpy as np
import pytest
import torch
from pyautoattack.square import SquareAttack
from scipy import stats
from test_autopgd import net

from srat.attacks import within
from srat.attacks.square import RandomSearch, Square, _moved_length, _recoloured, _tiles, bump, part, sides
from srat.attacks.walks import right
from srat.core.counted_random import uniform

NORMS = {"linf": ("Linf", 0.03), "l2": ("L2", 0.12)}


def theirs(norm, queries=5000, seed=0, model=None):
    name, epsilon = NORMS[norm]
    settings = {"p_init": 0.8, "n_restarts": 1, "resc_schedule": False, "device": "cpu"}
    return SquareAttack(model, norm=name, n_queries=queries, eps=epsilon, seed=seed, **settings)


def test_squares_shrink_as_the_authors_do():
    reference = theirs("linf")
    assert [part(query) for query in range(9000)] == [reference.p_selection(query) for query in range(9000)]
    of_cifar = sides(5000, 32, 32, "linf")
    assert (of_cifar[0], of_cifar[11], of_cifar[4999]) == (29, 20, 3)
    assert all(side % 2 for side in sides(5000, 32, 32, "l2"))
    assert min(sides(5000, 32, 32, "l2")) == 3
    assert max(sides(100, 5, 9, "linf")) <= 5


@pytest.mark.parametrize("side", [2, 3, 5, 6, 9])
def test_bumps_are_the_authors(side):
    reference = theirs("l2")
    reference.init_hyperparam(torch.zeros(1, 1, 9, 9))
    torch.manual_seed(0)
    seen = [reference.eta(side) for _ in range(20)]
    upright = [each for each in seen if torch.allclose(each, bump(side), atol=1e-6)]
    turned = [each for each in seen if torch.allclose(each, bump(side).T, atol=1e-6)]
    assert len(upright) + len(turned) >= 20
    assert upright
    assert turned


def proposals(norm, images, steps, seed=0):
    """The points that a search comes to, on a model whose margin falls with each of them: all are kept."""
    walk = RandomSearch(norm=norm, epsilon=NORMS[norm][1])
    rng = torch.Generator().manual_seed(seed)
    keys = torch.cat([walk.draw(images.shape[1:], generator=rng) for _ in images])
    state, labels, points = walk.begin(images, keys), torch.zeros(len(images), dtype=torch.long), []
    for number in range(steps):

        def ask(asked, number=number):
            return torch.tensor([[1000.0 - number, 0.0]]).repeat(len(asked), 1)

        point, _, state, _ = walk.advance(ask, state, torch.full_like(labels, number), images, labels)
        points.append(point)
    return points


def test_a_query_recolours_one_square_of_each_channel():
    images = torch.full((50, 3, 9, 12), 0.5)
    points = proposals("linf", images, 60)
    side_of = sides(5000, 9, 12, "linf")
    middle = (points[1] - images)[:, :, 4, 6].sign()  # wherever the first square lies
    assert {tuple(signs) for signs in middle.tolist()} == set(itertools.product((-1, 1), repeat=3))
    for query in range(59):
        changed = points[query + 1] != points[query]
        assert changed.any(dim=1).flatten(1).sum(dim=1).max() <= side_of[query] ** 2
        assert torch.allclose((points[query + 1] - images).abs(), torch.tensor(0.03), atol=1e-6)
        for image in changed.any(dim=1):
            rows, columns = image.nonzero(as_tuple=True)
            if len(rows):
                assert rows.max() - rows.min() < side_of[query]
                assert columns.max() - columns.min() < side_of[query]


def test_the_start_is_stripes():
    start = proposals("linf", torch.full((200, 3, 4, 8), 0.5), 1)[0] - 0.5
    assert torch.allclose(start.abs(), torch.tensor(0.03), atol=1e-6)
    assert torch.equal(start, start[:, :, :1].expand_as(start))
    signs = (start[:, :, 0] > 0).flatten(1).float()
    assert signs.mean().item() == pytest.approx(0.5, abs=0.03)
    assert np.abs(np.corrcoef(signs.T.numpy()) - np.eye(24)).max() < 0.3


KEYS, QUERY = torch.arange(400) * 7919 + 3, torch.full((400,), 6)


def test_squares_lie_anywhere_and_channels_have_colours_of_their_own():
    images, side = torch.full((400, 3, 9, 12), 0.5), torch.full((400,), 3)
    changed = _recoloured(images, images, KEYS, QUERY, side, 0.03) - images
    rows, columns = (changed.abs().sum(dim=(1, axis)).gt(0).int().argmax(dim=1) for axis in (3, 2))
    assert stats.chisquare(torch.bincount(rows, minlength=6)).pvalue > 0.01
    assert stats.chisquare(torch.bincount(columns, minlength=9)).pvalue > 0.01
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.15
    colours = changed.sum(dim=(2, 3)).sign()
    assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.15
    assert colours.mean(dim=0).abs().max() < 0.15


def moved_by_loops(best, image, numbers, side, epsilon):
    """A proposal in L2 by the steps of the paper, one image at a time."""
    delta = (best - image).double().numpy()
    channels, height, width = delta.shape
    here, there = (
        tuple(
            slice(int(number * (length - side)), int(number * (length - side)) + side)
            for number, length in zip(numbers[first : first + 2].tolist(), (height, width), strict=True)
        )
        for first in (0, 2)
    )
    both = np.zeros((height, width), dtype=bool)
    both[here] = both[there] = True
    whole = np.sqrt((delta**2).sum())
    pattern = bump(side).double().numpy()
    new = np.zeros((channels, side, side))
    for channel in range(channels):
        square = delta[channel][here]
        sign = -1 if numbers[5 + channel] < 0.5 else 1
        new[channel] = sign * (pattern.T if numbers[4] > 0.5 else pattern) + square / (1e-12 + np.linalg.norm(square))
        room = max(epsilon**2 - whole**2, 0) / channels
        size = np.sqrt(room + (delta[channel][both] ** 2).sum())
        new[channel] *= size / (1e-12 + np.linalg.norm(new[channel]))
    for channel in range(channels):
        delta[channel][there] = 0
    for channel in range(channels):
        delta[channel][here] = new[channel]
    return (image + epsilon * torch.from_numpy(delta / np.linalg.norm(delta))).clamp(0, 1).float()


@pytest.mark.parametrize("side", [3, 5, 7])
def test_in_l2_a_square_gets_the_length_of_another_as_in_loops(side):
    rng = torch.Generator().manual_seed(side)
    images = 0.3 + 0.4 * torch.rand(60, 3, 9, 12, generator=rng)
    delta = torch.randn(60, 3, 9, 12, generator=rng)
    length = 0.2 * torch.linspace(0.5, 1, 60)  # some with room left
    best = images + delta / delta.flatten(1).norm(dim=1)[:, None, None, None] * length[:, None, None, None]
    keys, query = KEYS[:60], QUERY[:60]
    found = _moved_length(best, images, keys, query, torch.full((60,), side), 0.2)
    for number, row in enumerate(uniform(keys, query, 8)):
        expected = moved_by_loops(best[number], images[number], row, side, 0.2)
        assert torch.allclose(found[number], expected, atol=1e-5)


def test_in_l2_the_start_is_tiles_whose_signs_and_turns_are_their_own():
    images = torch.full((400, 3, 10, 10), 0.5)
    delta = _tiles(images, KEYS, 0.2) - 0.5
    assert (delta.flatten(1).norm(dim=1) - 0.2).abs().max() < 1e-5
    tiles = delta.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 1, 3, 5).reshape(400, -1, 2, 2)
    upright = bump(2) / bump(2).norm()
    alike = torch.stack([(tiles * turned).sum(dim=(2, 3)) for turned in (upright, upright.T)], dim=2)
    length = tiles.flatten(2).norm(dim=2)
    told = length > 1e-6
    assert torch.allclose(alike.abs().amax(dim=2)[told], length[told], atol=1e-5)
    signs = alike.gather(2, alike.abs().argmax(dim=2, keepdim=True)).squeeze(2).sign()[:, :12].float()
    assert np.abs(np.corrcoef(signs.T) - np.eye(12)).max() < 0.25
    turned = (alike.abs().argmax(dim=2)[:, ::3][:, :8]).float()
    assert (turned.mean(dim=0) - 0.5).abs().max() < 0.12


@pytest.mark.parametrize("size", [8, 16, 17])
def test_in_l2_all_of_the_length_is_used_at_every_query(size):
    images = torch.full((20, 3, size, size), 0.5)
    for point in proposals("l2", images, 40):
        assert (point - images).flatten(1).norm(dim=1).tolist() == pytest.approx([0.12] * 20, rel=1e-3)


def test_a_point_is_kept_where_the_margin_is_smaller():
    images = torch.rand(30, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model, walk = net(), RandomSearch(norm="linf", epsilon=0.03)
    labels = model(images).argmax(dim=1)
    keys = torch.arange(30) * 7919
    state, smallest = walk.begin(images, keys), torch.full((30,), torch.inf)
    for number in range(40):
        point, logits, state, _ = walk.advance(model, state, torch.full_like(labels, number), images, labels)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
        margin = logits.gather(1, labels[:, None]).squeeze(1) - others
        kept = (state["best"] == point).flatten(1).all(dim=1)
        assert ((kept == (margin < smallest)) | (margin == smallest)).all()
        smallest = torch.minimum(smallest, margin)
        assert torch.allclose(-state["margin"], smallest)


@pytest.mark.parametrize("queries", [1, 60])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_breaks_as_many_as_the_authors_code(norm, queries):
    """Of 600 images, over other random numbers; a difference that comes by chance once in ten thousand times."""
    model = net()
    images = torch.rand(600, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    model[-1].bias -= model(images).mean(dim=0)
    labels = model(images).argmax(dim=1)
    ours = Square(norm=norm, epsilon=NORMS[norm][1], queries=queries)(model, images, labels, classes=10, seed=0)
    reference = theirs(norm, queries, model=lambda x: model(x).clone()).perturb(images.clone(), labels)
    assert within(ours, images, norm=norm, epsilon=NORMS[norm][1]).all()
    broken = [int((~right(model(found), labels)).sum()) for found in (ours, reference)]
    assert stats.fisher_exact([broken, [600 - each for each in broken]]).pvalue > 1e-4
    assert 10 < broken[0] < 590


def test_random_numbers_are_uniform_and_of_their_key_and_counter():
    keys = torch.tensor([0, 1, -5, 2**62, 12345])
    numbers = torch.stack([uniform(keys, torch.full_like(keys, counter), 4) for counter in range(2000)])
    assert stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > 0.01
    for one in (numbers[:, 0], numbers[:, :, 0], numbers[:-1, 1, 1]):
        assert stats.kstest(one.flatten().numpy(), "uniform").pvalue > 0.001
    columns = numbers.flatten(1).numpy()
    assert np.abs(np.corrcoef(columns.T) - np.eye(20)).max() < 0.1
    assert abs(np.corrcoef(columns[:-1, 0], columns[1:, 0])[0, 1]) < 0.08  # one counter after the other
    assert len(np.unique(columns)) > 0.99 * columns.size
    again = uniform(keys.flip(0), torch.full_like(keys, 7), 4).flip(0)
    assert torch.equal(again, numbers[7])
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_random_numbers_are_those_of_splitmix64():
    """By integers of any size, as the paper has them."""
    mask = (1 << 64) - 1

    def mixed(state):
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        return state ^ (state >> 31)

    golden = 0x9E3779B97F4A7C15
    keys, counters = [0, 3, -7, 2**61], [0, 5, 4999, 1]
    found = uniform(torch.tensor(keys), torch.tensor(counters), 3)
    for row, key, counter in zip(found, keys, counters, strict=True):
        state = mixed((key + golden * counter) & mask)
        expected = [mixed((state + golden * lane) & mask) >> 40 for lane in (1, 2, 3)]
        assert row.tolist() == [each / 2**24 for each in expected]
