"""The arithmetic of a training step; losses, sign steps and weights are fp32 in each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

PrecisionName = Literal["fp32", "tf32", "bf16", "fp16"]
"""fp32; tf32, its matrix products rounded to 10 bits on the GPUs that can; bf16 and fp16, mixed with fp32."""
_HALVES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
_PEAK = 2.0**6
"""Largest entry of the gradient that an attack sends into an fp16 model: what follows it stays clear of both ends."""


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bf16, without which a CPU is slower in it than in fp32.

    Where PyTorch does not say which instructions there are, it is taken to have them.
    """
    if device.type != "cpu":
        return True
    said: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    known = [value for name, value in said.items() if "bf16" in name]
    return not known or any(known)


def compute_dtype(name: PrecisionName) -> torch.dtype:
    """Return what convolutions and matrix products take in."""
    return _HALVES.get(name, torch.float32)


@contextmanager
def tensor_float(allowed: bool) -> Iterator[None]:
    """Allow TF32 within, or forbid it: PyTorch's convolutions on newer GPUs use it for fp32 unless told otherwise."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was


def rescale_gradient(logits: Tensor) -> Tensor:
    """Return the logits, whose gradient is scaled on its way back to a largest entry of 64 in each example.

    Attacks need its direction alone. In fp16 the gradient of a confident example would vanish on the way: it starts
    at 1 − p_y, and below 6e-8 there is nothing.

    Args:
        logits: (batch, classes), fp32.
    """
    if logits.requires_grad:
        logits.register_hook(lambda gradient: gradient * _enlargement(gradient))  # type: ignore[no-untyped-call]
    return logits


def with_gradient_in_range(logits_at: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return logits_at(images); the gradient of each example goes through it enlarged, and comes out at its own size.

    In fp16 what is below 6e-8 is 0: the gradient of a confident example would vanish on its way.

    Args:
        logits_at: (batch, channels, height, width) → (batch, classes), fp32; between them may lie fp16.
        images: fp32, asking for a gradient.
    """
    factors: list[Tensor] = []

    def enlarge(gradient: Tensor) -> Tensor:
        factors[:] = [_enlargement(gradient)]
        return gradient * factors[0]

    entry = images.view_as(images)
    entry.register_hook(lambda gradient: gradient / factors[0][:, :, None, None])  # type: ignore[no-untyped-call]
    logits = logits_at(entry)
    logits.register_hook(enlarge)  # type: ignore[no-untyped-call]
    return logits


def _enlargement(gradient: Tensor) -> Tensor:
    tiny = torch.finfo(gradient.dtype).tiny
    return (_PEAK / gradient.abs().amax(dim=1, keepdim=True).clamp(min=tiny)).clamp(max=1e30)
