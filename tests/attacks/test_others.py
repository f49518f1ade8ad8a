"""PGD of other libraries, from the starts that our evaluation draws: at the last step the same images are right."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srat.attacks import PGD
from srat.data import to_unit
from srat.data.sources.digits import Digits


@pytest.fixture(scope="module")
def pgd():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent.parent.parent / "benchmarks"))
        yield importlib.import_module("pgd")


@pytest.fixture(scope="module")
def digits():
    return Digits().test().sample(60)


@pytest.fixture(scope="module")
def model(digits):
    """Trained a little, so that some images break on the way, some at the end, and some never."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(model(to_unit(digits.images)), digits.labels).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("library", ["foolbox", "torchattacks"])
@pytest.mark.parametrize("random_start", [True, False])
def test_at_the_last_step_the_same_images_are_right(library, random_start, pgd, model, digits):
    pytest.importorskip(library)
    attack = PGD(epsilon=0.16, step_size=0.04, steps=20, random_start=random_start)
    found = pgd.ours(model, digits, attack)
    margins = pgd.margins(pgd.OTHERS[library], model, digits, attack, pgd.noise_of(digits, attack))
    assert 5 < found.last.survived.sum() < 55
    differing = (margins < 0) != found.last.survived
    assert (margins[differing].abs() < 1e-3).all()  # by rounding alone
    assert differing.sum() <= 1
    assert not (found.every.survived & ~found.last.survived).any()


@pytest.mark.parametrize("library", ["foolbox", "torchattacks"])
def test_a_first_step_leads_from_the_same_start_to_the_same_point(library, pgd, model, digits):
    pytest.importorskip(library)
    attack = PGD(epsilon=0.08, step_size=0.02, steps=1)
    images, labels, noise = to_unit(digits.images), digits.labels, pgd.noise_of(digits, attack)
    theirs = pgd.OTHERS[library](model, images, labels, noise, attack)
    start = (images + noise).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(start), labels, reduction="sum"), start)
    mine = attack.step(start.detach(), gradient, images)
    assert noise.abs().max() > 0.07
    # Where it is zero to rounding a gradient has no sign.
    assert (theirs - mine)[gradient.abs() > 1e-6].abs().max() < 1e-6
