"""Square: the authors' schedule and patterns, and what is found by it in all."""

import numpy as np
import pytest
import torch
from pyautoattack.square import SquareAttack
from scipy import stats
from test_autopgd import net

from srat.attacks import within
from srat.attacks.square import RandomSearch, Square, bump, part, sides
from srat.core.counted_random import uniform
from srat.evaluation.serving import right

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

        point, _, state = walk.advance(ask, state, torch.full_like(labels, number), images, labels)
        points.append(point)
    return points


def test_a_query_recolours_one_square_of_each_channel():
    images = torch.full((50, 3, 9, 12), 0.5)
    points = proposals("linf", images, 60)
    side_of = sides(5000, 9, 12, "linf")
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
        point, logits, state = walk.advance(model, state, torch.full_like(labels, number), images, labels)
        others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
        margin = logits.gather(1, labels[:, None]).squeeze(1) - others
        kept = (state["best"] == point).flatten(1).all(dim=1)
        assert (kept == (margin < smallest)).all() or torch.equal(kept | (margin == smallest), kept)
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
