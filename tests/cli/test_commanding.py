"""The command that a configuration is made again by."""

import shlex
from dataclasses import replace
from functools import cache

import pytest

from srat.cli.commands.train import read_arguments
from srat.config.command_line import command_of
from srat.config.composition import compose
from srat.config.config import Config
from srat.methods.table import METHODS
from srat.optimization.schedules import Steps
from srat.recipes.catalogue import names, recipe
from srat.recipes.scales import base_config, default_data
from srat.weightings import Fixed


@cache  # several recipes have the same runs
def read_again(config):
    words = shlex.split(command_of(config))
    assert words[:2] == ["srat", "train"]
    return read_arguments(words[2:])[1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_named(method):
    config = compose(method=method)
    assert read_again(config) == config
    assert f"--method {method}" in command_of(config)


@pytest.mark.parametrize("name", names())
def test_recipes_runs_come_back(name):
    found = recipe(name)
    for scale in ("paper", "small"):
        for cell in found.cells(base_config(scale, default_data(scale, found.data)))[::25]:
            assert read_again(cell.config) == cell.config


ODD = {
    "flags that are off": compose(attack="pgd", batch_size=64),
    "no random start": replace(Config(), evaluation=replace(Config().evaluation, random_start=False)),
    "nothing in a field": replace(Config(), schedule=Steps(milestones=(3, 7), reweight_from=None)),
    "custom": compose(method="ce", weighting="inverse-frequency", loss="focal"),
    "fixed weights": replace(Config(), weighting=Fixed(values=(1.0,) * 9 + (0.1,))),
    "in another ball": compose(norm="l2", epsilon=1.5),
    "in another ball of the same size": compose(norm="l2", epsilon=0.1),
    "natural, tested in another ball": compose(compose(norm="l2", epsilon=1.5), method="natural"),
    "one step": compose(attack="fgsm", epsilon=4 / 255),
    "budgets apart": compose(compose(epsilon=8 / 255), seed=3),
    "natural of another method": compose(method="srat-ce", attack="natural"),
    "a folder with a space": compose(data="folder", data_dir="/some where/else"),
    "no classes, other order": compose(data="cifar10", imbalance="exp", ratio=7.5, precision="bf16"),
    "synchronised": replace(Config(), sync_batch_norm=True),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_ones_come_back(what):
    assert read_again(ODD[what]) == ODD[what]


def test_the_default_is_short():
    assert command_of(Config()) == "srat train --method srat-ldam --data digits"


def test_budgets_are_written_as_people_write_them():
    command = command_of(compose(epsilon=32 / 255, step_size=8 / 255))
    assert command.endswith("--epsilon 32/255 --step-size 8/255")
