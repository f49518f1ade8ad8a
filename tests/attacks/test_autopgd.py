"""Auto-PGD: the authors' own run from the same starts, point for point."""

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import nn

from srat.attacks import PGD, PGDMargin, within
from srat.attacks.apgd import APGDCE, APGDT, AutoPGD, looks, targeted_dlr
from srat.attacks.autoattack import AutoAttack, OnTheMargin, RapidAutoAttack
from srat.attacks.named import named
from srat.attacks.searches import rival
from srat.core.errors import FieldError

N = 40
NORMS = {"linf": ("Linf", 0.03), "l2": ("L2", 0.12)}


def net(classes=10):
    """With right and wrong answers near each other, and smooth, so that rounding stays small."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.ELU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(128, 32), nn.ELU(), nn.Linear(32, classes)).eval()
    return model.requires_grad_(False)


def images_and_labels(model):
    images = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    model[-1].bias -= model(images).mean(dim=0)
    return images, model(images).argmax(dim=1)


def went(walk, model, images, labels, drawn):
    """The state after all points, and which images were wrong at one of them; all points lie in the ball."""
    state, wrong = walk.begin(images, drawn), torch.zeros(len(images), dtype=torch.bool)
    for number in range(walk.points):
        point, logits, state, _ = walk.advance(model, state, torch.full_like(labels, number), images, labels)
        wrong |= logits.argmax(dim=1) != labels
        assert within(point, images, norm=walk.norm, epsilon=walk.epsilon).all()
    return state, wrong


def starts(walk, seed=0):
    return torch.cat([walk.draw((1, 1, 6, 6), generator=torch.Generator().manual_seed(seed + i)) for i in range(N)])


@pytest.mark.parametrize("steps", [100, 37])
@pytest.mark.parametrize("rank", [None, 2, 5])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_goes_where_the_authors_code_goes(norm, rank, steps):
    model = net()
    images, labels = images_and_labels(model)
    theirs, epsilon = NORMS[norm]
    walk = AutoPGD(norm=norm, epsilon=epsilon, rank=rank, steps=steps)
    drawn = starts(walk)
    state, wrong = went(walk, model, images, labels, drawn)
    if rank is None:
        reference = APGDAttack(model, n_iter=steps, norm=theirs, eps=epsilon, loss="ce", device="cpu")
    else:
        reference = APGDAttack_targeted(model, n_iter=steps, norm=theirs, eps=epsilon, device="cpu")
        reference.y_target = model(images).sort(dim=1)[1][:, -rank]
    reference.init_hyperparam(images)
    best, right, loss, _ = reference.attack_single_run(images, labels, x_init=(images + drawn).clamp(0, 1))
    assert torch.equal(wrong, ~right.bool())
    assert 3 < wrong.sum() < N - 3
    # A loss that rounding moves turns a step of L2 into another one, late, in a few images.
    alike = torch.isclose(state["best_loss"], loss, rtol=1e-4, atol=1e-5)
    assert alike.all() if norm == "linf" else alike.sum() >= N - 2
    assert torch.allclose(state["best"][alike], best[alike], atol=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_at_the_edge_of_the_ball(norm):
    noise = starts(AutoPGD(norm=norm, epsilon=0.1)).flatten(1)
    lengths = noise.abs().amax(dim=1) if norm == "linf" else noise.norm(dim=1)
    assert lengths.tolist() == pytest.approx([0.1] * N, rel=1e-5)
    assert abs(noise.mean().item()) < 0.01
    if norm == "linf":
        assert (noise.abs() < 0.05).float().mean().item() == pytest.approx(0.48, abs=0.06)  # uniform, then lengthened


def test_each_image_goes_its_own_way():
    """Wherever the others are: here half of them begin later."""
    model = net()
    images, labels = images_and_labels(model)
    walk = AutoPGD(norm="linf", epsilon=0.03, rank=2, steps=30)
    drawn = starts(walk)
    alone, _ = went(walk, model, images, labels, drawn)
    late = torch.arange(N) % 2 * 7
    begun = walk.begin(images, drawn)
    state, kept = dict(begun), {}
    for number in range(walk.points + 7):
        step = number - late
        waiting = (step < 0)[:, None, None, None]
        _, _, moved, _ = walk.advance(model, state, step.clamp(0, walk.points - 1), images, labels)
        state = {
            name: torch.where(waiting.reshape(-1, *[1] * (tensor.ndim - 1)), begun[name], tensor)
            for name, tensor in moved.items()
        }
        for name, tensor in state.items():
            kept.setdefault(name, tensor.clone())[step == walk.points - 1] = tensor[step == walk.points - 1]
    assert torch.allclose(kept["best_loss"], alone["best_loss"], atol=1e-6)
    assert torch.equal(kept["best"], alone["best"])


def test_looks_come_at_the_papers_shares_of_the_steps():
    """p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06)."""
    points, last, before = [], 0.22, 0.0
    while last < 1 - 1e-9:
        points.append(round(100 * last))
        last, before = last + max(last - before - 0.03, 0.06), last
    found = looks(100)
    assert [step + 1 for step, interval in enumerate(found) if interval] == points
    assert sum(found) == points[-1] == 99


def test_the_targeted_loss_by_hand():
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0, 0.0], [1.0, 4.0, 2.0, 3.0, -1.0]])
    found = targeted_dlr(logits, torch.tensor([0, 2]), torch.tensor([2, 1]))
    assert found.tolist() == pytest.approx([-(5 - 3) / (5 - (2 + 1) / 2), -(2 - 4) / (4 - (2 + 1) / 2)])
    scaled = targeted_dlr(100 * logits + 7, torch.tensor([0, 2]), torch.tensor([2, 1]))
    assert torch.allclose(found, scaled, atol=1e-5)
    few = targeted_dlr(logits[:, :3], torch.tensor([0, 2]), torch.tensor([2, 1]))
    assert few.tolist() == [-2.0, 2.0]


def test_each_target_is_a_class_of_its_own():
    walks = APGDT(epsilon=0.02).walks(10)
    assert [walk.rank for walk in walks] == list(range(2, 11))
    assert [walk.rank for walk in APGDT(targets=5).walks(10)] == [2, 3, 4, 5, 6]
    assert [walk.rank for walk in APGDT().walks(4)] == [2, 3, 4]
    assert {walk.steps for walk in (*walks, *APGDCE().walks(10))} == {100}


def test_the_rapid_form_is_the_margin_and_five_targets():
    one, other = named("autoattack-rapid", PGD(norm="l2", epsilon=0.3)).stages
    assert (one, other) == (OnTheMargin(norm="l2", epsilon=0.3), APGDT(norm="l2", epsilon=0.3, targets=5))
    (walk,) = one.walks(10)
    assert walk.attack == PGDMargin(norm="l2", epsilon=0.3, step_size=0.075, steps=20)
    assert other.label == "apgd-t-l2-5"
    assert RapidAutoAttack().label == "autoattack-rapid"
    with pytest.raises(FieldError, match="`targets`: expected 1 to 1,000, got 0"):
        APGDT(targets=0)


@pytest.mark.usefixtures("short_autoattack")
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_call_returns_images_in_the_ball_that_are_wrong_or_as_they_were(norm):
    model = net()
    images, labels = images_and_labels(model)
    attack = RapidAutoAttack(norm=norm, epsilon=NORMS[norm][1])
    found = attack(model, images, labels, classes=10, seed=0)
    wrong = model(found).argmax(dim=1) != labels
    assert within(found, images, norm=norm, epsilon=NORMS[norm][1]).all()
    assert torch.equal(wrong, (found != images).flatten(1).any(dim=1))
    assert 10 < wrong.sum() < N
    assert torch.equal(attack(model, images, labels, classes=10, seed=0), found)
    assert not torch.equal(attack(model, images, labels, classes=10, seed=1), found)


def test_a_rival_is_another_class_where_logits_are_alike():
    logits = torch.tensor([[1.0, 1.0, 0.0, -1.0], [1.0, 1.0, 0.0, -1.0], [0.0, 3.0, 2.0, 1.0]])
    labels = torch.tensor([0, 1, 1])
    assert [rival(logits, labels, rank).tolist() for rank in (2, 3, 4)] == [[1, 0, 2], [2, 2, 3], [3, 3, 0]]


@pytest.mark.usefixtures("short_autoattack")
def test_what_a_stage_has_found_is_left_to_it():
    model = net()
    images, labels = images_and_labels(model)
    first, both = (kind(epsilon=0.03)(model, images, labels, classes=10, seed=0) for kind in (APGDCE, AutoAttack))
    broken = (first != images).flatten(1).any(dim=1)
    assert 3 < broken.sum() < N
    assert torch.equal(both[broken], first[broken])


@pytest.mark.usefixtures("short_autoattack")
def test_the_way_to_each_target_begins_with_noise_of_its_own(monkeypatch):
    model, begun, real = net(), [], AutoPGD.begin
    images, labels = images_and_labels(model)
    monkeypatch.setattr(AutoPGD, "begin", lambda self, x, noise: begun.append(noise) or real(self, x, noise))
    APGDT(epsilon=1e-6, targets=4)(model, images, labels, classes=10, seed=0)
    assert len(begun) == 4
    assert len({str(noise.tolist()) for noise in begun}) == 4
