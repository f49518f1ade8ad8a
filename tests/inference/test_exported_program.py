"""The program in an exported model's card, as it stands there and without srat, against ``srat predict``."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srat
from photographs import NAMES, photographs, untrained
from srat.core.errors import UserError

APART = 1e-5
"""Probabilities of two runtimes."""
TAKEN = ("cmyk.jpg", "turned.tif")
"""What only has to be read at all, and not to be turned twice."""
GUARD = "import sys, runpy; sys.modules.update(dict.fromkeys({missing})); runpy.run_path(sys.argv.pop(1), run_name='x')"


def program_of(card):
    (program,) = re.findall(r"^```python\n(.*?)^```", card.read_text(), re.DOTALL | re.MULTILINE)
    return program


def run_alone(program, paths, *, where, missing=()):
    """Run a program that finds the installed packages but for srat, and those ``missing``; return what it prints."""
    (where / "program.py").write_text(program)
    installed = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))  # -S: no .pth is followed
    return subprocess.run(
        [sys.executable, "-S", "-c", GUARD.format(missing=("srat", *missing)), "program.py", *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=where,
        timeout=120,
        env={**os.environ, "PYTHONPATH": installed},
    )


@pytest.mark.parametrize(("kind", "channels", "missing"), [("onnx", 3, ("torch",)), ("torch-export", 1, ())])
def test_gives_what_predict_gives(cli, tmp_path, kind, channels, missing):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    run, paths = untrained(tmp_path / "run", channels=channels), photographs(tmp_path / "photographs")
    code, out, err = cli("export", run, "--to", kind)
    assert (code, err) == (0, "")
    card = Path(out.strip().rpartition("how to use it: ")[2])
    words = ("--format", "jsonl", "--attack", "natural", "--device", "cpu")
    code, out, _ = cli("predict", run, *paths.values(), *words)
    wanted = list(map(json.loads, out.splitlines()))
    assert (code, len(wanted)) == (0, len(paths))
    done = run_alone(program_of(card), paths.values(), where=run, missing=missing)
    assert done.stderr == ""
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert [path for path, _, _ in found] == [row["file"] for row in wanted]
    assert [name for _, name, _ in found] == [row["class"] for row in wanted]
    assert [float(p) for _, _, p in found] == pytest.approx([row["probability"] for row in wanted], abs=APART)
    assert len({row["probability"] for row in wanted}) == len(paths)


def test_every_photograph_is_read_wrongly_by_a_plain_program(tmp_path):
    """Else the test above would say nothing of it."""
    run, paths = untrained(tmp_path / "run"), photographs(tmp_path / "photographs")
    model = srat.load(run)
    for name, path in paths.items():
        with Image.open(path) as image:
            plain = np.asarray(image.convert("RGB").resize((9, 9), Image.Resampling.BICUBIC)).transpose(2, 0, 1)[None]
        (right,), (wrong,) = model.predict(path, top=3), model.predict(plain, top=3)
        apart = [abs(dict(right.top)[each] - dict(wrong.top)[each]) for each in NAMES]
        assert max(apart) > 100 * APART or name in TAKEN, name


def test_levels_beyond_white_end_the_program_too(tmp_path):
    pytest.importorskip("onnxruntime")
    run = untrained(tmp_path / "run")
    card = srat.export_run(run, "onnx").card
    Image.new("I;16", (9, 9), 60_001).save(tmp_path / "white.png")
    done = run_alone(program_of(card), [tmp_path / "white.png"], where=run)
    assert "ValueError: levels from 60001 to 60001, expected 0 to 60000" in done.stderr
    with pytest.raises(UserError, match="a grey level of 60,001, above"):
        srat.load(run).predict(tmp_path / "white.png")
