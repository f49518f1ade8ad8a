"""The command line at its edges: the home folder, new runs and old ones, links, and what messages advise."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quick import quick
from srat.cli import COMMANDS, at_home, main
from srat.runs.finding import runs_in
from srat.training.checkpoint import list_checkpoints

QUICK = quick(epochs=2)


@pytest.fixture(autouse=True)
def _one_network(monkeypatch):
    """Plans, which follow what is said of a folder, measure no network but the first."""
    monkeypatch.setattr("srat.planning.planning.MEASURING", 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "a"
    assert main(["train", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and another one to work in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "home"


class TestHome:
    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("~", "HOME"),
            ("~/x", "HOME/x"),
            ("--out=~/x", "HOME/x"),
            ("--out=~", "HOME"),
            ("--out=a=~/x", "a=~/x"),
            ("a~/x", "a~/x"),
            ("./~/x", "./~/x"),
            ("--out=", ""),
            ("--data.classes=~nobody-of-this-name/x", "~nobody-of-this-name/x"),
            ("~nobody-of-this-name", "~nobody-of-this-name"),
            ("8/255", "8/255"),
        ],
    )
    def test_is_put_where_a_word_begins_with_it(self, home, word, said):
        flag = word.partition("=")[0] + "=" if word.startswith("--") else ""
        assert at_home(word) == flag + said.replace("HOME", str(home))

    def test_of_another_user(self):
        import pwd

        root = pwd.getpwuid(0)
        assert at_home(f"~{root.pw_name}/x") == f"{root.pw_dir.rstrip('/')}/x"

    def test_is_meant_by_every_command(self, cli, home, trained):
        shutil.copytree(trained, home / "a")
        images = home / "images"
        for name, shade in (("ant", 20), ("bee", 200)):
            (images / name).mkdir(parents=True)
            for n in range(6):
                Image.fromarray(np.full((8, 8), shade + n, "u1")).save(images / name / f"{n}.png")
        for words in (
            ["train", "--config=~/a/config.json", "--out=~/b", *quick(model="linear")],
            ["runs", "~"],
            ["report", "~/a", "--no-map", "--out=~/page.html", "--device", "cpu"],
            ["data", "digits", "--indices=~/indices.json"],
            ["data", "folder", "~/images"],
            ["data", "folder", "--data-dir=~/images"],
            ["predict", "~/a", "~/images/ant", "--format", "csv", "--out=~/p.csv", "--device", "cpu"],
            ["evaluate", "~/a", "--attack", "fgsm", "--device", "cpu"],
        ):
            code, _out, err = cli(*words)
            assert code == 0, (words, err)
        assert {"b", "page.html", "indices.json", "p.csv"} <= {path.name for path in home.iterdir()}
        assert not list(Path.cwd().iterdir())


class TestResume:
    def test_the_first_line_says_whether_a_run_is_new(self, cli, home, trained):
        code, out, _ = cli("train", *QUICK, "--out", "runs/new")
        assert code == 0
        assert out.splitlines()[0] == "new run: runs/new"
        checkpoints = list_checkpoints(Path("runs/new/checkpoints"))
        for name in ("model.safetensors", "model-best.safetensors"):
            Path("runs/new", name).unlink()
        code, out, _ = cli("train", "--resume", "--out", "runs/new", "--device", "cpu")
        assert code == 0
        epoch = int(checkpoints[-1].stem.split("-")[1]) + 1
        step = int(checkpoints[-1].stem.split("-")[3])
        assert out.splitlines()[0] == f"continuing the run in runs/new, from epoch {epoch}, step {step}"
        assert Path("runs/new/metrics.csv").read_bytes() == (trained / "metrics.csv").read_bytes()

    @pytest.mark.parametrize(
        ("gone", "said"),
        [(["evaluation.json"], "which is trained"), (["model.safetensors", "checkpoints"], "from its beginning")],
    )
    def test_it_says_from_where(self, cli, home, trained, gone, said):
        shutil.copytree(trained, "a")
        for name in gone:
            shutil.rmtree(f"a/{name}") if name == "checkpoints" else Path("a", name).unlink()
        code, out, _ = cli("train", "--resume", "--out", "a", "--device", "cpu")
        assert code == 0
        assert out.splitlines()[0] == f"continuing the run in a, {said}"

    def test_a_finished_run_is_left_alone(self, cli, home, trained):
        code, out, _ = cli("train", "--out", trained, "--resume")
        assert code == 0
        assert "is finished; nothing was changed" in out.splitlines()[0]

    @pytest.mark.parametrize(
        ("out", "said"),
        [
            (
                "runs/fist",
                "there is no run in 'runs/fist' to continue, did you mean 'first'?; there are: first, other\n",
            ),
            ("runs/xyz", "there is no run in 'runs/xyz' to continue; there are: first, other\n"),
            ("runs/first/checkpoints", "to continue, did you mean 'runs/first'?\n"),
            ("nowhere/a", "there is no run in 'nowhere/a' to continue\n"),
            ("empty", "there is no run in 'empty' to continue\n"),
        ],
    )
    def test_nothing_to_go_on_with_is_refused(self, cli, home, trained, out, said):
        for name in ("runs/first", "runs/other"):
            Path(name).mkdir(parents=True)
            shutil.copy(trained / "config.json", name)
        Path("empty").mkdir()
        before = sorted(Path.cwd().rglob("*"))
        code, _, err = cli("train", "--resume", "--out", out, *QUICK)
        assert code == 2
        assert err.startswith("srat: error: --resume: there is no run in")
        assert err.endswith(said)
        assert sorted(Path.cwd().rglob("*")) == before

    def test_it_needs_a_folder(self, cli, home):
        code, _, err = cli("train", "--resume")
        assert (code, err.count("\n")) == (2, 1)
        assert "--resume: expected --out with the run's folder" in err

    def test_what_differs_from_the_run_is_refused(self, cli, home, trained):
        shutil.copytree(trained, "a")
        code, _, err = cli("train", "--resume", "--out", "a", "--epochs", "3")
        assert code == 2
        assert "'a' holds another run, with epochs 2 (not 3) (" in err
        other = json.loads(Path("a/config.json").read_text()) | {"seed": 5}
        Path("other.json").write_text(json.dumps(other))
        code, _, err = cli("train", "--resume", "--out", "a", "--config", "other.json")
        assert code == 2
        assert "'a' holds another run, with seed 0 (not 5) (" in err

    def test_a_words_beginning_is_no_flag(self, cli, home):
        assert "did you mean '--resume'" in cli("train", "--resum")[2]


class TestLinks:
    def test_each_run_is_listed_once_under_its_own_name(self, cli, home, trained):
        for name in ("a", "deep/b"):
            shutil.copytree(trained, f"runs/{name}")
        for link, target in (
            ("0-a", "a"),
            ("0-up", ".."),
            ("deep/loop", "../.."),
            ("deep/same", "."),
            ("0-deep", "deep"),
            ("nowhere", "missing"),
            ("itself", "itself"),
        ):
            Path("runs", link).symlink_to(target)
        code, out, _ = cli("runs", "--format", "json")
        assert code == 0
        assert [row["run"] for row in json.loads(out)] == ["a", "deep/b"]

    def test_what_lies_elsewhere_is_found_through_links(self, home, trained):
        shutil.copytree(trained, home / "far" / "a")
        Path("runs").mkdir()
        for n in range(3):
            Path(f"runs/{n}").symlink_to(home / "far")
        assert [str(run.path) for run in runs_in(Path("runs"))] == ["runs/0/a"]

    def test_a_folder_that_is_a_link_and_one_that_may_not_be_read(self, home, trained):
        shutil.copytree(trained, "runs/a")
        Path("linked").symlink_to("runs")
        Path("runs/closed").mkdir(mode=0)
        assert [str(run.path) for run in runs_in(Path("linked"))] == ["linked/a"]
        assert [str(run.path) for run in runs_in(Path("runs/a"))] == ["runs/a"]

    def test_depth(self, home, trained):
        for path in ("runs/1/2/3/4", "runs/x/2/3/4/5"):
            Path(path).mkdir(parents=True)
            shutil.copy(trained / "config.json", path)
        assert [str(run.path) for run in runs_in(Path("runs"))] == ["runs/1/2/3/4"]
        assert runs_in(Path("runs"), depth=3) == []


class TestMessages:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ["data", "digits", "--data.classes", "ant"],
                "--data.classes: expected names of classes (0, 1, 2, …), got 'ant'",
            ),
            (
                ["data", "digits", "--data.classes", "1", "ant", "10"],
                "--data.classes: expected names of classes (0, 1, 2, …), got 'ant', 10",
            ),
            (
                ["train", "--imbalance.keep", "1", "ant", "--imbalance", "counts"],
                "--imbalance.keep: expected whole numbers, got '1', 'ant' (examples to keep",
            ),
            (
                ["train", "--weighting", "fixed", "--weighting.values", "a"],
                "--weighting.values: expected numbers, got 'a'",
            ),
        ],
    )
    def test_what_values_are_expected_is_said(self, cli, home, words, said):
        code, _, err = cli(*words)
        assert code == 2
        assert said in err
        assert "other values" not in err

    @pytest.mark.parametrize("command", ["report", "compare"])
    def test_no_command_is_advised_that_refuses(self, cli, home, trained, command):
        for name in ("a", "b"):
            shutil.copytree(trained, name)
            Path(name, "evaluation.json").unlink()
        content = json.loads(Path("a/config.json").read_text())
        content["model"] = {"name": "custom", "description": "mine"}
        Path("a/config.json").write_text(json.dumps(content))
        code, _, err = cli(command, "a", *(["b"] if command == "compare" else []))
        assert code == 2
        assert "no command can build your own model; srat.evaluate_run('a', model=…)" in err
        assert "'srat" not in err

    @pytest.mark.parametrize(
        ("classes", "said"),
        [(1, "put images of a second one into a folder beside c0"), (2, "To train on it: srat train")],
    )
    def test_the_advice_to_train_on_a_folder_works(self, cli, home, classes, said):
        for c in range(classes):
            Path(f"images/c{c}").mkdir(parents=True)
            for n in range(8):
                Image.fromarray(np.full((8, 8), 20 * c + n, "u1")).save(f"images/c{c}/{n}.png")
        code, out, _ = cli("data", "folder", "images")
        assert code == 0
        assert out.splitlines()[0].startswith("8 images in 1 class " if classes == 1 else "16 images in 2 classes")
        assert said in out.splitlines()[-1]


def test_only_commands_that_take_devices_start_processes(cli, home):
    for command in COMMANDS.keys() - {"train", "evaluate"}:
        code, _, err = cli(command, "--devices", "2")
        assert code == 2
        said = ("unknown flag '--devices'", "expected the name of a data set first", "--devices: no setting of a run")
        assert any(line in err for line in said)
    assert os.environ.get("RANK") is None
