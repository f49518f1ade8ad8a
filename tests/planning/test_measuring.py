"""Steps are timed by a clock, and nothing else is moved by it."""

import torch
from plans import facts

import srat
from srat.planning.ladder import ladder
from srat.planning.measuring import TIMED, measure, noise, timed_steps
from srat.planning.settings import configured


class Clock:
    """Stands still but for what is added."""

    now = 0.0

    def __call__(self):
        return self.now


def timed(durations, *, seconds, images=10):
    """Return what is found of steps that take so long, how many were made, and how often the device was waited for."""
    clock, made, waited = Clock(), [], []

    def steps():
        for each in durations:
            clock.now += each
            made.append(each)
            yield images

    found = timed_steps(steps(), seconds=seconds, clock=clock, synchronize=lambda: waited.append(clock.now))
    return found, len(made), len(waited)


def test_the_first_step_does_not_count():
    assert timed([100, 2, 2, 2, 2], seconds=1_000) == (0.2, 1 + TIMED, 2 * TIMED)


def test_the_median_counts():
    assert timed([0, 1, 9, 2], seconds=1_000)[0] == 0.2


def test_one_step_is_timed_however_long_the_first_took():
    assert timed([100, 7, 7], seconds=1)[:2] == (0.7, 2)


def test_no_step_begins_when_time_is_up():
    assert timed([1, 3, 3, 3], seconds=5)[1] == 3


def test_a_step_of_each_kind_is_made_and_randomness_is_kept():
    data = facts(400, 3, rarest=50, side=8, channels=1)
    asked = srat.compose(data="digits")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    for candidate in ladder(data, "linf")[::4]:
        config = configured(asked, data, candidate, epochs=2)
        found = measure(config, (1, 8, 8), classes=3, device=torch.device("cpu"), seconds=0, clock=counting())
        # A tick between two looks at the clock: a step of 16 images, and two of the attack on 16.
        assert found.step == 1 / 16
        assert found.ascent == 1 / 32
    assert torch.equal(torch.random.get_rng_state(), before)


def counting():
    ticks = iter(range(10_000))
    return lambda: float(next(ticks))


def test_noise_has_every_class():
    made = noise((3, 4, 5), count=7, classes=3)
    assert made.images.shape == (7, 3, 4, 5)
    assert made.counts == (3, 2, 2)
