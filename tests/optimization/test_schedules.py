"""The paper's epochs, counted from 0, as a golden table."""

from functools import partial

import pytest
import torch

from srat.core.errors import UserError
from srat.optimization.schedules import Cosine, OneCycle, Steps

PAPER = [  # epoch, learning rate, weights apply
    (0, 1e-1, False),
    (159, 1e-1, False),
    (160, 1e-3, True),
    (179, 1e-3, True),
    (180, 1e-5, True),
    (199, 1e-5, True),
]


@pytest.mark.parametrize(("epoch", "rate", "weighted"), PAPER)
def test_the_papers_two_hundred_epochs(epoch, rate, weighted):
    schedule = Steps()
    assert schedule.learning_rate(7 * epoch, steps=7, epochs=200, base=0.1) == pytest.approx(rate)
    assert schedule.weights_apply(epoch, epochs=200) is weighted


def test_the_rate_does_not_depend_on_earlier_calls():
    rates = [Steps().learning_rate(7 * 170 + 3, steps=7, epochs=200, base=0.1) for _ in range(50)]
    assert set(rates) == {0.1 * 0.01}


@pytest.mark.parametrize(
    ("epochs", "milestones", "weights_from"),
    [(200, (160, 180), 160), (100, (80, 90), 80), (40, (32, 36), 32), (2, (2, 2), 1), (1, (1, 1), 0)],
)
def test_scales_with_the_number_of_epochs(epochs, milestones, weights_from):
    assert Steps().milestones_of(epochs) == milestones
    assert Steps().reweight_epoch_of(epochs) == weights_from


def test_what_is_given_is_not_scaled():
    schedule = Steps(milestones=(7, 10), reweight_from=7)
    assert schedule.milestones_of(12) == (7, 10)
    assert [schedule.weights_apply(epoch, epochs=12) for epoch in (6, 7)] == [False, True]


def test_deferred_weights_come_with_the_first_fall_of_the_rate():
    schedule = Steps(milestones=(7, 10))
    assert [schedule.weights_apply(epoch, epochs=12) for epoch in (6, 7)] == [False, True]
    assert Steps(milestones=()).reweight_epoch_of(200) == 160


def test_from_the_start():
    assert Steps(reweight_from=0).weights_apply(0, epochs=200)


@pytest.mark.parametrize(
    "fields", [{"factor": 0.0}, {"factor": 1.5}, {"milestones": (5, 3)}, {"milestones": (0,)}, {"reweight_from": -1}]
)
def test_refuses_what_is_out_of_range(fields):
    with pytest.raises(UserError, match="schedule"):
        Steps(**fields)


EPOCHS, STEPS = 6, 5
"""Of the runs below; steps are those of an epoch."""


def rates(schedule, base=0.2):
    return [schedule.learning_rate(s, steps=STEPS, epochs=EPOCHS, base=base) for s in range(EPOCHS * STEPS)]


def torchs(make, base=0.2):
    """Return the rates of one of torch's schedulers, stepped once a step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=base)
    scheduler, found = make(optimizer), []
    for _ in range(EPOCHS * STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_half_a_cosine_is_torchs():
    anneal = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=EPOCHS * STEPS, eta_min=0.2 * 0.1)
    assert rates(Cosine(last=0.1)) == pytest.approx(torchs(anneal))


def test_one_cycle_is_torchs():
    # torch ends at the last step, ours at the end of the run, one step later; and so with its highest rate.
    n = EPOCHS * STEPS + 1
    cycle = partial(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=0.2,
        total_steps=n,
        pct_start=(0.4 * (n - 1) + 1) / n,
        div_factor=1 / 0.1,
        final_div_factor=0.1 / 0.05,
        cycle_momentum=False,
    )
    assert rates(OneCycle(rise=0.4, first=0.1, last=0.05)) == pytest.approx(torchs(cycle))


@pytest.mark.parametrize("kind", [Steps, Cosine, OneCycle])
def test_every_schedule_warms_up_in_a_line(kind):
    plain, warmed = rates(kind()), rates(kind(warmup=1.4))  # seven steps
    for step, (one, other) in enumerate(zip(plain, warmed, strict=True)):
        assert other == pytest.approx(one * min(1, (step + 1) / 7))
    assert warmed[7:] == plain[7:]


@pytest.mark.parametrize("kind", [Steps, Cosine, OneCycle])
def test_deferred_weights_come_at_the_same_epoch(kind):
    assert kind().reweight_epoch_of(200) == 160
    assert kind(reweight_from=3).weights_apply(3, epochs=200)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Steps(milestones=(2, 9)), "expected epochs below `epochs` 6, got 9"),
        (Cosine(reweight_from=6), "expected epochs below `epochs` 6, got 6"),
        (OneCycle(warmup=6.5), "expected at most the run's 6 epochs, got 6.5"),
    ],
)
def test_refuses_epochs_that_the_run_does_not_have(schedule, said):
    with pytest.raises(UserError, match=said):
        schedule.check(EPOCHS)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(Cosine, {"last": -0.1}), (OneCycle, {"rise": 0.0}), (OneCycle, {"first": 2.0}), (Steps, {"warmup": -1.0})],
)
def test_refuses_what_is_no_part(kind, fields):
    with pytest.raises(UserError, match=rf"schedule\.{next(iter(fields))}"):
        kind(**fields)


def test_what_is_said_of_them():
    assert Steps().described(200) == "× 0.01 after 160 and 180"
    assert Steps(milestones=()).described(200) == ""
    assert Cosine().described(200) == "half a cosine down to × 0"
    assert OneCycle().described(200) == "one cycle, highest after 60 epochs"
