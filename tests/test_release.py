"""The wheel: built, installed apart, and put to work; and what it says of itself."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import srat
from quick import quick

pytestmark = pytest.mark.usefixtures("forked")

ROOT = Path(__file__).parent.parent
QUICK = quick()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_works_where_it_is_installed(built, tmp_path):
    """With its tables, templates and scripts; nothing of the checkout is needed."""
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(built[0])], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=work, env=environment, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert run("-c", "import srat; print(srat.__file__)").startswith(str(site))
    version = re.match(r"srat-([^-]+)-", built[0].name)[1]
    assert run(str(site / "bin" / "srat"), "--version") == f"srat {version}\n"
    run("-m", "srat", "train", *QUICK, "--out", "run")
    assert (work / "run" / "report.html").stat().st_size > 10_000
    assert run("-c", "from srat.recipes.catalogue import recipe; print(len(recipe('table1').paper) > 0)") == "True\n"


def test_says_what_it_is(built):
    with zipfile.ZipFile(built[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        facts = email.message_from_bytes(wheel.read(name))
        assert not [name for name in wheel.namelist() if not name.startswith("srat")]
        assert "srat/py.typed" in wheel.namelist()
    assert facts["Requires-Python"] == ">=3.11"
    assert facts["License-Expression"] == "MIT"
    assert "Paper, https://arxiv.org/abs/2107.13639" in facts.get_all("Project-URL")
    assert "under attack" in facts.get_payload()  # the README
    with tarfile.open(built[1]) as source:
        kept = {
            "src",
            "README.md",
            "CHANGELOG.md",
            "CITATION.cff",
            "LICENSE",
            "pyproject.toml",
            "PKG-INFO",
            ".gitignore",
        }
        assert {Path(name).parts[1] for name in source.getnames()} == kept


def test_the_version_is_the_tags(tmp_path):
    """Of a tagged commit, of one after it, and without git."""
    assert re.match(r"\d+\.\d+", srat.__version__)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src" / "srat").mkdir(parents=True)

    def version():
        command = [sys.executable, "-m", "hatchling", "version"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout.strip()

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    assert version() == "0.1.0.dev0"
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    git("tag", "v7.8.9")
    assert version() == "7.8.9"
    git("commit", "--allow-empty", "-m", "two")
    assert version().startswith("7.8.9.post1.dev1+g")


def test_what_it_imports_is_declared():
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [facts["dependencies"], *facts["optional-dependencies"].values()]
    declared = {re.match(r"[\w-]+", each)[0].lower().replace("-", "_") for group in groups for each in group}
    declared |= {"PIL", "sklearn", "lightning_fabric", "mlflow", "wandb", "pytorch_lightning", "huggingface_hub"}
    found = {
        module.split(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for module in re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)
    }
    assert {"torch", "shtab", "cattrs", "tyro"} <= found & declared
    assert found - declared - set(sys.stdlib_module_names) == set()


def test_citation():
    facts = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "license", "preferred-citation"} <= facts.keys()
    assert facts["preferred-citation"]["url"].endswith("2107.13639")
