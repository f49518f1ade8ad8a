"""What the documentation tells people to type, typed."""

import re
import shlex
from pathlib import Path

import pytest

from srat.cli import main

DOCS = Path(__file__).parent.parent / "docs"
TUTORIALS = ("own-images.md",)


def blocks(path):
    """Return language and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_does_what_it_says(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    scope = {}
    for language, text in blocks(DOCS / "tutorials" / name):
        if language == "python":
            exec(compile(text, name, "exec"), scope)
            continue
        assert language == "sh"
        for line in text.splitlines():
            command, *words = shlex.split(line)
            assert command == "srat"
            code = main(words)
            captured = capsys.readouterr()
            assert (code, captured.err) == (0, ""), line
    folder = tmp_path / "runs" / "photos"
    for made in ("report.html", "split.json", "model.onnx", "model.pt2"):
        assert (folder / made).exists()
    assert (tmp_path / "photos-model" / "README.md").exists()
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 81


def test_every_tutorial_is_tested():
    assert {path.name for path in (DOCS / "tutorials").glob("*.md")} == set(TUTORIALS)
