"""The guard against catastrophic overfitting: what counts as a collapse, what follows, and what is remembered."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from refusals import refusing
from srat.attacks import FGSM, NFGSM, PGD, Attack, Natural, PGDMargin, ZeroGrad
from srat.attacks.refined import Refined
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.members import members
from srat.guards import CollapseGuard, NoGuard, Right, Seen, Watch, has_fallen, surely_less

GUARD = CollapseGuard()


def seen(**counts):
    """Return a group that is as it should be, of 100 images each, but for what is named."""
    usual = {"probe": 40, "best": 42, "trained": 50, "attacked": 5000, "started": 8000}
    rights = {name: Right(counts.get(name, n), 10_000 if n > 100 else 100) for name, n in usual.items()}
    return Seen(**rights, guess=counts.get("guess", 0.1), comparable=counts.get("comparable", True))


class TestSure:
    @pytest.mark.parametrize("one", [0, 3, 10, 40, 99, 100])
    @pytest.mark.parametrize("other", [0, 12, 41, 60, 100])
    @pytest.mark.parametrize("share", [1.0, 0.5, 1 / 1.1])
    def test_it_is_newcombes_interval_of_wilsons_at_99_per_cent(self, one, other, share):
        def ends(correct, total):
            """The π with (p − π)² = z² π (1 − π) / n."""
            p, z2 = correct / total, 6.634896601021217 / total
            return sorted(np.roots([1 + z2, -2 * p - z2, p * p]).real)

        (_, high), (low, _) = ends(one, 100), ends(other, 150)
        distance = math.hypot(share * (other / 150 - low), high - one / 100)
        expected = share * other / 150 - one / 100 - distance > 1e-12
        assert surely_less(Right(one, 100), Right(other, 150), share) == expected

    def test_chance_alone_is_hardly_ever_sure(self):
        rng = np.random.default_rng(0)
        for n, p in ((256, 0.4), (25, 0.3)):
            pairs = rng.binomial(n, p, (2000, 2))
            alarms = sum(surely_less(Right(int(a), n), Right(int(b), n)) for a, b in pairs)
            assert alarms <= 0.01 * len(pairs)

    def test_of_nothing_nothing_is_sure(self):
        assert not surely_less(Right(0, 0), Right(9, 9))
        assert not surely_less(Right(0, 9), Right(0, 0))


class TestFall:
    def fallen(self, best, now, trained=90, **settings):
        return has_fallen(Right(best, 100), Right(now, 100), Right(trained, 100), **{"guess": 0.1, **settings})

    def test_twenty_points_or_half_of_what_there_was(self):
        assert [self.fallen(80, now) for now in (61, 59, 0)] == [False, True, True]
        assert [self.fallen(30, now) for now in (16, 15, 12, 0)] == [False, False, True, True]
        assert self.fallen(80, 61, drop=0.1)

    def test_what_chance_explains_is_none(self):
        assert not has_fallen(Right(6, 10), Right(3, 10), Right(10, 10), guess=0.1)
        assert has_fallen(Right(60, 100), Right(30, 100), Right(100, 100), guess=0.1)

    def test_a_best_that_guessing_reaches_does_not_count(self):
        assert not self.fallen(20, 2, guess=0.2)
        assert not self.fallen(20, 2, guess=0.12)  # as good as that by chance
        assert self.fallen(20, 2, guess=0.05)

    def test_weights_that_are_wrong_under_any_attack_are_unsteady_not_overfitted(self):
        assert not self.fallen(80, 40, trained=42)
        assert not self.fallen(80, 40, trained=59)
        assert self.fallen(80, 40, trained=70)

    def test_without_a_best_there_is_none(self):
        assert not has_fallen(Right(0, 0), Right(0, 100), Right(90, 100), guess=0.1)


class TestJudge:
    def test_a_good_epoch_is_let_be(self):
        assert GUARD.judge({"": seen(), "rare": seen()}) == ""
        assert GUARD.is_good({"": seen(), "rare": seen()})

    @pytest.mark.parametrize(
        ("counts", "said"),
        [
            ({"probe": 15}, "15.0 % right under PGD, 50.0 % under the training attack, after 42.0 % under PGD"),
            ({"probe": 5, "best": 5, "trained": 60}, "5.0 % right under PGD, 60.0 % under the training attack"),
            (
                {"probe": 20, "best": 20, "trained": 70, "comparable": False, "attacked": 9000, "started": 3000},
                "20.0 % right under PGD, 70.0 % under the training attack, "
                "which turns 3.00 images right for each that was right before it",
            ),
        ],
    )
    @pytest.mark.parametrize("group", ["", "rare"])
    def test_each_sign_in_each_group_is_one(self, counts, said, group):
        groups = {"": seen(), "common": seen(), "rare": seen()} | {group: seen(**counts)}
        assert GUARD.judge(groups) == (f"{group} classes: {said}" if group else said)

    @pytest.mark.parametrize(
        "counts",
        [
            {"probe": 5, "best": 5, "trained": 60, "comparable": False},  # PGD has the larger balls
            {"attacked": 9000, "started": 3000},  # PGD leaves as much: BatchNorm lags behind
            {"probe": 20, "best": 20, "trained": 70, "comparable": False, "attacked": 8500},  # a ratio of 1.06
            {"probe": 20, "best": 20},  # 0.4 of what the training attack leaves
            {"probe": 0, "best": 0, "trained": 8},  # nothing is learnt yet
        ],
    )
    def test_what_looks_like_one_is_none(self, counts):
        assert GUARD.judge({"": seen(**counts)}) == ""

    def test_settings_decide(self):
        hollow = seen(probe=5, best=5, trained=60)
        assert GUARD.judge({"": hollow})
        assert not replace(GUARD, share=0.05).judge({"": hollow})
        leaking = seen(probe=20, best=20, trained=70, comparable=False, attacked=9000)
        assert GUARD.judge({"": leaking})
        assert not replace(GUARD, ratio=1.2).judge({"": leaking})
        assert replace(GUARD, drop=0.1).judge({"": seen(best=65, trained=65)})

    def test_an_epoch_on_the_way_down_is_not_good(self):
        doubtful = {"": seen(probe=45, best=65, trained=65)}
        assert GUARD.judge(doubtful) == ""
        assert not GUARD.is_good(doubtful)
        assert not GUARD.is_good({"": seen(), "rare": seen(probe=45, best=65, trained=65)})


class TestRemedy:
    @pytest.mark.parametrize("attack", [FGSM(), FGSM(random_start=True), NFGSM(), ZeroGrad(), PGD(steps=2)])
    def test_more_steps_that_go_half_as_far_again_where_a_ball_bounds_them(self, attack):
        assert GUARD.remedied(attack, 0) is attack
        for remedies in (1, 2, 4):
            after = GUARD.remedied(attack, remedies)
            assert after.iterations == (remedies + 1) * attack.iterations
            way = (1.5 if attack.bounded else 1.0) * attack.alpha * attack.iterations
            assert after.alpha * after.iterations == pytest.approx(way)
            half = replace(GUARD, reach=1.0).remedied(attack, remedies)
            assert half.alpha == pytest.approx(attack.alpha / (remedies + 1))

    def test_a_smaller_step_first_and_then_more(self):
        guard = CollapseGuard(remedy="smaller-step", factor=0.7, reach=1.0)
        after = [guard.remedied(FGSM(epsilon=0.1), n) for n in range(4)]
        assert [each.iterations for each in after] == [1, 1, 2, 3]
        assert [each.alpha for each in after] == pytest.approx([0.1, 0.07, 0.05, 0.1 / 3])
        assert [each.label for each in after] == [
            "fgsm",
            "fgsm with 0.7 of its step",
            "fgsm in 2 steps",
            "fgsm in 3 steps",
        ]

    def test_it_steps_in_as_often_as_it_may(self):
        assert [CollapseGuard(most=2).steps_in(n) for n in range(4)] == [True, True, False, False]
        assert not CollapseGuard(most=0).steps_in(0)

    def test_an_attack_of_enough_steps_has_none(self):
        assert GUARD.remedied(PGD(steps=10), 3) == PGD(steps=10)


class TestRefined:
    """Against its own steps, one after the other."""

    @pytest.mark.parametrize(
        "attack", [FGSM(epsilon=0.2), NFGSM(epsilon=0.1), PGD(epsilon=0.2, step_size=0.2, steps=1)]
    )
    @pytest.mark.parametrize("scale", [None, torch.tensor([0.5, 1.0, 1.5])])
    def test_it_looks_anew_before_each_part(self, attack, scale):
        images = 0.3 + 0.4 * torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
        wanted = torch.linspace(0.1, 0.9, 16).reshape(1, 4, 4)
        rng = lambda: torch.Generator().manual_seed(0)  # noqa: E731
        refined = Refined(attack=attack, parts=3, share=1.5)
        got = refined(lambda x: (x - wanted).square().sum((1, 2, 3)), images, generator=rng(), scale=scale)
        each = torch.ones(3) if scale is None else scale
        x, noise = images, attack.noise(images.shape, generator=rng())
        x = images if noise is None else (images + each[:, None, None, None] * noise).clamp(0, 1)
        for _ in range(3):
            x = x + each[:, None, None, None] * attack.alpha / 2 * (x - wanted).sign()
            if attack.bounded:
                ball = each[:, None, None, None] * attack.epsilon
                x = torch.minimum(torch.maximum(x, images - ball), images + ball)
            x = x.clamp(0, 1)
        torch.testing.assert_close(got, x)

    def test_it_asks_what_the_attack_asks(self):
        margin = PGDMargin(steps=2, restarts=3, epsilon=0.1, step_size=0.1)
        refined = Refined(attack=margin, parts=2)
        logits, labels = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([0])
        assert refined.loss(lambda z, _: z.sum(1), logits, labels).item() == 2.0
        assert (refined.starts, refined.iterations, refined.label) == (3, 4, "pgd-margin-2x3 in 4 steps")

    def test_it_is_no_choice(self):
        assert Refined not in members(Attack).values()

    def test_refuses_what_cannot_be_divided(self):
        with refusing("parts", 0):
            Refined(attack=FGSM(), parts=0)
        with refusing("share", 1.5):  # a single part would be longer than the step
            Refined(attack=FGSM(), share=1.5)


class TestWatches:
    @pytest.mark.parametrize(
        ("attack", "watched"),
        [
            (FGSM(), True),
            (NFGSM(), True),
            (ZeroGrad(), True),
            (PGD(steps=1), True),
            (PGD(steps=2), True),
            (PGD(steps=3), False),
            (PGD(), False),
            (Natural(), False),
        ],
    )
    def test_attacks_of_fewer_than_three_steps(self, attack, watched):
        assert GUARD.watches(attack) == watched
        assert not NoGuard().watches(attack)
        assert replace(Config(), attack=attack).is_guarded == watched

    def test_below_says_of_how_many(self):
        assert CollapseGuard(below=11).watches(PGD())
        assert not CollapseGuard(below=2).watches(PGD(steps=2))

    @pytest.mark.parametrize(
        ("field", "value"),
        [("below", 0), ("drop", 0.0), ("share", 1.0), ("ratio", 0.9), ("factor", 1.5), ("reach", 2.5), ("most", -1)],
    )
    def test_refuses_settings_out_of_range(self, field, value):
        with refusing(f"guard.{field}", value):
            CollapseGuard(**{field: value})


class TestIdentity:
    """New runs of few steps are guarded; what older configurations said nothing of stays as it was."""

    def test_an_old_configuration_is_unguarded_under_its_old_id(self):
        new = compose(attack="fgsm")
        content = new.to_plain()
        del content["guard"]
        old = Config.from_plain(content)
        assert (new.is_guarded, old.is_guarded, old.guard) == (True, False, NoGuard())
        assert old.id == compose(attack="fgsm", guard="none").id != new.id
        assert new.differences(old) == ["guard collapse (not none)"]

    def test_a_guard_with_nothing_to_look_after_is_no_matter(self):
        for attack in ("pgd", "natural", "pgd-3"):
            one, other = (compose(attack=attack, guard=guard) for guard in ("collapse", "none"))
            assert one.id == other.id
            assert one.differences(other) == []
            assert replace(one, guard=CollapseGuard(drop=0.5)).id == one.id
        assert compose(attack="pgd", guard=CollapseGuard(below=11)).id != compose(attack="pgd").id

    def test_its_settings_are_part_of_a_guarded_run(self):
        one = compose(attack="fgsm")
        assert compose(attack="fgsm", guard=CollapseGuard(drop=0.5)).id != one.id


class TestWatch:
    def watch(self, **parts):
        net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        made = nn.ModuleDict(parts)
        return Watch(net, made, groups={"": (0, 1, 2), "rare": (1, 2)}, classes=3), net, made

    def test_counts_by_class_over_the_steps_of_an_epoch(self):
        watch, *_ = self.watch()
        yes, no = True, False
        watch.observe(torch.tensor([0, 0, 1, 2]), torch.tensor([yes, no, yes, no]), torch.tensor([no, no, yes, yes]))
        watch.observe(torch.tensor([2, 2]), torch.tensor([yes, yes]), torch.tensor([no, yes]))
        found = watch.seen(((10, 10, 5), (4, 3, 2), (7, 6, 5)), (True, True, False))
        assert found[""] == Seen(
            probe=Right(9, 25),
            best=Right(0, 0),
            trained=Right(18, 25),
            guess=0.4,
            comparable=False,
            attacked=Right(3, 6),
            started=Right(4, 6),
        )
        assert (found["rare"].probe, found["rare"].guess) == (Right(5, 15), 10 / 15)
        assert (found["rare"].attacked, found["rare"].started) == (Right(3, 4), Right(3, 4))
        assert found["rare"].ratio == 1.0
        watch.close(found)
        assert watch.seen(((1, 1, 1),) * 3, (True,) * 3)[""].attacked == Right(0, 0)

    def test_the_best_stays_until_there_is_a_better_one(self):
        watch, *_ = self.watch()
        best = []
        for robust in ((4, 3, 2), (9, 0, 0), (1, 5, 5), (0, 0, 0)):
            found = watch.seen(((10, 10, 10), robust, robust), (True,) * 3)
            best.append((found[""].best.correct, found["rare"].best.correct))
            watch.close(found)
        assert best == [(0, 0), (9, 5), (9, 5), (11, 10)]

    def test_the_good_state_is_a_copy_and_comes_back_whole(self):
        part = nn.BatchNorm1d(2)
        watch, net, parts = self.watch(average=part)
        watch.keep(net, parts, epochs=2)
        tensors = lambda: [*net.state_dict().values(), *parts.state_dict().values()]  # noqa: E731
        before = [tensor.clone() for tensor in tensors()]
        with torch.no_grad():
            for module in (net, part):
                for tensor in (*module.parameters(), *module.buffers()):
                    tensor.add_(1)
        kept = {tensor.data_ptr() for tensor in watch.state_dict().values()}
        assert not kept & {tensor.data_ptr() for tensor in tensors()}
        watch.restore(net, parts)
        assert all(torch.equal(a, b) for a, b in zip(before, tensors(), strict=True))
        assert (int(watch.remedies), int(watch.kept)) == (1, 2)
        assert not any(parameter.requires_grad for parameter in watch.parameters())
        assert all(parameter.requires_grad for parameter in net.parameters())
