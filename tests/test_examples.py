"""The examples run, are short, and teach their models something."""

import contextlib
import io
import re
import runpy
import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
LEARNED = {"plain_pytorch": 0.45, "lightning_module": 0.7, "hugging_face": 0.45}
"""Accuracy under PGD-20 that each has at the least; guessing has 0.1."""


@pytest.mark.parametrize("name", LEARNED)
def test_runs_and_learns(name):
    for package in {"lightning_module": ["lightning"], "hugging_face": ["transformers"]}.get(name, []):
        pytest.importorskip(package)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert float(re.search(r"accuracy=([\d.]+)", said.getvalue())[1]) > LEARNED[name]


def test_each_is_short_and_tested():
    files = {path.stem: path.read_text().splitlines() for path in EXAMPLES.glob("*.py")}
    assert set(files) == set(LEARNED)
    assert all(len(lines) < 40 for lines in files.values())
