"""When checkpoints are due."""

import time

import pytest

from refusals import refusing
from srat.core.cadence import Cadence, Every


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("auto", Every()),
        ("200", Every(steps=200)),
        ("200 steps", Every(steps=200)),
        ("1step", Every(steps=1)),
        ("10m", Every(seconds=600.0)),
        ("0.5 min", Every(seconds=30.0)),
        ("2 minutes", Every(seconds=120.0)),
    ],
)
def test_says_what_is_written(text, every):
    assert Every.parse(text) == every


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "1.5", "1h", "10s", "auto 3", "nan", "1e3", "9" * 20])
def test_refuses_what_says_nothing(text):
    with refusing("checkpoint_every", text):
        Every.parse(text)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_by_steps(clock):
    cadence = Cadence(Every(steps=3))
    due = []
    for _ in range(7):
        clock(1e6)
        due.append(cadence.step())
        if due[-1]:
            cadence.saved(cost=0.0)
    assert due == [False, False, True, False, False, True, False]


def test_by_minutes(clock):
    cadence = Cadence(Every(seconds=60.0))
    clock(59)
    assert not cadence.step()
    clock(1)
    assert cadence.step()
    cadence.saved(cost=5.0)
    assert not cadence.step()


@pytest.mark.parametrize("cost", [0.001, 1.0, 5.0])
def test_as_often_as_costs_a_hundredth(clock, cost):
    cadence = Cadence(Every())
    elapsed = spent = 0.0
    for _ in range(100_000):
        clock(cost / 10)
        elapsed += cost / 10
        if cadence.step():
            clock(cost)
            cadence.saved(cost=cost)
            elapsed, spent = elapsed + cost, spent + cost
    assert spent / elapsed == pytest.approx(0.01, rel=0.05)


def test_a_disk_that_was_slow_once_is_tried_again(clock):
    cadence = Cadence(Every())
    cadence.saved(cost=3_600.0)
    clock(599)
    assert not cadence.step()
    clock(1)
    assert cadence.step()
