"""The examples run, are short, and teach their models something."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("forked")

EXAMPLES = Path(__file__).parent.parent / "examples"
APART = Path(sys.prefix) / "apart"
"""Where `make setup` puts Lightning."""
LEARNED = {"plain_pytorch": 0.45, "lightning_module": 0.7, "hugging_face": 0.3}
"""Accuracy under PGD-20 that each has at the least; guessing has 0.1."""


@pytest.mark.parametrize("name", LEARNED)
def test_runs_and_learns(name):
    environment = {**os.environ, "PYTHONPATH": str(APART)} if name == "lightning_module" else None
    if name == "lightning_module" and not APART.exists():
        pytest.skip("Lightning is not there; make setup puts it into .venv/apart")
    if name == "hugging_face":
        pytest.importorskip("transformers")
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert float(re.search(r"accuracy=([\d.]+)", said)[1]) > LEARNED[name]


def test_each_is_short_and_tested():
    files = {path.stem: path.read_text().splitlines() for path in EXAMPLES.glob("*.py")}
    assert set(files) == set(LEARNED)
    assert all(len(lines) < 40 for lines in files.values())
