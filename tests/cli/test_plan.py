"""srat plan, from the words to the command that it prints."""

import json
import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srat
from srat.cli.commands.plan import Arguments, read_arguments
from srat.cli.commands.train import read_arguments as trained_by
from srat.data.sources.arrays import Arrays
from srat.data.sources.digits import Digits
from srat.data.sources.folder import Folder
from srat.planning.costs import Speed
from srat.planning.measuring import timed_steps


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(home):
    for name, count in (("a", 20), ("b", 10)):
        for n in range(count):
            path = home / "my photos" / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 50, 3), 5 * n, "u1")).save(path)
    return "my photos"


@pytest.fixture
def speed(monkeypatch):
    """Nothing is measured."""
    monkeypatch.setattr("srat.planning.planning.measure", lambda *_, **__: Speed(step=1e-3, ascent=4e-4))


def source_of(*words):
    return read_arguments(list(map(str, words)))[1].data


def test_a_folder_a_file_and_a_name_are_told_apart(photos, home):
    (home / "x.npz").touch()
    assert source_of(photos) == source_of("folder", photos) == source_of("folder", "--data-dir", photos)
    assert source_of(photos).dir.name == photos
    assert type(source_of("x.npz")) is type(source_of("arrays", "x.npz")) is Arrays
    assert source_of("digits") == Digits()
    (home / "digits").mkdir()  # a data set's name is that
    assert source_of("digits") == Digits()
    (home / "odd.npz").mkdir()
    assert type(source_of("odd.npz")) is Folder


def test_what_train_takes_of_data_and_threat_model_is_taken(photos):
    words = ["--data.size", "24", "--ratio", "4", "--imbalance", "step", "--epsilon", "4/255", "--seed", "3"]
    arguments, config = read_arguments([photos, *words, "--time", "5m"])
    assert (config.data.size, config.imbalance.ratio, config.seed) == (24, 4, 3)
    assert config.evaluation.epsilon == pytest.approx(4 / 255)
    assert arguments.time == "5m"
    assert Arguments().time == "30m"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected the name of a data set first, or a folder, as in 'srat plan photos --time 10m'"),
        (["--time", "10m"], "expected the name of a data set first"),
        (["cifra10"], "unknown folder or data set 'cifra10', did you mean 'cifar10'?"),
        (["nowhere.npz"], "unknown folder or data set 'nowhere.npz'"),
        (["digits", "--time", "10"], "--time: expected a time with its unit, as 90s, 10m, 2h or 1d, got '10'"),
        (["digits", "--time", "1s"], "--time: expected at least "),
        (["digits", "--tmie", "10m"], "unknown flag '--tmie', did you mean '--time'?"),
        (["digits", "--norm", "l2"], "--norm l2 needs --epsilon"),
        (["digits", "--format", "xml"], "--format: unknown value 'xml'; there are: table, json"),
        (["digits", "more"], "expected no further word, got 'more'"),
    ],
)
def test_wrong_words_are_a_line(cli, speed, words, said):
    code, out, err = cli("plan", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_it_prints_reasons_time_and_command(cli, speed, photos):
    code, out, err = cli("plan", photos, "--time", "10m", "--device", "cpu", "--out", "my runs/a")
    assert (code, err) == (0, "")
    for word in ("images", "network", "method", "batch", "epochs", "rate", "augmentation", "held out"):
        assert f"\n {word} " in out
    assert "--augmentation none" in out  # a setting by its flag
    *_, expected, command = out.splitlines()
    assert expected.startswith("about ")
    assert " epochs of " in expected
    assert command.startswith("srat train ")
    assert command.endswith(" --out 'my runs/a' --device cpu")
    assert "'my photos'" in command
    options, config = trained_by(shlex.split(command)[2:])
    assert (options.device, str(options.out), config.data.size) == ("cpu", "my runs/a", 32)


def test_json_is_the_same_plan(cli, speed):
    code, out, err = cli("plan", "digits", "--time", "10m", "--format", "json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert trained_by(shlex.split(content["command"])[2:])[1] == srat.Config.from_plain(content["config"])
    assert content["seconds"]["total"] <= content["time"] == 600


@pytest.mark.parametrize("step", [1, 3])
def test_ctrl_c_is_answered_within_a_step(cli, monkeypatch, step):
    made = []

    def interrupted(steps, **settings):
        def counted():
            for images in steps:
                made.append(images)
                if len(made) == step:
                    os.kill(os.getpid(), signal.SIGINT)
                yield images

        return timed_steps(counted(), **settings)

    monkeypatch.setattr("srat.planning.measuring.timed_steps", interrupted)
    code, out, err = cli("plan", "digits", "--time", "10m", "--device", "cpu")
    assert (code, out, err) == (130, "", "srat: stopped by SIGINT\n")
    assert len(made) == step


def test_it_can_be_run_at_once(cli, monkeypatch):
    """As for a slow machine, so that few epochs fit; here each takes a part of a second."""
    monkeypatch.setattr("srat.planning.planning.measure", lambda *_, **__: Speed(step=0.001, ascent=1e-3))
    code, out, _ = cli("plan", "digits", "--ratio", "20", "--time", "41s", "--run", "--device", "cpu")
    assert code == 0
    assert "new run: runs/digits-step-20-fast-bsl-" in out
    assert "Trained in" in out
    assert list(Path("runs").iterdir())
