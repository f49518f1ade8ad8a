"""Attacks of a single step for training, and starts, against closed forms and loops."""

import math

import pytest
import torch
from torch import nn

import srat
from refusals import refusing
from srat import UserError
from srat.attacks import FGSM, NFGSM, PGD, Natural, PGDMargin, ZeroGrad, input_gradient, pgd_step, without_smallest
from srat.attacks.named import attack_words, named, named_for_training
from srat.cli.commands.completion import names_of_values
from srat.config.composition import compose
from srat.evaluation.record import describe_attack
from srat.runs.result_names import chosen_attacks, result_name


def total(x):
    return x.sum((1, 2, 3))


@pytest.fixture
def middle(rng):
    """Images so far from the ends of the range that nothing is clipped there."""
    return 0.4 + 0.2 * torch.rand(6, 3, 8, 8, generator=rng)


def seeded():
    return torch.Generator().manual_seed(4)


def bumpy(x):
    return (x * torch.linspace(-1, 1, x[0].numel()).view(x[0].shape)).sin().sum((1, 2, 3))


class TestNFGSM:
    def test_is_a_naive_loop(self, images):
        noise = 2 * 0.03 * (2 * torch.rand(images.shape, generator=seeded()) - 1)
        adversarial = NFGSM(epsilon=0.03)(bumpy, images, generator=seeded())
        for i, image in enumerate(images):
            start = (image + noise[i]).clamp(0, 1).requires_grad_()
            (g,) = torch.autograd.grad(bumpy(start[None]).sum(), start)
            expected = torch.tensor(
                [
                    min(1.0, max(0.0, p + 0.03 * math.copysign(1, s)))
                    for p, s in zip(start.flatten().tolist(), g.flatten().tolist(), strict=True)
                ]
            )
            torch.testing.assert_close(adversarial[i].flatten(), expected)

    def test_fills_its_range_and_leaves_the_ball(self, middle, rng):
        moved = NFGSM(epsilon=0.03)(total, middle, generator=rng) - middle
        # x + η + α: from −ε to 3 ε, uniformly.
        assert moved.min() == pytest.approx(-0.03, abs=2e-3)
        assert moved.max() == pytest.approx(0.09, abs=2e-3)
        assert moved.mean().item() == pytest.approx(0.03, abs=3e-3)
        assert (moved.abs() > 0.03 + 1e-6).float().mean() == pytest.approx(0.5, abs=0.05)

    def test_has_range_and_step_of_its_own(self, middle):
        three = NFGSM(epsilon=0.02, noise_factor=3.0, step_size=0.03)(total, middle, generator=seeded()) - middle
        noise = 0.06 * (2 * torch.rand(middle.shape, generator=seeded()) - 1)
        torch.testing.assert_close(three, noise + 0.03, rtol=0, atol=1e-6)

    def test_scales_noise_and_step_of_each_image(self, middle):
        scale = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
        plain = NFGSM(epsilon=0.01)(total, middle, generator=seeded()) - middle
        scaled = NFGSM(epsilon=0.01)(total, middle, generator=seeded(), scale=scale) - middle
        torch.testing.assert_close(scaled, scale[:, None, None, None] * plain, rtol=0, atol=1e-6)

    def test_refuses_what_is_out_of_range(self):
        for field, value in (("epsilon", 2.0), ("noise_factor", 0.0), ("step_size", 0.0)):
            with refusing(field, value):
                NFGSM(**{field: value})


class TestForTrainingAlone:
    def test_it_trains(self):
        assert named_for_training("n-fgsm", PGD(epsilon=0.1), PGD()) == NFGSM(epsilon=0.1)
        assert compose(attack="n-fgsm", epsilon=0.05).attack == NFGSM(epsilon=0.05)

    def test_no_word_evaluates_under_it(self):
        with pytest.raises(
            UserError, match="n-fgsm leaves the ball and is for training alone; what can evaluate: fgsm, "
        ):
            named("n-fgsm", PGD())
        assert "n-fgsm" not in attack_words()

    def test_no_door_takes_it(self, images, labels):
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
        for attack in (NFGSM(), "n-fgsm"):
            with pytest.raises(UserError, match="is for training alone"):
                srat.evaluate(model, images, labels, attack=attack)
        with pytest.raises(UserError, match="is for training alone"):
            chosen_attacks([NFGSM()], PGD(), compose(), seed=0)

    def test_the_command_line_offers_it_for_training_alone(self):
        assert "n-fgsm" in names_of_values("train")["--attack"]
        assert "n-fgsm" not in names_of_values("evaluate")["--attack"]


class TestZeroGrad:
    def test_without_smallest_is_a_loop(self, rng):
        gradient = torch.randn(5, 3, 4, 4, generator=rng)
        kept = without_smallest(gradient, 0.35)
        for g, k in zip(gradient.flatten(1).tolist(), kept.flatten(1).tolist(), strict=True):
            dropped = sorted(range(48), key=lambda j, g=g: abs(g[j]))[: int(0.35 * 48)]
            assert k == [0 if j in dropped else value for j, value in enumerate(g)]

    def test_without_smallest_at_the_ends(self, rng):
        gradient = torch.randn(2, 1, 3, 3, generator=rng)
        assert torch.equal(without_smallest(gradient, 0.0), gradient)
        assert torch.equal(without_smallest(gradient, 0.1), gradient)  # less than one of nine
        assert not without_smallest(gradient, 1.0).any()

    def test_each_image_has_a_threshold_of_its_own(self, rng):
        gradient = torch.randn(4, 3, 5, 5, generator=rng)
        sizes = torch.tensor([1e-6, 1.0, 1e3, 1e6])[:, None, None, None]
        assert torch.equal(without_smallest(gradient, 0.5) != 0, without_smallest(sizes * gradient, 0.5) != 0)

    def test_of_nothing_left_out_it_is_fgsm_across_the_ball(self, images):
        ours = ZeroGrad(epsilon=0.03, share=0.0)(bumpy, images, generator=seeded())
        assert torch.equal(
            ours, FGSM(epsilon=0.03, random_start=True, step_size=0.06)(bumpy, images, generator=seeded())
        )

    def test_pixels_that_are_left_out_stay_where_they_began(self, middle):
        weight = torch.linspace(1, 2, 192).view(3, 8, 8)
        attack = ZeroGrad(epsilon=0.03, share=0.5)
        moved = attack(lambda x: (weight * x).sum((1, 2, 3)), middle, generator=seeded()) - middle
        noise = 0.03 * (2 * torch.rand(middle.shape, generator=seeded()) - 1)
        small = weight.flatten().argsort()[:96]
        torch.testing.assert_close(moved.flatten(1)[:, small], noise.flatten(1)[:, small], rtol=0, atol=1e-6)
        large = weight.flatten().argsort()[96:]
        torch.testing.assert_close(moved.flatten(1)[:, large], torch.full((6, 96), 0.03), rtol=0, atol=1e-6)

    def test_stays_within_a_scaled_ball(self, images):
        scale = torch.linspace(0, 2, len(images))
        moved = ZeroGrad(epsilon=0.03)(bumpy, images, generator=seeded(), scale=scale) - images
        assert (moved.abs().flatten(1).amax(1) <= 0.03 * scale + 1e-6).all()

    def test_refuses_what_is_out_of_range(self):
        for field, value in (("epsilon", 2.0), ("share", 1.5), ("step_size", 0.0)):
            with refusing(field, value):
                ZeroGrad(**{field: value})
        with refusing("share", -0.1):
            without_smallest(torch.zeros(1, 1, 2, 2), -0.1)


class TestGaussianStart:
    @pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5)])
    def test_is_gaussian_noise_and_then_pgd(self, norm, epsilon, images):
        attack = PGD(norm=norm, epsilon=epsilon, step_size=0.02, steps=2, start_deviation=0.001)
        x = (images + 0.001 * torch.randn(images.shape, generator=seeded())).clamp(0, 1)
        for _ in range(2):
            x = pgd_step(x, input_gradient(bumpy, x), images, norm=norm, epsilon=epsilon, step_size=0.02)
        assert torch.equal(attack.perturb(bumpy, images, generator=seeded()), x)

    def test_has_the_deviation(self, rng):
        noise = PGD(start_deviation=0.02).noise((64, 3, 16, 16), generator=rng)
        assert noise.std().item() == pytest.approx(0.02, rel=0.02)
        assert noise.abs().max() > 0.06  # which no uniform noise of that deviation has

    def test_the_margin_has_it_too(self, rng):
        assert PGDMargin(start_deviation=0.001).noise((1, 1, 8, 8), generator=rng).abs().max() < 0.01

    def test_refuses_what_cannot_be(self):
        with refusing("start_deviation", 0.0):
            PGD(start_deviation=0.0)
        with refusing("start_deviation", 0.001):
            PGD(start_deviation=0.001, random_start=False)

    def test_says_nothing_where_it_is_not_used(self):
        config = compose()
        before = {"name": "pgd", "norm": "linf", "epsilon": 0.1, "step_size": 0.02, "steps": 10}
        attack = PGD(epsilon=0.1, step_size=0.02)
        assert describe_attack(attack, 10) == {**before, "random_start": True, "restarts": 1}
        assert result_name(config.evaluation, config, seed=config.seed) == "pgd-20"

    def test_is_part_of_what_a_result_is_called(self):
        config = compose()
        attack = PGD(epsilon=config.evaluation.epsilon, step_size=config.evaluation.step_size, start_deviation=0.001)
        assert describe_attack(attack, 10)["start_deviation"] == 0.001
        assert result_name(attack, config, seed=config.seed) == "pgd-10-start-deviation-0.001"

    def test_changes_no_id_where_it_is_not_used(self):
        plain = compose().to_plain()
        del plain["attack"]["start_deviation"], plain["evaluation"]["start_deviation"]
        read = type(compose()).from_plain(plain)
        assert read == compose()
        assert read.id == compose().id
        assert compose(attack=PGD(start_deviation=0.001)).id != compose(attack=PGD()).id


@pytest.mark.parametrize(
    ("attack", "beside"),
    [
        (Natural(), False),
        (FGSM(), False),
        (FGSM(random_start=True), True),
        (PGD(random_start=False), False),
        (PGD(), True),
        (NFGSM(), True),
        (ZeroGrad(), True),
    ],
)
def test_which_attacks_begin_beside_the_image(attack, beside):
    assert attack.starts_beside is beside


def test_fgsm_rs_has_its_constants(middle):
    """Wong et al.: uniform start in ±ε, α = 1.25 ε, clipped to the ball."""
    moved = FGSM(epsilon=0.04, random_start=True)(total, middle, generator=seeded()) - middle
    noise = 0.04 * (2 * torch.rand(middle.shape, generator=seeded()) - 1)
    torch.testing.assert_close(moved, (noise + 0.05).clamp(max=0.04), rtol=0, atol=1e-6)
