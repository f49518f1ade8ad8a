"""Recordings of made-up things: frames of one thing that differ a little, called after the recording and the frame."""

import io

import numpy as np
from folders import put
from PIL import Image


def frames(seed, count):
    """Return the frames of a recording: a smooth picture of its own that grows and gets noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    for number in range(count):
        side = 40 + 2 * number
        large = small.resize((side, side), Image.Resampling.BICUBIC)
        edge = (side - 32) // 2
        pixels = np.asarray(large.crop((edge, edge, edge + 32, edge + 32)), np.int16)
        yield Image.fromarray((pixels + rng.integers(-4, 5, pixels.shape)).clip(0, 255).astype(np.uint8))


def tracks(folder, sizes, *, name="{track:05d}_{frame:05d}.png", length=6):
    """Put recordings into a folder for each class.

    Args:
        folder: where.
        sizes: recordings of each class, by name.
        name: of a file.
        length: frames of a recording.
    """
    for label, (kind, count) in enumerate(sizes.items()):
        for track in range(count):
            for frame, image in enumerate(frames(1_000 * label + track, length)):
                file = io.BytesIO()
                image.save(file, "PNG")
                put(folder / kind / name.format(track=track, frame=frame, kind=kind), file.getvalue())
    return folder
