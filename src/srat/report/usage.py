"""How an exported model is used, for its card: what it takes, and a program that does what ``srat predict`` does."""

import json
from importlib.resources import files

from srat.data.reading.decoding import NO_BACKGROUND
from srat.inference.reading import files_for, takes_photographs
from srat.models.wrapping.wrapper import Custom
from srat.report.formats.markdown import in_markdown
from srat.runs.run import ModelFacts

_WITH_ONNX = """\
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession({file}, providers=["CPUExecutionProvider"])
facts = model.get_modelmeta().custom_metadata_map
names, reading = json.loads(facts["class_names"]), json.loads(facts["reading"])


{reader}


for path in sys.argv[1:]:
    _, probabilities = model.run(None, {{"images": read(path, reading)[None]}})
    print(path, names[probabilities[0].argmax()], probabilities[0].max(), sep="\\t")"""
_WITH_TORCH = """\
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

facts = {{"class_names": "", "reading": ""}}
model = torch.export.load({file}, extra_files=facts).module()
names, reading = json.loads(facts["class_names"]), json.loads(facts["reading"])


{reader}


for path in sys.argv[1:]:
    with torch.no_grad():
        _, probabilities = model(torch.from_numpy(read(path, reading))[None])
    print(path, names[probabilities[0].argmax()], probabilities[0].max().item(), sep="\\t")"""
_WITH_SRAT = """\
import sys

import srat

model = srat.load({given})  # a module, too: images in [0, 1] → model(images).logits
for found in model.predict(sys.argv[1:]):  # files, folders
    print(found.path, found.class_name, found.probability, sep="\\t")"""
_PROGRAMS = {
    "onnx": ("numpy, Pillow and onnxruntime", _WITH_ONNX),
    "torch-export": ("numpy, Pillow and torch", _WITH_TORCH),
    "hub": ("srat", _WITH_SRAT),
}
"""By format: what a program needs, and its text."""


def usage(kind: str, file: str, facts: ModelFacts) -> list[str]:
    """Return paragraphs of Markdown on how an exported model is used.

    Args:
        kind: the format.
        file: the model's name, as its card calls it.
        facts: what its file of weights says of it.
    """
    shape, names = facts.shape, ", ".join(map(in_markdown, facts.class_names))
    takes = (
        f"The input is of {shape.channels} × {shape.height} × {shape.width} (channels, height, width), in [0, 1] and "
        f"not normalised: that is the model's first layer. The classes, in the order of the logits: {names}."
    )
    if facts.temperature != 1:
        takes += f" Probabilities are softmax(logits / {facts.temperature:g}), as `srat calibrate` fitted them."
    if not takes_photographs(shape):
        return [takes]
    needed, program = _PROGRAMS[kind]
    quoted = json.dumps(file, ensure_ascii=False)
    given = f"{quoted}, model=…" if isinstance(facts.config.model, Custom) else quoted
    text = program.format(file=quoted, given=given, reader=_reader())
    gives = "the classes and probabilities that `srat predict` gives"
    return [
        f"This program needs {needed}, and prints {gives}: `python program.py photo.jpg`.",
        f"```python\n{text}\n```",
        f"{_reading_text(facts)} {takes}",
    ]


def _reading_text(facts: ModelFacts) -> str:
    """Return how image files become what the model takes."""
    files = files_for(facts.shape, facts.config.data)
    clear = "the transparency is dropped" if files.background == NO_BACKGROUND else f"laid on {files.background}"
    return (
        f"An image file is turned upright (EXIF); grey levels of 16 bits are scaled to 8, with {files.white_level:,} "
        f"for white; transparent parts: {clear}. It becomes {'grey' if files.mode == 'L' else 'RGB'}, also from CMYK "
        f"or a palette, and is resized to {files.width} × {files.height} pixels (width, height) by Pillow's bicubic "
        "filter, whatever its proportions; then bytes are divided by 255. HEIC files and cameras' raw files are not "
        "read."
    )


def _reader() -> str:
    """Return the functions that read an image file, without the head of their module."""
    text = files("srat.inference").joinpath("exported_images.py").read_text(encoding="utf-8")
    return text[text.index("def read(") :].rstrip()
