"""Members in a file of one's own: known where the file is named, and not missed where only training needed them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from quick import quick, without_attack
from srat.config.command_line import command_of, plugin_words
from srat.config.composition import compose
from srat.config.config import PLACES, Config
from srat.core import plugins
from srat.core.errors import UserError
from srat.core.members import Missing, choices, members
from srat.models import ImageShape
from srat.runs.folder import RunFolder
from srat.runs.plugins import require_model_known, require_plugins

pytestmark = pytest.mark.usefixtures("forked")

MINE = """
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from srat.attacks import Attack
from srat.losses import Loss
from srat.methods import METHODS
from srat.models.heads import CosineHead


@dataclass(frozen=True, kw_only=True)
class Round(Loss, name="round"):
    sharp: float = 1.0

    @property
    def head(self):
        return CosineHead(scale=7.0)

    def __call__(self, logits, labels, class_counts):
        return F.cross_entropy(self.sharp * logits, labels, reduction="none")


@dataclass(frozen=True, kw_only=True)
class Nudge(Attack, name="nudge"):
    epsilon: float = 0.1

    def perturb(self, loss_at, images, *, generator, scale=None):
        (gradient,) = torch.autograd.grad(loss_at(images.requires_grad_()).sum(), images)
        return (images + self.epsilon * gradient.sign()).clamp(0, 1).detach()


METHOD = METHODS["ce"].__class__(title="Round", source="this file", formula="−ln p", loss=Round())
"""

TINY = [*without_attack(quick()), "--method", "drcb-ce"]
CHOSEN = ("--loss", "round", "--loss.sharp", "2", "--attack", "nudge")


def srat(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "srat", *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a plugin, and a run that was trained with it."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "mine.py").write_text(MINE)
    done = srat("train", "--plugin", "mine.py", *TINY, *CHOSEN, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def unfinished(place, tmp_path):
    """The run as it is before its end, beside the plugin."""
    shutil.copytree(
        place / "run", tmp_path / "run", ignore=shutil.ignore_patterns("model*", "evaluation*", "examples*")
    )
    shutil.copy(place / "mine.py", tmp_path)
    return tmp_path


class TestARun:
    def test_names_the_plugin_in_its_environment_alone(self, place):
        run = RunFolder(place / "run")
        [(path, sha256)] = run.plugins.items()
        assert path == str(place / "mine.py")
        assert sha256 == plugins.hashlib.sha256(MINE.encode()).hexdigest()
        config = run.config.read_text()
        assert "mine" not in config
        assert json.loads(config)["loss"] == {"name": "round", "sharp": 2.0}

    def test_is_opened_without_it(self, place, tmp_path):
        shutil.copytree(place / "run", tmp_path / "run")
        Image.new("L", (8, 8), 128).save(tmp_path / "image.png")
        for words in (
            ("evaluate", "run", "--attack", "fgsm", "--device", "cpu"),
            ("runs", "."),
            ("predict", "run", "image.png", "--device", "cpu"),
            ("export", "run", "--to", "hub", "--out", "hub"),
            ("train", "--out", "run"),
            ("report", "run", "--no-map", "--device", "cpu"),
        ):
            done = srat(*words, cwd=tmp_path)
            assert done.returncode == 0, (words, done.stderr)
        assert "fgsm" in json.loads((tmp_path / "run" / "evaluation.json").read_text())["results"]
        page, card = (tmp_path / "run" / "report.html").read_text(), (tmp_path / "hub" / "README.md").read_text()
        assert f"--plugin {place / 'mine.py'}" in page
        assert "--plugin mine.py" in card
        assert str(place) not in card
        assert "--loss.sharp 2" in card

    def test_is_loaded_without_it_and_answers_the_same(self, place):
        code = (
            "import sys, torch, srat; from pathlib import Path; from srat.core.plugins import load_plugin\n"
            "if len(sys.argv) > 2: load_plugin(Path(sys.argv[2]))\n"
            "model = srat.load(sys.argv[1]); torch.manual_seed(0)\n"
            "print(model.head, model(torch.rand(4, 1, 8, 8)).logits.flatten().tolist())"
        )
        said = [
            subprocess.run(
                [sys.executable, "-c", code, *words], cwd=place, capture_output=True, text=True, check=True
            ).stdout
            for words in (("run",), ("run", "mine.py"), ("run/model.safetensors",))
        ]
        assert len(set(said)) == 1
        assert "scale=7" in said[0]

    def test_that_goes_on_needs_it_again(self, unfinished):
        gone = srat("train", "--out", "run", cwd=unfinished)
        assert gone.returncode == 2
        assert "began with a plugin that is not loaded; type it again with --plugin" in gone.stderr
        (unfinished / "mine.py").write_text(MINE + "\n# otherwise\n")
        changed = srat("train", "--plugin", "mine.py", "--out", "run", cwd=unfinished)
        assert changed.returncode == 2
        assert f"the plugin '{unfinished / 'mine.py'}' has changed since the run in 'run' began" in changed.stderr
        assert not (unfinished / "run" / "model.safetensors").exists()
        (unfinished / "mine.py").write_text(MINE)
        done = srat("train", "--out", "run", cwd=unfinished, SRAT_PLUGINS=str(unfinished / "mine.py"))
        assert done.returncode == 0, done.stderr

    def test_says_how_to_go_on_with_it(self, unfinished, place):
        assert RunFolder(unfinished / "run").how_to_go_on.endswith(f"--plugin {place / 'mine.py'}' continues")
        assert RunFolder(unfinished / "run").how_to_start_from().endswith("a new one from its weights")
        assert f"--plugin {place / 'mine.py'}" in RunFolder(unfinished / "run").how_to_start_from()

    def test_starts_another_with_it_alone(self, place):
        said = srat("train", "--config", "run/config.json", "--out", "new", cwd=place).stderr
        assert f"type it again with --plugin {place / 'mine.py'}" in said
        assert not (place / "new").exists()

    def test_of_several_processes_load_it(self, place, tmp_path):
        words = (
            *quick(model="linear"),
            "--loss",
            "round",
            "--devices",
            "2",
            "--oversubscribe",
            "--out",
            tmp_path / "two",
        )
        done = srat("train", "--plugin", place / "mine.py", *words, cwd=place)
        assert done.returncode == 0, done.stderr


def test_help_and_methods_know_what_is_in_it(place):
    method = srat("methods", "mine", f"--plugin={place / 'mine.py'}", cwd=place)
    assert method.returncode == 0, method.stderr
    assert "this file" in method.stdout
    # Of a process that has imported srat before it knows of the plugin, a help would not have it.
    code = "import sys; from srat.cli import main; main(['train', '--plugin', 'mine.py', '--help'])"
    said = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True).stdout
    assert {"round", "nudge"} <= {word.strip("│.,") for word in said.split()}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1\nx.y\n", "bad.py, line 2: cannot be run (AttributeError"),
        ("x = (\n", "bad.py, line 1: cannot be run (SyntaxError"),
        ("raise SystemExit(0)\n", "bad.py, line 1: cannot be run (SystemExit"),
        (None, "bad.py: cannot be read (No such file or directory)"),
    ],
)
def test_one_that_cannot_be_run_is_a_line(tmp_path, cli, content, said):
    if content is not None:
        (tmp_path / "bad.py").write_text(content)
    code, _, err = cli("train", "--plugin", tmp_path / "bad.py", "--out", tmp_path / "run")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not [name for name in sys.modules if name.startswith("srat_plugin_bad")]


@pytest.mark.parametrize(
    ("words", "got"), [(["--plugin"], "none"), (["--plugin="], "none"), (["--plugin", "--loss", "round"], "'--loss'")]
)
def test_one_without_a_file_is_a_line(cli, words, got):
    code, _, err = cli("train", *words)
    assert (code, err) == (2, f"srat: error: --plugin: expected a file of Python, got {got}\n")


def missing_in(family, plain=None):
    """A configuration whose member of a family nobody knows, as JSON's values."""
    content = compose(feature_loss="separation").to_plain()
    inner, _, last = family.rpartition(".")
    needed = {"learning_rate": 0.1} if family == "optimizer" else {}
    own = plain or {"name": "mine", "x": [1, 2.5], "deep": {"y": None}}
    (content[inner] if inner else content)[last] = needed | own
    return content


@pytest.mark.parametrize("family", PLACES)
def test_an_unknown_member_is_kept_as_it_is(family):
    content = missing_in(family)
    config = Config.from_plain(content, opening=True)
    assert list(config.missing) == [family]
    again = Config.from_plain(json.loads(config.to_json()), opening=True)
    inner, _, last = family.rpartition(".")
    kept = (config.to_plain()[inner] if inner else config.to_plain())[last]
    assert {name: kept[name] for name in ("name", "x", "deep")} == {"name": "mine", "x": [1, 2.5], "deep": {"y": None}}
    assert (again, again.id) == (config, config.id)
    other = Config.from_plain(missing_in(family, {"name": "mine", "x": [1, 3]}), opening=True)
    assert other.id != config.id
    assert other.differences(config)
    with pytest.raises(UserError, match="unknown"):
        Config.from_plain(content)
    assert "mine" not in members(PLACES[family])
    assert "mine" not in choices(PLACES[family])


def test_an_id_is_that_of_the_known_member(monkeypatch):
    config = compose(loss="focal", averaging="ema", weighting="fixed", budget="class-wise")
    hidden = {"focal", "ema", "fixed", "class-wise"}
    content = config.to_plain()
    monkeypatch.setattr(
        "srat.config.serialization.members",
        lambda family: {name: kind for name, kind in members(family).items() if name not in hidden},
    )
    opened = Config.from_plain(content, opening=True)
    assert set(opened.missing) == {"loss", "averaging", "weighting", "budget"}
    assert opened.id == config.id
    assert type(opened.budget).family == "budget"
    assert opened.budget.ramp == config.budget.ramp


def test_what_needs_the_code_of_an_unknown_member_says_so(tmp_path):
    config = Config.from_plain(missing_in("loss"), opening=True)
    with pytest.raises(UserError, match=r"^`loss` mine: not known here; install the package"):
        config.loss(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), (1, 1, 1))
    assert isinstance(config.loss, Missing)
    require_model_known(config, RunFolder(tmp_path))
    for family in ("model", "head"):
        with pytest.raises(UserError, match=rf"^`{family}` mine: not known here"):
            require_model_known(Config.from_plain(missing_in(family), opening=True), RunFolder(tmp_path))
    (tmp_path / "environment.json").write_text(json.dumps({"plugins": {"/x/mine.py": "ab"}}))
    with pytest.raises(UserError, match="the run began with /x/mine.py"):
        require_model_known(Config.from_plain(missing_in("model"), opening=True), RunFolder(tmp_path))
    with pytest.raises(UserError, match="--plugin /x/mine.py"):
        require_plugins(RunFolder(tmp_path))


def test_a_damaged_environment_names_none(tmp_path):
    for content in ("[]", "{", '{"plugins": ["a"]}'):
        (tmp_path / "environment.json").write_text(content)
        assert RunFolder(tmp_path).plugins == {}


def test_the_command_of_a_run_has_all_settings_of_unknown_members():
    words = command_of(Config.from_plain(missing_in("loss", {"name": "mine", "x": 3}), opening=True), ["a b.py"])
    assert words.startswith("srat train --plugin 'a b.py' ")
    assert "--loss mine" in words
    assert "--loss.x 3" in words
    optimizer = Config.from_plain(missing_in("optimizer", {"name": "mine", "x": 3}), opening=True)
    assert command_of(optimizer).endswith("--optimizer mine --optimizer.learning-rate 0.1 --optimizer.x 3")
    assert plugin_words([]) == []


def test_a_model_is_not_built_without_its_code():
    config = Config.from_plain(missing_in("model"), opening=True)
    assert replace(config, seed=3).model == config.model
    with pytest.raises(UserError, match="`model` mine"):
        config.model.backbone(ImageShape(channels=1, height=8, width=8))


def test_a_file_that_has_changed_is_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setenv(plugins.FILES, "")
    file = tmp_path / "values.py"
    file.write_text("VALUE = 1\n")
    first = plugins.load_plugin(file)
    assert plugins.load_plugin(file) is first
    file.write_text("VALUE = 2\n")
    second = plugins.load_plugin(file)
    assert (first.module.VALUE, second.module.VALUE) == (1, 2)
    assert plugins.digests() == {str(file): second.sha256}
    assert os.environ[plugins.FILES] == str(file)
    other = tmp_path / "elsewhere" / "values.py"
    other.parent.mkdir()
    other.write_text("VALUE = 3\n")
    monkeypatch.setenv(plugins.FILES, f"{file}{os.pathsep}{other}")
    assert [Path(each.path).parent.name for each in plugins.plugins()] == [tmp_path.name, "elsewhere"]
