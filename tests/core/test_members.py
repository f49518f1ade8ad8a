"""Members of installed packages, and those that are defined late: known wherever a name is."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from one_file_each import ADDED

from quick import quick

pytestmark = pytest.mark.usefixtures("forked")
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"
TINY = quick(model="linear", steps=3)


def documented(name):
    """The file of that name in the guide."""
    return re.search(rf"```\w+\n(# {re.escape(name)}\n.*?)```", GUIDE.read_text(), re.DOTALL)[1]


def install(site, package, module, code):
    """Put a package where Python finds it, as pip leaves it."""
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(code)
    facts = site / f"{package.replace('-', '_')}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[srat.members]\n{module} = {module}\n")


SEVERAL = """
import contextlib, io, json, sys
from srat.cli import main
for words in json.loads(sys.argv[1]):
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        try:
            code = main(words)
        except SystemExit as ending:
            code = ending.code or 0
    print(json.dumps([code, said.getvalue(), wrong.getvalue()]))
"""
"""One process for several commands: most of what each would take is to import torch."""


def each_of(srat, *commands):
    """Run commands one after the other; return exit code, output and errors of each."""
    done = srat("-c", SEVERAL, json.dumps([shlex.split(command) for command in commands]))
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def srat(tmp_path):
    """Run the command line in a folder, with the packages that are installed in its site."""
    path = os.pathsep.join(filter(None, (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))))

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_the_guides_package_is_trained_with(srat, tmp_path):
    assert '[project.entry-points."srat.members"]\nbrier = "brier_losses"' in documented("pyproject.toml")
    install(tmp_path / "site", "brier-losses", "brier_losses", documented("brier_losses.py"))
    tiny = " ".join(TINY)
    trained, helped, evaluated = each_of(
        srat, f"train --loss brier {tiny} --out run", "train --help", "evaluate run --attack fgsm --device cpu"
    )
    assert (trained[0], helped[0], evaluated[0]) == (0, 0, 0), trained[2] + evaluated[2]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["loss"] == {"name": "brier"}
    assert "brier" in helped[1]
    (tmp_path / "site" / "brier_losses.py").rename(tmp_path / "elsewhere.py")
    gone, trained_on = each_of(srat, "evaluate run --attack pgd-2 --device cpu", f"train --loss brier {tiny} --out two")
    assert gone[0] == 0, gone[2]  # what trained it is not needed to look at it
    assert "pgd-2" in json.loads((tmp_path / "run" / "evaluation.json").read_text())["results"]
    assert trained_on[0] == 2
    assert "unknown loss 'brier'" in trained_on[2]
    assert "the members of brier_losses cannot be imported (ModuleNotFoundError" in gone[2] + trained_on[2]


NUDGE = """
from dataclasses import dataclass

import torch

from srat.attacks import Attack


@dataclass(frozen=True, kw_only=True)
class Nudge(Attack, name="nudge", aliases=("push",)):
    norm: str = "linf"
    epsilon: float = 0.5
    step_size: float = 0.5
    steps: int = 1

    def perturb(self, loss_at, images, *, generator, scale=None):
        return (images + min(self.steps * self.step_size, self.epsilon)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Dim(Attack, name="dim"):
    epsilon: float = 0.5

    def perturb(self, loss_at, images, *, generator, scale=None):
        return (images - self.epsilon).clamp(0, 1)
"""


WORDS = """
import json, re, sys
from srat.cli import main
from srat.cli.commands.completion import helped, names_of_values

train, evaluate = json.loads(sys.argv[1])
assert main(["train", *train]) == 0
assert main(["evaluate", "run", "--device", "cpu", *evaluate]) == 0
for command in ("train", "evaluate"):
    assert "nudge, nudge-N" in re.sub(r"[\\s│]+", " ", helped(command))
    assert "nudge" in names_of_values(command)["--attack"]
    assert main([command, *["run"] * (command == "evaluate"), "--attack", "nudgee"]) == 2
    assert main([command, *["run"] * (command == "evaluate"), "--attack", "dim", "--norm", "l2", "--epsilon", "1"]) == 2
"""


def test_an_installed_attack_trains_and_evaluates_by_its_words(srat, tmp_path):
    install(tmp_path / "site", "nudges", "nudges", NUDGE)
    train = [*TINY[:4], "--device", "cpu", "--evaluation.steps", "3", "--epsilon", "0.09", "--step-size", "0.03"]
    train += ["--attack", "nudge-2", "--out", "run"]
    evaluate = [word for name in ("push", "Nudge_5", "dim") for word in ("--attack", name)]
    done = srat("-c", WORDS, json.dumps([train, evaluate]))
    assert done.returncode == 0, done.stderr
    ball = {"norm": "linf", "epsilon": 0.09, "step_size": 0.03}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["attack"] == {"name": "nudge", **ball, "steps": 2}
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())["results"]
    assert results["nudge-3"]["attack"] == {"name": "nudge", **ball, "steps": 3}
    assert results["nudge-5"]["attack"] == {"name": "nudge", **ball, "steps": 5}
    assert results["dim"]["attack"] == {"name": "dim", "epsilon": 0.09}
    training, in_training, evaluating, in_evaluating = done.stderr.splitlines()
    assert "unknown attack 'nudgee', did you mean 'nudge'" in training
    assert "unknown attack 'nudgee', did you mean 'nudge'" in evaluating
    assert "dim attacks in linf, and the evaluation in l2" in in_training
    assert "dim: expected the norm linf, got l2" in in_evaluating


LATE = """
from dataclasses import dataclass
import srat
before = srat.compose(method="ce").id

@dataclass(frozen=True, kw_only=True)
class Late(srat.losses.Loss, name="late"):
    strength: float = 2.0

    def __call__(self, logits, labels, class_counts):
        return srat.losses.cross_entropy(logits, labels) * self.strength

config = srat.compose(method="ce", loss="late", epochs=1)
again = srat.Config.from_json(config.to_json())
assert again == config and again.id == config.id != before
assert again.loss.strength == 2.0
assert srat.compose(config, loss=Late(strength=3.0)).id != config.id
try:
    srat.compose(loss="latte")
except srat.UserError as error:
    assert "did you mean 'late'?" in str(error), error
"""


AGAIN = """
import warnings
from dataclasses import dataclass
import srat

CELL = '''
@dataclass(frozen=True, kw_only=True)
class Cell(srat.losses.Loss, name="cell"):
    strength: float = STRENGTH

    def __call__(self, logits, labels, class_counts):
        return srat.losses.cross_entropy(logits, labels)
'''
for strength in ("1.0", "2.0"):
    exec(CELL.replace("STRENGTH", strength))
config = srat.compose(loss="cell")
assert config.loss == Cell(strength=2.0) and srat.Config.from_json(config.to_json()) == config

@dataclass(frozen=True, kw_only=True)
class Mine(srat.losses.Loss, name="focal"):
    pass

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert srat.compose(loss="focal").loss == srat.losses.Focal()
    srat.compose(loss="focal")
assert [str(each.message) for each in said] == [
    "__main__.Mine is passed over: srat.losses.focal_loss.Focal has the name 'focal', too"
], said
"""


def test_a_cell_may_be_run_again_and_no_member_takes_the_name_of_another(srat):
    done = srat("-c", AGAIN)
    assert done.returncode == 0, done.stderr


def test_a_class_that_is_defined_after_the_import_is_a_member(srat):
    done = srat("-c", LATE)
    assert done.returncode == 0, done.stderr


FAMILIES_ADDED = [kind for kind in ADDED if kind not in ("check", "method", "recipe")]


@pytest.fixture
def added(tmp_path, srat):
    """The same command line, with a package that adds a member of each kind, in a file each."""
    site = tmp_path / "site"
    site.mkdir()
    own = {"recipe": "srat.recipes", "method": "srat.methods"}
    groups = {"srat.members": [], "srat.recipes": [], "srat.methods": []}
    for kind, code in ADDED.items():
        (site / f"our_{kind}.py").write_text(code)
        groups[own.get(kind, "srat.members")].append(f"ours-{kind} = our_{kind}")
    facts = site / "ours-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    points = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in groups.items())
    (facts / "entry_points.txt").write_text(points + "\n")
    return srat


def name_in(code):
    return re.search(r'name="([\w-]+)"', code)[1]


def test_a_member_of_any_kind_is_one_file(added, tmp_path):
    chosen = {kind: name_in(ADDED[kind]) for kind in FAMILIES_ADDED if kind != "mixing"}
    words = " ".join(f"--{kind.replace('_', '-')} {name}" for kind, name in chosen.items())
    trained, helped, evaluated, audited, made, named, told, mixed = each_of(
        added,
        f"train {words} --epochs 2 --device cpu --out run",
        f"train --help {words}",
        "evaluate run --attack jump --device cpu",
        "audit run --check many --device cpu",
        "grid ours-recipe --seeds 1 --executor serial --device cpu",
        f"train {' '.join(TINY)} --method ours-method --out named",
        "methods ours-method",
        # By itself: a loss of features, ours among them, refuses it.
        f"train {' '.join(TINY)} --method ce --mixing {name_in(ADDED['mixing'])} --out mixed",
    )
    for code, _, wrong in (trained, helped, evaluated, audited, made, named, told, mixed):
        assert code == 0, wrong
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {kind: config[kind]["name"] for kind in chosen} == chosen
    assert config["model"] == {"name": "flat", "width": 8}
    assert json.loads((tmp_path / "mixed" / "config.json").read_text())["mixing"] == {"name": "halves"}
    assert (tmp_path / "run" / "model-raw.safetensors").exists()
    assert all(name in helped[1] for name in chosen.values())
    assert "--attack.steps" in helped[1]
    assert "jump-20" in json.loads((tmp_path / "run" / "evaluation.json").read_text())["results"]
    assert "many" in audited[1]
    ours = json.loads((tmp_path / "named" / "config.json").read_text())
    assert (ours["loss"], ours["averaging"]["name"]) == ({"name": "focal", "gamma": 3.0}, "ema")
    assert "ours-method: Ours" in told[1]
