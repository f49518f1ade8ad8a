"""Image files of the kinds that are easily read wrongly, and runs with a model that tells them apart, untrained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from srat.config.composition import compose
from srat.core.tensor_file import write_tensors
from srat.data.sources.folder import Folder
from srat.models import ImageShape
from srat.runs.run import ModelFacts, build_model

NAMES = ("naïve 猫", "b c", '"quoted"')
SIDES = (20, 31)
"""Height and width of the files."""
WHITE, BACKGROUND = 60_000, "#204060"
_TURNED = 6


def photographs(folder: Path) -> dict[str, Path]:
    """Write files that a plain ``open(…).convert(…).resize(…)`` reads wrongly, each by what is odd in it."""
    rng = np.random.default_rng(4)
    height, width = SIDES
    colour = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    colour[: height // 2] //= 3  # the upper half is darker: turned, it is another image
    image, levels = Image.fromarray(colour), rng.integers(0, 50_000, SIDES, dtype=np.uint16)
    alpha = Image.fromarray(rng.integers(0, 256, SIDES, dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = _TURNED
    clear = image.copy()
    clear.putalpha(alpha)
    palette = image.quantize(8)
    made = {
        "turned.jpg": (image, {"exif": exif, "quality": 95}),
        "turned.tif": (image, {"exif": exif}),  # which Pillow would map into memory by its path
        "cmyk.jpg": (image.convert("CMYK"), {"quality": 95}),
        "deep.png": (Image.fromarray(levels), {}),
        "deep-clear.png": (Image.fromarray(levels), {"transparency": int(levels[0, 0])}),
        "palette.png": (palette, {"transparency": bytes(range(0, 256, 32))}),
        "clear.png": (clear, {}),
        "grey-clear.png": (clear.convert("LA"), {}),
        "float.tif": (Image.fromarray((levels / 50_000).astype(np.float32)), {}),
    }
    folder.mkdir(exist_ok=True)
    for name, (each, options) in made.items():
        each.save(folder / name, **options)
    return {name: folder / name for name in made}


def untrained(folder: Path, *, channels: int = 3) -> Path:
    """Write a run whose linear model has weights at random, so that every pixel moves its probabilities."""
    config = replace(
        compose(method="ce", model="linear"), data=Folder(size=9, background=BACKGROUND, white_level=WHITE)
    )
    shape, ones = ImageShape(channels=channels, height=9, width=9), torch.ones(channels)
    model = build_model(config, shape=shape, classes=3, mean=ones / 2, std=ones / 4)
    facts = ModelFacts(config=config, class_names=NAMES, train_counts=(5, 4, 3), shape=shape, epoch=0)
    folder.mkdir()
    (folder / "config.json").write_text(config.to_json())
    weights = model.state_dict()
    write_tensors(folder / "model.safetensors", weights, facts.to_json(weights))
    return folder
