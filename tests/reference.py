"""The platform on which sums round as they did when hashes of tensors were recorded."""

import hashlib
import platform
import re
from pathlib import Path

import torch


def here():
    """Return what decides how sums round: the processor, what of it torch uses, and torch itself."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    kind = [found[1] for word in ("vendor_id", "cpu family") if (found := re.search(rf"{word}\s*: (.+)", text))]
    return " ".join([platform.machine(), *kind, torch.backends.cpu.get_cpu_capability(), f"torch {torch.__version__}"])


def digest(tensors):
    """Return the SHA-256 of named tensors: names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
