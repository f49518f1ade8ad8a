"""Image files as an exported model takes them, by numpy and Pillow alone: the text of its card (`usage`)."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def read(path: str, reading: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return an image file as the model takes it, (channels, height, width) in [0, 1]."""
    Image.init()
    formats = [name for name in reading["formats"] if name in Image.OPEN]  # none that starts another program
    with Path(path).open("rb") as file, Image.open(file, formats=formats) as stored:
        image = eight_bits(ImageOps.exif_transpose(stored), reading["white_level"])
    alpha = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    if alpha and reading["background"] != "none":
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, reading["background"]), layer)
    height, width = reading["height"], reading["width"]
    image = image.convert(reading["mode"]).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).reshape(height, width, -1).transpose(2, 0, 1) / np.float32(255)


def eight_bits(image: Image.Image, white_level: int) -> Image.Image:
    """Return an image of 16 bits, or of floating point in [0, 1], as one of eight."""
    if not image.mode.startswith(("I", "F")):
        return image
    levels, white = np.asarray(image), 1 if image.mode == "F" else white_level
    if levels.min() < 0 or levels.max() > white:
        raise ValueError(f"levels from {levels.min()} to {levels.max()}, expected 0 to {white}")
    if image.mode == "F":
        return Image.fromarray(np.rint(levels * 255).astype(np.uint8))
    plain = Image.fromarray((levels.astype(np.int64) * 255 // white).astype(np.uint8))
    if "transparency" in image.info:
        clear = levels == image.info["transparency"]
        plain.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return plain
