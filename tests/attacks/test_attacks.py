"""Attacks against closed forms, other libraries, and their own promises."""

import copy
import math

import foolbox
import pytest
import torch
import torchattacks
from torch import nn
from torch.nn import functional as F

from refusals import refusing
from srat.attacks import (
    FGSM,
    NFGSM,
    PGD,
    Attack,
    Natural,
    PGDMargin,
    ZeroGrad,
    input_gradient,
    margin,
    pgd_step,
    project_l2,
    project_linf,
)
from srat.attacks.apgd import APGDCE
from srat.attacks.named import attack_names, attack_words, named
from srat.attacks.projections import GEOMETRIES, normalized_step, uniform_l2, uniform_linf
from srat.core.errors import UserError
from srat.core.members import members

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot reach the edge of a ball:UserWarning")  # a few steps are quick
EPSILON = {"linf": 8 / 255, "l2": 0.5}
ATTACKS = [
    Natural(),
    FGSM(),
    FGSM(random_start=True),
    PGD(),
    PGD(random_start=False),
    PGD(restarts=3, steps=2),
    PGD(norm="l2", epsilon=0.5, step_size=0.1),
    PGD(norm="l2", epsilon=0.5, step_size=0.1, random_start=False),
    PGD(start_deviation=0.001),
    PGDMargin(),
    NFGSM(),
    ZeroGrad(),
]


@pytest.fixture
def model(rng):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    return net.eval()


@pytest.fixture
def loss_at(model, labels):
    return lambda x: F.cross_entropy(model(x), labels, reduction="none")


def lengths(delta, norm):
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def reach(attack):
    """How far from an image an attack may end."""
    epsilon = getattr(attack, "epsilon", 0.0)
    return epsilon if attack.bounded else (attack.noise_factor + 1) * epsilon


def test_every_attack_of_the_family_is_tested():
    assert {attack.name for attack in ATTACKS} == set(members(Attack))


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
class TestEveryAttack:
    def test_keeps_budget_and_range(self, attack, loss_at, images, rng):
        # Pixels at the very ends of the range too.
        images = images.clone()
        images[0], images[1] = 0, 1
        adversarial = attack(loss_at, images, generator=rng)
        norm = getattr(attack, "norm", "linf")
        assert lengths(adversarial - images, norm).max() <= reach(attack) + 1e-6
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1

    def test_never_helps_the_model(self, attack, loss_at, images, rng):
        assert loss_at(attack(loss_at, images, generator=rng)).sum() >= loss_at(images).sum() - 1e-5

    def test_gives_back_the_same_kind_of_tensor(self, attack, loss_at, images, rng):
        adversarial = attack(loss_at, images, generator=rng)
        assert (adversarial.shape, adversarial.dtype, adversarial.requires_grad) == (images.shape, images.dtype, False)

    def test_leaves_the_images_as_they_are(self, attack, loss_at, images, rng):
        before = images.clone()
        attack(loss_at, images, generator=rng)
        assert torch.equal(images, before)

    def test_repeats_itself_from_the_same_generator(self, attack, loss_at, images):
        one, two = (attack(loss_at, images, generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, two)

    def test_works_where_gradients_are_off(self, attack, loss_at, images, rng):
        with torch.no_grad():
            attack(loss_at, images, generator=rng)

    @pytest.mark.parametrize("shift", [-0.1, 0.2, math.nan])
    def test_refuses_images_outside_the_unit_range(self, attack, loss_at, images, rng, shift):
        with pytest.raises(UserError, match=r"\[0, 1\]"):
            attack(loss_at, images + shift, generator=rng)


@pytest.mark.parametrize("steps", [1, 10])
def test_linf_pgd_without_random_start_is_torchattacks(model, loss_at, images, labels, rng, steps):
    ours = PGD(steps=steps, random_start=False)(loss_at, images, generator=rng)
    theirs = torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=steps, random_start=False)(images, labels)
    assert (ours - theirs).abs().max() == 0


@pytest.mark.parametrize("steps", [1, 10])
def test_linf_pgd_without_random_start_is_foolbox(model, loss_at, images, labels, rng, steps):
    ours = PGD(steps=steps, random_start=False)(loss_at, images, generator=rng)
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=2 / 255, steps=steps, random_start=False)
    _, theirs, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), images, labels, epsilons=8 / 255)
    assert (ours - theirs).abs().max() == 0


def test_l2_pgd_without_random_start_is_foolbox(model, loss_at, images, labels, rng):
    ours = PGD(norm="l2", epsilon=0.5, step_size=0.1, steps=10, random_start=False)(loss_at, images, generator=rng)
    attack = foolbox.attacks.L2ProjectedGradientDescentAttack(abs_stepsize=0.1, steps=10, random_start=False)
    _, theirs, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), images, labels, epsilons=0.5)
    assert (ours - theirs).abs().max() < 1e-6


def test_fgsm_is_torchattacks(model, loss_at, images, labels, rng):
    theirs = torchattacks.FGSM(model, eps=8 / 255)(images, labels)
    assert (FGSM()(loss_at, images, generator=rng) - theirs).abs().max() < 1e-7


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("random_start", [False, True])
def test_reaches_the_optimum_of_a_linear_model(norm, dual, random_start, rng):
    # Of the loss w·x over the ball, far from the ends of the pixel range, the maximum is w·x + ε ‖w‖_dual.
    w = torch.randn(1, 1, 6, 6, generator=rng, dtype=torch.float64)
    images = torch.full((5, 1, 6, 6), 0.5, dtype=torch.float64)
    attack = PGD(norm=norm, epsilon=0.1, step_size=0.05, steps=60, random_start=random_start)
    adversarial = attack(lambda x: (w * x).sum((1, 2, 3)), images, generator=rng)
    gain = (w * (adversarial - images)).sum((1, 2, 3))
    torch.testing.assert_close(gain, (0.1 * w.flatten().norm(dual)).expand(5), rtol=1e-6, atol=0)


def test_reaches_the_optimum_of_a_linear_model_where_pixels_end(rng):
    w = torch.randn(1, 1, 6, 6, generator=rng)
    images = torch.rand(5, 1, 6, 6, generator=rng)
    adversarial = PGD(epsilon=0.3, step_size=0.1, steps=10)(lambda x: (w * x).sum((1, 2, 3)), images, generator=rng)
    torch.testing.assert_close(adversarial, (images + 0.3 * w.sign()).clamp(0, 1))


def test_positive_weights_move_no_linf_step(loss_at, images):
    weights = torch.linspace(0.01, 78.0, len(images))
    plain = PGD()(loss_at, images, generator=torch.Generator().manual_seed(1))
    weighted = PGD()(lambda x: weights * loss_at(x), images, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain, weighted)


def test_more_steps_never_help_the_model(loss_at, images):
    gains = [
        loss_at(PGD(steps=n, random_start=False)(loss_at, images, generator=torch.Generator())).mean()
        for n in (1, 5, 20)
    ]
    assert gains == sorted(gains)


def test_restarts_keep_the_worst_of_each_image(loss_at, images):
    single = loss_at(PGD(steps=1)(loss_at, images, generator=torch.Generator().manual_seed(5)))
    several = loss_at(PGD(steps=1, restarts=8)(loss_at, images, generator=torch.Generator().manual_seed(5)))
    assert (several >= single).all()
    assert (several > single).any()


def test_restarts_compare_with_the_worst_so_far(images, rng):
    # Losses of the starts: 1, 3, 2. The last must not win over the second.
    losses = iter([1.0, 3.0, 2.0])

    def loss_at(x):
        return x.sum((1, 2, 3)) * 0 + next(losses) if not x.requires_grad else x.sum((1, 2, 3))

    marks = iter([0.1, 0.2, 0.3])
    attack = PGD(restarts=3)
    object.__setattr__(attack, "_from_one_start", lambda *_: torch.full_like(images, next(marks)))
    assert attack.perturb(loss_at, images, generator=rng).unique().tolist() == pytest.approx([0.2])


def test_every_start_is_another_one(images, rng):
    begun = []

    def loss_at(x):
        if x.requires_grad:
            begun.append(x.detach())
        return x.sum((1, 2, 3))

    PGD(steps=1, restarts=4)(loss_at, images, generator=rng)
    assert len(begun) == 4
    assert len({str(start.tolist()) for start in begun}) == 4


def test_fgsm_from_a_random_start_steps_further(images, rng):
    # Wong et al.: 1.25 ε, projected; from any start a positive gradient then ends within [0.25 ε, ε].
    moved = FGSM(epsilon=0.02, random_start=True)(lambda x: x.sum((1, 2, 3)), 0.5 * images + 0.2, generator=rng)
    assert (moved - (0.5 * images + 0.2)).min() >= 0.25 * 0.02 - 1e-6


def test_start_noise_is_symmetric_and_fills_the_linf_ball(rng):
    noise = uniform_linf((40, 3, 16, 16), 0.1, generator=rng)
    assert noise.mean().abs() < 1e-3
    assert noise.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.01)
    assert noise.abs().max() <= 0.1


def test_start_noise_is_uniform_in_the_l2_ball(rng):
    noise = uniform_l2((20_000, 1, 1, 3), 2.0, generator=rng)
    radii = noise.flatten(1).norm(dim=1)
    assert radii.max() <= 2.0 + 1e-6
    # Of a ball in three dimensions, half the volume lies within 2^(−1/3) of the radius.
    assert (radii < 2.0 * 0.5 ** (1 / 3)).float().mean().item() == pytest.approx(0.5, abs=0.015)
    assert noise.mean(0).abs().max() < 0.03


def test_projections_leave_what_is_inside(rng):
    center, delta = torch.rand(6, 1, 4, 4, generator=rng), 0.01 * torch.randn(6, 1, 4, 4, generator=rng)
    torch.testing.assert_close(project_linf(center + delta, center, 0.5), center + delta)
    torch.testing.assert_close(project_l2(center + delta, center, 5.0), center + delta)
    assert torch.equal(project_l2(center, center, 0.5), center)


def test_projections_put_what_is_outside_onto_the_surface(rng):
    center, delta = torch.zeros(6, 1, 4, 4), torch.randn(6, 1, 4, 4, generator=rng)
    for norm, geometry in GEOMETRIES.items():
        assert lengths(geometry.project(center + 9 * delta, center, 0.3), norm).tolist() == pytest.approx([0.3] * 6)


def test_a_zero_gradient_moves_nothing():
    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(normalized_step(x, torch.zeros_like(x), 0.1), x)


def test_gradient_is_with_respect_to_the_images_alone(model, loss_at, images):
    gradient = input_gradient(loss_at, images)
    assert gradient.shape == images.shape
    assert all(p.grad is None for p in model.parameters())


def test_attack_is_its_start_and_its_steps(loss_at, images):
    attack = PGD(steps=3)
    x = (images + attack.noise(images.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    for _ in range(3):
        gradient = input_gradient(loss_at, x)
        x = pgd_step(x, gradient, images, norm="linf", epsilon=attack.epsilon, step_size=attack.step_size)
    assert torch.equal(x, attack(loss_at, images, generator=torch.Generator().manual_seed(2)))


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("pgd", PGD(steps=9, epsilon=0.02)),
        ("pgd-20", PGD(steps=20, epsilon=0.02)),
        ("PGD_020", PGD(steps=20, epsilon=0.02)),
        ("pgd20", PGD(steps=20, epsilon=0.02)),
        ("Pgd_Margin7", PGDMargin(steps=7, epsilon=0.02)),
        ("fgsm", FGSM(epsilon=0.02)),
        ("APGD_CE", APGDCE(epsilon=0.02)),
        ("natural", Natural()),
        ("clean", Natural()),
    ],
)
def test_names(name, attack):
    assert named(name, PGD(steps=9, epsilon=0.02)) == attack


def test_every_setting_that_a_threat_model_has_is_given():
    threat = PGD(norm="l2", epsilon=0.5, step_size=0.1, steps=9, restarts=3)
    assert named("pgd-margin", threat) == PGDMargin(norm="l2", epsilon=0.5, step_size=0.1, steps=9, restarts=3)
    plain = PGD(epsilon=0.05, step_size=0.01, steps=9, random_start=False)
    assert named("pgd", plain) == plain
    assert named("fgsm", plain) == FGSM(epsilon=0.05)
    assert named("fgsm", PGD(epsilon=0.05)) == FGSM(epsilon=0.05)  # which begins where it begins by itself


def test_the_lists_of_words():
    assert attack_names(training=True) == ["fgsm", "n-fgsm", "natural", "pgd", "pgd-margin", "zero-grad"]
    assert attack_names()[:5] == ["fgsm", "natural", "pgd", "pgd-margin", "zero-grad"]
    searches = ["apgd-ce", "apgd-t", "autoattack", "autoattack-rapid", "autoattack-reference", "fab-t", "square"]
    assert attack_names()[5:] == searches
    stepped = ["pgd", "pgd-N", "pgd-margin", "pgd-margin-N"]
    assert attack_words(training=True) == ["fgsm", "n-fgsm", "natural", *stepped, "zero-grad"]
    assert attack_words()[:7] == ["fgsm", "natural", *stepped, "zero-grad"]
    assert attack_words()[7:] == attack_names()[5:]
    for word in attack_words():
        assert named(word.replace("-N", "-3"), PGD())


def test_labels():
    assert PGD(steps=20).label == "pgd-20"
    assert PGD(steps=20, norm="l2", restarts=5).label == "pgd-20-l2x5"
    assert Natural().label == "clean"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-3",
        "pgd-N",
        "pgd-0",
        "pgd-1000000000",
        "fgsm-2",
        "pdg-20",
        "pgd--1",
        "autoattack-2",
        "pgd-margin-",
        "apgd",
        "square-5",
    ],
)
def test_refuses_names_of_attacks_that_are_not_there(name):
    with pytest.raises(UserError, match=r"unknown attack|`attack`: expected 1 to 10,000 steps"):
        named(name, PGD())


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (PGD, "epsilon", 0.0),
        (PGD, "epsilon", 8.0),
        (PGD, "step_size", 0.0),
        (PGD, "steps", 0),
        (PGD, "restarts", 0),
        (FGSM, "epsilon", 2.0),
        (FGSM, "step_size", -1.0),
    ],
)
def test_refuses_what_is_out_of_range(kind, field, value):
    with refusing(field, value):
        kind(**{field: value})


def test_refuses_what_cannot_be():
    with refusing("restarts", 2):
        PGD(restarts=2, random_start=False)
    for make in (lambda: PGD(epsilon=math.nan), lambda: named("fgsm", PGD(norm="l2"))):
        with pytest.raises(UserError):
            make()


def test_margin_by_hand():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.5, 0.5, 0.0]])
    assert margin(logits, torch.tensor([0, 1, 0])).tolist() == [-1.0, 2.0, 0.0]
    version = logits._version
    margin(logits, torch.tensor([0, 1, 0]))
    assert logits._version == version


def test_the_margin_sees_what_a_saturated_softmax_hides(model, images, labels):
    """5 of METHOD.md's mistakes: at a thousandfold scale cross-entropy's gradient is zero for what is right."""

    def scaled(x):
        return 1e4 * model(x)

    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    attack = PGDMargin()
    usual = input_gradient(lambda x: F.cross_entropy(scaled(x), labels, reduction="none"), images)
    own = input_gradient(lambda x: attack.loss(F.cross_entropy, scaled(x), labels), images)
    assert (usual == 0).double().mean() > 0.9
    assert (own == 0).double().mean() < 0.1


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("pgd-margin", "pgd-margin-7"),
        ("pgd-margin-30", "pgd-margin-30"),
        ("apgd-ce", "apgd-ce"),
        ("autoattack", "autoattack"),
        ("fab-t", "fab-t"),
    ],
)
def test_names_of_the_suite(name, label):
    attack = named(name, PGD(epsilon=0.02, steps=7))
    assert (attack.label, attack.epsilon) == (label, 0.02)
    assert named(name, PGD(norm="l2", epsilon=0.5, steps=7)).label == f"{label}-l2"


class TestTensorsOfInferenceMode:
    @pytest.mark.parametrize("layer", [nn.Linear(48, 4), nn.BatchNorm1d(48)])
    @pytest.mark.parametrize("within", [True, False])
    def test_are_refused_in_a_line(self, layer, within, rng):
        with torch.inference_mode():
            model = nn.Sequential(nn.Flatten(), copy.deepcopy(layer))
        images = torch.rand(2, 3, 4, 4)
        with torch.inference_mode(within), pytest.raises(UserError, match=r"made in torch\.inference_mode; make") as e:
            PGD()(lambda x: model(x).square().sum(1), images, generator=rng)
        assert "\n" not in str(e.value)

    def test_are_refused_where_only_a_gradient_is_asked_for(self, rng):
        with torch.inference_mode():
            weight = torch.ones(3, 4, 4)
        with pytest.raises(UserError, match="was made in torch.inference_mode"):
            input_gradient(lambda x: (x * weight).flatten(1).sum(1), torch.rand(2, 3, 4, 4))

    def test_are_the_only_ones(self, rng):
        def loss_at(x):
            raise RuntimeError("of another kind")

        with pytest.raises(RuntimeError, match="of another kind"):
            PGD()(loss_at, torch.rand(2, 3, 4, 4), generator=rng)
