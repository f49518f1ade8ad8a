"""How long a run takes, counted by hand."""

from dataclasses import replace

import pytest
from plans import facts

import srat
from srat.attacks import PGD
from srat.planning.costs import ENDING, STARTING, USABLE, Costs, Speed, costs_of
from srat.planning.ladder import ladder
from srat.planning.settings import configured, held_out

DATA = facts(4_300, 43, rarest=100, test=1_000, reading=3.0)
SPEED = Speed(step=0.01, ascent=0.001)


def costs(selects=False, method="fast-bsl", data=DATA, device="cpu"):
    asked = srat.compose(data="digits", epsilon=0.1, step_size=0.025)
    found = next(each for each in ladder(data, "linf") if (each.selects, each.setup.method) == (selects, method))
    return costs_of(configured(asked, data, found, epochs=3), data, SPEED, device)


def test_of_a_single_step_with_its_guard():
    """256 images a second time: PGD-10 and the training attack, with a clean pass each."""
    guard = 256 * (0.4 + 0.6 * 10 + 0.4 + 1)
    assert costs().epoch == pytest.approx(4_300 * 0.01 + guard * 0.001)
    assert costs().evaluation == pytest.approx(1_000 * (0.4 + 0.6 * 20) * 0.001 + ENDING)


def test_under_pgd_there_is_no_guard():
    assert costs(method="drcb-ldam").epoch == pytest.approx(4_300 * 0.01)


def test_a_chosen_epoch_takes_checks_and_a_second_evaluation():
    asked = configured(srat.compose(data="digits"), DATA, ladder(DATA, "linf")[1], epochs=3)
    held = held_out(DATA, asked.holdout)
    assert held > 400
    guard = 256 * 7.8
    assert costs(selects=True).epoch == pytest.approx((4_300 - held) * 0.01 + (held * 6.4 + guard) * 0.001)
    assert costs(selects=True).evaluation == pytest.approx(2 * 1_000 * 12.4 * 0.001 + ENDING)


def test_restarts_of_the_evaluation_count():
    candidate = ladder(DATA, "linf")[0]
    config = configured(srat.compose(data="digits"), DATA, candidate, epochs=3)
    twice = replace(config, evaluation=replace(config.evaluation, restarts=2))
    once, more = (costs_of(each, DATA, SPEED, "cpu").evaluation for each in (config, twice))
    assert more - once == pytest.approx(12.0)
    assert isinstance(twice.evaluation, PGD)


def test_reading_and_the_start_come_once():
    assert costs().start == STARTING["cpu"] + 3.0
    assert costs(device="cuda").start == STARTING["cuda"] + 3.0


def test_images_that_stay_in_their_files_cost_what_takes_longer():
    slow, quick = (costs(data=replace(DATA, streaming=each)).epoch for each in (0.02, 0.005))
    assert slow == pytest.approx(costs().epoch + 4_300 * 0.01)
    assert quick == costs().epoch


def test_as_many_epochs_as_fit():
    found = Costs(start=10, epoch=5, evaluation=15)
    assert found.total(4) == 45
    assert found.epochs_within(50) == 4  # 45 seconds of 50 are planned for
    assert found.epochs_within(49.9) == 3
    assert found.epochs_within(1) == 0
    assert found.epochs_within(found.shortest(4) + 1e-9) == 4
    assert USABLE == 0.9
