"""What the documentation tells people to type, typed; and the site that is made of it."""

import importlib
import logging
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import srat.data.sources.cifar
from quick import quick
from shortening import shorten_autoattack
from srat.cli import main
from srat.cli.commands import COMMANDS

pytestmark = pytest.mark.usefixtures("quick_maps", "one_network")

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "results" not in path.parts)
HOW_TOS = sorted(path.stem for path in (DOCS / "how-to").glob("*.md"))
QUICK = quick()
QUICK += ["--step-size", "0.1"]  # one of which reaches the edge


def blocks(path):
    """Return the blocks of code of a page: language, text, and words that its tests add to each command."""
    found = re.findall(r"^(?:<!-- test: (.*?) -->\n)?```(\w+)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    return [(language, text.replace("\\\n", " "), shlex.split(extra)) for extra, language, text in found]


def commands(text):
    """Return the words of each command of ours in a block."""
    lines = [re.sub(r"^\$ | (>|&&|\|) .*", "", line) for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("srat ")]


def follow(path, capsys):
    """Do what a page says: ``sh`` and ``python``; ``bash`` is for other machines than this."""
    scope = {}
    for language, text, extra in blocks(path):
        if language == "python" and not text.startswith(
            ("--8<--", "# brier_losses.py")
        ):  # which have tests of their own
            exec(compile(text, path.name, "exec"), scope)
        if language != "sh":
            continue
        assert len(commands(text)) == len([line for line in text.splitlines() if line.strip()])
        for words in commands(text):
            code = main([*words, *(extra if words[0] in ("train", "evaluate", "audit") else ())])
            captured = capsys.readouterr()
            read = re.fullmatch(r"srat: read ([\d,]+) of \1 files\n", captured.err) if words[0] == "predict" else None
            assert (code, "" if read else captured.err) == (0, ""), words


@pytest.fixture
def one_network(monkeypatch):
    """Plans measure no network but the first."""
    monkeypatch.setattr("srat.planning.planning.MEASURING", 0.0)


@pytest.fixture
def shortest_autoattack(monkeypatch):
    """AutoAttack, of which no number is read here, makes a few steps and queries."""
    shorten_autoattack(monkeypatch.setattr, steps=20)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestTutorials:
    def test_digits(self, here, capsys, shortest_autoattack):
        follow(DOCS / "tutorials" / "digits.md", capsys)
        assert {"fast-bsl", "ce"} <= {path.name for path in (here / "runs").iterdir()}
        assert (here / "runs" / "fast-bsl" / "report.html").exists()

    def test_own_images(self, here, capsys):
        pytest.importorskip("onnxruntime")
        follow(DOCS / "tutorials" / "own-images.md", capsys)
        folder = here / "runs" / "photos"
        for made in ("report.html", "split.json", "model.onnx", "model.pt2"):
            assert (folder / made).exists()
        assert (here / "photos-model" / "README.md").exists()
        assert len((here / "found.csv").read_text().splitlines()) == 81

    def test_cifar10(self, here, capsys, monkeypatch):
        """On made-up files of its layout."""
        folder = here / "cifar-10-batches-py"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for name in ("test_batch", *(f"data_batch_{n}" for n in range(1, 6))):
            pixels = rng.integers(0, 256, (100, 3072), np.uint8)
            (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": [i % 10 for i in range(100)]}))
        monkeypatch.setenv("SRAT_DATA_DIR", str(here))
        monkeypatch.setattr(srat.data.sources.cifar, "check_md5", lambda *args: None)
        follow(DOCS / "tutorials" / "cifar10.md", capsys)
        assert (here / "three.html").exists()
        assert (here / "counts.png").exists()

    def test_the_readmes_python(self, here):
        """With the table of the same command's own evaluation."""
        (text,) = [text for language, text, _ in blocks(ROOT / "README.md") if language == "python"]
        scope = {}
        exec(compile(text.replace("epochs=40", "epochs=2"), "README.md", "exec"), scope)
        assert scope["result"].attack["epsilon"] == scope["config"].evaluation.epsilon == 0.1

    def test_every_one_is_tested(self):
        tested = {name.removeprefix("test_").replace("_", "-") for name in vars(TestTutorials)}
        assert {path.stem for path in (DOCS / "tutorials").glob("*.md")} <= tested


class TestHowTos:
    @pytest.fixture(scope="class")
    @classmethod
    def runs(cls, tmp_path_factory):
        runs = tmp_path_factory.mktemp("pages") / "runs"
        for name, method in (("a", "srat-ldam"), ("b", "ce")):
            assert main(["train", *QUICK, "--method", method, "--out", str(runs / name)]) == 0
        return runs

    @pytest.mark.parametrize("name", HOW_TOS)
    def test_does_what_it_says(self, name, runs, here, capsys, shortest_autoattack):
        shutil.copytree(runs, here / "runs")
        capsys.readouterr()
        follow(DOCS / "how-to" / f"{name}.md", capsys)


def test_the_new_loss_of_the_guide(here, forked):
    """In a process of its own: it is registered for good."""
    (text,) = [text for language, text, _ in blocks(ROOT / "CONTRIBUTING.md") if language == "python"]
    check = (
        "import torch; print(brier(torch.zeros(1, 2), torch.tensor([0])).item(), type(srat.compose(loss='brier').loss))"
    )
    (here / "new.py").write_text(f"import srat\n{text}\n{check}")
    done = subprocess.run([sys.executable, "new.py"], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0.5 <class '__main__.Brier'>\n", "")


THERE = {"…", "--config", "--init", "--model.path", "--plugin", "runs/mine"}
"""Words of commands that name files which have to be there."""


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_can_be_read(page, here, monkeypatch):
    """What is not run, for it would take a cluster or a day, is parsed."""

    class ReadError(Exception):
        pass

    for module in (importlib.import_module(f"srat.cli.commands.{name}") for name in COMMANDS):

        def read(*args, real=module.parse, **options):
            real(*args, **options)
            raise ReadError

        monkeypatch.setattr(module, "parse", read)
    text = "\n".join(text for language, text, _ in blocks(page) if language in ("sh", "bash"))
    for words in commands(text):
        if not THERE & {*words}:
            with pytest.raises((ReadError, SystemExit) if "--help" in words else ReadError):
                importlib.import_module(f"srat.cli.commands.{words[0]}").run(words[1:])


def test_the_site_is_whole(tmp_path, caplog):
    """As ``make docs`` makes it: every link and every name leads somewhere."""
    pytest.importorskip("mkdocstrings")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    with caplog.at_level(logging.WARNING, logger="mkdocs"):
        build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site")))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")] == []
    public = {name for name in srat.__all__ if not (ROOT / "src" / "srat" / name).is_dir()}
    text = "".join(path.read_text() for path in (tmp_path / "site" / "reference").rglob("*.html"))
    every = (tmp_path / "site").rglob("*.html")
    assert not [path for path in every if re.search(r"\{\{ \w+[\w. -]* \}\}", path.read_text())]  # unfilled places
    assert not [name for name in public if f">{name}<" not in text and f"srat.{name}" not in text]
    for package in ("attacks", "losses", "feature_losses", "regularizers", "weightings", "models", "data"):
        for name in importlib.import_module(f"srat.{package}").__all__:
            assert re.search(rf'id="srat\.{package}\.[\w.]*{name}"', text), f"srat.{package}.{name}"
