"""srat completion: what bash makes of its script, and what is in zsh's."""

import functools
import re
import shutil
import subprocess

import pytest

from srat.attacks.named import attack_names, attack_words
from srat.cli import COMMANDS, main
from srat.cli.commands import completion
from srat.cli.commands.completion import inner_names, names_of_values
from srat.cli.naming import all_flags
from srat.cli.parsing import MOST_COLUMNS, choices_of, plain_help
from srat.config.composition import compose
from srat.config.config import FAMILIES
from srat.core.errors import UserError

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_srat
printf '%s\\n' "${COMPREPLY[@]}"
"""


flags_of = functools.cache(completion.flags_of)
helped = functools.cache(completion.helped)


@pytest.fixture(scope="module", autouse=True)
def _each_help_once():
    """Of the same commands each help is read for bash, for zsh and for several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "flags_of", flags_of)
        patch.setattr(completion, "helped", helped)
        yield


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "srat"
    path.write_text(said.getvalue())
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["train"]),
        ([""], list(COMMANDS)),
        (["train", "--method", "dr"], ["drcb-ce", "drcb-focal", "drcb-ldam"]),
        (["train", "--attack.st"], ["--attack.start-deviation", "--attack.step-size", "--attack.steps"]),
        (["train", "--loss.g"], ["--loss.gamma"]),  # of another loss than the default one
        (["train", "--out", "x", "--precision", "b"], ["bf16"]),
        (["runs", "--format", ""], ["table", "csv", "json"]),
        (["export", "x", "--to", ""], ["torch-export", "onnx", "hub", "robustbench"]),
        (["evaluate", "x", "--attack", "autoa"], ["autoattack", "autoattack-rapid", "autoattack-reference"]),
        (["audit", "x", "--check", "bl"], ["black-box"]),
        (["grid", "table"], ["table1", "table2", "table3", "table4"]),
        (["report", "table1", "--sca"], ["--scale"]),
        (["report", "figure1"], ["figure1", "figure10", "figure11", "figure12", "figure13", "figure14"]),
        (["report", "some f"], ["some folder"]),
        (["data", "ci"], ["cifar10", "cifar100"]),
        (["data", "folder", "some f"], ["some folder"]),
        (["data", "cifar10", "--rat"], ["--ratio"]),
        (["plan", "some f"], ["some folder"]),
        (["plan", "cifar10", "--ti"], ["--time"]),
        (["data", "cifar10", "--imbalance.c"], ["--imbalance.cap", "--imbalance.class-order"]),
        (["data", "folder", "x", "--data-d"], ["--data-dir"]),
        (["evaluate", "some f"], ["some folder"]),
        (["train", "--config", "some f"], ["some folder"]),
    ],
)
def test_bash_offers(script, tmp_path, words, offered):
    (tmp_path / "some folder").mkdir()
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), "srat", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=20,
    )
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == sorted(offered)


@pytest.mark.parametrize("family", ["method", *FAMILIES])
def test_the_names_of_a_family_complete_are_in_the_help_and_are_what_a_wrong_one_is_told(cli, family):
    flag, names = f"--{family.replace('_', '-')}", choices_of(family)
    assert names_of_values("train")[flag] == names
    said = re.sub(r"[\s│]+", " ", helped("train"))
    assert f" {', '.join(names)}." in said or family == "attack"
    for name in names:
        with pytest.raises(UserError) as error:
            compose(**{family: f"{name}x"})
        told = str(error.value)
        assert f"'{name}x', did you mean '{name}" in told
        assert f"there are: {names[0]}" in told
        assert compose(**{family: name.upper().replace("-", "_")}) == compose(**{family: name})
    assert cli("train", flag, f"{names[-1]}x") == (2, "", f"srat: error: {told}\n")


def test_the_words_of_attacks_are_one_list():
    for command, words in (("train", attack_words(training=True)), ("evaluate", attack_words()), ("predict", None)):
        said = re.sub(r"[\s│]+", " ", helped(command))
        assert ", ".join(words or attack_words()) in said
        names = attack_names(training=command == "train")
        assert names_of_values(command)["--attack"] == names


def test_zsh(capsys):
    assert main(["completion", "zsh"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in (*COMMANDS, "srat-ldam", "--attack.step-size"))


@pytest.mark.parametrize("shell", ["", "fish"])
def test_refuses_another(cli, shell):
    code, _, err = cli("completion", *([shell] if shell else []))
    assert (code, err) == (2, f"srat: error: srat completion: expected a shell, bash, zsh; got '{shell}'\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_reads_every_flag_of_a_help(command):
    said = {word.rstrip(",.')") for word in helped(command).split() if word.startswith("--") and word.strip("-")}
    assert said <= set(flags_of(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_that_errors_name_are_those_that_help_lists(command):
    assert all_flags(command) == flags_of(command).keys() - {"--help"}


@pytest.mark.parametrize("width", [60, 200])
def test_a_help_in_any_terminal(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "None" not in text
    assert max(map(len, text.splitlines())) == min(width, MOST_COLUMNS)


def test_flags_are_bold_in_a_terminal_alone(monkeypatch, capsys):
    seen = []
    for terminal, no_color in ((False, False), (True, False), (True, True)):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal)
        monkeypatch.setenv("NO_COLOR", "1") if no_color else monkeypatch.delenv("NO_COLOR", raising=False)
        with pytest.raises(SystemExit):
            main(["runs", "--help"])
        seen.append("\033[1m--format\033[0m" in capsys.readouterr().out)
    assert seen == [False, True, False]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_is_plain(command):
    """No None, no empty default; no line left of one; frames are whole."""
    text = helped(command)
    assert "None" not in text
    assert not re.search(r"default: *(''|\))", text)
    framed = [line for line in text.splitlines() if line.startswith("│")]
    assert len({len(line) for line in framed}) == 1
    assert all(line.strip("│ ") for line in framed)
    assert max(map(len, text.splitlines())) <= MOST_COLUMNS


def test_nones_leave_a_help():
    text = (
        "│ --seed {None}|INT  Seed. (default: None)      │\n"
        "│ --norm {None,l2}   The ball, of many. (default: │\n"
        "│                    None)                      │\n"
        "│ --name STR         (default: 'None')          │\n"
    )
    assert plain_help(text).splitlines() == [
        "│ --seed INT         Seed.                      │",
        "│ --norm {l2}        The ball, of many.           │",
        "│ --name STR         (default: 'None')          │",
    ]


@pytest.mark.parametrize(
    ("value", "names"), [("{a,b-c}", ["a", "b-c"]), ("{None,l2}", ["l2"]), ("{None}|INT", []), ("INT", []), ("", [])]
)
def test_names_in_a_help(value, names):
    assert inner_names(value) == names
