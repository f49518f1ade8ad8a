"""Compiling a model, where there is a compiler."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

CompileChoice = Literal["auto", "off", "default", "reduce-overhead", "max-autotune"]
"""auto is default on CUDA and off on the CPU, where folding BatchNorm gains most of what compiling would, at no wait.
The others are the modes of ``torch.compile``; reduce-overhead replays CUDA graphs."""


def compile_in_place(
    model: nn.Module, choice: CompileChoice, device: torch.device, notice: Callable[[str], None]
) -> bool:
    """Compile a model's calls, for attack and update alike, if that is wanted and can be; return whether it was done.

    Args:
        model: the model; what it computes is compiled when it is first called.
        choice: what is wanted.
        device: where the model lies.
        notice: told if there is no compiler.
    """
    if choice == "off" or (choice == "auto" and device.type == "cpu"):
        return False
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except Exception as error:  # a missing compiler shows in many ways
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        notice(f"there is no working compiler here, going on without ({why})")
        return False
    # Models of a kind share a cache, and past its limit they would run as they are, as only a log would tell.
    torch.compiler.reset()
    # Batches come in two sizes at the most; a compiler that guessed at a third would make slower code.
    model.compile(mode="default" if choice == "auto" else choice, dynamic=False)
    return True
