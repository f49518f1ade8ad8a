"""From data and a time to a run that is trained."""

import itertools
import shlex
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import srat
from srat.cli.commands.train import read_arguments
from srat.config.composition import absolute
from srat.core.errors import UserError
from srat.planning.costs import Speed
from srat.planning.planning import EACH, plan
from srat.planning.settings import batch_size


def ticking(step):
    ticks = itertools.count()
    return lambda: step * next(ticks)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for place, (name, count) in enumerate((("a", 24), ("b b", 12), ("c", 6))):
        for n in range(count):
            pixels = rng.integers(60 * place, 60 * place + 40, (14, 20, 3), dtype=np.uint8)
            (tmp_path / "photos here" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "photos here" / name / f"{n}.png")
    return tmp_path / "photos here"


@pytest.fixture
def speeds(monkeypatch):
    """What is measured: the setups by name, each twice as slow as the one before."""
    seen = []

    def measure(config, shape, *, classes, device, seconds, clock):
        seen.append((config, shape, classes, seconds))
        return Speed(step=1e-3 * 2 ** len(seen), ascent=4e-4 * 2 ** len(seen))

    monkeypatch.setattr("srat.planning.planning.measure", measure)
    return seen


def trained_by(command):
    """Return the configuration that a command trains."""
    srat_, train, *words = shlex.split(command)
    assert (srat_, train) == ("srat", "train")
    return read_arguments(words)[1]


def asked(folder, kind):
    """Return what a plan is made for."""
    photos = srat.compose(data="folder", data_dir=folder)
    return {
        "folder": photos,
        "sized": replace(photos, data=replace(photos.data, size=16)),
        "digits": srat.compose(data="digits"),
        "ratio": srat.compose(data="digits", imbalance="exponential", ratio=50, seed=3),
        "epsilon": srat.compose(photos, epsilon=4 / 255, step_size=1 / 255),
        "l2": srat.compose(photos, norm="l2", epsilon=0.5, step_size=0.1),
        "steps": replace(photos, evaluation=replace(photos.evaluation, steps=7, restarts=2)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "time"),
    [
        *((kind, "3m") for kind in ("folder", "sized", "digits", "ratio", "epsilon", "l2", "steps")),
        *((kind, "30d") for kind in ("folder", "digits")),
    ],
)
def test_the_command_trains_what_is_planned(folder, speeds, kind, time):
    config = asked(folder, kind)
    found = plan(config, time=time, device="cpu")
    assert trained_by(found.command) == absolute(found.config)
    assert found.seconds <= 0.9 * found.time
    assert found.config.evaluation == config.evaluation


def test_it_stops_measuring_where_a_network_has_too_few_epochs(folder, speeds):
    plan(asked(folder, "digits"), time="2m", device="cpu")
    short = len(speeds)
    speeds.clear()
    plan(asked(folder, "digits"), time="30d", device="cpu")
    assert short < len(speeds) == 3  # two networks, and PGD


def test_it_stops_measuring_when_its_time_is_up(folder, speeds):
    found = plan(asked(folder, "digits"), time="30d", measuring="1s", device="cpu", clock=ticking(0.6))
    assert len(speeds) == 2
    assert found.measured > 1
    speeds.clear()
    plan(asked(folder, "digits"), time="30d", measuring="1s", device="cpu", clock=ticking(10))
    assert len(speeds) == 1  # one at the least
    assert speeds[0][-1] == 1 / EACH


def test_the_measuring_takes_a_tenth_of_the_time_and_20_seconds_at_the_most(folder, speeds):
    for time, each in (("3m", 18 / EACH), ("2h", 20 / EACH)):
        speeds.clear()
        plan(asked(folder, "digits"), time=time, device="cpu")
        assert [seconds for *_, seconds in speeds] == [pytest.approx(each)] * len(speeds)


def test_it_measures_the_images_that_are_trained_on(folder, speeds):
    plan(asked(folder, "sized"), time="30m", device="cpu")
    config, shape, classes, _ = speeds[0]
    assert (shape, classes, config.batch_size) == ((3, 16, 16), 3, batch_size(35))
    assert config.data.size == 16


def test_what_is_measured_is_told(folder, speeds):
    said = []
    plan(asked(folder, "digits"), time="3m", device="cpu", told=said.append)
    assert said[:2] == ["the images", "a step of small CNN of width 16, fast-bsl"]


@pytest.mark.parametrize(("computes", "precision"), [(True, "bf16"), (False, "fp32")])
def test_bf16_where_the_device_computes_it(folder, speeds, monkeypatch, computes, precision):
    monkeypatch.setattr("srat.planning.planning.computes_bf16", lambda device: computes)
    assert plan(asked(folder, "digits"), time="3m", device="cpu").config.precision == precision
    assert {config.precision for config, *_ in speeds} == {precision}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"time": "5s"}, "`time`: expected at least "),
        ({"time": "10"}, "10m is 10 minutes"),
        ({"measuring": "soon"}, "`measuring`: expected a time"),
        ({"device": "tpu"}, "`device`: expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_planned_is_a_line(folder, speeds, words, said):
    with pytest.raises(UserError) as caught:
        plan(asked(folder, "digits"), **{"device": "cpu", "time": "3m"} | words)
    assert said in str(caught.value)


def test_as_json_it_has_all(folder, speeds):
    found = plan(asked(folder, "folder"), time="10m", device="cpu")
    plain = found.to_plain()
    assert plain["command"] == found.command
    assert srat.Config.from_plain(plain["config"]) == found.config
    seconds = plain["seconds"]
    parts = seconds["start"] + found.config.epochs * seconds["epoch"] + seconds["evaluation"]
    assert seconds["total"] == pytest.approx(parts)
    assert {choice["what"] for choice in plain["choices"]} >= {"network", "method", "epochs", "held out"}


def test_a_plan_of_real_steps_is_trained(folder, cli, tmp_path):
    """By a clock that ticks at each look: steps of 16 images take 0.05 seconds, and two of the attack as much."""
    found = plan(asked(folder, "folder"), time="25s", device="cpu", clock=ticking(0.05))
    # 35 images in steps of 0.05 / 16 each; 7 are for the test.
    held = 35 - sum(n - found.config.holdout.of_class(n) for n in (20, 9, 6)) if found.config.holdout.fraction else 0
    assert held == 0
    assert found.config.epochs >= 5
    assert found.seconds <= 0.9 * 25
    code, out, _ = cli(*shlex.split(found.command)[1:], "--device", "cpu", "--out", tmp_path / "run")
    assert code == 0
    assert "Trained in" in out
    assert srat.Config.read(tmp_path / "run" / "config.json") == absolute(found.config)
