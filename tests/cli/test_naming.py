"""Who knows of flags: the command line alone, which says them where the rest of the house names a setting."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import srat
from srat.cli.commands.train import read_arguments
from srat.cli.naming import ALSO, HINTS, all_flags, in_flags, make_console

HOUSE = Path(srat.__file__).parent
WORDS_OF_COMMANDS = {"grid/plan.py", "report/exporting.py", "runs/comparing.py"}
"""Modules that make whole commands out of words."""


@cache
def trees():
    names = {path.relative_to(HOUSE).as_posix(): path for path in sorted(HOUSE.rglob("*.py"))}
    return [(name, ast.parse(path.read_text())) for name, path in names.items() if not name.startswith("cli/")]


def docstrings(tree):
    """Yield the constants that nothing reads."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_no_flag_is_named_outside_the_command_line():
    found = []
    for name, tree in trees():
        unread = docstrings(tree)
        texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in unread]
        said = [text for text in texts if isinstance(text, str)]
        # A command that is advised has its flags: 'srat train --out runs/a'.
        found += [(name, text) for text in said if re.search(r"--[a-z]", re.sub(r"srat [a-z]+ [^']*", "", text))]
    assert [each for each in found if each[0] not in WORDS_OF_COMMANDS] == []
    assert {name for name, _ in found} == WORDS_OF_COMMANDS


def test_tyro_is_imported_by_the_command_line_alone():
    for name, tree in trees():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = [getattr(node, "module", None) or alias.name for node in nodes for alias in node.names]
        assert not [module for module in modules if module.split(".")[0] == "tyro"], name


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("train", "`schedule.factor`: expected less", "--schedule.factor: expected less"),
        ("train", "`batch_size` 64 fits", "--batch-size 64 fits"),
        (
            "train",
            "with `data.dir` or `data.dataset`, `imbalance.ratio` 3",
            "with --data-dir or --data.name, --ratio 3",
        ),
        ("train", "`data.verify` false reads it; `nesterov` false", "--data.no-verify reads it; `nesterov` false"),
        ("train", "`data.verify` true reads it", "--data.verify reads it"),
        ("train", "`data.verify` falsely", "--data.verify falsely"),
        ("train", "`loss.gamma` and `loss.scale`", "--loss.gamma and --loss.scale"),
        (
            "train",
            "`no.such`, `device.x`, `__init__` and ``device``",
            "`no.such`, `device.x`, `__init__` and ``device``",
        ),
        ("evaluate", "`epsilon` or `data.white_level`", "--epsilon or `data.white_level`"),
        ("evaluate", "`data.dir`", "--data-dir"),
        ("report", "`device` and `scale`", "--device and --scale"),
        ("runs", "no backtick: device", "no backtick: device"),
    ],
)
def test_paths_are_said_as_flags_of_the_command(command, text, said):
    assert in_flags(text, command) == said


def test_consoles_say_flags(capsys):
    make_console("train").print("note: `holdout.fraction` 0", markup=False, highlight=False)
    make_console("evaluate", stderr=True).print("`device`")
    make_console("train", quiet=True).print("`device`")
    assert capsys.readouterr() == ("note: --holdout.fraction 0\n", "--device\n")


class TestOtherNames:
    """What people type who come from other programs."""

    def test_are_taken_for_ours(self):
        words = {"--lr": "0.3", "--momentum": "0.5", "--wd": "0.25", "--bs": "16", "--eps": "2/255"}
        words |= {"--dataset": "digits", "--arch": "linear"}
        config = read_arguments([word for pair in words.items() for word in pair])[1]
        optimizer = config.optimizer
        assert (optimizer.learning_rate, optimizer.momentum, optimizer.weight_decay) == (0.3, 0.5, 0.25)
        assert (config.batch_size, config.model.name, config.data.name) == (16, "linear", "digits")
        assert config.attack.epsilon == config.evaluation.epsilon == 2 / 255
        assert read_arguments(["--lr=0.3"])[1] == read_arguments(["--learning-rate", "0.3"])[1]

    def test_lead_to_flags_that_there_are(self):
        from srat.config.command_line import flag

        assert {flag(path) for path in ALSO.values()} <= all_flags("train")
        assert not (ALSO.keys() | HINTS.keys()) & all_flags("train")
        assert set(HINTS.values()) <= all_flags("train")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--lr", "0"], "--optimizer.learning-rate: expected"),
            (["--lr", "x"], "--optimizer.learning-rate: expected a number, got 'x'"),
            (["--gpus", "2"], "unknown flag '--gpus', did you mean '--devices'?"),
            (["--alpha", "2"], "unknown flag '--alpha', did you mean '--step-size'?"),
        ],
    )
    def test_errors_name_the_flag(self, cli, words, said):
        code, _, err = cli("train", *words)
        assert (code, said in err) == (2, True), err

    def test_a_command_that_has_no_such_flag_says_what_was_typed(self, cli):
        assert "unknown flag '--lr'" in cli("data", "digits", "--lr", "1")[2]


@pytest.mark.parametrize(
    ("words", "flag", "value"),
    [
        (["train", "--loss", "focal", "--loss.gamma", "-1"], "--loss.gamma", "-1"),
        (["train", "--attack", "pgd", "--attack.steps", "0"], "--attack.steps", "0"),
        (["train", "--evaluation.step-size", "0"], "--evaluation.step-size", "0"),
        (["train", "--attack", "fgsm", "--attack.epsilon", "3"], "--attack.epsilon", "3"),
        (["train", "--epsilon", "3"], "--epsilon", "3"),
        (["train", "--ratio", "0"], "--ratio", "0"),
        (["train", "--imbalance.ratio", "0"], "--ratio", "0"),
        (["data", "digits", "--imbalance", "step", "--ratio", "0"], "--ratio", "0"),
        (["train", "--data", "folder", "--data.white-level", "0"], "--data.white-level", "0"),
        (["data", "folder", "--data.size", "1"], "--data.size", "1"),
        (["train", "--checkpoint-every", "x"], "--checkpoint-every", "'x'"),
        (["train", "--device", "gpu"], "--device", "'gpu'"),
        (["theory", "--eta", "0"], "--eta", "0"),
    ],
)
def test_a_refusal_names_the_flag_and_the_value(cli, tmp_path, monkeypatch, words, flag, value):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert re.match(rf"srat: error: {re.escape(flag)}: expected .*, got {re.escape(value)}(;|$)", err.strip()), err
