"""A training that starts from existing weights: named by content, resumed without them, told in a line."""

import json
import shlex
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from srat import UserError
from srat.cli import main
from srat.cli.commands.train import read_arguments
from srat.config.command_line import command_of
from srat.config.composition import compose
from srat.config.config import Config
from srat.core.signals import Interrupted
from srat.core.tensor_file import open_tensors
from srat.data.imbalance import Step
from srat.evaluation.observer import Observer
from srat.models import Init, wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.optimization.optimizers import SGD, AdamW
from srat.optimization.schedules import Cosine, Steps
from srat.report.exporting import without_place
from srat.training.fitting import fit
from stopping import StopAfter, content


def small(**changes):
    config = compose(method="ce", batch_size=16, epochs=1, imbalance=Step(ratio=5, cap=12))
    attack = replace(config.attack, steps=1)
    evaluation = replace(config.evaluation, steps=1)
    return replace(config, model=SmallCNN(width=2), attack=attack, evaluation=evaluation, **changes)


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def notice(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init") / "run"
    fit(small(seed=5), out=folder, device="cpu", compiled="off")
    return folder


@pytest.fixture
def copied(run, tmp_path):
    """The weights of the run in a file of their own, which may go."""
    return shutil.copy(run / "model.safetensors", tmp_path / "there.safetensors")


def test_it_begins_with_the_weights(run):
    told = Told()
    config = replace(small(), init=Init(path=run), optimizer=SGD(learning_rate=1e-12))
    model = fit(config, device="cpu", compiled="off", observer=told).model
    for name, tensor in open_tensors(run / "model.safetensors").tensors().items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(model.state_dict()[name], tensor)
    assert told.lines[0] == f"training starts from {run / 'model.safetensors'}: 28 of 28 tensors taken"


def test_the_averages_begin_there_too(run):
    averaged = compose(replace(small(), init=Init(path=run)), averaging="ema")
    still = replace(averaged, optimizer=replace(averaged.optimizer, learning_rate=1e-12))
    model = fit(still, device="cpu", compiled="off").model
    expected = open_tensors(run / "model.safetensors").tensors()["backbone.0.weight"]
    torch.testing.assert_close(model.state_dict()["backbone.0.weight"], expected)


def test_it_is_named_by_the_content_of_the_file(run, copied):
    one, moved = (replace(small(), init=Init(path=path)) for path in (run, copied))
    assert one.id == moved.id != small().id
    assert not one.differences(moved)
    assert [line.split()[0] for line in one.differences(small())] == ["init.sha256"]
    assert Config.from_json(one.to_json()) == one


def test_without_it_recorded_ids_stay():
    plain = small().to_plain()
    without = {name: value for name, value in plain.items() if name != "init"}
    assert Config.from_plain(without) == small()
    assert Config.from_plain(without).id == small().id
    assert "init" not in json.dumps(small()._identity())


def test_a_run_that_was_stopped_goes_on_without_the_file(copied, tmp_path):
    config = replace(small(epochs=2), init=Init(path=copied))
    fit(config, out=tmp_path / "whole", device="cpu", compiled="off")
    with pytest.raises(Interrupted):
        fit(config, out=tmp_path / "stopped", device="cpu", compiled="off", observer=StopAfter(3))
    (tmp_path / "there.safetensors").unlink()
    fit(Config.read(tmp_path / "stopped" / "config.json"), out=tmp_path / "stopped", device="cpu", compiled="off")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_run_that_has_yet_to_start_asks_for_it(copied, tmp_path):
    config = replace(small(), init=Init(path=copied))
    (tmp_path / "there.safetensors").unlink()
    with pytest.raises(UserError, match=r"there.safetensors: cannot be read"):
        fit(config, out=tmp_path / "run", device="cpu")


def test_a_model_of_ones_own_starts_from_it_too(tmp_path):
    def module():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))

    theirs, ours = module(), module()
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}}, tmp_path / "a"
    )
    config = compose(small(), init=tmp_path / "a")
    still = replace(config, optimizer=replace(config.optimizer, learning_rate=1e-12))
    fit(still, model=wrap(ours, mean=0.5, std=0.5), device="cpu", compiled="off")
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor)


def test_an_exported_folder_does_not_say_where_it_lay(run):
    config = replace(small(), init=Init(path=run))
    hidden = without_place(config)
    assert str(run) not in hidden.to_json()
    assert hidden.id == config.id


class TestFineTuning:
    def test_takes_small_steps_unless_they_are_named(self, run):
        config = compose(init=run)
        assert (config.optimizer, type(config.schedule)) == (AdamW(learning_rate=1e-4), Cosine)
        assert config.schedule.reweight_from == compose().schedule.reweight_from
        assert compose(model="hugging-face").optimizer == config.optimizer
        assert type(compose(init=run, optimizer="sgd").optimizer) is SGD
        assert type(compose(init=run, optimizer="sgd").schedule) is Cosine
        assert type(compose(init=run, schedule="steps").schedule) is Steps
        assert type(compose(init=run, protocol="srat", data="cifar10").optimizer) is SGD

    def test_leaves_what_another_configuration_says(self, run):
        assert compose(small(), init=run) == replace(small(), init=Init(path=run))

    @pytest.mark.parametrize("optimizer", [None, "sgd"])
    def test_is_led_back_to_by_a_command(self, optimizer, run):
        config = compose(init=run, optimizer=optimizer, epochs=3)
        assert read_arguments(shlex.split(command_of(config))[2:])[1] == config


class TestCommandLine:
    def test_names_a_run_or_a_file(self, run, copied):
        for given in (run, copied):
            config = read_arguments(["--init", str(given)])[1]
            assert config.init == Init(path=given)
            assert compose(method="fast-bsl", init=str(given)) == config

    def test_leads_back_to_itself(self, run):
        config = compose(init=run, epochs=3)
        words = shlex.split(command_of(config))
        assert "--init" in words
        assert read_arguments(words[2:])[1] == config

    def test_another_file_takes_the_place_of_that_of_a_configuration(self, run, tmp_path):
        (tmp_path / "config.json").write_text(replace(small(), init=Init(path=run)).to_json())
        torch.save({"w": torch.ones(1)}, tmp_path / "other.pt")
        words = ["--config", str(tmp_path / "config.json"), "--init", str(tmp_path / "other.pt")]
        assert read_arguments(words)[1].init == Init(path=tmp_path / "other.pt")

    def test_offers_a_new_run_for_more_epochs_of_one_that_has_ended(self, run, capsys):
        assert main(["train", "--resume", "--out", str(run), "--epochs", "2"]) == 2
        said = capsys.readouterr().err
        assert f"'{run}' holds another run, with epochs 1 (not 2) (" in said
        assert said.count("\n") == 1
        (command,) = [each for each in said.split("'") if "--init" in each]
        options, config = read_arguments(shlex.split(command)[2:])
        assert options.out == run.with_name("run-2")
        assert config == replace(small(seed=5, epochs=2), init=Init(path=run))
        with pytest.raises(UserError, match="trains a new one from its weights"):
            fit(small(seed=5, epochs=2), out=run, device="cpu")

    def test_refuses_in_a_line(self, tmp_path, capsys):
        assert main(["train", "--init", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("srat: error: --init: expected the folder of a run that has ended")
        assert said.count("\n") == 1
