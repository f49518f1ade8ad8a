"""Warnings that point at the line of the user's that calls this package."""

import os
import sys
import warnings
from pathlib import Path
from types import FrameType


def warn(message: str) -> None:
    """Give a ``UserWarning`` at the line that called this package.

    Args:
        message: what is to be said.
    """
    ours = tuple(map(_folder, ("srat", "torch")))  # torch's frames lie between a call of a module and its forward
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_within(frame, ours):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def _folder(package: str) -> str:
    module = sys.modules.get(package)
    return str(Path(str(getattr(module, "__file__", __file__))).parent) + os.sep


def _is_within(frame: FrameType, folders: tuple[str, ...]) -> bool:
    return frame.f_code.co_filename.startswith(folders)
